//! The ticket: what a browser carries.
//!
//! `v1.` + base64url(key id 2 | ticket id 16 | secret 32 | MAC 16), 91
//! characters. The MAC covers version, key id, namespace, scope, id and
//! secret, so garbage, a wrong secret and a wrong scope are one rejection,
//! before any lookup.

use crate::base::key_ring::KeyId;

/// Where a ticket is valid: a host (with port if written) or a cookie domain.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope(pub String);

/// A ticket whose MAC was checked, or that we made. Unprintable: the secret
/// half opens the records.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Ticket {
    pub(super) key: KeyId,
    pub(super) id: [u8; 16],
    pub(super) secret: [u8; 32],
    pub(super) scope: Scope,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ticket")
    }
}
