//! Renewed tokens that the store did not take yet. The old ones are spent, so
//! these are all there is: kept here and on disk until the store has them, or
//! has something newer, or the session is over.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::journal::Name;
use super::record::SessionId;
use super::sessions::{SessionError, Sessions};
use super::store::{Commit, Committed, StoreError};
use crate::base::clock::Timestamp;
use crate::base::fault::Fault;
use crate::base::kill_point;

/// A commit that takes longer than this is written down meanwhile.
const PATIENCE: Duration = Duration::from_millis(50);
/// Bytes kept in memory. Beyond that the refresh that brought the tokens
/// still holds them.
const MOST_BYTES: usize = 64 * 1024 * 1024;

#[derive(Clone)]
pub(super) struct Spooled {
    pub session: SessionId,
    /// The session's absolute end.
    pub until: Timestamp,
    pub commit: Commit,
}

impl Spooled {
    /// One token is spent once, so it names the entry.
    pub(super) fn name(&self) -> Name {
        let mut hasher = blake3::Hasher::new_derive_key("vestibule 2026 spooled tokens");
        hasher.update(&self.session.0);
        hasher.update(&self.commit.spent_fp.0);
        *hasher.finalize().as_bytes()
    }

    fn bytes(&self) -> usize {
        self.commit.tokens.len() + self.commit.identity.as_ref().map_or(0, Vec::len) + 128
    }
}

#[derive(Default)]
struct Inner {
    entries: HashMap<Name, Spooled>,
    bytes: usize,
}

#[derive(Default)]
pub(super) struct Spool {
    inner: Mutex<Inner>,
    /// Entries, so that the usual request takes no lock.
    count: AtomicUsize,
}

impl Spool {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// False where it is there already, or there is no room.
    pub(super) fn add(&self, spooled: Spooled) -> bool {
        let mut inner = self.inner();
        let (name, bytes) = (spooled.name(), spooled.bytes());
        if inner.entries.contains_key(&name) || inner.bytes + bytes > MOST_BYTES {
            return false;
        }
        inner.bytes += bytes;
        inner.entries.insert(name, spooled);
        self.count.store(inner.entries.len(), Ordering::Release);
        true
    }

    pub(super) fn remove(&self, name: &Name) -> bool {
        if self.len() == 0 {
            return false;
        }
        let mut inner = self.inner();
        let removed = inner.entries.remove(name);
        inner.bytes -= removed.as_ref().map_or(0, Spooled::bytes);
        self.count.store(inner.entries.len(), Ordering::Release);
        removed.is_some()
    }

    pub(super) fn all(&self) -> Vec<Spooled> {
        if self.len() == 0 {
            return Vec::new();
        }
        self.inner().entries.values().cloned().collect()
    }

    pub(super) fn of(&self, session: &SessionId) -> Vec<Spooled> {
        let mut own = self.all();
        own.retain(|spooled| spooled.session == *session);
        own
    }
}

impl Sessions {
    /// Renewed tokens that only this process has.
    pub fn spooled(&self) -> usize {
        self.spool.len()
    }

    /// The commit of a refresh: what the store does not take at once is
    /// written down, and comes home by itself even after a crash.
    pub(super) async fn commit_or_spool(
        &self,
        spooled: Spooled,
    ) -> Result<Committed, SessionError> {
        if self.ended.has_session(&spooled.session) {
            self.unspool(&spooled).await;
            return Ok(Committed::Gone);
        }
        let commit = self.store.commit(spooled.session, spooled.commit.clone());
        let mut commit = std::pin::pin!(commit);
        let committed = match tokio::time::timeout(PATIENCE, &mut commit).await {
            Ok(committed) => committed,
            Err(_) => {
                self.write_tokens_down(&spooled).await;
                commit.await
            }
        };
        match committed {
            Ok(committed) => {
                self.unspool(&spooled).await;
                Ok(committed)
            }
            Err(error) => {
                if !matches!(error, StoreError::Corrupt(_)) {
                    self.write_tokens_down(&spooled).await;
                }
                Err(error.into())
            }
        }
    }

    async fn write_tokens_down(&self, spooled: &Spooled) {
        if !self.spool.add(spooled.clone()) {
            return;
        }
        kill_point::at("spool", "before");
        let kept = match &self.journal {
            Some(journal) => {
                let sealed = self.seal_spooled(spooled);
                journal.keep(spooled.name(), sealed).await
            }
            None => return,
        };
        kill_point::at("spool", "after");
        match kept {
            Ok(()) => tracing::warn!(
                session.reference = spooled.session.reference(),
                "renewed tokens wait on disk for the session store"
            ),
            Err(error) => tracing::error!(
                session.reference = spooled.session.reference(),
                %error,
                "renewed tokens could not be written to disk; a crash now would lose them"
            ),
        }
    }

    async fn unspool(&self, spooled: &Spooled) {
        let name = spooled.name();
        if self.spool.remove(&name) {
            self.strike(name).await;
        }
    }

    /// Out of the journal.
    pub(super) async fn strike(&self, name: Name) {
        if let Some(journal) = &self.journal
            && let Err(error) = journal.remove(name).await
        {
            // It is done again after a restart, which does no harm.
            tracing::warn!(%error, "a line of what waited for the store could not be removed");
        }
    }

    /// Tokens of this session that wait here go to the store before anybody
    /// reads the spent one.
    pub(super) async fn bring_home(&self, session: &SessionId) -> Result<(), SessionError> {
        if self.spool.len() == 0 {
            return Ok(());
        }
        for spooled in self.spool.of(session) {
            self.settle_tokens(spooled).await?;
        }
        Ok(())
    }

    pub(super) async fn settle_tokens(&self, spooled: Spooled) -> Result<(), SessionError> {
        let reference = spooled.session.reference();
        if spooled.until <= self.clock.now() || self.ended.has_session(&spooled.session) {
            self.unspool(&spooled).await;
            return Ok(());
        }
        let commit = spooled.commit.clone();
        kill_point::at("spool_replay", "before");
        match self.store.commit(spooled.session, commit).await {
            Ok(committed) => {
                kill_point::at("spool_replay", "after");
                self.unspool(&spooled).await;
                let outcome = match committed {
                    Committed::Done { .. } => "stored",
                    Committed::Superseded => "superseded",
                    Committed::Gone => "session_gone",
                };
                tracing::info!(
                    session.reference = reference,
                    outcome,
                    "renewed tokens that waited for the session store came home"
                );
                Ok(())
            }
            Err(error @ StoreError::Corrupt(_)) => {
                tracing::error!(
                    session.reference = reference,
                    reason = error.reason(),
                    "renewed tokens that waited for the session store do not fit it, set aside"
                );
                let name = spooled.name();
                self.spool.remove(&name);
                self.set_aside(name).await;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn set_aside(&self, name: Name) {
        if let Some(journal) = &self.journal
            && let Err(error) = journal.set_aside(name).await
        {
            tracing::error!(%error, "a line that cannot be used could not be set aside");
        }
    }
}
