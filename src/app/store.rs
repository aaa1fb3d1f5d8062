//! Opening the session store that the configuration names.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::sync::Arc;

use crate::base::clock::Clock;
use crate::config::checked::{self, Config, Limits};
use crate::session::journal::Journal;
use crate::session::sessions::{Sessions, Settings};
use crate::session::store::health::StoreHealth;
use crate::session::store::memory::MemoryStore;
use crate::session::store::observed::ObservedStore;
use crate::session::store::redis::RedisStore;
use crate::session::store::sqlite::SqliteStore;
use crate::session::store::{Store, StoreError};
use crate::telemetry::Telemetry;

pub(super) struct Opened {
    pub store: Arc<dyn Store>,
    /// Every seal is bound to it.
    pub namespace: String,
    pub health: Arc<StoreHealth>,
}

pub(super) fn open(
    config: &checked::Store,
    limits: &Limits,
    clock: &Clock,
    telemetry: &Telemetry,
) -> Result<Opened, StoreError> {
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
            Arc::new(RedisStore::counted(redis, limits.store_timeout, telemetry)?),
            redis.key_prefix.clone(),
        ),
    };
    let observed = ObservedStore::new(store, telemetry.clone());
    Ok(Opened {
        health: observed.health(),
        store: Arc::new(observed),
        namespace,
    })
}

/// For commands beside a gateway that may be running: makes no database. `None`
/// where there can be none, in the memory of a process.
pub(super) fn join(config: &Config, clock: Clock) -> Result<Option<Sessions>, StoreError> {
    let (store, namespace): (Arc<dyn Store>, String) = match &config.store {
        checked::Store::Memory => return Ok(None),
        checked::Store::Embedded { path } => {
            let store = SqliteStore::join(path, clock.clone())?;
            let namespace = store.namespace().to_owned();
            (Arc::new(store), namespace)
        }
        checked::Store::Redis(redis) => (
            Arc::new(RedisStore::new(redis, config.limits.store_timeout)?),
            redis.key_prefix.clone(),
        ),
    };
    let settings = Settings {
        namespace,
        lifetime: config.session.lifetime,
        idle_timeout: config.session.idle_timeout,
    };
    let ring = config.keys.ring.clone();
    Ok(Some(Sessions::new(store, ring, clock, settings)))
}

/// What waits for the store on disk. `None` where the folder cannot be
/// written: then an outage may lose it, and a warning says so.
pub(super) fn journal(config: &Config, namespace: &str) -> Option<Journal> {
    if matches!(config.store, checked::Store::Memory) {
        return None;
    }
    // Installations that share a folder stay apart.
    let stem = blake3::derive_key("vestibule 2026 journal of", namespace.as_bytes());
    let stem: String = stem[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    match Journal::open(&config.session.folder, &stem) {
        Ok(journal) => Some(journal),
        Err(error) => {
            tracing::warn!(
                folder = %config.session.folder.display(),
                %error,
                "session.path cannot be written: a crash while the session store is away would \
                 lose sign-outs and renewed tokens; name a folder of our own there"
            );
            None
        }
    }
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
