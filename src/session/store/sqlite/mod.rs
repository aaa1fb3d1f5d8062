//! The embedded store: one SQLite file (WAL, synchronous=FULL).
//!
//! Writes go to one thread that commits them in groups and answers after the
//! commit; reads go to two threads with connections of their own. Runtime
//! workers never touch the file. Other processes may open it at the same
//! time (hand-over at an upgrade).

mod ballast;
mod damage;
mod disk;
mod file_system;
mod others;
mod reader;
mod schema;
mod statements;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;

use self::ballast::Ballast;
use self::reader::Readers;
use self::writer::{Weight, Writer};
use super::changes::{Changed, Watcher, Watchers};
use super::{
    Claim, Claimed, Commit, Committed, Digest, Loaded, NewRecords, Once, Release, Store, StoreError,
};
use crate::base::clock::{Clock, Timestamp};
use crate::session::record::SessionId;

/// Longer than any commit of a disk that works; the request gives up first.
const DEADLINE: Duration = Duration::from_secs(10);

pub struct SqliteStore {
    writer: Writer,
    damage: damage::Found,
    readers: Readers,
    clock: Clock,
    namespace: String,
    watchers: Arc<Watchers>,
}

impl SqliteStore {
    /// Opens or creates the database. Errors name the path and the cure.
    pub fn open(path: &Path, clock: Clock) -> Result<Self, StoreError> {
        let began = Instant::now();
        let opened = schema::open(path).and_then(|connection| {
            let damage = damage::check_structure(path, &connection)?;
            let ballast = Some(Ballast::beside(path));
            Self::with(connection, damage, ballast, path, clock)
        });
        tracing::debug!(
            took_us = began.elapsed().as_micros(),
            "session database opened"
        );
        opened.map_err(|error| schema::named(path, error))
    }

    /// Opens a database that a gateway made and perhaps serves from now.
    /// Creates nothing and brings no older layout up.
    pub fn join(path: &Path, clock: Clock) -> Result<Self, StoreError> {
        schema::join(path)
            .and_then(|connection| {
                Self::with(connection, damage::Found::default(), None, path, clock)
            })
            .map_err(|error| schema::named(path, error))
    }

    fn with(
        connection: rusqlite::Connection,
        damage: damage::Found,
        ballast: Option<Ballast>,
        path: &Path,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let namespace = schema::namespace(&connection)?;
        let watchers = Arc::<Watchers>::default();
        let readers = Readers::start(path)?;
        let writer = Writer::start(connection, ballast, clock.clone(), Arc::clone(&watchers))?;
        Ok(Self {
            writer,
            damage,
            readers,
            clock,
            namespace,
            watchers,
        })
    }

    /// The name of this database, made at its creation: bound into every
    /// seal, so that records of two databases cannot be mixed.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// What waits while the disk is full; and what readers see changed by it.
    async fn write<T: Send + 'static>(
        &self,
        changed: Option<Changed>,
        job: impl Fn(&rusqlite::Connection, Timestamp) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.submit(Weight::Ordinary, changed, job).await
    }

    /// What ends something, or keeps what cannot be had again: for this the
    /// ballast goes overboard.
    async fn write_anyway<T: Send + 'static>(
        &self,
        changed: Option<Changed>,
        job: impl Fn(&rusqlite::Connection, Timestamp) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.submit(Weight::Needed, changed, job).await
    }

    async fn submit<T: Send + 'static>(
        &self,
        weight: Weight,
        changed: Option<Changed>,
        job: impl Fn(&rusqlite::Connection, Timestamp) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        if let Some(damage) = self.damage.get() {
            return Err(damage.clone());
        }
        let clock = self.clock.clone();
        let job = move |connection: &rusqlite::Connection| job(connection, clock.now());
        in_time(self.writer.submit(weight, changed, job)?).await
    }

    async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&rusqlite::Connection, Timestamp) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let clock = self.clock.clone();
        let answer = self
            .readers
            .submit(move |connection| job(connection, clock.now()))?;
        in_time(answer).await
    }
}

type Answer<T> = tokio::sync::oneshot::Receiver<Result<T, StoreError>>;

async fn in_time<T>(answer: Answer<T>) -> Result<T, StoreError> {
    match tokio::time::timeout(DEADLINE, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(StoreError::Unavailable("database thread ended".into())),
        Err(_) => Err(StoreError::Unavailable(format!(
            "database did not answer within {} s",
            DEADLINE.as_secs()
        ))),
    }
}

