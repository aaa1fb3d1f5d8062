//! One read for all who ask for the same ticket at the same time. Whoever
//! came first reads; if it goes away, one of the others takes over.

use std::time::Instant;

use tokio::sync::watch;

use super::cache::HotCache;
use super::key::Key;
use super::shelf::{Entry, Gone};
use crate::session::record::SessionId;
use crate::session::store::Digest;

pub enum Boarding<'a, V: Entry, R> {
    Pilot(Pilot<'a, V, R>),
    /// Somebody reads it already. Without a result: ask again.
    Passenger(watch::Receiver<Option<R>>),
}

/// What comes of a read.
pub enum Landing<V> {
    Live(V),
    /// There is no session, and none comes back by itself.
    Gone(Gone),
    /// It failed: what was known before stays.
    Nothing,
}

/// Held by whoever reads.
pub struct Pilot<'a, V: Entry, R> {
    pub(super) cache: &'a HotCache<V, R>,
    pub(super) key: Key,
    pub(super) name: Digest,
    /// `None` where nobody may join: changes are not told now.
    pub(super) result: Option<watch::Sender<Option<R>>>,
    pub(super) number: Option<u64>,
    pub(super) epoch: u64,
    /// Before anything was read.
    pub(super) began: Instant,
}

impl<V: Entry, R: Clone> Pilot<'_, V, R> {
    /// From now on a change of this session taints the read; to be called
    /// before the session is read.
    pub fn bind(&self, session: SessionId) {
        self.cache.bind(self, session);
    }

    /// Keeps what was read, unless it changed meanwhile, and tells the
    /// passengers.
    pub fn land(self, landing: Landing<V>, result: R) {
        self.cache.land(&self, landing);
        if let Some(passengers) = &self.result {
            passengers.send_replace(Some(result));
        }
    }
}

impl<V: Entry, R> Drop for Pilot<'_, V, R> {
    fn drop(&mut self) {
        self.cache.lift(self);
    }
}
