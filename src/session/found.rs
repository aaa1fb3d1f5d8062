//! A session as it was read, or why there is none.

use std::any::Any;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;

use super::idle::LastUse;
use super::lifetime;
use super::record::{SessionId, SessionReference, TokenHeader};
use super::sessions::{SessionError, corrupt};
use super::store::Digest;
use super::vault::Vault;
use crate::base::clock::Timestamp;
use crate::model::identity::Identity;
use crate::model::tokens::TokenSet;

/// Beside what the records take: structures, the open identity's parts, the
/// entry of the cache and of its indexes.
const OVERHEAD: usize = 1536;

/// Why there is no session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The store knows nothing of it (any more).
    Unknown,
    SignedOut,
    Expired,
    Idle,
}

impl Ending {
    /// Stable reason code.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Unknown => "session_unknown",
            Self::SignedOut => "session_signed_out",
            Self::Expired => "session_expired",
            Self::Idle => "session_idle",
        }
    }
}

#[derive(Debug, Clone)]
pub enum Found {
    Live(Session),
    Ended(Ending),
}

/// A live session as it was read. Cheap to clone; holds the key to its
/// records, so it is unprintable.
#[derive(Clone)]
pub struct Session {
    known: Arc<Known>,
    stale: bool,
}

/// What one reading of a session told. Never changes, but for what is noted
/// about it; another reading makes another one.
pub struct Known {
    pub id: SessionId,
    pub identity: Arc<Identity>,
    pub header: TokenHeader,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub(super) ticket: Digest,
    pub(super) vault: Arc<Vault>,
    pub(super) sealed_tokens: Bytes,
    /// Of the sealed identity: about what the open one takes.
    pub(super) identity_bytes: usize,
    pub(super) last_use: Arc<LastUse>,
    pub(super) notes: Notes,
}

/// What others work out from one reading and want to find again with it.
#[derive(Default)]
pub(super) struct Notes {
    quiet_until: AtomicU64,
    reference: OnceLock<SessionReference>,
    kept: OnceLock<Box<dyn Any + Send + Sync>>,
    /// Bytes that `kept` holds, as told.
    kept_bytes: AtomicUsize,
}

impl Deref for Session {
    type Target = Known;

    fn deref(&self) -> &Known {
        &self.known
    }
}

impl From<Known> for Session {
    fn from(known: Known) -> Self {
        Self {
            known: Arc::new(known),
            stale: false,
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Session").field(&self.id).finish()
    }
}

impl Known {
    pub fn tokens(&self) -> Result<TokenSet, SessionError> {
        self.vault
            .open_tokens(&self.header, &self.sealed_tokens)
            .map_err(corrupt("token"))
    }

    /// The same, to be changed; without what was noted about it.
    pub(super) fn again(&self) -> Self {
        Self {
            id: self.id,
            identity: Arc::clone(&self.identity),
            header: self.header.clone(),
            created_at: self.created_at,
            expires_at: self.expires_at,
            ticket: self.ticket,
            vault: Arc::clone(&self.vault),
            sealed_tokens: self.sealed_tokens.clone(),
            identity_bytes: self.identity_bytes,
            last_use: Arc::clone(&self.last_use),
            notes: Notes::default(),
        }
    }

    /// When traffic should begin to renew the tokens that were received at
    /// `received_at`.
    pub fn refresh_from(&self, received_at: Timestamp, skew_max: Duration) -> Timestamp {
        lifetime::refresh_from(received_at, self.header.access_exp, skew_max, &self.id)
    }

    /// What logs call it.
    pub fn reference(&self) -> SessionReference {
        let known = &self.notes.reference;
        *known.get_or_init(|| self.id.reference_text())
    }

    /// Until when nothing is due for this session, as [`Known::be_quiet_until`]
    /// was told; the epoch if nobody said so.
    pub fn quiet_until(&self) -> Timestamp {
        Timestamp(self.notes.quiet_until.load(Ordering::Relaxed))
    }

    /// Whoever judges tokens and claims notes when to judge again.
    pub fn be_quiet_until(&self, time: Timestamp) {
        self.notes.quiet_until.store(time.0, Ordering::Relaxed);
    }

    /// What belongs to this reading and is made once, by the first who asks.
    /// All callers must ask for the same type; another one finds nothing.
    pub fn kept<T: Default + Send + Sync + 'static>(&self) -> Option<&T> {
        let kept = self.notes.kept.get_or_init(|| Box::new(T::default()));
        kept.downcast_ref()
    }

    /// Bytes that [`Known::kept`] has grown by, for the bounds of memory.
    pub fn kept_more(&self, bytes: usize) {
        self.notes.kept_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// About what it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        let kept = self.notes.kept_bytes.load(Ordering::Relaxed);
        self.sealed_tokens.len() + 3 * self.identity_bytes + kept + OVERHEAD
    }
}

impl Session {
    /// Read before the store went away, and served for want of it. Good for
    /// reads; anything may have happened to it since.
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    pub(super) fn as_stale(&self) -> Self {
        Self {
            known: Arc::clone(&self.known),
            stale: true,
        }
    }

    /// This session as it will be once renewed tokens are stored.
    #[must_use]
    pub fn with_tokens(&self, tokens: &TokenSet) -> Self {
        let mut header = self.header.clone();
        header.version += 1;
        header.rt_fp = self.vault.fingerprint(tokens.refresh_token.as_ref());
        header.access_exp = tokens.access_expires_at;
        header.received_at = tokens.received_at;
        Self::from(Known {
            sealed_tokens: self.vault.seal_tokens(tokens, header.version).into(),
            header,
            ..self.again()
        })
    }

    #[must_use]
    pub fn with_identity(&self, identity: Identity) -> Self {
        Self::from(Known {
            identity: Arc::new(identity),
            ..self.again()
        })
    }
}
