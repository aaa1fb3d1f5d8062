//! Keeps everything in this process: for tests and for the library. Nothing
//! survives a restart, and replicas do not see each other.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::changes::{Watcher, Watchers};
use super::{
    Claim, Claimed, Commit, Committed, Digest, Loaded, NewRecords, Once, Release, Store,
    StoreError, StoredSession,
};
use crate::base::clock::{Clock, Timestamp};
use crate::session::record::SessionId;

pub struct MemoryStore {
    clock: Clock,
    shelves: Mutex<Shelves>,
    pub(super) watchers: Watchers,
}

#[derive(Default)]
struct Shelves {
    tickets: HashMap<Digest, Expiring<Bytes>>,
    sessions: HashMap<SessionId, Expiring<Kept>>,
    index: HashMap<Digest, HashMap<SessionId, Timestamp>>,
    once: HashMap<Digest, Expiring<Bytes>>,
    put_down: HashMap<Digest, Expiring<Bytes>>,
    pins: HashMap<Digest, Bytes>,
    histories: HashMap<Digest, Expiring<VecDeque<Bytes>>>,
    /// Entries at which the expired ones are thrown out next.
    sweep_at: usize,
}

struct Expiring<T> {
    value: T,
    expires_at: Timestamp,
}

enum Kept {
    Live {
        session: StoredSession,
        /// Read by listings, which are not built on this store.
        _listing: Bytes,
    },
    Tombstone(Timestamp),
}

impl MemoryStore {
    pub fn new(clock: Clock) -> Self {
        let watchers = Watchers::default();
        watchers.watching(Duration::MAX);
        Self {
            clock,
            shelves: Mutex::default(),
            watchers,
        }
    }

    /// A panic while the lock was held cannot leave a shelf half changed.
    fn shelves(&self) -> MutexGuard<'_, Shelves> {
        self.shelves.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_live<T>(
        &self,
        id: SessionId,
        gone: T,
        change: impl FnOnce(&mut StoredSession, Timestamp) -> T,
    ) -> T {
        let now = self.clock.now();
        let result = match self.shelves().sessions.get_mut(&id) {
            Some(Expiring {
                value: Kept::Live { session, .. },
                expires_at,
            }) if *expires_at > now => change(session, now),
            _ => gone,
        };
        self.watchers.session_changed(id);
        result
    }
}

