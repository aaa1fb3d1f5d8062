//! The entries, and what a hit, a read and a change do with them.
//!
//! A hit takes the read lock of one of many shards and nothing else. Every
//! insertion and every removal happens under the ledger's lock as well: that
//! is what keeps a read that was overtaken by a change from being kept.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::key::Key;
use super::ledger::{Flight, Ledger};
use super::pilot::{Boarding, Landing, Pilot};
use super::shelf::{Bounds, Entry, Gone, Hit, Shelf, Slot, shelf};
use crate::session::found::Ending;
use crate::session::record::SessionId;
use crate::session::store::Digest;
use crate::telemetry::{SessionCacheFigures, Tally};

/// While changes are not told, an entry is only for outages: as old as this
/// it need not be replaced.
const BLIND_REFILL: Duration = Duration::from_secs(1);

pub struct HotCache<V: Entry, R> {
    bounds: Bounds,
    pub(super) live: Shelf<V>,
    pub(super) gone: Shelf<Gone>,
    /// That of the ledger, for those who do not lock it.
    pub(super) epoch: AtomicU64,
    ledger: Mutex<Ledger<R>>,
    hits: Tally,
    gone_hits: Tally,
    pub(super) counts: Counts,
}

#[derive(Default)]
pub(super) struct Counts {
    misses: AtomicU64,
    kept: AtomicU64,
    tainted: AtomicU64,
    pub(super) changed: AtomicU64,
    evicted: AtomicU64,
}

pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
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
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger<R>> {
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

    pub(super) fn true_until(
        &self,
        ledger: &Ledger<R>,
        slot: &Slot<V>,
        now: Instant,
    ) -> Option<Instant> {
        let until = ledger.true_until(slot.epoch, slot.read_at, now)?;
        Some(if slot.outdated {
            slot.read_at
        } else {
            until.min(slot.read_at + self.bounds.age)
        })
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
                    self.count_evicted(&key, &evicted);
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

    pub(super) fn holds(&self, key: &Key) -> bool {
        self.live.contains_key(key) || self.gone.contains_key(key)
    }

    fn unindex_evicted<W: Entry>(&self, ledger: &mut Ledger<R>, evicted: &[(Key, Slot<W>)]) {
        for (key, slot) in evicted {
            if !ledger.flights.contains_key(key) && !self.holds(key) {
                ledger.forget(key, &slot.value.name(), slot.value.session().as_ref());
            }
        }
    }

    /// Also handed out is what stood under `key` before, which counts only if
    /// nothing came in its place.
    fn count_evicted(&self, key: &Key, evicted: &[(Key, Slot<V>)]) {
        let others = evicted.iter().filter(|(other, _)| other != key).count();
        let own = u64::from(!self.live.contains_key(key));
        let all = others as u64 + own;
        self.counts.evicted.fetch_add(all, Ordering::Relaxed);
    }

    /// What is kept with an entry has grown.
    pub fn reweigh(&self, name: &Digest) {
        let mut evicted = Vec::new();
        let mut ledger = self.ledger();
        let Some(key) = ledger.key_of(name) else {
            return;
        };
        let Some(slot) = self.live.peek(&key) else {
            return;
        };
        let weight = slot.value.bytes() as u64;
        if weight > slot.weight {
            let slot = Slot { weight, ..slot };
            // Refused only if it is gone.
            let _ = self
                .live
                .replace_with_lifecycle(key, slot, true, &mut evicted);
            self.count_evicted(&key, &evicted);
        }
        self.unindex_evicted(&mut ledger, &evicted);
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
}
