//! A session as it was read, or why there is none.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::lifetime;
use super::record::{SessionId, TokenHeader};
use super::sessions::{SessionError, corrupt};
use super::store::Digest;
use super::vault::Vault;
use crate::base::clock::Timestamp;
use crate::model::identity::Identity;
use crate::model::tokens::TokenSet;

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
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the usual one; a box would cost an allocation per request"
)]
pub enum Found {
    Live(Session),
    Ended(Ending),
}

/// A live session as it was read. Cheap to clone; holds the key to its
/// records, so it is unprintable.
#[derive(Clone)]
pub struct Session {
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
    pub(super) stale: bool,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Session").field(&self.id).finish()
    }
}

impl Session {
    pub fn tokens(&self) -> Result<TokenSet, SessionError> {
        self.vault
            .open_tokens(&self.header, &self.sealed_tokens)
            .map_err(corrupt("token"))
    }

    /// Read before the store went away, and served for want of it. Good for
    /// reads; anything may have happened to it since.
    pub fn is_stale(&self) -> bool {
        self.stale
    }

    pub(super) fn as_stale(&self) -> Self {
        Self {
            stale: true,
            ..self.clone()
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
        Self {
            sealed_tokens: self.vault.seal_tokens(tokens, header.version).into(),
            header,
            ..self.clone()
        }
    }

    #[must_use]
    pub fn with_identity(&self, identity: Identity) -> Self {
        Self {
            identity: Arc::new(identity),
            ..self.clone()
        }
    }

    /// When traffic should begin to renew the tokens that were received at
    /// `received_at`.
    pub fn refresh_from(&self, received_at: Timestamp, skew_max: Duration) -> Timestamp {
        lifetime::refresh_from(received_at, self.header.access_exp, skew_max, &self.id)
    }
}
