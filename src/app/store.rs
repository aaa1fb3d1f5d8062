//! Opening the session store that the configuration names.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use crate::base::clock::Clock;
use crate::config::checked::{self, Limits};
use crate::session::store::memory::MemoryStore;
use crate::session::store::observed::ObservedStore;
use crate::session::store::redis::RedisStore;
use crate::session::store::sqlite::SqliteStore;
use crate::session::store::{Store, StoreError};
use crate::telemetry::Telemetry;

/// The store, and the namespace that every seal is bound to.
pub(super) fn open(
    config: &checked::Store,
    limits: &Limits,
    clock: &Clock,
    telemetry: &Telemetry,
) -> Result<(Arc<dyn Store>, String), StoreError> {
    let (store, namespace): (Arc<dyn Store>, String) = match config {
        checked::Store::Memory => (
            Arc::new(MemoryStore::new(clock.clone())),
            "vestibule".to_owned(),
        ),
        checked::Store::Embedded { path } => {
            make_folder(path)?;
            let store = SqliteStore::open(path, clock.clone())?;
            let namespace = store.namespace().to_owned();
            (Arc::new(store), namespace)
        }
        checked::Store::Redis(redis) => (
            Arc::new(RedisStore::new(redis, limits.store_timeout)?),
            redis.key_prefix.clone(),
        ),
    };
    let observed = ObservedStore::new(store, telemetry.clone());
    Ok((Arc::new(observed), namespace))
}

/// The folder of the database, for us alone, if it is missing.
fn make_folder(database: &Path) -> Result<(), StoreError> {
    let Some(folder) = database.parent() else {
        return Ok(());
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|error| {
            StoreError::Unavailable(format!(
                "session.path: {} cannot be made: {error}",
                folder.display()
            ))
        })
}
