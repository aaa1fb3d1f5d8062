//! The entries, and what a hit, a read and a change do with them.
//!
//! A hit takes the read lock of one of many shards and nothing else. Every
//! insertion and every removal happens under the ledger's lock as well: that
//! is what keeps a read that was overtaken by a change from being kept.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};
use tokio::sync::watch;

use super::key::{ByMac, Key};
use super::ledger::{Flight, Ledger};
use super::pilot::{Boarding, Landing, Pilot};
use crate::session::found::Ending;
use crate::session::record::SessionId;
use crate::session::store::Digest;
use crate::session::store::changes::Watcher;
use crate::telemetry::{SessionCacheFigures, Tally};

/// Locks among which the entries are spread.
const SHARDS: usize = 64;
/// While changes are not told, an entry is only for outages: as old as this
/// it need not be replaced.
const BLIND_REFILL: Duration = Duration::from_secs(1);

/// What is kept.
pub trait Entry: Clone {
    /// The name under which the store keeps the ticket.
    fn name(&self) -> Digest;
    fn session(&self) -> Option<SessionId>;
    /// About what it takes in memory.
    fn bytes(&self) -> usize;
}

#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub bytes: u64,
    /// What an ordinary entry takes.
    pub usual_bytes: u64,
    /// Tickets without a session that are remembered.
    pub gone: u64,
    /// A reading is repeated off the path from this age on.
    pub aging: Duration,
    /// How long a reading counts.
    pub age: Duration,
    /// How much longer it does if it cannot be repeated.
    pub grace: Duration,
    /// How long it counts that a ticket leads to no session.
    pub gone_age: Duration,
}

/// A ticket that leads to no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gone {
    pub name: Digest,
    /// Where it once led, as far as known.
    pub session: Option<SessionId>,
    pub ending: Ending,
}

impl Entry for Gone {
    fn name(&self) -> Digest {
        self.name
    }

    fn session(&self) -> Option<SessionId> {
        self.session
    }

    fn bytes(&self) -> usize {
        1
    }
}

/// A reading that counts.
#[derive(Debug)]
pub struct Hit<V> {
    pub value: V,
    /// It should be read again, off the path.
    pub aging: bool,
}

#[derive(Clone)]
struct Slot<V> {
    value: V,
    epoch: u64,
    read_at: Instant,
    aging_from: Instant,
    until: Instant,
    weight: u64,
    /// We wrote since: only for outages, as it was at `read_at`.
    outdated: bool,
}

#[derive(Clone, Copy)]
struct ByBytes;

impl<V> Weighter<Key, Slot<V>> for ByBytes {
    fn weight(&self, _: &Key, slot: &Slot<V>) -> u64 {
        slot.weight
    }
}

/// Hands out what had to go, so that the indexes follow.
#[derive(Clone, Copy)]
struct Evicting;

impl<V> Lifecycle<Key, Slot<V>> for Evicting {
    type RequestState = Vec<(Key, Slot<V>)>;

    fn on_evict(&self, evicted: &mut Self::RequestState, key: Key, slot: Slot<V>) {
        evicted.push((key, slot));
    }
}

type Shelf<V> = Cache<Key, Slot<V>, ByBytes, ByMac, Evicting>;

pub struct HotCache<V: Entry, R> {
    bounds: Bounds,
    live: Shelf<V>,
    gone: Shelf<Gone>,
    /// That of the ledger, for those who do not lock it.
    epoch: AtomicU64,
    ledger: Mutex<Ledger<R>>,
    hits: Tally,
    gone_hits: Tally,
    counts: Counts,
}

#[derive(Default)]
struct Counts {
    misses: AtomicU64,
    kept: AtomicU64,
    tainted: AtomicU64,
    changed: AtomicU64,
    evicted: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

fn shelf<V: Clone>(items: u64, weight: u64) -> Shelf<V> {
    let options = OptionsBuilder::new()
        .shards(SHARDS)
        .estimated_items_capacity(usize::try_from(items).unwrap_or(usize::MAX))
        .weight_capacity(weight)
        .build()
        .expect("both capacities are given");
    Cache::with_options(options, ByBytes, ByMac::default(), Evicting)
}

impl<V: Entry, R> HotCache<V, R> {
    pub fn new(bounds: Bounds) -> Self {
        Self {
            live: shelf(bounds.bytes / bounds.usual_bytes.max(1), bounds.bytes),
            gone: shelf(bounds.gone, bounds.gone),
            bounds,
            epoch: AtomicU64::new(0),
            ledger: Mutex::default(),
            hits: Tally::default(),
            gone_hits: Tally::default(),
            counts: Counts::default(),
        }
    }

