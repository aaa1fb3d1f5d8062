//! What the operations of a store say about it, for whoever watches it.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use super::StoreError;

/// Shared by the store and its watch.
#[derive(Debug, Default)]
pub struct StoreHealth {
    failures: AtomicU64,
    failed: Notify,
}

impl StoreHealth {
    /// A record that cannot be read says nothing about the store.
    pub(super) fn note(&self, error: &StoreError) {
        if !matches!(error, StoreError::Corrupt(_)) {
            self.failures.fetch_add(1, Ordering::Relaxed);
            self.failed.notify_one();
        }
    }

    /// Operations that failed since the start.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Ready when an operation failed since the last time.
    pub async fn failed(&self) {
        self.failed.notified().await;
    }
}
