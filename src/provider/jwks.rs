//! The provider's signing keys (RFC 7517): fetched when a token needs them,
//! again at once when a token names a key we do not know, never more often
//! than a small budget allows.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use url::Url;

use super::client::HttpClient;
use super::document;
use super::error::{Class, Phase, ProviderError};
use super::metadata::{freshness, within};
use crate::base::clock::{Clock, Timestamp};

/// A document with more is refused before any key of it is read.
const KEYS_MAX: usize = 100;
/// Bits of an RSA modulus: below it is weak, above it is a way to burn time.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Bits of an RSA exponent; all providers use 65537.
const RSA_EXPONENT_BYTES: usize = 4;
/// Refetches for unknown keys: a bucket of five, one more every 12 s.
const REFETCH_BURST: u32 = 5;
const REFETCH_EVERY: Duration = Duration::from_secs(12);
/// How long old keys are used after their time while new ones cannot be had:
/// a key that the provider took back must not be good for ever.
const KEPT_WHILE_UNFETCHABLE: Duration = Duration::from_secs(600);
/// Logins that follow a failed first fetch fail at once for this long.
const FAILURE_KEPT: Duration = Duration::from_secs(2);

/// One usable public key.
pub struct Key {
    pub kid: Option<String>,
    shape: Shape,
    /// The only algorithm the key may be used with, where the set says so.
    algorithm: Option<String>,
    pub decoding: DecodingKey,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Key {
    /// Whether the key is of the kind that `algorithm`, named `name`, needs.
    pub fn fits(&self, algorithm: Algorithm, name: &str) -> bool {
        let shape = match algorithm {
            Algorithm::ES256 => Shape::P256,
            Algorithm::ES384 => Shape::P384,
            Algorithm::EdDSA => Shape::Ed25519,
            _ => Shape::Rsa,
        };
        shape == self.shape && self.algorithm.as_deref().is_none_or(|only| only == name)
    }

    fn read(jwk: &Map<String, Value>) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        if text("use").is_some_and(|usage| usage != "sig") {
            return None;
        }
        if let Some(operations) = jwk.get("key_ops").and_then(Value::as_array)
            && !operations.iter().any(|operation| operation == "verify")
        {
            return None;
        }
        let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
        let (shape, decoding) = match (text("kty")?, text("crv")) {
            ("RSA", _) => {
                let (modulus, exponent) = (bytes("n")?, bytes("e")?);
                let modulus = strip_zeros(&modulus);
                let bits = modulus.len() * 8 - modulus.first()?.leading_zeros() as usize;
                let exponent = strip_zeros(&exponent);
                let odd = exponent.last()? & 1 == 1;
                if !RSA_BITS.contains(&bits)
                    || exponent.len() > RSA_EXPONENT_BYTES
                    || !odd
                    || exponent == [1]
                {
                    return None;
                }
                let key = DecodingKey::from_rsa_raw_components(modulus, exponent);
                (Shape::Rsa, key)
            }
            ("EC", Some(curve @ ("P-256" | "P-384"))) => {
                let (shape, length) = match curve {
                    "P-256" => (Shape::P256, 32),
                    _ => (Shape::P384, 48),
                };
                if bytes("x")?.len() != length || bytes("y")?.len() != length {
                    return None;
                }
                let key = DecodingKey::from_ec_components(text("x")?, text("y")?).ok()?;
                (shape, key)
            }
            ("OKP", Some("Ed25519")) => {
                if bytes("x")?.len() != 32 {
                    return None;
                }
                let key = DecodingKey::from_ed_components(text("x")?).ok()?;
                (Shape::Ed25519, key)
            }
            _ => return None,
        };
        Some(Self {
            kid: text("kid").map(str::to_owned),
            shape,
            algorithm: text("alg").map(str::to_owned),
            decoding,
        })
    }
}

fn strip_zeros(bytes: &[u8]) -> &[u8] {
    let start = bytes.iter().position(|byte| *byte != 0);
    &bytes[start.unwrap_or(bytes.len())..]
}

/// Every usable key of a key set document; others are passed over.
fn read(object: &Map<String, Value>) -> Result<Vec<Key>, ProviderError> {
    let fault = |text| ProviderError::local(Phase::Keys, Class::BadResponse(text));
    let keys = object
        .get("keys")
        .and_then(Value::as_array)
        .ok_or_else(|| fault("it is not a key set"))?;
    if keys.len() > KEYS_MAX {
        return Err(fault("it holds too many keys"));
    }
    let keys = keys.iter().filter_map(Value::as_object);
    Ok(keys.filter_map(Key::read).collect())
}

