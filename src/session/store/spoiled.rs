//! The store of tests: in memory, and fails on order.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use super::changes::Watcher;
use super::memory::MemoryStore;
use super::operations::operations;
use super::{
    Claim, Claimed, Commit, Committed, Digest, Loaded, NewRecords, Once, Release, Store, StoreError,
};
use crate::base::clock::{Clock, Timestamp};
use crate::session::record::SessionId;

pub struct SpoiledStore {
    store: MemoryStore,
    error: Mutex<Option<StoreError>>,
    held: Mutex<Option<Held>>,
    calls: AtomicUsize,
}

/// An operation, and how many of its answers wait.
type Held = (&'static str, Arc<watch::Sender<usize>>);

/// While it exists, the answers of one operation wait, although the store has
/// given them.
pub struct Hold<'a> {
    store: &'a SpoiledStore,
    waiting: watch::Receiver<usize>,
}

impl Hold<'_> {
    /// Until so many answers wait.
    pub async fn waiting(&mut self, answers: usize) {
        let enough = self.waiting.wait_for(|waiting| *waiting >= answers);
        enough.await.expect("the store holds the other end");
    }
}

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let mut held = self
            .store
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some((_, waiting)) = held.take() {
            // What waits hears that it may go on.
            waiting.send_replace(usize::MAX);
        }
    }
}

impl SpoiledStore {
    pub fn new(clock: Clock) -> Self {
        Self {
            store: MemoryStore::new(clock),
            error: Mutex::new(None),
            held: Mutex::new(None),
            calls: AtomicUsize::new(0),
        }
    }

    /// From now on every operation fails with this, or works again. As a
    /// store that is away it cannot tell of changes meanwhile.
    pub fn spoil(&self, error: Option<StoreError>) {
        let works = error.is_none();
        if !works {
            self.store.watchers.blind(Instant::now());
        }
        *self.error.lock().unwrap_or_else(PoisonError::into_inner) = error;
        if works {
            self.store.watchers.watching(Duration::MAX);
        }
    }

    /// As another replica does it.
    pub async fn tombstone_behind_our_back(&self, session: SessionId) {
        self.store
            .tombstone(session, Timestamp(1))
            .await
            .expect("memory does not fail");
    }

    /// From now on the answers of `operation` wait, until the hold is dropped.
    pub fn hold(&self, operation: &'static str) -> Hold<'_> {
        let (sender, waiting) = watch::channel(0);
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        *held = Some((operation, Arc::new(sender)));
        Hold {
            store: self,
            waiting,
        }
    }

    /// Reads and writes so far.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    async fn wait(&self, operation: &'static str) {
        let held = {
            let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.clone().filter(|(held, _)| *held == operation)
        };
        if let Some((_, waiting)) = held {
            waiting.send_modify(|waiting| *waiting += 1);
            let released = |waiting: &usize| *waiting == usize::MAX;
            let mut release = waiting.subscribe();
            let _ = release.wait_for(released).await;
        }
    }

    fn check(&self) -> Result<(), StoreError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        error.clone().map_or(Ok(()), Err)
    }
}

macro_rules! spoiled {
    ($($changed:ident {
        $($name:ident($($argument:ident: $kind:ty),*) -> $output:ty;)*
    })*) => {
        #[async_trait]
        impl Store for SpoiledStore {
            fn kind(&self) -> &'static str {
                self.store.kind()
            }

            fn is_private(&self) -> bool {
                self.store.is_private()
            }

            fn watch(&self, watcher: Arc<dyn Watcher>) {
                self.store.watch(watcher);
            }

            $($(async fn $name(&self, $($argument: $kind),*) -> Result<$output, StoreError> {
                self.check()?;
                let answer = self.store.$name($($argument),*).await;
                self.wait(stringify!($name)).await;
                answer
            })*)*
        }
    };
}

operations!(spoiled);
