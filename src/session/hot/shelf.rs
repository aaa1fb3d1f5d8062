//! An entry as it stands on the shelf, and the shelf.

use std::time::{Duration, Instant};

use quick_cache::sync::Cache;
use quick_cache::{Lifecycle, OptionsBuilder, Weighter};

use super::key::{ByMac, Key};
use crate::session::found::Ending;
use crate::session::record::SessionId;
use crate::session::store::Digest;

/// Locks among which the entries are spread.
const SHARDS: usize = 64;

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
pub(super) struct Slot<V> {
    pub(super) value: V,
    pub(super) epoch: u64,
    pub(super) read_at: Instant,
    pub(super) aging_from: Instant,
    pub(super) until: Instant,
    pub(super) weight: u64,
    /// We wrote since: only for outages, as it was at `read_at`.
    pub(super) outdated: bool,
}

#[derive(Clone, Copy)]
pub(super) struct ByBytes;

impl<V> Weighter<Key, Slot<V>> for ByBytes {
    fn weight(&self, _: &Key, slot: &Slot<V>) -> u64 {
        slot.weight
    }
}

/// Hands out what had to go, so that the indexes follow.
#[derive(Clone, Copy)]
pub(super) struct Evicting;

impl<V> Lifecycle<Key, Slot<V>> for Evicting {
    type RequestState = Vec<(Key, Slot<V>)>;

    fn on_evict(&self, evicted: &mut Self::RequestState, key: Key, slot: Slot<V>) {
        evicted.push((key, slot));
    }
}

pub(super) type Shelf<V> = Cache<Key, Slot<V>, ByBytes, ByMac, Evicting>;

pub(super) fn shelf<V: Clone>(items: u64, weight: u64) -> Shelf<V> {
    let options = OptionsBuilder::new()
        .shards(SHARDS)
        .estimated_items_capacity(usize::try_from(items).unwrap_or(usize::MAX))
        .weight_capacity(weight)
        .build()
        .expect("both capacities are given");
    Cache::with_options(options, ByBytes, ByMac::default(), Evicting)
}
