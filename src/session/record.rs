//! The stored forms: record keys, the token header, lifetimes.

use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;

/// The store's name for a session. Unguessable, never sent to a browser.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SessionId(pub [u8; 16]);

impl SessionId {
    /// A short digest for logs and `why`; never the id itself.
    pub fn reference(&self) -> String {
        let digest = blake3::derive_key("vestibule 2026 session reference", &self.0);
        digest[..5]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

impl std::fmt::Debug for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SessionId({})", self.reference())
    }
}

/// Digest of a refresh token, keyed with the session's data key: says
/// "same token" without telling which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Fingerprint(pub [u8; 16]);

impl Fingerprint {
    pub const NONE: Self = Self([0; 16]);

    pub fn is_none(self) -> bool {
        self == Self::NONE
    }
}

/// Who holds a lease: one refresh attempt of one replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Owner(pub [u8; 16]);

/// The version of the token record's layout.
pub const TOKEN_FORMAT: u8 = 1;
/// Bytes of the plaintext header.
pub const HEADER_LENGTH: usize = 99;

/// The plaintext half of the token record: what stores decide on. Layout, big
/// endian: format 1 | version 8 | `rt_fp` 16 | `intent_fp` 16 | owner 16 |
/// tries 1 | `sent_at` 8 | `lease_until` 8 | `retry_at` 8 | `fail_class` 1 |
/// `access_exp` 8 | `last_seen` 8 = 99 bytes, then the sealed body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenHeader {
    pub version: u64,
    /// The refresh token that is current; NONE where there is none.
    pub rt_fp: Fingerprint,
    /// The refresh token that somebody set out to spend; NONE when no
    /// refresh is under way or unknown.
    pub intent_fp: Fingerprint,
    pub owner: Owner,
    /// How often `intent_fp` was claimed for sending.
    pub tries: u8,
    /// When the latest claim was made, by the store's clock.
    pub sent_at: Timestamp,
    pub lease_until: Timestamp,
    /// No claim before this (back-off shared by replicas).
    pub retry_at: Timestamp,
    /// Why `retry_at` was set: a class of `refresh`, 0 = none.
    pub fail_class: u8,
    pub access_exp: Timestamp,
    pub last_seen: Timestamp,
}
