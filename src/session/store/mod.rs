//! What a store does. Stores know bytes, keys and times; never HTTP, never a
//! key that opens what they keep.
//!
//! Login, rotation, log-out and tombstones are durable before the answer.
//! Everything but a pin has an expiry, checked on each read. All implementations pass
//! `conformance`.

pub mod changes;
pub mod conformance;
pub mod health;
pub mod memory;
pub mod observed;
pub(super) mod operations;
pub mod redis;
#[cfg(test)]
pub mod spoiled;
pub mod sqlite;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use self::changes::Watcher;
use super::record::{Fingerprint, Owner, SessionId, TokenHeader};
use crate::base::clock::Timestamp;
use crate::base::fault::{Blame, Fault};

/// A keyed digest used as the name of a ticket, index or single-use entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest(pub [u8; 32]);

#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// Cannot be reached, or did not answer in time.
    #[error("session store is unreachable: {0}")]
    Unavailable(String),
    /// Reached, but refuses writes: read-only replica, memory or disk full.
    #[error("session store refuses to write: {0}")]
    Refused(String),
    /// Refuses us: password, user or permission.
    #[error("session store refuses our credentials: {0}")]
    Credentials(String),
    /// Holds something that is not ours, or was changed.
    #[error("session store holds a record that cannot be read: {0}")]
    Corrupt(String),
}

impl StoreError {
    /// The store may take the same a moment later.
    pub fn is_of_the_moment(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Refused(_))
    }

    /// Session ids are random and used once, so this is no ordinary outcome:
    /// somebody wrote there, or a create was repeated.
    fn already_exists() -> Self {
        Self::Corrupt("the new session's name is taken".into())
    }
}

impl Fault for StoreError {
    fn blame(&self) -> Blame {
        Blame::Operator
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "store_unavailable",
            Self::Refused(_) => "store_refuses_writes",
            Self::Credentials(_) => "store_credentials_rejected",
            Self::Corrupt(_) => "store_record_corrupt",
        }
    }
}

/// The two records of a live session.
#[derive(Debug, Clone)]
pub struct StoredSession {
    /// Sealed.
    pub identity: Bytes,
    pub header: TokenHeader,
    /// Sealed.
    pub tokens: Bytes,
}

#[derive(Debug, Clone)]
pub enum Loaded {
    Live(StoredSession),
    /// Ended on purpose; kept to the session's absolute end.
    Tombstone {
        at: Timestamp,
    },
    Missing,
}

/// Everything that one login writes.
#[derive(Debug, Clone)]
pub struct NewRecords {
    pub identity: Vec<u8>,
    pub header: TokenHeader,
    pub tokens: Vec<u8>,
    pub listing: Vec<u8>,
    pub expires_at: Timestamp,
}

/// The wish to spend a refresh token.
#[derive(Debug, Clone, Copy)]
pub struct Claim {
    /// The token that will be sent.
    pub rt_fp: Fingerprint,
    pub owner: Owner,
    pub lease: Duration,
    /// Permission for the one last try of a token whose outcome is unknown.
    pub last_try: bool,
    /// For so long after it was sent, a token of unknown outcome may be sent
    /// again without counting; zero: never.
    pub grace: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// The intent is durable: send now, once.
    Granted,
    /// Somebody else is at it.
    Busy { lease_until: Timestamp },
    /// A failure said to wait.
    BackOff { retry_at: Timestamp, fail_class: u8 },
    /// An attempt of this token has no known outcome.
    Unknown { tries: u8, sent_at: Timestamp },
    /// The record has another token by now: read again.
    Superseded,
    /// The session ended.
    Gone,
}

/// How a claim ended without new tokens.
#[derive(Debug, Clone, Copy)]
pub struct Release {
    pub owner: Owner,
    /// The token certainly was not spent: forget the intent. Otherwise the
    /// intent stays and only the lease ends.
    pub clear_intent: bool,
    pub retry_at: Timestamp,
    pub fail_class: u8,
}

