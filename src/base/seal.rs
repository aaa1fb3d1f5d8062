//! Seals: AES-256-GCM with a random nonce. A seal binds what the value is and
//! where it belongs, so a value that was swapped or retyped does not open.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::random;

/// The version of the sealed format; part of the binding.
pub const FORMAT: u8 = 1;

/// What a sealed value is bound to. Two values are interchangeable only if
/// all three are equal.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// The installation: `redis.key_prefix` or the database's namespace.
    pub namespace: &'a str,
    /// What kind of value this is: "ticket", "identity", "tokens", …
    pub kind: &'static str,
    /// The name under which it is stored.
    pub name: &'a [u8],
}

/// The value was not sealed with this key for this place, or was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("sealed value does not open")]
pub struct BrokenSeal;

/// nonce (12) | ciphertext | tag (16)
pub fn seal(key: &[u8; 32], binding: Binding<'_>, plain: &[u8]) -> Vec<u8> {
    let nonce = random::bytes::<NONCE_LEN>();
    let mut out = Vec::with_capacity(NONCE_LEN + plain.len() + AES_256_GCM.tag_len());
    out.extend_from_slice(&nonce);
    out.extend_from_slice(plain);
    let tag = cipher(key)
        .seal_in_place_separate_tag(
            Nonce::assume_unique_for_key(nonce),
            aad(binding),
            &mut out[NONCE_LEN..],
        )
        .expect("records are far below the cipher's length limit");
    out.extend_from_slice(tag.as_ref());
    out
}

pub fn open(key: &[u8; 32], binding: Binding<'_>, sealed: &[u8]) -> Result<Vec<u8>, BrokenSeal> {
    let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(BrokenSeal)?;
    let mut body = body.to_vec();
    let length = cipher(key)
        .open_in_place(
            Nonce::assume_unique_for_key(*nonce),
            aad(binding),
            &mut body,
        )
        .map_err(|_| BrokenSeal)?
        .len();
    body.truncate(length);
    Ok(body)
}

fn cipher(key: &[u8; 32]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).expect("the key has 32 bytes"))
}

/// Length-prefixed, so that no two bindings have the same bytes.
fn aad(binding: Binding<'_>) -> Aad<Vec<u8>> {
    let mut out = vec![FORMAT];
    for part in [
        binding.namespace.as_bytes(),
        binding.kind.as_bytes(),
        binding.name,
    ] {
        out.extend_from_slice(&(part.len() as u64).to_be_bytes());
        out.extend_from_slice(part);
    }
    Aad::from(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Binding<'static> = Binding {
        namespace: "vestibule",
        kind: "tokens",
        name: b"a",
    };

    #[test]
    fn opens_what_it_sealed() {
        let key = random::bytes();
        let sealed = seal(&key, PLACE, b"hello");
        assert_eq!(open(&key, PLACE, &sealed).unwrap(), b"hello");
    }

    #[test]
    fn a_swapped_retyped_or_changed_value_does_not_open() {
        let key = random::bytes();
        let sealed = seal(&key, PLACE, b"hello");
        let other_name = Binding {
            name: b"b",
            ..PLACE
        };
        let other_kind = Binding {
            kind: "identity",
            ..PLACE
        };
        let other_namespace = Binding {
            namespace: "other",
            ..PLACE
        };
        for binding in [other_name, other_kind, other_namespace] {
            assert_eq!(open(&key, binding, &sealed), Err(BrokenSeal));
        }
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&key, PLACE, &changed), Err(BrokenSeal));
        }
        for length in 0..sealed.len() {
            assert_eq!(open(&key, PLACE, &sealed[..length]), Err(BrokenSeal));
        }
        assert_eq!(open(&random::bytes(), PLACE, &sealed), Err(BrokenSeal));
    }
}
