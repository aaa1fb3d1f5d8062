//! What lies in the server: names of keys and forms of values.
//!
//! A session is three plain strings, not one hash: a hash with large fields
//! is no smaller, and servers invalidate by key, so noting that a session is
//! in use would evict its identity from every cache. The braces are a hash tag: a cluster keeps the three in one slot, so that one
//! script and one read may name them.

use bytes::Bytes;

use crate::base::clock::Timestamp;
use crate::session::record::{SessionId, TokenHeader};
use crate::session::store::changes::Changed;
use crate::session::store::{Digest, Loaded, StoreError, StoredSession};

/// First byte of a tombstone, where a live record has its format. The
/// time of ending follows, 8 bytes, big endian.
const TOMBSTONE_FORMAT: u8 = 0;

/// The names of a session's keys.
pub struct SessionKeys {
    /// Plain header and sealed tokens, or a tombstone: decides whether the
    /// session lives.
    pub tokens: String,
    /// Sealed; small, and read on each request that no cache answers.
    pub identity: String,
    /// Sealed; not read with the session.
    pub listing: String,
}

impl SessionKeys {
    pub fn new(prefix: &str, session: SessionId) -> Self {
        let id = hex(&session.0);
        let name = |kind| format!("{prefix}:{kind}:{{{id}}}");
        Self {
            tokens: name('t'),
            identity: name('i'),
            listing: name('l'),
        }
    }
}

/// Entries that stand alone: each is one key in a slot of its own.
#[derive(Clone, Copy)]
pub enum Entry {
    /// What a cookie leads to.
    Ticket,
    /// The sessions of one subject.
    Index,
    /// Single use.
    Once,
    /// For one caller to take.
    PutDown,
    /// The first value, for good.
    Pin,
    /// What happened, oldest first.
    History,
}

impl Entry {
    pub fn key(self, prefix: &str, name: Digest) -> String {
        let kind = match self {
            Self::Ticket => 'c',
            Self::Index => 's',
            Self::Once => 'o',
            Self::PutDown => 'g',
            Self::Pin => 'p',
            Self::History => 'h',
        };
        format!("{prefix}:{kind}:{}", hex(&name.0))
    }
}

pub fn probe_key(prefix: &str) -> String {
    format!("{prefix}:probe")
}

/// Of one tracked connection, to see whether changes are told there.
pub fn token_key(prefix: &str, token: [u8; 16]) -> String {
    format!("{}:{}", probe_key(prefix), hex(&token))
}

/// What changes with this key, if requests read it.
pub fn named(prefix: &str, key: &[u8]) -> Option<Changed> {
    let rest = key.strip_prefix(prefix.as_bytes())?;
    match rest.split_at_checked(3)? {
        (b":c:", name) => unhex(name).map(|name| Changed::Ticket(Digest(name))),
        (b":t:" | b":i:", tag) => {
            let id = tag.strip_prefix(b"{")?.strip_suffix(b"}")?;
            unhex(id).map(|id| Changed::Session(SessionId(id)))
        }
        _ => None,
    }
}