impl Shelves {
    fn sweep(&mut self, now: Timestamp) {
        let count = self.tickets.len()
            + self.sessions.len()
            + self.index.len()
            + self.once.len()
            + self.put_down.len()
            + self.histories.len();
        if count < self.sweep_at {
            return;
        }
        self.tickets.retain(|_, entry| entry.expires_at > now);
        self.sessions.retain(|_, entry| entry.expires_at > now);
        self.once.retain(|_, entry| entry.expires_at > now);
        self.put_down.retain(|_, entry| entry.expires_at > now);
        self.histories.retain(|_, entry| entry.expires_at > now);
        self.index.retain(|_, members| {
            members.retain(|_, expires_at| *expires_at > now);
            !members.is_empty()
        });
        self.sweep_at = (count * 2).max(1024);
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn is_private(&self) -> bool {
        true
    }

    fn watch(&self, watcher: Arc<dyn Watcher>) {
        self.watchers.add(watcher);
    }

    async fn get_ticket(&self, ticket: Digest) -> Result<Option<Bytes>, StoreError> {
        let now = self.clock.now();
        let shelves = self.shelves();
        let entry = shelves.tickets.get(&ticket);
        Ok(entry
            .filter(|entry| entry.expires_at > now)
            .map(|entry| entry.value.clone()))
    }

    async fn put_ticket(
        &self,
        ticket: Digest,
        value: Vec<u8>,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        {
            let mut shelves = self.shelves();
            shelves.sweep(self.clock.now());
            let value = value.into();
            let entry = Expiring { value, expires_at };
            shelves.tickets.insert(ticket, entry);
        }
        self.watchers.ticket_changed(ticket);
        Ok(())
    }

    async fn remove_ticket(&self, ticket: Digest) -> Result<(), StoreError> {
        self.shelves().tickets.remove(&ticket);
        self.watchers.ticket_changed(ticket);
        Ok(())
    }

    async fn load(&self, session: SessionId) -> Result<Loaded, StoreError> {
        let now = self.clock.now();
        let shelves = self.shelves();
        Ok(match shelves.sessions.get(&session) {
            Some(entry) if entry.expires_at > now => match &entry.value {
                Kept::Live { session, .. } => Loaded::Live(session.clone()),
                Kept::Tombstone(at) => Loaded::Tombstone { at: *at },
            },
            _ => Loaded::Missing,
        })
    }

    async fn create(&self, session: SessionId, records: NewRecords) -> Result<(), StoreError> {
        let now = self.clock.now();
        let kept = Kept::Live {
            session: StoredSession {
                identity: records.identity.into(),
                header: records.header,
                tokens: records.tokens.into(),
            },
            _listing: records.listing.into(),
        };
        let entry = Expiring {
            value: kept,
            expires_at: records.expires_at,
        };
        {
            let mut shelves = self.shelves();
            shelves.sweep(now);
            let taken = shelves.sessions.get(&session);
            if taken.is_some_and(|entry| entry.expires_at > now) {
                return Err(StoreError::already_exists());
            }
            shelves.sessions.insert(session, entry);
        }
        self.watchers.session_changed(session);
        Ok(())
    }

    async fn claim(&self, session: SessionId, claim: Claim) -> Result<Claimed, StoreError> {
        Ok(self.change_live(session, Claimed::Gone, |kept, now| {
            kept.header.claim(&claim, now)
        }))
    }

    async fn release(&self, session: SessionId, release: Release) -> Result<(), StoreError> {
        self.change_live(session, (), |kept, _| {
            kept.header.release(&release);
        });
        Ok(())
    }

    async fn commit(&self, session: SessionId, commit: Commit) -> Result<Committed, StoreError> {
        Ok(self.change_live(session, Committed::Gone, |kept, _| {
            let outcome = kept.header.commit(
                commit.spent_fp,
                commit.new_fp,
                commit.access_exp,
                commit.received_at,
            );
            if matches!(outcome, Committed::Done { .. }) {
                kept.tokens = commit.tokens.into();
                if let Some(identity) = commit.identity {
                    kept.identity = identity.into();
                }
            }
            outcome
        }))
    }

    async fn put_identity(&self, session: SessionId, identity: Vec<u8>) -> Result<(), StoreError> {
        self.change_live(session, (), |kept, _| kept.identity = identity.into());
        Ok(())
    }

    async fn touch(&self, session: SessionId, last_seen: Timestamp) -> Result<(), StoreError> {
        self.change_live(session, (), |kept, _| {
            kept.header.last_seen = kept.header.last_seen.max(last_seen);
        });
        Ok(())
    }

    async fn tombstone(&self, session: SessionId, at: Timestamp) -> Result<bool, StoreError> {
        let now = self.clock.now();
        let was_live = match self.shelves().sessions.get_mut(&session) {
            Some(entry) if entry.expires_at > now && matches!(entry.value, Kept::Live { .. }) => {
                entry.value = Kept::Tombstone(at);
                true
            }
            _ => false,
        };
        self.watchers.session_changed(session);
        Ok(was_live)
    }

    async fn index_add(
        &self,
        index: Digest,
        session: SessionId,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut shelves = self.shelves();
        shelves.sweep(self.clock.now());
        let members = shelves.index.entry(index).or_default();
        members.insert(session, expires_at);
        Ok(())
    }

    async fn index_list(&self, index: Digest) -> Result<Vec<SessionId>, StoreError> {
        let now = self.clock.now();
        let shelves = self.shelves();
        let members = shelves.index.get(&index).into_iter().flatten();
        Ok(members
            .filter(|(_, expires_at)| **expires_at > now)
            .map(|(session, _)| *session)
            .collect())
    }

    async fn index_remove(&self, index: Digest, session: SessionId) -> Result<(), StoreError> {
        let mut shelves = self.shelves();
        if let Some(members) = shelves.index.get_mut(&index) {
            members.remove(&session);
            if members.is_empty() {
                shelves.index.remove(&index);
            }
        }
        Ok(())
    }

    async fn once(&self, key: Digest, expires_at: Timestamp) -> Result<Once, StoreError> {
        let now = self.clock.now();
        let mut shelves = self.shelves();
        shelves.sweep(now);
        if let Some(entry) = shelves
            .once
            .get(&key)
            .filter(|entry| entry.expires_at > now)
        {
            return Ok(Once::Seen(entry.value.clone()));
        }
        let value = Bytes::new();
        shelves.once.insert(key, Expiring { value, expires_at });
        Ok(Once::First)
    }

    async fn once_finish(&self, key: Digest, value: Vec<u8>) -> Result<(), StoreError> {
        let now = self.clock.now();
        if let Some(entry) = self.shelves().once.get_mut(&key)
            && entry.expires_at > now
        {
            entry.value = value.into();
        }
        Ok(())
    }

    async fn put_down(
        &self,
        key: Digest,
        value: Vec<u8>,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut shelves = self.shelves();
        shelves.sweep(self.clock.now());
        let value = value.into();
        shelves.put_down.insert(key, Expiring { value, expires_at });
        Ok(())
    }

    async fn take(&self, key: Digest) -> Result<Option<Bytes>, StoreError> {
        let now = self.clock.now();
        let taken = self.shelves().put_down.remove(&key);
        Ok(taken
            .filter(|entry| entry.expires_at > now)
            .map(|entry| entry.value))
    }

    async fn pin(&self, key: Digest, value: Vec<u8>) -> Result<Bytes, StoreError> {
        let mut shelves = self.shelves();
        Ok(shelves
            .pins
            .entry(key)
            .or_insert_with(|| value.into())
            .clone())
    }

    async fn unpin(&self, key: Digest) -> Result<bool, StoreError> {
        Ok(self.shelves().pins.remove(&key).is_some())
    }

    async fn history_add(
        &self,
        name: Digest,
        entry: Vec<u8>,
        keep: usize,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let now = self.clock.now();
        let mut shelves = self.shelves();
        shelves.sweep(now);
        let kept = shelves.histories.entry(name).or_insert(Expiring {
            value: VecDeque::new(),
            expires_at,
        });
        if kept.expires_at <= now {
            kept.value.clear();
        }
        kept.expires_at = kept.expires_at.max(expires_at);
        kept.value.push_back(entry.into());
        while kept.value.len() > keep {
            kept.value.pop_front();
        }
        Ok(())
    }

    async fn history(&self, name: Digest) -> Result<Vec<Bytes>, StoreError> {
        let now = self.clock.now();
        let shelves = self.shelves();
        let kept = shelves.histories.get(&name);
        let kept = kept.filter(|kept| kept.expires_at > now);
        Ok(kept
            .map(|kept| kept.value.iter().cloned().collect())
            .unwrap_or_default())
    }

    async fn probe(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
