//! What a change does: here, or told by the store.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::cache::{HotCache, count};
use super::key::Key;
use super::ledger::Ledger;
use super::shelf::{Entry, Slot};
use crate::session::record::SessionId;
use crate::session::store::Digest;
use crate::session::store::changes::Watcher;

impl<V: Entry, R> HotCache<V, R> {
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
    pub(super) fn drop_key(&self, ledger: &mut Ledger<R>, key: &Key) {
        if let Some(flight) = ledger.flights.remove(key) {
            ledger.forget(key, &flight.name, flight.session.as_ref());
        }
        if self.remove(ledger, key) {
            count(&self.counts.changed);
        }
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
