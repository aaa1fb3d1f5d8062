//! Counts and times every operation of a store.

use std::future::Future;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;

use super::changes::Watcher;
use super::health::StoreHealth;
use super::operations::operations;
use super::{
    Claim, Claimed, Commit, Committed, Digest, Loaded, NewRecords, Once, Release, Store, StoreError,
};
use crate::base::clock::Timestamp;
use crate::base::kill_point;
use crate::session::record::SessionId;
use crate::telemetry::Telemetry;

pub struct ObservedStore {
    store: Arc<dyn Store>,
    telemetry: Telemetry,
    health: Arc<StoreHealth>,
}

impl ObservedStore {
    pub fn new(store: Arc<dyn Store>, telemetry: Telemetry) -> Self {
        Self {
            store,
            telemetry,
            health: Arc::default(),
        }
    }

    pub fn health(&self) -> Arc<StoreHealth> {
        Arc::clone(&self.health)
    }

    async fn observe<T>(
        &self,
        operation: &'static str,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let started = Instant::now();
        kill_point::at(operation, "before");
        let result = call.await;
        kill_point::at(operation, "after");
        self.telemetry.store_operation(
            self.store.kind(),
            operation,
            result.is_ok(),
            started.elapsed(),
        );
        if let Err(error) = &result {
            self.health.note(error);
        }
        result
    }
}

macro_rules! observed {
    ($($changed:ident {
        $($name:ident($($argument:ident: $kind:ty),*) -> $output:ty;)*
    })*) => {
        #[async_trait]
        impl Store for ObservedStore {
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
                self.observe(stringify!($name), self.store.$name($($argument),*)).await
            })*)*
        }
    };
}

operations!(observed);
