//! Signed tokens, the proper ones and every wrong kind.

use std::sync::OnceLock;

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

struct Keys {
    elliptic: EcdsaKeyPair,
    foreign: EcdsaKeyPair,
    rsa: RsaKeyPair,
}

/// Made once per test process: RSA keys are slow to make.
fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| Keys {
        elliptic: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("key"),
        foreign: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("key"),
        rsa: RsaKeyPair::generate(KeySize::Rsa2048).expect("key"),
    })
}

pub(super) fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The public keys as a JSON Web Key Set.
pub(super) fn key_set() -> Value {
    let point = keys().elliptic.public_key().as_ref();
    let (modulus, exponent) = rsa_numbers();
    json!({ "keys": [
        { "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "es-1",
          "x": b64(&point[1..33]), "y": b64(&point[33..65]) },
        { "kty": "RSA", "use": "sig", "alg": "RS256", "kid": "rs-1",
          "n": b64(modulus), "e": b64(exponent) },
    ]})
}

/// A compact JWS over `payload`; `alter` sees the head last.
pub(super) fn token(
    signing: &Signing,
    payload: &Map<String, Value>,
    alter: impl FnOnce(&mut Map<String, Value>),
) -> String {
    let (algorithm, kid) = match signing {
        Signing::Proper(algorithm) if algorithm == "RS256" => ("RS256", "rs-1"),
        Signing::Hs256(_) | Signing::Hs256PublicKey => ("HS256", "es-1"),
        Signing::Unsigned(algorithm) => (algorithm.as_str(), "es-1"),
        Signing::UnknownKey => ("ES256", "nobody-knows"),
        _ => ("ES256", "es-1"),
    };
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
        Signing::Proper(algorithm) if algorithm == "RS256" => rs256(text.as_bytes()),
        Signing::Proper(_) => es256(&keys().elliptic, text.as_bytes()),
        Signing::Hs256(secret) => hs256(secret.as_bytes(), text.as_bytes()),
        Signing::Hs256PublicKey => hs256(keys().elliptic.public_key().as_ref(), text.as_bytes()),
        Signing::Unsigned(_) | Signing::EmptySignature => Vec::new(),
        Signing::Flipped => {
            let mut signature = es256(&keys().elliptic, text.as_bytes());
            signature[10] ^= 1;
            signature
        }
        Signing::ForeignKey | Signing::UnknownKey => es256(&keys().foreign, text.as_bytes()),
    };
    format!("{text}.{}", b64(signature))
}

fn es256(key: &EcdsaKeyPair, text: &[u8]) -> Vec<u8> {
    key.sign(&SystemRandom::new(), text)
        .expect("signs")
        .as_ref()
        .to_vec()
}

fn rs256(text: &[u8]) -> Vec<u8> {
    let key = &keys().rsa;
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
fn rsa_numbers() -> (Vec<u8>, Vec<u8>) {
    let der = keys().rsa.public_key().as_der().expect("der");
    let der: &[u8] = der.as_ref();
    let exponent = der[der.len() - 3..].to_vec();
    let end = der.len() - 5;
    (der[end - 256..end].to_vec(), exponent)
}
