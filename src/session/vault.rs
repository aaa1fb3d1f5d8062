//! The sealed halves of the records: who can open what, and what each seal
//! repeats so that records cannot be swapped.
//!
//! The ticket record opens with ring key and ticket secret together, and
//! holds the session's own random data key; identity and tokens open with
//! that. The listing opens with a ring key alone, so that an operator can see
//! and end sessions without a ticket.

use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::record::{Fingerprint, SessionId, TokenHeader};
use super::store::Digest;
use crate::base::clock::Timestamp;
use crate::base::key_ring::RingKey;
use crate::base::random;
use crate::base::seal::{self, Binding, BrokenSeal};
use crate::model::identity::Identity;
use crate::model::tokens::TokenSet;

/// Opens the records of one session. Unprintable; wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct DataKey([u8; 32]);

/// What a ticket leads to.
pub struct TicketRecord {
    pub session: SessionId,
    pub data_key: DataKey,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
}

pub const TICKET_LENGTH: usize = 16 + 32 + 8 + 8;

impl TicketRecord {
    /// Into memory that is wiped; with room for `more` bytes.
    pub fn encode(&self, more: usize) -> Zeroizing<Vec<u8>> {
        let mut plain = Zeroizing::new(Vec::with_capacity(TICKET_LENGTH + more));
        plain.extend_from_slice(&self.session.0);
        plain.extend_from_slice(&self.data_key.0);
        plain.extend_from_slice(&self.created_at.0.to_be_bytes());
        plain.extend_from_slice(&self.expires_at.0.to_be_bytes());
        plain
    }

    pub fn decode(plain: &[u8]) -> Result<Self, BrokenSeal> {
        let (session, rest) = plain.split_first_chunk().ok_or(BrokenSeal)?;
        let (data_key, rest) = rest.split_first_chunk().ok_or(BrokenSeal)?;
        let (created_at, rest) = rest.split_first_chunk().ok_or(BrokenSeal)?;
        let expires_at = rest.try_into().map_err(|_| BrokenSeal)?;
        Ok(Self {
            session: SessionId(*session),
            data_key: DataKey(*data_key),
            created_at: Timestamp(u64::from_be_bytes(*created_at)),
            expires_at: Timestamp(u64::from_be_bytes(expires_at)),
        })
    }

    pub fn seal(&self, key: &RingKey, secret: &[u8; 32], name: Digest, namespace: &str) -> Vec<u8> {
        let plain = self.encode(0);
        let sealing = Zeroizing::new(key.derive("ticket record", &[secret]));
        seal::seal(&sealing, binding(namespace, "ticket", &name.0), &plain)
    }

    pub fn open(
        key: &RingKey,
        secret: &[u8; 32],
        name: Digest,
        namespace: &str,
        sealed: &[u8],
    ) -> Result<Self, BrokenSeal> {
        let sealing = Zeroizing::new(key.derive("ticket record", &[secret]));
        let plain = seal::open(&sealing, binding(namespace, "ticket", &name.0), sealed)?;
        Self::decode(&Zeroizing::new(plain))
    }
}

/// Seals and opens the records of one session.
pub struct Vault {
    namespace: Arc<str>,
    session: SessionId,
    data_key: DataKey,
}

impl DataKey {
    pub fn generate() -> Self {
        Self(random::bytes())
    }
}

impl Vault {
    pub fn new(namespace: Arc<str>, session: SessionId, data_key: DataKey) -> Self {
        Self {
            namespace,
            session,
            data_key,
        }
    }

    pub fn data_key(&self) -> DataKey {
        self.data_key.clone()
    }

    pub fn seal_identity(&self, identity: &Identity) -> Vec<u8> {
        let plain = serde_json::to_vec(identity).expect("an identity has only JSON's own forms");
        self.seal("identity", &plain)
    }

    pub fn open_identity(&self, sealed: &[u8]) -> Result<Identity, BrokenSeal> {
        let plain = self.open("identity", sealed)?;
        serde_json::from_slice(&plain).map_err(|_| BrokenSeal)
    }

