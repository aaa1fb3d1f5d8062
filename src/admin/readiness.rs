//! Whether this replica wants traffic.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::clock::Timestamp;
use crate::telemetry::Telemetry;

const NEVER_REACHED: u8 = 0;
const REACHED: u8 = 1;
const LOST: u8 = 2;

/// What the admin listener shows. Shared by whoever learns something.
#[derive(Debug)]
pub struct AdminState {
    telemetry: Telemetry,
    requires_store: bool,
    store: AtomicU8,
    draining: AtomicBool,
    /// Those that count as unreachable, and since when.
    unreachable: Mutex<BTreeMap<String, Timestamp>>,
}

impl AdminState {
    /// `requires_store`: be unready too when a store that was reached is lost
    /// (`admin.ready_requires_store`). Off by default: known sessions go on
    /// without the store, and all replicas would leave at once.
    pub fn new(telemetry: Telemetry, requires_store: bool) -> Self {
        let new = Self {
            telemetry,
            requires_store,
            store: AtomicU8::new(NEVER_REACHED),
            draining: AtomicBool::new(false),
            unreachable: Mutex::default(),
        };
        new.tell();
        new
    }

    /// The store answered.
    pub fn store_reached(&self) {
        if self.store.swap(REACHED, Ordering::Relaxed) != REACHED {
            self.tell();
        }
    }

    /// The store failed. No effect before the first contact.
    pub fn store_lost(&self) {
        // Fails where it was never reached or is lost already.
        let lost = self
            .store
            .compare_exchange(REACHED, LOST, Ordering::Relaxed, Ordering::Relaxed);
        if lost.is_ok() {
            self.tell();
        }
    }

    /// The process is about to stop. There is no way back.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
        self.tell();
    }

    /// What is not as it should be, whether or not that makes this replica
    /// unready. Empty: healthy.
    pub fn states(&self) -> Vec<&'static str> {
        let mut states = Vec::new();
        if self.draining.load(Ordering::Relaxed) {
            states.push("draining");
        }
        if self.store.load(Ordering::Relaxed) != REACHED {
            states.push("store_degraded");
        }
        if !self.unreachable().is_empty() {
            states.push("provider_degraded");
        }
        states
    }

    fn tell(&self) {
        let states = self.states();
        self.telemetry.state("healthy", states.is_empty());
        for state in ["draining", "store_degraded", "provider_degraded"] {
            self.telemetry.state(state, states.contains(&state));
        }
    }

    /// How a provider stands; `Some`: it counts as unreachable since then.
    /// No reason to be unready: sessions go on, and other replicas reach no
    /// more of it.
    pub fn provider(&self, id: &str, unreachable_since: Option<Timestamp>) {
        let mut unreachable = self.unreachable();
        match unreachable_since {
            Some(since) => unreachable.insert(id.to_owned(), since),
            None => unreachable.remove(id),
        };
        drop(unreachable);
        self.tell();
    }

    /// Providers that count as unreachable, and since when.
    pub fn unreachable_providers(&self) -> BTreeMap<String, Timestamp> {
        self.unreachable().clone()
    }

    fn unreachable(&self) -> MutexGuard<'_, BTreeMap<String, Timestamp>> {
        self.unreachable
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Why this replica is not ready; empty when it is.
    pub fn unready_reasons(&self) -> Vec<&'static str> {
        let mut reasons = Vec::new();
        if self.draining.load(Ordering::Relaxed) {
            reasons.push("draining");
        }
        match self.store.load(Ordering::Relaxed) {
            NEVER_REACHED => reasons.push("store_not_reached_yet"),
            LOST if self.requires_store => reasons.push("store_lost"),
            _ => {}
        }
        reasons
    }

    /// The metrics as text.
    pub fn metrics(&self) -> String {
        self.telemetry.render()
    }
}