/// The keys at one moment.
pub struct KeySet {
    pub keys: Vec<Key>,
    jwks_uri: Url,
    fetched_at: Timestamp,
    fresh_for: Duration,
}

struct Budget {
    left: u32,
    filled_at: Timestamp,
    /// The last fetch, if it failed: those who waited for it fail with it.
    failed: Option<(Timestamp, ProviderError)>,
}

/// The keys of one provider, fetched by one task at a time.
pub struct Keys {
    client: HttpClient,
    clock: Clock,
    held: ArcSwapOption<KeySet>,
    budget: Mutex<Budget>,
}

impl Keys {
    pub fn new(client: HttpClient, clock: Clock) -> Self {
        let budget = Mutex::new(Budget {
            left: REFETCH_BURST,
            filled_at: clock.now(),
            failed: None,
        });
        Self {
            client,
            clock,
            held: ArcSwapOption::empty(),
            budget,
        }
    }

    /// The keys as last fetched, fetched now if they are old. When that fails
    /// the old ones stay in use for ten minutes.
    pub async fn current(&self, jwks_uri: &Url) -> Result<Arc<KeySet>, ProviderError> {
        let now = self.clock.now();
        let held = self.held.load_full();
        match held {
            Some(set) if set.serves(jwks_uri, now) => Ok(set),
            Some(set) if set.serves_still(jwks_uri, now) => {
                Ok(self.refetch(jwks_uri, &set).await?.unwrap_or(set))
            }
            // Without a usable key the budget is no reason to fail: logins in a
            // row are served by the one fetch that the lock lets through.
            _ => {
                let mut turn = self.budget.lock().await;
                if let Some(set) = self.held.load_full()
                    && set.serves(jwks_uri, now)
                {
                    return Ok(set);
                }
                if let Some((at, error)) = &turn.failed
                    && within(self.clock.now(), *at, FAILURE_KEPT)
                {
                    return Err(error.clone());
                }
                let fetched = self.fetch(jwks_uri).await;
                turn.failed = match &fetched {
                    Ok(_) => None,
                    Err(error) => Some((self.clock.now(), error.clone())),
                };
                fetched
            }
        }
    }

    /// Newer keys than `seen`, because a token names a key that it lacks.
    /// `None` when the budget is spent or the provider cannot be asked.
    pub async fn refetch(
        &self,
        jwks_uri: &Url,
        seen: &Arc<KeySet>,
    ) -> Result<Option<Arc<KeySet>>, ProviderError> {
        let mut budget = self.budget.lock().await;
        if let Some(newer) = self.held.load_full()
            && !Arc::ptr_eq(&newer, seen)
        {
            return Ok(Some(newer));
        }
        if !budget.take(self.clock.now()) {
            return Ok(None);
        }
        match self.fetch(jwks_uri).await {
            Ok(set) => Ok(Some(set)),
            Err(error) => {
                tracing::warn!(
                    %jwks_uri,
                    reason = error.class.reason(),
                    detail = %error,
                    "keys of a provider could not be fetched, the old ones stay in use"
                );
                Ok(None)
            }
        }
    }

    async fn fetch(&self, jwks_uri: &Url) -> Result<Arc<KeySet>, ProviderError> {
        let (object, answer) = document::fetch(&self.client, jwks_uri, Phase::Keys).await?;
        let set = Arc::new(KeySet {
            keys: read(&object)?,
            jwks_uri: jwks_uri.clone(),
            fetched_at: self.clock.now(),
            fresh_for: freshness(answer.max_age),
        });
        self.held.store(Some(Arc::clone(&set)));
        Ok(set)
    }
}

impl KeySet {
    fn serves(&self, jwks_uri: &Url, now: Timestamp) -> bool {
        self.jwks_uri == *jwks_uri && within(now, self.fetched_at, self.fresh_for)
    }

    fn serves_still(&self, jwks_uri: &Url, now: Timestamp) -> bool {
        let length = self.fresh_for + KEPT_WHILE_UNFETCHABLE;
        self.jwks_uri == *jwks_uri && within(now, self.fetched_at, length)
    }
}

impl Budget {
    fn take(&mut self, now: Timestamp) -> bool {
        let step = REFETCH_EVERY.as_millis() as u64;
        if now < self.filled_at {
            self.filled_at = now;
        }
        let earned = now.since(self.filled_at).as_millis() as u64 / step;
        let earned = u32::try_from(earned).unwrap_or(u32::MAX);
        self.filled_at = self.filled_at.plus(REFETCH_EVERY.saturating_mul(earned));
        self.left = self.left.saturating_add(earned).min(REFETCH_BURST);
        let granted = self.left > 0;
        self.left = self.left.saturating_sub(1);
        granted
    }
}

#[cfg(test)]
mod tests;