    /// The body repeats the header's fingerprint, and a version that the
    /// header has reached: a body of an earlier or later token does not pass
    /// for this one.
    pub fn seal_tokens(&self, tokens: &TokenSet, version: u64) -> Vec<u8> {
        let mut plain = Zeroizing::new(Vec::with_capacity(8192));
        let fingerprint = self.fingerprint(tokens.refresh_token.as_ref());
        plain.extend_from_slice(&fingerprint.0);
        plain.extend_from_slice(&version.to_be_bytes());
        serde_json::to_writer(&mut *plain, tokens).expect("tokens have only JSON's own forms");
        self.seal("tokens", &plain)
    }

    pub fn open_tokens(&self, header: &TokenHeader, sealed: &[u8]) -> Result<TokenSet, BrokenSeal> {
        let plain = self.open("tokens", sealed)?;
        let (fingerprint, rest) = plain.split_first_chunk().ok_or(BrokenSeal)?;
        let (version, body) = rest.split_first_chunk().ok_or(BrokenSeal)?;
        let fits = Fingerprint(*fingerprint) == header.rt_fp
            && u64::from_be_bytes(*version) <= header.version;
        if !fits {
            return Err(BrokenSeal);
        }
        serde_json::from_slice(body).map_err(|_| BrokenSeal)
    }

    pub fn fingerprint(&self, refresh_token: Option<&SecretString>) -> Fingerprint {
        let Some(token) = refresh_token else {
            return Fingerprint::NONE;
        };
        let key = blake3::derive_key("vestibule 2026 refresh token fingerprint", &self.data_key.0);
        let digest = blake3::keyed_hash(&key, token.expose_secret().as_bytes());
        let mut fingerprint = [0; 16];
        fingerprint.copy_from_slice(&digest.as_bytes()[..16]);
        Fingerprint(fingerprint)
    }

    fn seal(&self, kind: &'static str, plain: &[u8]) -> Vec<u8> {
        let binding = binding(&self.namespace, kind, &self.session.0);
        seal::seal(&self.data_key.0, binding, plain)
    }

    fn open(&self, kind: &'static str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, BrokenSeal> {
        let binding = binding(&self.namespace, kind, &self.session.0);
        seal::open(&self.data_key.0, binding, sealed).map(Zeroizing::new)
    }
}

/// What an operator sees of a session.
#[derive(Serialize)]
pub struct Listing<'a> {
    pub issuer: &'a str,
    pub subject: &'a str,
    /// How the person is called: user name, mail address or name.
    pub label: Option<&'a str>,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    /// "Firefox", "Chrome", …; never the whole field.
    pub browser: Option<&'static str>,
}

impl Listing<'_> {
    /// key id 2 | seal
    pub fn seal(&self, key: &RingKey, session: SessionId, namespace: &str) -> Vec<u8> {
        let plain = serde_json::to_vec(self).expect("a listing has only JSON's own forms");
        let sealing = Zeroizing::new(key.derive("listing", &[]));
        let mut out = key.id().0.to_vec();
        let binding = binding(namespace, "listing", &session.0);
        out.extend(seal::seal(&sealing, binding, &plain));
        out
    }
}

/// The family of a browser. The order matters: most of them also name others.
pub fn browser_family(user_agent: &str) -> &'static str {
    const FAMILIES: [(&str, &str); 7] = [
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("FxiOS/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("CriOS/", "Chrome"),
        ("Safari/", "Safari"),
    ];
    FAMILIES
        .iter()
        .find(|(mark, _)| user_agent.contains(mark))
        .map_or("other", |(_, family)| family)
}

pub fn binding<'a>(namespace: &'a str, kind: &'static str, name: &'a [u8]) -> Binding<'a> {
    Binding {
        namespace,
        kind,
        name,
    }
}

#[cfg(test)]
mod tests;
