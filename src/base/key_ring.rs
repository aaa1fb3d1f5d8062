//! The key ring: text, one base64 key of 32 random bytes per line. The first
//! key writes, all of them read. Lines that are empty or begin with `#` are
//! passed over.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::random;

/// At most this many keys: a ring is tried key by key in places.
pub const MAX_KEYS: usize = 16;

/// Two bytes that name a key without telling anything about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId(pub [u8; 2]);

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02x}{:02x}", self.0[0], self.0[1])
    }
}

/// One key of the ring. Unprintable; wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct RingKey {
    #[zeroize(skip)]
    id: KeyId,
    material: [u8; 32],
}

impl std::fmt::Debug for RingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RingKey({})", self.id)
    }
}

impl RingKey {
    fn new(material: [u8; 32]) -> Self {
        let digest = blake3::derive_key("vestibule 2026 key id", &material);
        Self {
            id: KeyId([digest[0], digest[1]]),
            material,
        }
    }

    pub fn id(&self) -> KeyId {
        self.id
    }

    /// A key for one purpose, independent of those for all other purposes.
    /// `parts` are bound with their lengths.
    pub fn derive(&self, purpose: &'static str, parts: &[&[u8]]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.material);
        for part in [purpose.as_bytes()].iter().chain(parts) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }
}

/// What is wrong with the text of a key ring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    #[error("holds no key; `vestibule keys generate` prints one")]
    Empty,
    #[error("line {line}: not the base64 of 32 bytes; `vestibule keys generate` prints one")]
    Malformed { line: usize },
    #[error("line {line}: a key of one repeated byte, or a sample key, protects nothing")]
    Weak { line: usize },
    #[error("line {line}: the same key stands on line {first}")]
    Repeated { line: usize, first: usize },
    #[error("line {line}: its short id is that of line {first} by chance; generate another key")]
    SameId { line: usize, first: usize },
    #[error("holds more than {MAX_KEYS} keys; drop those older than session.lifetime")]
    TooMany,
}

/// The keys of one installation, shared by all its replicas.
#[derive(Debug, Clone)]
pub struct KeyRing {
    keys: Vec<RingKey>,
}

impl KeyRing {
    pub fn parse(text: &str) -> Result<Self, KeyRingError> {
        let mut keys: Vec<(usize, RingKey)> = Vec::new();
        for (index, raw) in text.lines().enumerate() {
            let line = index + 1;
            let entry = raw.trim();
            if entry.is_empty() || entry.starts_with('#') {
                continue;
            }
            let material = decode(entry).ok_or(KeyRingError::Malformed { line })?;
            if material.iter().all(|byte| *byte == material[0]) {
                return Err(KeyRingError::Weak { line });
            }
            let key = RingKey::new(material);
            for (first, other) in &keys {
                let first = *first;
                if other.material == key.material {
                    return Err(KeyRingError::Repeated { line, first });
                }
                if other.id == key.id {
                    return Err(KeyRingError::SameId { line, first });
                }
            }
            if keys.len() == MAX_KEYS {
                return Err(KeyRingError::TooMany);
            }
            keys.push((line, key));
        }
        if keys.is_empty() {
            return Err(KeyRingError::Empty);
        }
        Ok(Self {
            keys: keys.into_iter().map(|(_, key)| key).collect(),
        })
    }

    /// The text of a ring with one fresh key.
    pub fn generate() -> String {
        format!("{}\n", STANDARD.encode(random::bytes::<32>()))
    }

    /// The key that writes.
    pub fn writer(&self) -> &RingKey {
        &self.keys[0]
    }

    /// Every key, the writing one first.
    pub fn all(&self) -> &[RingKey] {
        &self.keys
    }

    pub fn find(&self, id: KeyId) -> Option<&RingKey> {
        self.keys.iter().find(|key| key.id == id)
    }
}

fn decode(entry: &str) -> Option<[u8; 32]> {
    [&STANDARD, &URL_SAFE, &URL_SAFE_NO_PAD]
        .iter()
        .find_map(|engine| engine.decode(entry).ok())
        .and_then(|bytes| bytes.try_into().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_ring_parses_and_derives_by_purpose() {
        let ring = KeyRing::parse(&KeyRing::generate()).unwrap();
        let key = ring.writer();
        assert_eq!(key.derive("a", &[b"x"]), key.derive("a", &[b"x"]));
        assert_ne!(key.derive("a", &[b"x"]), key.derive("b", &[b"x"]));
        assert_ne!(key.derive("a", &[b"xy"]), key.derive("a", &[b"x", b"y"]));
        assert!(ring.find(key.id()).is_some());
    }

    #[test]
    fn sec_ses_07_weak_or_malformed_rings_are_refused() {
        let good = KeyRing::generate();
        let good = good.trim();
        for (text, expected) in [
            (String::new(), KeyRingError::Empty),
            ("# nothing\n\n".into(), KeyRingError::Empty),
            ("hello".into(), KeyRingError::Malformed { line: 1 }),
            (
                STANDARD.encode([1_u8; 16]),
                KeyRingError::Malformed { line: 1 },
            ),
            (STANDARD.encode([0_u8; 32]), KeyRingError::Weak { line: 1 }),
            (
                format!("{good}\n# old\n{good}\n"),
                KeyRingError::Repeated { line: 3, first: 1 },
            ),
        ] {
            assert_eq!(KeyRing::parse(&text).unwrap_err(), expected, "{text:?}");
        }
    }

    #[test]
    fn no_key_is_printable() {
        let text = KeyRing::generate();
        let printed = format!("{:?}", KeyRing::parse(&text).unwrap());
        assert!(!printed.contains(text.trim()), "{printed}");
    }
}
