//! The stored forms: record names and the token record's header.

use serde::{Deserialize, Serialize};

use crate::base::clock::Timestamp;

/// The store's name for a session. Unguessable, never sent to a browser.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SessionId(pub [u8; 16]);

impl SessionId {
    /// A short digest for logs and `why`; never the id itself.
    pub fn reference(&self) -> String {
        self.reference_text().as_str().to_owned()
    }

    /// The same without a string on the heap. Every call hashes: keep it
    /// where it is wanted often.
    pub fn reference_text(&self) -> SessionReference {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let digest = blake3::derive_key("vestibule 2026 session reference", &self.0);
        let mut text = [0; 10];
        for (two, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(digest) {
            *two = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
        }
        SessionReference(text)
    }
}

/// What logs call a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionReference([u8; 10]);

impl SessionReference {
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// [`SessionReference::as_str`], which looks at each byte first.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
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
pub const TOKEN_FORMAT: u8 = 2;
/// Bytes of the plaintext header.
pub const HEADER_LENGTH: usize = 109;
/// The layout before: it ends after `last_seen`. Read, and brought up with
/// the next write of the header.
const FORMAT_1: u8 = 1;
const HEADER_LENGTH_1: usize = 99;

/// The plaintext half of the token record: what stores decide on. Layout, big
/// endian: format 1 | version 8 | `rt_fp` 16 | `intent_fp` 16 | owner 16 |
/// tries 1 | `sent_at` 8 | `lease_until` 8 | `retry_at` 8 | `fail_class` 1 |
/// `access_exp` 8 | `last_seen` 8 | failures 1 | graced 1 | `received_at` 8
/// = 109 bytes, then the sealed body.
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
    /// When `intent_fp` was claimed for the first time, by the store's clock.
    pub sent_at: Timestamp,
    pub lease_until: Timestamp,
    /// No claim before this (back-off shared by replicas).
    pub retry_at: Timestamp,
    /// Why `retry_at` was set: a class of `refresh`, 0 = none.
    pub fail_class: u8,
    pub access_exp: Timestamp,
    pub last_seen: Timestamp,
    /// Failed refreshes in a row: how long the next pause is.
    pub failures: u8,
    /// The present claim repeats an earlier one within the provider's grace
    /// and is not counted in `tries`.
    pub graced: bool,
    /// When the tokens were received; 0 in records that format 1 wrote.
    pub received_at: Timestamp,
}

/// The bytes are not a header of this format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("token header has another format or length")]
pub struct MalformedHeader;

impl TokenHeader {
    /// The header of a new session.
    pub fn new(rt_fp: Fingerprint, access_exp: Timestamp, now: Timestamp) -> Self {
        Self {
            version: 1,
            rt_fp,
            intent_fp: Fingerprint::NONE,
            owner: Owner::default(),
            tries: 0,
            sent_at: Timestamp(0),
            lease_until: Timestamp(0),
            retry_at: Timestamp(0),
            fail_class: 0,
            access_exp,
            last_seen: now,
            failures: 0,
            graced: false,
            received_at: now,
        }
    }

