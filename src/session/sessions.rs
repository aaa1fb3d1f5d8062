//! The door of the module: create, find, revoke, refresh bookkeeping.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast;

pub use super::creation::Draft;
use super::ended::Ended;
use super::found::Notes;
pub use super::found::{Ending, Found, Known, Session};
pub use super::handover::Grant;
use super::history;
use super::idle::LastUses;
use super::journal::{Journal, Name};
use super::key_memory::KeyMemory;
use super::lifetime::{self, Age};
use super::neighbours::Neighbours;
use super::pins::Pins;
use super::record::{Fingerprint, Owner, SessionId};
pub use super::revocation::Reach;
use super::spool::{Spool, Spooled};
use super::store::{
    Claim, Claimed, Commit, Committed, Digest, Loaded, Release, Store, StoreError, StoredSession,
};
use super::ticket::{Scope, Ticket, TicketKeys};
use super::vault::{TicketRecord, Vault};
use super::warm::Hot;
pub use super::warm::Warm;
use crate::base::clock::{Clock, Timestamp};
use crate::base::fault::{Blame, Fault};
use crate::base::key_ring::{KeyRing, RingKey};
use crate::base::seal::BrokenSeal;
use crate::model::identity::Identity;
use crate::model::tokens::TokenSet;

/// A listener that falls further behind is told so and looks for itself.
const REVOCATIONS_KEPT: usize = 1024;

#[derive(Debug, Clone, thiserror::Error)]
pub enum SessionError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store answered with something that we did not write there.
    #[error("{record} record of a session does not open: changed, swapped or of another key")]
    Corrupt { record: &'static str },
    #[error(
        "the database was written with other keys than those of the key ring; bring that ring \
         back from a backup, or move the database away to begin anew"
    )]
    ForeignRing,
    #[error("the provider signed this person out while the sign-in was under way")]
    SignedOutMeanwhile,
}

impl Fault for SessionError {
    fn blame(&self) -> Blame {
        match self {
            Self::SignedOutMeanwhile => Blame::Client,
            _ => Blame::Operator,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Store(error) => error.reason(),
            Self::Corrupt { .. } => "session_record_corrupt",
            Self::ForeignRing => "key_ring_of_another_store",
            Self::SignedOutMeanwhile => "session_ended_by_idp",
        }
    }
}

impl SessionError {
    /// A moment later it may work: the store is away, or changes its primary.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_of_the_moment())
    }

    /// The store did not answer: nothing is known, and what was read a moment
    /// ago is the best there is.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Self::Store(StoreError::Unavailable(_)))
    }
}

pub(super) fn corrupt(record: &'static str) -> impl Fn(BrokenSeal) -> SessionError {
    move |BrokenSeal| SessionError::Corrupt { record }
}

#[derive(Debug, Clone)]
pub struct Settings {
    /// `redis.key_prefix`, or the namespace of the database.
    pub namespace: String,
    pub lifetime: Duration,
    /// Zero: sessions do not end for not being used.
    pub idle_timeout: Duration,
}

/// What a login knows.
#[derive(Debug, Clone, Copy)]
pub struct NewSession<'a> {
    pub identity: &'a Identity,
    pub tokens: &'a TokenSet,
    pub scope: &'a Scope,
    /// Secret and unguessable; gives the ticket again.
    pub seed: &'a [u8],
    pub user_agent: Option<&'a str>,
    /// When the sign-in was started: a sign-out that the provider ordered
    /// since then ends it.
    pub began_at: Timestamp,
}

pub struct Sessions {
    pub(super) store: Arc<dyn Store>,
    pub(super) ring: KeyRing,
    pub(super) keys: TicketKeys,
    pub(super) clock: Clock,
    pub(super) namespace: Arc<str>,
    pub(super) lifetime: Duration,
    pub(super) key_memory: KeyMemory,
    pub(super) neighbours: Neighbours,
    pub(super) pins: Pins,
    pub(super) notes: history::Notes,
    pub(super) hot: Option<Hot>,
    pub(super) ended: Ended,
    pub(super) spool: Spool,
    pub(super) journal: Option<Journal>,
    /// Lines of the journal that do not open; set aside once work begins.
    pub(super) unreadable: Vec<Name>,
    pub(super) uses: LastUses,
    pub(super) revoked: broadcast::Sender<SessionId>,
    idle_timeout: Duration,
}