    /// Each step leaves the ledger such that a panic after it costs entries
    /// at most.
    fn ledger(&self) -> MutexGuard<'_, Ledger<R>> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counts<W>(&self, slot: &Slot<W>, now: Instant) -> bool {
        let epoch = self.epoch.load(Ordering::Acquire);
        slot.epoch == epoch && epoch % 2 == 1 && now < slot.until
    }

    /// What is known of this ticket, if that still counts.
    pub fn get(&self, key: &Key, now: Instant) -> Option<Hit<V>> {
        let slot = self.live.get(key)?;
        if !self.counts(&slot, now) {
            return None;
        }
        self.hits.add();
        Some(Hit {
            aging: now >= slot.aging_from,
            value: slot.value,
        })
    }

    /// Whether this ticket leads to no session, as far as is known.
    pub fn gone(&self, key: &Key, now: Instant) -> Option<Ending> {
        let slot = self.gone.get(key)?;
        if !self.counts(&slot, now) {
            return None;
        }
        self.gone_hits.add();
        Some(slot.value.ending)
    }

    /// What was read last, for when the store cannot answer: if it was known
    /// to be true at most `max_stale` ago.
    pub fn last_read(&self, key: &Key, now: Instant, max_stale: Duration) -> Option<V> {
        let slot = self.live.peek(key)?;
        let true_until = self.true_until(&self.ledger(), &slot, now)?;
        (now.saturating_duration_since(true_until) <= max_stale).then_some(slot.value)
    }

    fn true_until(&self, ledger: &Ledger<R>, slot: &Slot<V>, now: Instant) -> Option<Instant> {
        let until = ledger.true_until(slot.epoch, slot.read_at, now)?;
        Some(if slot.outdated {
            slot.read_at
        } else {
            until.min(slot.read_at + self.bounds.age)
        })
    }

    /// This process writes, or tried to: what was read does not count any
    /// more, but should the store be away it is the best there is. Not for an
    /// end, which [`Watcher::session_changed`] is for.
    pub fn session_written(&self, id: SessionId) {
        let (mut ledger, now) = (self.ledger(), Instant::now());
        for key in ledger.keys_of(&id) {
            if let Some(flight) = ledger.flights.remove(&key)
                && !self.holds(&key)
            {
                ledger.forget(&key, &flight.name, flight.session.as_ref());
            }
            if let Some((_, slot)) = self.gone.remove(&key)
                && !self.live.contains_key(&key)
            {
                let gone = slot.value;
                ledger.forget(&key, &gone.name, gone.session.as_ref());
            }
            let Some(slot) = self.live.peek(&key) else {
                continue;
            };
            count(&self.counts.changed);
            let read_at = self.true_until(&ledger, &slot, now).unwrap_or(slot.read_at);
            let slot = Slot {
                read_at,
                until: read_at,
                outdated: true,
                ..slot
            };
            // Its weight stays, so nothing has to go for it.
            let _ = self.live.replace(key, slot, true);
        }
    }

