//! The demonstration provider's signing key: ES256, kept across restarts.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use jsonwebtoken::jwk::{Jwk, JwkSet, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde_json::Value;

pub(super) struct SigningKey {
    encoding: EncodingKey,
    public: Jwk,
    id: String,
}

/// The kept key is not a P-256 key in PKCS#8.
#[derive(Debug, thiserror::Error)]
#[error("the kept signing key cannot be read")]
pub struct BadKey;

/// A new private key, PKCS#8.
pub(super) fn generate() -> Vec<u8> {
    EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
        .expect("the system's random source answers")
        .as_ref()
        .to_vec()
}

impl SigningKey {
    pub(super) fn from_pkcs8(bytes: &[u8]) -> Result<Self, BadKey> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, bytes).map_err(|_| BadKey)?;
        let encoding = EncodingKey::from_ec_der(bytes);
        let mut public = Jwk::from_encoding_key(&encoding, Algorithm::ES256).map_err(|_| BadKey)?;
        let id = blake3::derive_key("vestibule 2026 demo key id", bytes)[..8]
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>();
        public.common.key_id = Some(id.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        public.common.key_algorithm = Some(KeyAlgorithm::ES256);
        Ok(Self {
            encoding,
            public,
            id,
        })
    }

    pub(super) fn sign(&self, claims: &Value) -> String {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.id.clone());
        jsonwebtoken::encode(&header, claims, &self.encoding)
            .expect("the key was checked when it was read")
    }

    pub(super) fn key_set(&self) -> JwkSet {
        JwkSet {
            keys: vec![self.public.clone()],
        }
    }

    /// The claims of a token that this key signed, however old it is: an
    /// `id_token_hint` may have ended (RP-Initiated Logout section 2).
    pub(super) fn verify(&self, token: &str) -> Option<Value> {
        let mut validation = Validation::new(Algorithm::ES256);
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let key = DecodingKey::from_jwk(&self.public).ok()?;
        let data = jsonwebtoken::decode::<Value>(token, &key, &validation).ok()?;
        Some(data.claims)
    }
}