    pub fn encode(&self) -> [u8; HEADER_LENGTH] {
        let mut out = Vec::with_capacity(HEADER_LENGTH);
        out.push(TOKEN_FORMAT);
        out.extend_from_slice(&self.version.to_be_bytes());
        out.extend_from_slice(&self.rt_fp.0);
        out.extend_from_slice(&self.intent_fp.0);
        out.extend_from_slice(&self.owner.0);
        out.push(self.tries);
        for time in [self.sent_at, self.lease_until, self.retry_at] {
            out.extend_from_slice(&time.0.to_be_bytes());
        }
        out.push(self.fail_class);
        for time in [self.access_exp, self.last_seen] {
            out.extend_from_slice(&time.0.to_be_bytes());
        }
        out.extend_from_slice(&[self.failures, u8::from(self.graced)]);
        out.extend_from_slice(&self.received_at.0.to_be_bytes());
        out.try_into().expect("the fields have the header's length")
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, MalformedHeader> {
        let mut fields = Fields(bytes);
        let format = fields.byte()?;
        let mut header = Self {
            version: u64::from_be_bytes(fields.take()?),
            rt_fp: Fingerprint(fields.take()?),
            intent_fp: Fingerprint(fields.take()?),
            owner: Owner(fields.take()?),
            tries: fields.byte()?,
            sent_at: fields.time()?,
            lease_until: fields.time()?,
            retry_at: fields.time()?,
            fail_class: fields.byte()?,
            access_exp: fields.time()?,
            last_seen: fields.time()?,
            failures: 0,
            graced: false,
            received_at: Timestamp(0),
        };
        match format {
            TOKEN_FORMAT => {
                header.failures = fields.byte()?;
                header.graced = match fields.byte()? {
                    0 => false,
                    1 => true,
                    _ => return Err(MalformedHeader),
                };
                header.received_at = fields.time()?;
            }
            FORMAT_1 => {}
            _ => return Err(MalformedHeader),
        }
        fields.0.is_empty().then_some(header).ok_or(MalformedHeader)
    }

    /// Header and sealed body, where they stand one after the other.
    pub fn split(record: &[u8]) -> Result<(Self, &[u8]), MalformedHeader> {
        let length = match record.first() {
            Some(&FORMAT_1) => HEADER_LENGTH_1,
            _ => HEADER_LENGTH,
        };
        let (header, body) = record.split_at_checked(length).ok_or(MalformedHeader)?;
        Ok((Self::decode(header)?, body))
    }
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], MalformedHeader> {
        let (field, rest) = self.0.split_first_chunk().ok_or(MalformedHeader)?;
        self.0 = rest;
        Ok(*field)
    }

    fn byte(&mut self) -> Result<u8, MalformedHeader> {
        Ok(self.take::<1>()?[0])
    }

    fn time(&mut self) -> Result<Timestamp, MalformedHeader> {
        Ok(Timestamp(u64::from_be_bytes(self.take()?)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_header_survives_its_bytes(
            fps in any::<[[u8; 16]; 3]>(),
            times in any::<[u64; 6]>(),
            small in any::<[u8; 3]>(),
            graced in any::<bool>(),
            version in any::<u64>(),
        ) {
            let header = TokenHeader {
                version,
                rt_fp: Fingerprint(fps[0]),
                intent_fp: Fingerprint(fps[1]),
                owner: Owner(fps[2]),
                tries: small[0],
                sent_at: Timestamp(times[0]),
                lease_until: Timestamp(times[1]),
                retry_at: Timestamp(times[2]),
                fail_class: small[1],
                access_exp: Timestamp(times[3]),
                last_seen: Timestamp(times[4]),
                failures: small[2],
                graced,
                received_at: Timestamp(times[5]),
            };
            prop_assert_eq!(TokenHeader::decode(&header.encode()), Ok(header));
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            if let Ok(header) = TokenHeader::decode(&bytes) {
                let first = bytes.len().min(HEADER_LENGTH_1);
                prop_assert_eq!(&header.encode()[1..first], &bytes[1..first]);
            }
            drop(TokenHeader::split(&bytes));
        }

        #[test]
        fn a_header_of_format_1_is_read_and_leaves_the_rest_at_its_beginning(
            body in proptest::collection::vec(any::<u8>(), HEADER_LENGTH - HEADER_LENGTH_1..60),
        ) {
            let now = TokenHeader::new(Fingerprint([3; 16]), Timestamp(7), Timestamp(5));
            let mut record = now.encode()[..HEADER_LENGTH_1].to_vec();
            record[0] = FORMAT_1;
            record.extend(&body);
            let expected = TokenHeader { received_at: Timestamp(0), ..now };
            prop_assert_eq!(TokenHeader::split(&record), Ok((expected, &body[..])));
        }
    }

    #[test]
    fn another_format_or_length_is_refused() {
        let bytes = TokenHeader::new(Fingerprint::NONE, Timestamp(1), Timestamp(1)).encode();
        let mut other = bytes;
        other[0] = TOKEN_FORMAT + 1;
        assert_eq!(TokenHeader::decode(&other), Err(MalformedHeader));
        assert_eq!(TokenHeader::decode(&bytes[..108]), Err(MalformedHeader));
        assert!(TokenHeader::decode(&bytes).is_ok());
        other[0] = FORMAT_1;
        assert_eq!(TokenHeader::decode(&other), Err(MalformedHeader));
        assert!(TokenHeader::decode(&other[..99]).is_ok());
    }

    #[test]
    fn a_session_id_is_not_printed() {
        let id = SessionId([0xab; 16]);
        assert!(!format!("{id:?}").contains("abab"));
    }
}
