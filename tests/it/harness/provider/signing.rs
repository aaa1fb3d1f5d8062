//! Signed tokens, the proper ones and every wrong kind.

use std::sync::LazyLock;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

/// How the next ID tokens are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signing {
    /// As announced; ES256 or RS256.
    Proper(String),
    /// With the client secret as key (algorithm confusion by HMAC).
    Hs256(String),
    /// With the announced key's public bytes as HMAC key.
    Hs256PublicKey,
    /// `alg` says this and the signature part is empty.
    Unsigned(String),
    /// One bit of the signature is flipped.
    Flipped,
    /// Good head, good payload, empty signature.
    EmptySignature,
    /// Another key under the announced key id.
    ForeignKey,
    /// Another key under a key id that nobody knows.
    UnknownKey,
}

/// Keys are numbered from 1: key 2 has the ids `es-2` and `rs-2`. There are
/// [`GENERATIONS`] of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    pub signing: usize,
    pub published: Vec<usize>,
}

impl Default for Keys {
    fn default() -> Self {
        Self {
            signing: 1,
            published: vec![1],
        }
    }
}

const GENERATIONS: usize = 8;

/// Made when first wanted, once per test process: RSA keys are slow to make.
struct Pair {
    elliptic: LazyLock<EcdsaKeyPair>,
    rsa: LazyLock<RsaKeyPair>,
}

impl Pair {
    const fn unmade() -> Self {
        Self {
            elliptic: LazyLock::new(elliptic),
            rsa: LazyLock::new(|| RsaKeyPair::generate(KeySize::Rsa2048).expect("key")),
        }
    }
}

static PAIRS: [Pair; GENERATIONS] = [const { Pair::unmade() }; GENERATIONS];
static FOREIGN: LazyLock<EcdsaKeyPair> = LazyLock::new(elliptic);

fn elliptic() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("key")
}

fn pair(number: usize) -> &'static Pair {
    &PAIRS[number - 1]
}

pub(super) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The published keys as a JSON Web Key Set.
pub(super) fn key_set(keys: &Keys) -> Value {
    let both = |&number: &usize| {
        let point = pair(number).elliptic.public_key().as_ref();
        let (modulus, exponent) = rsa_numbers(&pair(number).rsa);
        [
            json!({ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256",
                "kid": format!("es-{number}"),
                "x": b64(&point[1..33]), "y": b64(&point[33..65]) }),
            json!({ "kty": "RSA", "use": "sig", "alg": "RS256",
                "kid": format!("rs-{number}"), "n": b64(modulus), "e": b64(exponent) }),
        ]
    };
    let all: Vec<Value> = keys.published.iter().flat_map(both).collect();
    json!({ "keys": all })
}

/// A compact JWS over `payload`; `alter` sees the head last.
pub(super) fn token(
    signing: &Signing,
    keys: &Keys,
    payload: &Map<String, Value>,
    alter: impl FnOnce(&mut Map<String, Value>),
) -> String {
    let elliptic = format!("es-{}", keys.signing);
    let (algorithm, kid) = match signing {
        Signing::Proper(algorithm) if algorithm == "RS256" => {
            ("RS256", format!("rs-{}", keys.signing))
        }
        Signing::Hs256(_) | Signing::Hs256PublicKey => ("HS256", elliptic),
        Signing::Unsigned(algorithm) => (algorithm.as_str(), elliptic),
        Signing::UnknownKey => ("ES256", "nobody-knows".to_owned()),
        _ => ("ES256", elliptic),
    };
    let keys = pair(keys.signing);
    let mut head = Map::new();
    head.insert("alg".to_owned(), json!(algorithm));
    head.insert("kid".to_owned(), json!(kid));
    alter(&mut head);
    let text = format!(
        "{}.{}",
        b64(Value::Object(head).to_string()),
        b64(Value::Object(payload.clone()).to_string())
    );
    let signature = match signing {
        Signing::Proper(algorithm) if algorithm == "RS256" => rs256(&keys.rsa, text.as_bytes()),
        Signing::Proper(_) => es256(&keys.elliptic, text.as_bytes()),
        Signing::Hs256(secret) => hs256(secret.as_bytes(), text.as_bytes()),
        Signing::Hs256PublicKey => hs256(keys.elliptic.public_key().as_ref(), text.as_bytes()),
        Signing::Unsigned(_) | Signing::EmptySignature => Vec::new(),
        Signing::Flipped => {
            let mut signature = es256(&keys.elliptic, text.as_bytes());
            signature[10] ^= 1;
            signature
        }
        Signing::ForeignKey | Signing::UnknownKey => es256(&FOREIGN, text.as_bytes()),
    };
    format!("{text}.{}", b64(signature))
}

fn es256(key: &EcdsaKeyPair, text: &[u8]) -> Vec<u8> {
    key.sign(&SystemRandom::new(), text)
        .expect("signs")
        .as_ref()
        .to_vec()
}

fn rs256(key: &RsaKeyPair, text: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; key.public_modulus_len()];
    key.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        text,
        &mut signature,
    )
    .expect("signs");
    signature
}

fn hs256(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text)
        .as_ref()
        .to_vec()
}

/// Modulus and exponent. The key's X.509 form ends in PKCS#1's
/// `SEQUENCE { INTEGER n, INTEGER e }`, and of 2048 bits the lengths are fixed:
/// 257 bytes (a leading zero) and three.
fn rsa_numbers(key: &RsaKeyPair) -> (Vec<u8>, Vec<u8>) {
    let der = key.public_key().as_der().expect("der");
    let der: &[u8] = der.as_ref();
    let exponent = der[der.len() - 3..].to_vec();
    let end = der.len() - 5;
    (der[end - 256..end].to_vec(), exponent)
}