/// New tokens, conditional on the token that was spent.
#[derive(Debug, Clone)]
pub struct Commit {
    pub spent_fp: Fingerprint,
    pub new_fp: Fingerprint,
    pub access_exp: Timestamp,
    pub received_at: Timestamp,
    /// `None` keeps the identity record.
    pub identity: Option<Vec<u8>>,
    pub tokens: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Committed {
    Done {
        version: u64,
    },
    /// The record no longer has the spent token: drop ours.
    Superseded,
    /// The session ended: never re-create it.
    Gone,
}

/// Outcome of asking to be the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Once {
    First,
    /// Somebody was; with what `once_finish` left, empty until then.
    Seen(Bytes),
}

#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// "memory", "embedded" or "redis": label of metrics.
    fn kind(&self) -> &'static str;

    /// Whether one gateway alone writes here, so that a key ring which reads
    /// nothing of it can only be a mistake. Where replicas share a store, a
    /// ring may be replaced while others still write with the old one.
    fn is_private(&self) -> bool;

    /// From now on `watcher` is told of changes. A store that cannot tell
    /// says nothing, and then nothing of it is kept.
    fn watch(&self, _watcher: Arc<dyn Watcher>) {}

    async fn get_ticket(&self, ticket: Digest) -> Result<Option<Bytes>, StoreError>;
    async fn put_ticket(
        &self,
        ticket: Digest,
        value: Vec<u8>,
        expires_at: Timestamp,
    ) -> Result<(), StoreError>;
    async fn remove_ticket(&self, ticket: Digest) -> Result<(), StoreError>;

    async fn load(&self, session: SessionId) -> Result<Loaded, StoreError>;
    /// Never replaces a session or a tombstone.
    async fn create(&self, session: SessionId, records: NewRecords) -> Result<(), StoreError>;
    async fn claim(&self, session: SessionId, claim: Claim) -> Result<Claimed, StoreError>;
    /// Does nothing if the owner is another one.
    async fn release(&self, session: SessionId, release: Release) -> Result<(), StoreError>;
    async fn commit(&self, session: SessionId, commit: Commit) -> Result<Committed, StoreError>;
    /// Replaces the sealed identity of a live session (claims re-read).
    async fn put_identity(&self, session: SessionId, identity: Vec<u8>) -> Result<(), StoreError>;
    /// Moves `last_seen` of a live session forward; never a sealed value.
    async fn touch(&self, session: SessionId, last_seen: Timestamp) -> Result<(), StoreError>;
    /// Replaces a session by a tombstone until its absolute end. True if it
    /// was live.
    async fn tombstone(&self, session: SessionId, at: Timestamp) -> Result<bool, StoreError>;

    async fn index_add(
        &self,
        index: Digest,
        session: SessionId,
        expires_at: Timestamp,
    ) -> Result<(), StoreError>;
    async fn index_list(&self, index: Digest) -> Result<Vec<SessionId>, StoreError>;
    async fn index_remove(&self, index: Digest, session: SessionId) -> Result<(), StoreError>;

    /// Atomically the first to name `key`, or not.
    async fn once(&self, key: Digest, expires_at: Timestamp) -> Result<Once, StoreError>;
    /// Leaves a result for later callers of `once`.
    async fn once_finish(&self, key: Digest, value: Vec<u8>) -> Result<(), StoreError>;

    /// Puts down a value that one caller of `take` may pick up.
    async fn put_down(
        &self,
        key: Digest,
        value: Vec<u8>,
        expires_at: Timestamp,
    ) -> Result<(), StoreError>;
    /// What was put down, and removes it: of many callers one gets it.
    async fn take(&self, key: Digest) -> Result<Option<Bytes>, StoreError>;

    /// The value that the first caller for `key` brought: ours, or what was
    /// pinned before. Has no expiry.
    async fn pin(&self, key: Digest, value: Vec<u8>) -> Result<Bytes, StoreError>;
    /// The next caller of `pin` is the first again. True if there was a pin.
    async fn unpin(&self, key: Digest) -> Result<bool, StoreError>;

    /// Adds to the history under `name`, of which the last `keep` entries
    /// stay, at least until `expires_at`; another entry may make them stay
    /// longer.
    async fn history_add(
        &self,
        name: Digest,
        entry: Vec<u8>,
        keep: usize,
        expires_at: Timestamp,
    ) -> Result<(), StoreError>;
    /// Oldest first.
    async fn history(&self, name: Digest) -> Result<Vec<Bytes>, StoreError>;

    /// A real write and read of ordinary size.
    async fn probe(&self) -> Result<(), StoreError>;
}
