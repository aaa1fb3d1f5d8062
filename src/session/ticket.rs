//! The ticket: what a browser carries.
//!
//! `v1.` + base64url(key id 2 | ticket id 16 | secret 32 | MAC 16), 91
//! characters. The MAC covers version, key id, namespace, scope, id and
//! secret, so garbage, a wrong secret and a wrong scope are one rejection,
//! before any lookup.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::store::Digest;
use crate::base::fault::{Blame, Fault};
use crate::base::key_ring::{KeyId, KeyRing, RingKey};

const VERSION: &str = "v1.";
const RAW_LENGTH: usize = 2 + 16 + 32 + 16;
/// Characters of a ticket's text; everything else is no ticket.
pub const TEXT_LENGTH: usize = VERSION.len() + RAW_LENGTH / 3 * 4;

/// Where a ticket is valid: a host, without a port as cookies have none, or a
/// cookie domain.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Scope(pub String);

/// Why a text is not a ticket of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// Garbage, forged, changed, or made for another scope or installation:
    /// deliberately not told apart.
    #[error("not a ticket of this installation and scope")]
    Rejected,
    /// Has the form of a ticket, but its key is not in the ring (any more).
    #[error("ticket was made with a key that is not in the ring")]
    UnknownKey,
}

impl Fault for TicketError {
    fn blame(&self) -> Blame {
        Blame::Client
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Rejected => "ticket_rejected",
            Self::UnknownKey => "ticket_key_unknown",
        }
    }
}

/// One key of the ring with what tickets need of it, derived once.
struct TicketKey {
    ring: RingKey,
    mac: [u8; 32],
    name: [u8; 32],
}

impl Drop for TicketKey {
    fn drop(&mut self) {
        self.mac.zeroize();
        self.name.zeroize();
    }
}

/// The ring, prepared for tickets of one installation.
pub struct TicketKeys {
    namespace: String,
    /// Never empty; the writing key first.
    keys: Vec<TicketKey>,
}

impl TicketKeys {
    /// `namespace` names the installation; it is bound into every MAC.
    pub fn new(ring: &KeyRing, namespace: &str) -> Self {
        let keys = ring.all().iter().map(|key| TicketKey {
            ring: key.clone(),
            mac: key.derive("ticket mac", &[]),
            name: key.derive("ticket name", &[]),
        });
        Self {
            namespace: namespace.to_owned(),
            keys: keys.collect(),
        }
    }

    fn find(&self, id: KeyId) -> Option<&TicketKey> {
        self.keys.iter().find(|key| key.ring.id() == id)
    }
}

/// A ticket whose MAC was checked, or that we made. Unprintable: the secret
/// half opens the records. Wiped when dropped.
#[derive(Clone, PartialEq, Eq, Hash, Zeroize, ZeroizeOnDrop)]
pub struct Ticket {
    #[zeroize(skip)]
    pub(super) key: KeyId,
    pub(super) id: [u8; 16],
    pub(super) secret: [u8; 32],
    pub(super) mac: [u8; 16],
    #[zeroize(skip)]
    pub(super) scope: Scope,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ticket")
    }
}

impl Ticket {
    /// Checks form and MAC. At most one MAC is computed, whatever the text.
    pub fn parse(text: &str, keys: &TicketKeys, scope: &Scope) -> Result<Self, TicketError> {
        if text.len() != TEXT_LENGTH {
            return Err(TicketError::Rejected);
        }
        let body = text.strip_prefix(VERSION).ok_or(TicketError::Rejected)?;
        // One byte of room more than needed: the decoder asks for an estimate.
        let mut raw = [0_u8; RAW_LENGTH + 3];
        let length = URL_SAFE_NO_PAD
            .decode_slice(body, &mut raw)
            .map_err(|_| TicketError::Rejected)?;
        let raw = raw.get(..length).ok_or(TicketError::Rejected)?;
        let (key, rest) = raw.split_first_chunk().ok_or(TicketError::Rejected)?;
        let (id, rest) = rest.split_first_chunk().ok_or(TicketError::Rejected)?;
        let (secret, mac) = rest.split_first_chunk().ok_or(TicketError::Rejected)?;
        let key = keys.find(KeyId(*key)).ok_or(TicketError::UnknownKey)?;
        let expected = mac_of(key, &keys.namespace, scope, id, secret);
        if !bool::from(expected.ct_eq(mac)) {
            return Err(TicketError::Rejected);
        }
        Ok(Self {
            key: key.ring.id(),
            id: *id,
            secret: *secret,
            mac: expected,
            scope: scope.clone(),
        })
    }