fn unhex<const LENGTH: usize>(text: &[u8]) -> Option<[u8; LENGTH]> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let mut bytes = [0; LENGTH];
    if text.len() != LENGTH * 2 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()?;
    }
    Some(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The value of the token key of a live session.
pub fn live_value(header: &TokenHeader, tokens: &[u8]) -> Vec<u8> {
    [&header.encode()[..], tokens].concat()
}

pub fn tombstone_value(at: Timestamp) -> Vec<u8> {
    [&[TOMBSTONE_FORMAT][..], &at.0.to_be_bytes()].concat()
}

/// What the token key and the identity key of a session say together. A
/// server that is told to evict may drop one of them: then the session is
/// missing, for nothing can be made of the other.
pub fn read(tokens: Option<Vec<u8>>, identity: Option<Vec<u8>>) -> Result<Loaded, StoreError> {
    let Some(record) = tokens.map(Bytes::from) else {
        return Ok(Loaded::Missing);
    };
    match record.split_first() {
        Some((&TOMBSTONE_FORMAT, at)) => match at.try_into() {
            Ok(at) => Ok(Loaded::Tombstone {
                at: Timestamp(u64::from_be_bytes(at)),
            }),
            Err(_) => Err(StoreError::Corrupt("tombstone has another length".into())),
        },
        _ => {
            let (header, tokens) = TokenHeader::split(&record)
                .map_err(|error| StoreError::Corrupt(error.to_string()))?;
            let tokens = record.slice_ref(tokens);
            Ok(identity.map_or(Loaded::Missing, |identity| {
                Loaded::Live(StoredSession {
                    identity: identity.into(),
                    header,
                    tokens,
                })
            }))
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::session::record::{Fingerprint, HEADER_LENGTH};

    #[test]
    fn the_names_are_final() {
        let keys = SessionKeys::new("p", SessionId([0xab; 16]));
        let id = "ab".repeat(16);
        assert_eq!(keys.tokens, format!("p:t:{{{id}}}"));
        assert_eq!(keys.identity, format!("p:i:{{{id}}}"));
        assert_eq!(keys.listing, format!("p:l:{{{id}}}"));
        let name = Digest([0xcd; 32]);
        let hex = "cd".repeat(32);
        assert_eq!(Entry::Ticket.key("p", name), format!("p:c:{hex}"));
        assert_eq!(Entry::Index.key("p", name), format!("p:s:{hex}"));
        assert_eq!(Entry::Once.key("p", name), format!("p:o:{hex}"));
        assert_eq!(Entry::PutDown.key("p", name), format!("p:g:{hex}"));
        assert_eq!(Entry::Pin.key("p", name), format!("p:p:{hex}"));
        assert_eq!(Entry::History.key("p", name), format!("p:h:{hex}"));
    }

    #[test]
    fn names_lead_back_to_what_they_name() {
        let (id, name) = (SessionId([0xab; 16]), Digest([0xc0; 32]));
        let keys = SessionKeys::new("a:b", id);
        let of = |key: &str| named("a:b", key.as_bytes());
        assert_eq!(of(&keys.tokens), Some(Changed::Session(id)));
        assert_eq!(of(&keys.identity), Some(Changed::Session(id)));
        assert_eq!(
            of(&Entry::Ticket.key("a:b", name)),
            Some(Changed::Ticket(name))
        );
        for other in [Entry::Index, Entry::Once, Entry::PutDown, Entry::Pin] {
            assert_eq!(of(&other.key("a:b", name)), None);
        }
        assert_eq!(of(&keys.listing), None, "not read with a session");
        assert_eq!(of(&token_key("a:b", [7; 16])), None);
        assert_eq!(named("a", keys.tokens.as_bytes()), None);
        for cut in 0..keys.tokens.len() {
            assert_eq!(of(&keys.tokens[..cut]), None);
        }
    }

    proptest! {
        #[test]
        fn names_of_others_are_nobodys(key in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(named("a:b", &key), None);
            let ours = [b"a:b:t:{", &key[..], b"}"].concat();
            let hex = key.len() == 32 && key.iter().all(u8::is_ascii_hexdigit);
            prop_assert_eq!(named("a:b", &ours).is_some(), hex);
        }

        #[test]
        fn no_bytes_panic(
            tokens in proptest::collection::vec(any::<u8>(), 0..120),
            format in 0_u8..4,
        ) {
            let mut value = vec![format];
            value.extend(tokens);
            let length = match format {
                1 => HEADER_LENGTH - 10,
                _ => HEADER_LENGTH,
            };
            // The flag is 0 or 1.
            let live = value.len() >= length
                && (format == 1 || (format == 2 && value[100] < 2));
            let ended = format == TOMBSTONE_FORMAT && value.len() == 9;
            let loaded = read(Some(value.clone()), Some(vec![1]));
            prop_assert_eq!(matches!(loaded, Ok(Loaded::Live(_))), live);
            prop_assert_eq!(matches!(loaded, Ok(Loaded::Tombstone { .. })), ended);
            let halved = read(Some(value), None);
            prop_assert_eq!(matches!(halved, Ok(Loaded::Missing)), live);
        }
    }

    #[test]
    fn a_record_is_header_and_tokens() {
        let header = TokenHeader::new(Fingerprint([1; 16]), Timestamp(2), Timestamp(3));
        let value = live_value(&header, b"sealed");
        let Ok(Loaded::Live(session)) = read(Some(value), Some(vec![1])) else {
            panic!("it lives");
        };
        assert_eq!(
            (session.header, &session.tokens[..]),
            (header, &b"sealed"[..])
        );
    }
}
