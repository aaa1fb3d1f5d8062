//! What belongs to which ticket and session, which reads are under way, and
//! since when changes are told: all behind one lock, which a hit never takes.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::key::{ByMac, Key};
use crate::session::record::SessionId;
use crate::session::store::Digest;

/// Ends of earlier epochs that are remembered, for an outage in which the
/// store comes and goes.
const ENDS: usize = 16;

/// A read under way. As long as it stands here it may become an entry; a
/// change strikes it out, and its result then is only for those who waited
/// before.
pub(super) struct Flight<R> {
    pub(super) number: u64,
    pub(super) name: Digest,
    /// Known once the ticket's record was read.
    pub(super) session: Option<SessionId>,
    pub(super) result: watch::Receiver<Option<R>>,
}

pub(super) struct Ledger<R> {
    /// Odd while changes are told. Each change of what may be believed makes
    /// it greater.
    pub(super) epoch: u64,
    /// How long a reading counts although changes are told.
    pub(super) max_age: Duration,
    pub(super) flights: HashMap<Key, Flight<R>, ByMac>,
    names: HashMap<Digest, Key>,
    sessions: HashMap<SessionId, Vec<Key>>,
    /// Epochs that ended because changes were no longer told, with the last
    /// moment at which they were.
    ends: VecDeque<(u64, Option<Instant>)>,
    /// Tickets that are read again off the path.
    pub(super) rereads: HashMap<Key, (), ByMac>,
    last_number: u64,
    /// Earlier epochs ended because anything may have changed.
    trusted_from: u64,
}

impl<R> Default for Ledger<R> {
    fn default() -> Self {
        Self {
            epoch: 0,
            max_age: Duration::MAX,
            flights: HashMap::default(),
            names: HashMap::new(),
            sessions: HashMap::new(),
            ends: VecDeque::new(),
            rereads: HashMap::default(),
            last_number: 0,
            trusted_from: 0,
        }
    }
}

impl<R> Ledger<R> {
    pub(super) const fn is_watching(&self) -> bool {
        self.epoch % 2 == 1
    }

    pub(super) fn next_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    /// The key that had this name before, if it is another one.
    pub(super) fn name(&mut self, name: Digest, key: Key) -> Option<Key> {
        self.names.insert(name, key).filter(|before| *before != key)
    }

    pub(super) fn belongs(&mut self, session: SessionId, key: Key) {
        let keys = self
            .sessions
            .entry(session)
            .or_insert_with(|| Vec::with_capacity(1));
        if !keys.contains(&key) {
            keys.push(key);
        }
    }

    pub(super) fn key_of(&self, name: &Digest) -> Option<Key> {
        self.names.get(name).copied()
    }

    pub(super) fn keys_of(&self, session: &SessionId) -> Vec<Key> {
        self.sessions.get(session).cloned().unwrap_or_default()
    }

    /// Nothing is kept or read under this key any more.
    pub(super) fn forget(&mut self, key: &Key, name: &Digest, session: Option<&SessionId>) {
        if self.names.get(name) == Some(key) {
            self.names.remove(name);
        }
        let Some(session) = session else { return };
        if let Some(keys) = self.sessions.get_mut(session) {
            keys.retain(|known| known != key);
            if keys.is_empty() {
                self.sessions.remove(session);
            }
        }
    }

    /// Changes are told from now on, or told anew.
    pub(super) const fn watch(&mut self, max_age: Duration) {
        self.epoch += if self.is_watching() { 2 } else { 1 };
        self.max_age = max_age;
    }

    pub(super) fn go_blind(&mut self, known_good: Instant) {
        if self.is_watching() {
            let told_everything = self.max_age == Duration::MAX;
            self.end(told_everything.then_some(known_good));
            self.epoch += 1;
        }
    }

    /// What was read before counts for nothing, not even for an outage.
    pub(super) fn distrust(&mut self) {
        self.epoch += 2;
        self.trusted_from = self.epoch;
    }

    fn end(&mut self, known_good: Option<Instant>) {
        if self.ends.len() == ENDS {
            self.ends.pop_front();
        }
        self.ends.push_back((self.epoch, known_good));
    }

    /// When an entry of that epoch was last known to be true; `None` if it
    /// must not be believed at all.
    pub(super) fn true_until(&self, epoch: u64, read_at: Instant, now: Instant) -> Option<Instant> {
        if epoch < self.trusted_from {
            return None;
        }
        if epoch == self.epoch && self.is_watching() && self.max_age == Duration::MAX {
            return Some(now);
        }
        let mut ends = self.ends.iter();
        let told_until = ends.find(|(ended, _)| *ended == epoch);
        let told_until = told_until.and_then(|(_, known_good)| *known_good);
        Some(told_until.map_or(read_at, |good| good.max(read_at)))
    }

    #[cfg(test)]
    pub(super) fn indexed(&self) -> (usize, usize) {
        (self.names.len(), self.sessions.len())
    }
}