    /// The ticket that belongs to `seed`, under the writing key. The same
    /// seed, scope and key give the same ticket; the seed must be secret and
    /// unguessable.
    pub fn derive(keys: &TicketKeys, seed: &[u8], scope: &Scope) -> Self {
        Self::derive_under(&keys.keys[0], &keys.namespace, seed, scope)
    }

    /// What [`Ticket::derive`] gave or would give under each key of the ring,
    /// the writing key first: the key may have changed since.
    pub fn derive_all(keys: &TicketKeys, seed: &[u8], scope: &Scope) -> Vec<Self> {
        let derive = |key| Self::derive_under(key, &keys.namespace, seed, scope);
        keys.keys.iter().map(derive).collect()
    }

    fn derive_under(key: &TicketKey, namespace: &str, seed: &[u8], scope: &Scope) -> Self {
        let parts: [&[u8]; 3] = [namespace.as_bytes(), scope.0.as_bytes(), seed];
        let wide = key.ring.derive("ticket id", &parts);
        let mut id = [0; 16];
        id.copy_from_slice(&wide[..16]);
        let secret = key.ring.derive("ticket secret", &parts);
        Self {
            key: key.ring.id(),
            id,
            mac: mac_of(key, namespace, scope, &id, &secret),
            secret,
            scope: scope.clone(),
        }
    }

    /// What goes into the cookie.
    pub fn text(&self) -> String {
        let mut raw = [0_u8; RAW_LENGTH];
        raw[..2].copy_from_slice(&self.key.0);
        raw[2..18].copy_from_slice(&self.id);
        raw[18..50].copy_from_slice(&self.secret);
        raw[50..].copy_from_slice(&self.mac);
        let mut text = String::with_capacity(TEXT_LENGTH);
        text.push_str(VERSION);
        URL_SAFE_NO_PAD.encode_string(raw, &mut text);
        raw.zeroize();
        text
    }

    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The name under which a store keeps the ticket's record: tells nothing
    /// of the ticket. `None` if the key left the ring meanwhile.
    pub fn digest(&self, keys: &TicketKeys) -> Option<Digest> {
        let key = keys.find(self.key)?;
        Some(Digest(*blake3::keyed_hash(&key.name, &self.id).as_bytes()))
    }
}

fn mac_of(
    key: &TicketKey,
    namespace: &str,
    scope: &Scope,
    id: &[u8; 16],
    secret: &[u8; 32],
) -> [u8; 16] {
    let ring_id = key.ring.id();
    let (namespace, scope) = (namespace.as_bytes(), scope.0.as_bytes());
    let lengths = [namespace, scope].map(|part| (part.len() as u64).to_le_bytes());
    let parts: [&[u8]; 8] = [
        VERSION.as_bytes(),
        &ring_id.0,
        id,
        secret,
        &lengths[0],
        namespace,
        &lengths[1],
        scope,
    ];
    // In one piece it costs half of what a hasher does that is fed.
    let mut text = [0_u8; 512];
    let mut used = 0;
    let fits = parts.iter().all(|part| {
        let room = text.get_mut(used..used + part.len());
        used += part.len();
        room.map(|room| room.copy_from_slice(part)).is_some()
    });
    let digest = if fits {
        blake3::keyed_hash(&key.mac, &text[..used])
    } else {
        let mut hasher = blake3::Hasher::new_keyed(&key.mac);
        parts.iter().for_each(|part| {
            hasher.update(part);
        });
        hasher.finalize()
    };
    let mut mac = [0; 16];
    mac.copy_from_slice(&digest.as_bytes()[..16]);
    mac
}

#[cfg(test)]
mod tests;