/// What an error of SQLite means to the caller. Messages of SQLite hold
/// names of tables and files, never values.
impl StoreError {
    fn from_sqlite(error: &rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        let text = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => disk::Trouble::Full.error(),
            Some(ErrorCode::ReadOnly) => Self::Refused(text),
            Some(ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => {
                Self::Credentials(text)
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Corrupt(text),
            _ => Self::Unavailable(text),
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::from_sqlite(&error)
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn kind(&self) -> &'static str {
        "embedded"
    }

    fn is_private(&self) -> bool {
        true
    }

    fn watch(&self, watcher: Arc<dyn Watcher>) {
        self.watchers.add(watcher);
    }

    async fn get_ticket(&self, ticket: Digest) -> Result<Option<Bytes>, StoreError> {
        self.read(move |db, now| statements::get_ticket(db, now, ticket))
            .await
    }

    async fn put_ticket(
        &self,
        ticket: Digest,
        value: Vec<u8>,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(Some(Changed::Ticket(ticket)), move |db, _| {
            statements::put_ticket(db, ticket, &value, expires_at)
        })
        .await
    }

    async fn remove_ticket(&self, ticket: Digest) -> Result<(), StoreError> {
        self.write_anyway(Some(Changed::Ticket(ticket)), move |db, _| {
            statements::remove_ticket(db, ticket)
        })
        .await
    }

    async fn load(&self, session: SessionId) -> Result<Loaded, StoreError> {
        self.read(move |db, now| statements::load(db, now, session))
            .await
    }

    async fn create(&self, session: SessionId, records: NewRecords) -> Result<(), StoreError> {
        self.write(Some(Changed::Session(session)), move |db, now| {
            statements::create(db, now, session, &records)
        })
        .await
    }

    async fn claim(&self, session: SessionId, claim: Claim) -> Result<Claimed, StoreError> {
        self.write(Some(Changed::Session(session)), move |db, now| {
            statements::claim(db, now, session, &claim)
        })
        .await
    }

    async fn release(&self, session: SessionId, release: Release) -> Result<(), StoreError> {
        self.write_anyway(Some(Changed::Session(session)), move |db, now| {
            statements::release(db, now, session, &release)
        })
        .await
    }

    async fn commit(&self, session: SessionId, commit: Commit) -> Result<Committed, StoreError> {
        self.write_anyway(Some(Changed::Session(session)), move |db, now| {
            statements::commit(db, now, session, &commit)
        })
        .await
    }

    async fn put_identity(&self, session: SessionId, identity: Vec<u8>) -> Result<(), StoreError> {
        self.write(Some(Changed::Session(session)), move |db, now| {
            statements::put_identity(db, now, session, &identity)
        })
        .await
    }

    async fn touch(&self, session: SessionId, last_seen: Timestamp) -> Result<(), StoreError> {
        self.write(Some(Changed::Session(session)), move |db, now| {
            statements::touch(db, now, session, last_seen)
        })
        .await
    }

    async fn tombstone(&self, session: SessionId, at: Timestamp) -> Result<bool, StoreError> {
        self.write_anyway(Some(Changed::Session(session)), move |db, now| {
            statements::tombstone(db, now, session, at)
        })
        .await
    }

    async fn index_add(
        &self,
        index: Digest,
        session: SessionId,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(None, move |db, _| {
            statements::index_add(db, index, session, expires_at)
        })
        .await
    }

    async fn index_list(&self, index: Digest) -> Result<Vec<SessionId>, StoreError> {
        self.read(move |db, now| statements::index_list(db, now, index))
            .await
    }

    async fn index_remove(&self, index: Digest, session: SessionId) -> Result<(), StoreError> {
        self.write_anyway(None, move |db, _| {
            statements::index_remove(db, index, session)
        })
        .await
    }

    async fn once(&self, key: Digest, expires_at: Timestamp) -> Result<Once, StoreError> {
        self.write(None, move |db, now| {
            statements::once(db, now, key, expires_at)
        })
        .await
    }

    async fn once_finish(&self, key: Digest, value: Vec<u8>) -> Result<(), StoreError> {
        self.write_anyway(None, move |db, now| {
            statements::once_finish(db, now, key, &value)
        })
        .await
    }

    async fn put_down(
        &self,
        key: Digest,
        value: Vec<u8>,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(None, move |db, _| {
            statements::put_down(db, key, &value, expires_at)
        })
        .await
    }

    async fn take(&self, key: Digest) -> Result<Option<Bytes>, StoreError> {
        self.write(None, move |db, now| statements::take(db, now, key))
            .await
    }

    async fn pin(&self, key: Digest, value: Vec<u8>) -> Result<Bytes, StoreError> {
        self.write(None, move |db, _| statements::pin(db, key, &value))
            .await
    }

    async fn unpin(&self, key: Digest) -> Result<bool, StoreError> {
        self.write_anyway(None, move |db, _| statements::unpin(db, key))
            .await
    }

    async fn history_add(
        &self,
        name: Digest,
        entry: Vec<u8>,
        keep: usize,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        self.write(None, move |db, now| {
            statements::history_add(db, now, name, &entry, keep, expires_at)
        })
        .await
    }

    async fn history(&self, name: Digest) -> Result<Vec<Bytes>, StoreError> {
        self.read(move |db, now| statements::history(db, now, name))
            .await
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.write(None, statements::write_probe).await?;
        self.read(|db, _| statements::read_probe(db)).await
    }
}

#[cfg(test)]
mod tests;