    /// A read of this ticket begins, or one is under way.
    pub fn board(&self, key: Key, name: Digest) -> Boarding<'_, V, R> {
        count(&self.counts.misses);
        let mut ledger = self.ledger();
        let watching = ledger.is_watching();
        if let Some(flight) = ledger.flights.get(&key) {
            if watching {
                return Boarding::Passenger(flight.result.clone());
            }
            // Begun before this caller came: what it reads may be older.
            return Boarding::Pilot(self.pilot(key, name, None, None, ledger.epoch));
        }
        if let Some(before) = ledger.name(name, key) {
            self.drop_key(&mut ledger, &before);
            ledger.name(name, key);
        }
        let number = ledger.next_number();
        let (sender, result) = watch::channel(None);
        let flight = Flight {
            number,
            name,
            session: None,
            result,
        };
        ledger.flights.insert(key, flight);
        let sender = watching.then_some(sender);
        Boarding::Pilot(self.pilot(key, name, Some(number), sender, ledger.epoch))
    }

    fn pilot(
        &self,
        key: Key,
        name: Digest,
        number: Option<u64>,
        result: Option<watch::Sender<Option<R>>>,
        epoch: u64,
    ) -> Pilot<'_, V, R> {
        Pilot {
            cache: self,
            key,
            name,
            result,
            number,
            epoch,
            began: Instant::now(),
        }
    }

    pub(super) fn bind(&self, pilot: &Pilot<'_, V, R>, session: SessionId) {
        let mut ledger = self.ledger();
        let Some(flight) = ledger.flights.get_mut(&pilot.key) else {
            return;
        };
        if Some(flight.number) == pilot.number {
            flight.session = Some(session);
            ledger.belongs(session, pilot.key);
        }
    }

    pub(super) fn land(&self, pilot: &Pilot<'_, V, R>, landing: Landing<V>) {
        let mut evicted = Vec::new();
        let mut ledger = self.ledger();
        let key = pilot.key;
        let flight = ledger.flights.get(&key);
        let untainted = flight.is_some_and(|flight| Some(flight.number) == pilot.number)
            && ledger.epoch == pilot.epoch;
        match landing {
            Landing::Nothing => {}
            Landing::Live(value) if untainted => {
                if self.is_worth_it(&key, pilot) {
                    count(&self.counts.kept);
                    let age = self.bounds.age + self.bounds.grace;
                    let entry = self.slot(value, pilot, &ledger, age);
                    self.index(&mut ledger, key, &entry.value);
                    self.gone.remove(&key);
                    self.live.insert_with_lifecycle(key, entry, &mut evicted);
                }
            }
            Landing::Live(_) => count(&self.counts.tainted),
            Landing::Gone(gone) => {
                // That it is over is believed in any case; that it stays so,
                // only of a read that nothing overtook.
                self.live.remove(&key);
                if untainted && pilot.epoch % 2 == 1 {
                    let mut slots = Vec::new();
                    let entry = self.slot(gone, pilot, &ledger, self.bounds.gone_age);
                    self.index(&mut ledger, key, &entry.value);
                    self.gone.insert_with_lifecycle(key, entry, &mut slots);
                    self.unindex_evicted(&mut ledger, &slots);
                } else {
                    count(&self.counts.tainted);
                }
            }
        }
        self.unindex_evicted(&mut ledger, &evicted);
        self.counts
            .evicted
            .fetch_add(evicted.len() as u64, Ordering::Relaxed);
        drop(ledger);
        // What had to go is freed without any lock.
        drop(evicted);
    }

    /// The rows of a new entry, instead of those of the one before.
    fn index(&self, ledger: &mut Ledger<R>, key: Key, entry: &impl Entry) {
        let before = [
            self.live.peek(&key).and_then(|slot| slot.value.session()),
            self.gone.peek(&key).and_then(|slot| slot.value.session()),
        ];
        for session in before.into_iter().flatten() {
            if Some(session) != entry.session() {
                ledger.forget(&key, &entry.name(), Some(&session));
            }
        }
        ledger.name(entry.name(), key);
        if let Some(session) = entry.session() {
            ledger.belongs(session, key);
        }
    }

    fn slot<W: Entry>(
        &self,
        value: W,
        pilot: &Pilot<'_, V, R>,
        ledger: &Ledger<R>,
        age: Duration,
    ) -> Slot<W> {
        let age = age.min(ledger.max_age);
        Slot {
            weight: value.bytes() as u64,
            value,
            epoch: pilot.epoch,
            read_at: pilot.began,
            aging_from: pilot.began + self.bounds.aging,
            until: pilot.began + age,
            outdated: false,
        }
    }

    fn is_worth_it(&self, key: &Key, pilot: &Pilot<'_, V, R>) -> bool {
        let watching = pilot.epoch % 2 == 1;
        watching
            || self.live.peek(key).is_none_or(|slot| {
                slot.outdated
                    || slot.epoch != pilot.epoch
                    || pilot.began.saturating_duration_since(slot.read_at) >= BLIND_REFILL
            })
    }

    /// The pilot goes; with it what was registered for the flight.
    pub(super) fn lift(&self, pilot: &Pilot<'_, V, R>) {
        let Some(number) = pilot.number else { return };
        let mut ledger = self.ledger();
        let flight = ledger.flights.get(&pilot.key);
        if flight.is_none_or(|flight| flight.number != number) {
            return;
        }
        let Some(flight) = ledger.flights.remove(&pilot.key) else {
            return;
        };
        if !self.holds(&pilot.key) {
            ledger.forget(&pilot.key, &pilot.name, flight.session.as_ref());
        }
    }

    fn holds(&self, key: &Key) -> bool {
        self.live.contains_key(key) || self.gone.contains_key(key)
    }

    /// Entries of this key go, and their rows of the indexes.
    fn remove(&self, ledger: &mut Ledger<R>, key: &Key) -> bool {
        let live = self.live.remove(key).map(|(_, slot)| {
            let value = slot.value;
            ledger.forget(key, &value.name(), value.session().as_ref());
        });
        let gone = self.gone.remove(key).map(|(_, slot)| {
            let value = slot.value;
            ledger.forget(key, &value.name(), value.session().as_ref());
        });
        live.is_some() || gone.is_some()
    }

    /// Entries and flight of this key go.
    fn drop_key(&self, ledger: &mut Ledger<R>, key: &Key) {
        if let Some(flight) = ledger.flights.remove(key) {
            ledger.forget(key, &flight.name, flight.session.as_ref());
        }
        if self.remove(ledger, key) {
            count(&self.counts.changed);
        }
    }

    fn unindex_evicted<W: Entry>(&self, ledger: &mut Ledger<R>, evicted: &[(Key, Slot<W>)]) {
        for (key, slot) in evicted {
            if !ledger.flights.contains_key(key) && !self.holds(key) {
                ledger.forget(key, &slot.value.name(), slot.value.session().as_ref());
            }
        }
    }

    /// What is kept with an entry has grown.
    pub fn reweigh(&self, key: &Key) {
        let mut evicted = Vec::new();
        let mut ledger = self.ledger();
        let Some(slot) = self.live.peek(key) else {
            return;
        };
        let weight = slot.value.bytes() as u64;
        if weight > slot.weight {
            let slot = Slot { weight, ..slot };
            // Refused only if it is gone.
            let _ = self
                .live
                .replace_with_lifecycle(*key, slot, true, &mut evicted);
        }
        self.unindex_evicted(&mut ledger, &evicted);
        self.counts
            .evicted
            .fetch_add(evicted.len() as u64, Ordering::Relaxed);
        drop(ledger);
        drop(evicted);
    }

    /// Whether the caller may read this ticket again off the path: one at a
    /// time, until [`HotCache::reread_ends`].
    pub fn reread_begins(&self, key: Key) -> bool {
        self.ledger().rereads.insert(key, ()).is_none()
    }

    pub fn reread_ends(&self, key: &Key) {
        self.ledger().rereads.remove(key);
    }

    pub fn figures(&self) -> SessionCacheFigures {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        SessionCacheFigures {
            hits: self.hits.sum(),
            gone_hits: self.gone_hits.sum(),
            misses: read(&self.counts.misses),
            kept: read(&self.counts.kept),
            tainted: read(&self.counts.tainted),
            changed: read(&self.counts.changed),
            evicted: read(&self.counts.evicted),
            entries: self.live.len() as u64,
            bytes: self.live.weight(),
            watching: self.epoch.load(Ordering::Relaxed) % 2 == 1,
        }
    }

    #[cfg(test)]
    pub fn indexed(&self) -> (usize, usize) {
        self.ledger().indexed()
    }

    fn new_epoch(&self, change: impl FnOnce(&mut Ledger<R>)) {
        let mut ledger = self.ledger();
        change(&mut ledger);
        self.epoch.store(ledger.epoch, Ordering::Release);
        let flights = std::mem::take(&mut ledger.flights);
        for (key, flight) in flights {
            if !self.holds(&key) {
                ledger.forget(&key, &flight.name, flight.session.as_ref());
            }
        }
    }
}

impl<V, R> Watcher for HotCache<V, R>
where
    V: Entry + Send + Sync,
    R: Send + Sync,
{
    fn ticket_changed(&self, name: Digest) {
        let mut ledger = self.ledger();
        if let Some(key) = ledger.key_of(&name) {
            self.drop_key(&mut ledger, &key);
        }
    }

    fn session_changed(&self, id: SessionId) {
        let mut ledger = self.ledger();
        for key in ledger.keys_of(&id) {
            self.drop_key(&mut ledger, &key);
        }
    }

    fn everything_changed(&self) {
        self.new_epoch(Ledger::distrust);
    }

    fn watching(&self, max_age: Duration) {
        self.new_epoch(|ledger| ledger.watch(max_age));
    }

    fn blind(&self, known_good: Instant) {
        self.new_epoch(|ledger| ledger.go_blind(known_good));
    }
}