impl Sessions {
    pub fn new(store: Arc<dyn Store>, ring: KeyRing, clock: Clock, settings: Settings) -> Self {
        Self {
            store,
            keys: TicketKeys::new(&ring, &settings.namespace),
            ring,
            clock,
            namespace: settings.namespace.into(),
            lifetime: settings.lifetime,
            key_memory: KeyMemory::default(),
            neighbours: Neighbours::default(),
            pins: Pins::default(),
            notes: history::Notes::default(),
            idle_timeout: settings.idle_timeout,
            uses: LastUses::new(lifetime::touch_every(settings.idle_timeout)),
            revoked: broadcast::Sender::new(REVOCATIONS_KEPT),
            hot: None,
            ended: Ended::default(),
            spool: Spool::default(),
            journal: None,
            unreadable: Vec::new(),
        }
    }

    /// The first candidate that is a ticket of ours for `scope`.
    pub fn open_ticket(&self, candidates: &[&str], scope: &Scope) -> Option<Ticket> {
        candidates
            .iter()
            .find_map(|text| Ticket::parse(text, &self.keys, scope).ok())
    }

    pub fn ticket_text(&self, ticket: &Ticket) -> String {
        ticket.text()
    }

    /// The ticket that `create` makes of this seed.
    pub fn ticket_from_seed(&self, seed: &[u8], scope: &Scope) -> Ticket {
        Ticket::derive(&self.keys, seed, scope)
    }

    /// The tickets that `create` may have made of this seed, here or on a
    /// replica that writes with another key of the ring.
    pub fn tickets_from_seed(&self, seed: &[u8], scope: &Scope) -> Vec<Ticket> {
        Ticket::derive_all(&self.keys, seed, scope)
    }

    /// The session that a ticket record leads to.
    pub(super) async fn follow(
        &self,
        record: &TicketRecord,
        ticket: Digest,
    ) -> Result<Found, SessionError> {
        let id = record.session;
        let stored = match self.load(id, record.expires_at).await? {
            Ok(stored) => stored,
            Err(ending) => return Ok(Found::Ended(ending)),
        };
        let vault = Vault::new(Arc::clone(&self.namespace), id, record.data_key.clone());
        let identity = vault
            .open_identity(&stored.identity)
            .map_err(corrupt("identity"))?;
        let last_seen = stored.header.last_seen;
        Ok(self.judged(Session::from(Known {
            id,
            identity: Arc::new(identity),
            last_use: self.uses.of(&id, last_seen, self.clock.now()),
            header: stored.header,
            created_at: record.created_at,
            expires_at: record.expires_at,
            ticket,
            vault: Arc::new(vault),
            sealed_tokens: stored.tokens,
            identity_bytes: stored.identity.len(),
            notes: Notes::default(),
        })))
    }

    /// Reads the session again: somebody may have renewed or ended it.
    pub async fn reload(&self, session: &Session) -> Result<Found, SessionError> {
        let stored = match self.load(session.id, session.expires_at).await? {
            Ok(stored) => stored,
            Err(ending) => return Ok(Found::Ended(ending)),
        };
        let identity = session
            .vault
            .open_identity(&stored.identity)
            .map_err(corrupt("identity"))?;
        Ok(self.judged(Session::from(Known {
            identity: Arc::new(identity),
            header: stored.header,
            sealed_tokens: stored.tokens,
            identity_bytes: stored.identity.len(),
            ..session.again()
        })))
    }

    /// When the session ends if nobody uses it again: its absolute end, or
    /// its idle time after the last use that this process knows of.
    pub fn ends_at(&self, session: &Session) -> Timestamp {
        if self.idle_timeout.is_zero() {
            return session.expires_at;
        }
        let last_seen = session.last_use.latest(session.header.last_seen);
        session.expires_at.min(last_seen.plus(self.idle_timeout))
    }

    /// Whether a session that was read earlier has ended by time since.
    pub fn ending(&self, session: &Session) -> Option<Ending> {
        self.ending_at(session, self.clock.now())
    }

    pub(super) fn ending_at(&self, session: &Session, now: Timestamp) -> Option<Ending> {
        let last_seen = session.last_use.latest(session.header.last_seen);
        match lifetime::judge(now, session.expires_at, last_seen, self.idle_timeout) {
            Age::Live => None,
            Age::Idle => Some(Ending::Idle),
            Age::Expired => Some(Ending::Expired),
        }
    }

