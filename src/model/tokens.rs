//! The provider's tokens of one session. Unprintable by type.

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;

/// What the token endpoint handed out, kept sealed in the store.
#[derive(Clone, Deserialize)]
pub struct TokenSet {
    pub access_token: SecretString,
    /// Absent where the provider gave none: the session ends with its access
    /// token and a silent sign-in follows.
    pub refresh_token: Option<SecretString>,
    /// Kept for `id_token_hint` at sign-out.
    pub id_token: Option<SecretString>,
    /// When the access token ends, by our clock from the moment of receipt.
    pub access_expires_at: Timestamp,
    /// When these tokens were received.
    pub received_at: Timestamp,
    pub scope: Option<String>,
}

impl std::fmt::Debug for TokenSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenSet")
            .field("refreshable", &self.refresh_token.is_some())
            .field("access_expires_at", &self.access_expires_at)
            .finish_non_exhaustive()
    }
}

/// The one place where tokens become bytes; only the sealing code of
/// `session` serialises a token set.
impl Serialize for TokenSet {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Plain<'a> {
            access_token: &'a str,
            refresh_token: Option<&'a str>,
            id_token: Option<&'a str>,
            access_expires_at: Timestamp,
            received_at: Timestamp,
            scope: Option<&'a str>,
        }
        Plain {
            access_token: self.access_token.expose_secret(),
            refresh_token: self.refresh_token.as_ref().map(ExposeSecret::expose_secret),
            id_token: self.id_token.as_ref().map(ExposeSecret::expose_secret),
            access_expires_at: self.access_expires_at,
            received_at: self.received_at,
            scope: self.scope.as_deref(),
        }
        .serialize(serializer)
    }
}