    /// Asks to spend the session's refresh token. `grace`: how long after it
    /// was sent the provider takes a spent one again.
    pub async fn claim(
        &self,
        session: &Session,
        owner: Owner,
        lease: Duration,
        last_try: bool,
        grace: Duration,
    ) -> Result<Claimed, SessionError> {
        if self.ended.has_session(&session.id) {
            return Ok(Claimed::Gone);
        }
        self.bring_home(&session.id).await?;
        let claim = Claim {
            rt_fp: session.header.rt_fp,
            owner,
            lease,
            last_try,
            grace,
        };
        Ok(self.store.claim(session.id, claim).await?)
    }

    pub async fn release(&self, session: &Session, release: Release) -> Result<(), SessionError> {
        Ok(self.store.release(session.id, release).await?)
    }

    /// Stores the tokens that `spent` bought. What the store does not take is
    /// kept on disk until it does, even over a crash; an error says that it is
    /// not in the store yet. Where the provider sent no new
    /// refresh token, `tokens` must carry the old one.
    pub async fn commit(
        &self,
        session: &Session,
        spent: Fingerprint,
        tokens: &TokenSet,
        identity: Option<&Identity>,
    ) -> Result<Committed, SessionError> {
        let vault = &session.vault;
        let commit = Commit {
            spent_fp: spent,
            new_fp: vault.fingerprint(tokens.refresh_token.as_ref()),
            access_exp: tokens.access_expires_at,
            received_at: tokens.received_at,
            identity: identity.map(|identity| vault.seal_identity(identity)),
            tokens: vault.seal_tokens(tokens, session.header.version + 1),
        };
        self.commit_or_spool(Spooled {
            session: session.id,
            until: session.expires_at,
            commit,
        })
        .await
    }

    pub async fn put_identity(
        &self,
        session: &Session,
        identity: &Identity,
    ) -> Result<(), SessionError> {
        let sealed = session.vault.seal_identity(identity);
        Ok(self.store.put_identity(session.id, sealed).await?)
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Notes that the session is in use. True if it is time to tell the store
    /// with [`Sessions::touch`].
    pub fn note_use(&self, session: &Session, now: Timestamp) -> bool {
        let due = self
            .uses
            .note(&session.last_use, session.header.last_seen, now);
        due && !session.is_stale()
    }

    /// Notes that the session is in use. Writes to the store at most every
    /// max(60 s, idle/10), so call it on each request.
    pub async fn touch(&self, session: &Session) -> Result<(), SessionError> {
        let now = self.clock.now();
        let stored = session.header.last_seen;
        if self.note_use(session, now)
            && self.uses.may_write(&session.last_use, stored, now)
            && let Err(error) = self.store.touch(session.id, now).await
        {
            self.uses.not_written(&session.last_use, stored);
            return Err(error.into());
        }
        Ok(())
    }

    /// Whether the store takes a write and a read, and belongs to the ring.
    pub async fn probe(&self) -> Result<(), SessionError> {
        self.agree_on_keys().await?;
        Ok(self.store.probe().await?)
    }

    /// "memory", "embedded" or "redis".
    pub fn store_kind(&self) -> &'static str {
        self.store.kind()
    }

    async fn load(
        &self,
        id: SessionId,
        expires_at: Timestamp,
    ) -> Result<Result<StoredSession, Ending>, SessionError> {
        if self.ended.has_session(&id) {
            return Ok(Err(Ending::SignedOut));
        }
        match self.bring_home(&id).await {
            // It reads, and that is all that is asked of it here.
            Ok(()) | Err(SessionError::Store(StoreError::Refused(_))) => {}
            Err(error) => return Err(error),
        }
        Ok(match self.store.load(id).await? {
            Loaded::Live(stored) => Ok(stored),
            Loaded::Tombstone { .. } => Err(Ending::SignedOut),
            Loaded::Missing if expires_at <= self.clock.now() => Err(Ending::Expired),
            Loaded::Missing => Err(Ending::Unknown),
        })
    }

    pub(super) fn judged(&self, session: Session) -> Found {
        match self.ending(&session) {
            None => Found::Live(session),
            Some(ending) => Found::Ended(ending),
        }
    }

    /// Tickets are checked against the same ring, so the key is there.
    pub(super) fn key_and_name(&self, ticket: &Ticket) -> Result<(&RingKey, Digest), SessionError> {
        let key = self.ring.find(ticket.key);
        key.zip(ticket.digest(&self.keys))
            .ok_or(SessionError::Corrupt { record: "ticket" })
    }

    pub(super) fn index(&self, key: &RingKey, issuer: &str, subject: &str) -> Digest {
        let parts = [&*self.namespace, issuer, subject].map(str::as_bytes);
        Digest(key.derive("index of a subject", &parts))
    }
}

#[cfg(test)]
pub(super) mod tests;
