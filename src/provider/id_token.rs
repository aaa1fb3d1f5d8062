//! ID tokens, checked duty by duty (OpenID Connect Core 3.1.3.7, RFC 7515,
//! RFC 8725). All of it stands in this file, in the order of the
//! specification. `jsonwebtoken` only computes signatures: its own checks
//! accept absent issuers and audiences and unknown `crit`.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};
use subtle::ConstantTimeEq;

use super::error::{Class, IdTokenFlaw as Flaw, Phase, ProviderError};
use super::json;
use super::jwks::{Key, KeySet, Keys};
use super::metadata::Metadata;
use crate::base::clock::Timestamp;

/// Longest token that is looked at, in bytes.
const LENGTH_MAX: usize = 16 * 1024;
/// How far the clocks may differ.
const LEEWAY_SECS: i64 = 60;
/// A code was redeemed seconds ago: an older token is another one's.
const AGE_MAX_SECS: i64 = 24 * 3600;
/// A token without kid is tried with at most this many keys.
const KEYS_TRIED: usize = 10;
/// Core section 2.
const SUBJECT_MAX: usize = 255;
/// From here on a difference of the clocks is named as the cause.
const SKEW_TELLING: u64 = 30;

/// Name and algorithm. `none` and HS* are absent and cannot be configured.
const ALGORITHMS: [(&str, Algorithm); 9] = [
    ("RS256", Algorithm::RS256),
    ("RS384", Algorithm::RS384),
    ("RS512", Algorithm::RS512),
    ("PS256", Algorithm::PS256),
    ("PS384", Algorithm::PS384),
    ("PS512", Algorithm::PS512),
    ("ES256", Algorithm::ES256),
    ("ES384", Algorithm::ES384),
    ("EdDSA", Algorithm::EdDSA),
];

/// What a token must fit besides its signature.
pub struct Expected<'a> {
    pub issuer: &'a str,
    pub client_id: &'a str,
    /// `None` after a refresh, where providers repeat no nonce.
    pub nonce: Option<&'a str>,
    /// What `at_hash` is compared with, where the token has one.
    pub access_token: Option<&'a str>,
    pub now: Timestamp,
    /// Provider's clock minus ours, where an answer told it.
    pub clock_offset_secs: Option<i64>,
}

/// A token taken apart and well-formed; nothing of it is proven yet.
pub struct Unverified<'a> {
    signed: &'a str,
    signature: &'a str,
    algorithm: Algorithm,
    algorithm_name: &'static str,
    kid: Option<String>,
    typ: Option<String>,
    claims: Map<String, Value>,
}

impl<'a> Unverified<'a> {
    /// RFC 7515 section 5.2, steps 1 to 5, and the header duties of RFC 8725.
    pub fn read(token: &'a str) -> Result<Self, Flaw> {
        if token.len() > LENGTH_MAX {
            return Err(Flaw::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Flaw::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(Flaw::Malformed)?;
        if payload.contains('.') || signature.is_empty() {
            return Err(Flaw::Malformed);
        }
        // This engine refuses padding, other alphabets, white space and
        // leftover bits at the end.
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| Flaw::Malformed);
        decode(signature)?;
        let header = json::object(&decode(header)?).ok_or(Flaw::Malformed)?;
        let claims = json::object(&decode(payload)?).ok_or(Flaw::Malformed)?;
        // RFC 7515 4.1.11: we know no extension, so every `crit` is unknown.
        // Keys and URLs inside a token are never followed (RFC 8725 3.10); `x5c`
        // and `x5t` are passed over.
        let forbidden = ["crit", "b64", "jku", "jwk", "x5u", "zip", "enc"];
        if forbidden.iter().any(|name| header.contains_key(*name)) {
            return Err(Flaw::Header);
        }
        let text = |name: &str, flaw: Flaw| match header.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(flaw),
        };
        let name = text("alg", Flaw::Algorithm)?.ok_or(Flaw::Algorithm)?;
        let (algorithm_name, algorithm) = *ALGORITHMS
            .iter()
            .find(|(known, _)| *known == name)
            .ok_or(Flaw::Algorithm)?;
        Ok(Self {
            signed,
            signature,
            algorithm,
            algorithm_name,
            kid: text("kid", Flaw::Header)?,
            typ: text("typ", Flaw::Type)?,
            claims,
        })
    }

    /// The claims, for decisions that a forger gains nothing from.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// Core 3.1.3.7 steps 6 to 8: the provider's signature, by one of the
    /// algorithms that it announced. Gives the proven claims.
    pub async fn verify(
        self,
        keys: &Keys,
        metadata: &Metadata,
        phase: Phase,
    ) -> Result<Map<String, Value>, ProviderError> {
        let refused = |flaw| ProviderError::local(phase, Class::IdToken(flaw));
        let announced = metadata.id_token_algorithms.as_ref();
        if announced.is_some_and(|all| !all.iter().any(|name| name == self.algorithm_name)) {
            return Err(refused(Flaw::Algorithm));
        }
        let set = keys.current(&metadata.jwks_uri).await?;
        let mut outcome = self.check(&set);
        // The provider may have changed its keys since we asked. A wrong
        // signature under a known kid is no reason to ask again.
        let outdated = outcome == Err(Flaw::UnknownKey) || (outcome.is_err() && self.kid.is_none());
        if outdated && let Some(newer) = keys.refetch(&metadata.jwks_uri, &set).await? {
            outcome = self.check(&newer);
        }
        outcome.map_err(refused)?;
        Ok(self.claims)
    }

    fn check(&self, set: &KeySet) -> Result<(), Flaw> {
        let fits = |key: &&Key| key.fits(self.algorithm, self.algorithm_name);
        let named = |key: &&Key| match &self.kid {
            Some(kid) => key.kid.as_ref() == Some(kid),
            None => true,
        };
        let mut tried = 0;
        for key in set.keys.iter().filter(named).filter(fits).take(KEYS_TRIED) {
            tried += 1;
            let proven = jsonwebtoken::crypto::verify(
                self.signature,
                self.signed.as_bytes(),
                &key.decoding,
                self.algorithm,
            );
            if matches!(proven, Ok(true)) {
                return Ok(());
            }
        }
        Err(match tried {
            0 => Flaw::UnknownKey,
            _ => Flaw::Signature,
        })
    }

    /// The type, where there is one, is that of a plain JWT: access tokens
    /// and logout tokens say otherwise (RFC 8725 3.11).
    pub fn require_type(&self) -> Result<(), Flaw> {
        self.is_of_type(&["jwt"]).then_some(()).ok_or(Flaw::Type)
    }

    /// The token says no type, or one of these.
    pub fn is_of_type(&self, types: &[&str]) -> bool {
        self.typ.as_deref().is_none_or(|typ| {
            types
                .iter()
                .any(|accepted| typ.eq_ignore_ascii_case(accepted))
        })
    }

    /// The algorithm decides which hash `at_hash` is made with.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// The duties on the claims of an ID token whose signature is proven.
pub fn check_claims(
    claims: &Map<String, Value>,
    algorithm: Algorithm,
    expected: &Expected<'_>,
) -> Result<(), Class> {
    // 3.1.3.7 step 2
    if claims.get("iss").and_then(Value::as_str) != Some(expected.issuer) {
        return Err(Flaw::Issuer.into());
    }
    check_audience(claims, expected.client_id)?;
    check_times(claims, expected)?;
    // Step 11
    if let Some(nonce) = expected.nonce {
        let told = claims.get("nonce").and_then(Value::as_str);
        let same = told.is_some_and(|told| equal(told, nonce));
        if !same {
            return Err(Flaw::Nonce.into());
        }
    }
    if let (Some(told), Some(token)) = (claims.get("at_hash"), expected.access_token) {
        let same = told
            .as_str()
            .zip(access_token_hash(token, algorithm))
            .is_some_and(|(told, ours)| equal(told, &ours));
        if !same {
            return Err(Flaw::AccessTokenHash.into());
        }
    }
    subject(claims).map(|_| ()).map_err(Class::from)
}

/// Section 2: not empty, at most 255 ASCII characters.
pub fn subject(claims: &Map<String, Value>) -> Result<&str, Flaw> {
    claims
        .get("sub")
        .and_then(Value::as_str)
        .filter(|sub| !sub.is_empty() && sub.len() <= SUBJECT_MAX)
        .filter(|sub| sub.bytes().all(|byte| (0x20..0x7f).contains(&byte)))
        .ok_or(Flaw::Subject)
}

/// Steps 3 to 5. Further audiences are accepted only when `azp` says that the
/// token was made for us.
pub fn check_audience(claims: &Map<String, Value>, client_id: &str) -> Result<(), Flaw> {
    let several = match claims.get("aud") {
        Some(Value::String(audience)) if audience == client_id => false,
        Some(Value::Array(audiences)) if audiences.iter().any(|one| one == client_id) => {
            if !audiences.iter().all(Value::is_string) {
                return Err(Flaw::Audience);
            }
            audiences.len() > 1
        }
        _ => return Err(Flaw::Audience),
    };
    match claims.get("azp") {
        Some(azp) if azp == client_id => Ok(()),
        None if !several => Ok(()),
        _ => Err(Flaw::Audience),
    }
}

/// Steps 9 and 10, and `nbf` (RFC 7519 4.1.5).
fn check_times(claims: &Map<String, Value>, expected: &Expected<'_>) -> Result<(), Class> {
    let now = i64::try_from(expected.now.as_secs()).unwrap_or(i64::MAX);
    let time = |name: &str| claims.get(name).map(seconds);
    let exp = time("exp").flatten().ok_or(Flaw::Expired)?;
    let iat = time("iat").flatten().ok_or(Flaw::IssuedAt)?;
    let nbf = match time("nbf") {
        None => i64::MIN,
        Some(nbf) => nbf.ok_or(Flaw::NotYetValid)?,
    };
    if exp <= iat {
        return Err(Flaw::Expired.into());
    }
    let flaw = if now >= exp.saturating_add(LEEWAY_SECS) {
        Flaw::Expired
    } else if iat > now.saturating_add(LEEWAY_SECS)
        || iat < now.saturating_sub(AGE_MAX_SECS).saturating_add(LEEWAY_SECS)
    {
        Flaw::IssuedAt
    } else if nbf > now.saturating_add(LEEWAY_SECS) {
        Flaw::NotYetValid
    } else {
        return Ok(());
    };
    Err(match expected.clock_offset_secs {
        Some(offset_secs) if offset_secs.unsigned_abs() > SKEW_TELLING => {
            Class::ClockSkew { offset_secs }
        }
        _ => flaw.into(),
    })
}

/// A NumericDate as whole seconds (RFC 7519 section 2); strings are none.
fn seconds(value: &Value) -> Option<i64> {
    let number = value.as_number()?;
    number.as_i64().or_else(|| {
        let float = number.as_f64().filter(|float| float.is_finite())?;
        Some(float as i64)
    })
}

/// When the token says it was issued, as our clock counts.
pub fn issued_at(claims: &Map<String, Value>) -> Option<Timestamp> {
    time_of(claims, "iat")
}

/// When the token says it ends, as our clock counts.
pub fn expires_at(claims: &Map<String, Value>) -> Option<Timestamp> {
    time_of(claims, "exp")
}

fn time_of(claims: &Map<String, Value>, name: &str) -> Option<Timestamp> {
    let secs = u64::try_from(seconds(claims.get(name)?)?).ok()?;
    Some(Timestamp::from_secs(secs))
}

/// Step 3.1.3.8: the left half of the hash that the algorithm uses.
fn access_token_hash(token: &str, algorithm: Algorithm) -> Option<String> {
    use aws_lc_rs::digest::{SHA256, SHA384, SHA512, digest};
    let hash = match algorithm {
        Algorithm::RS256 | Algorithm::PS256 | Algorithm::ES256 => &SHA256,
        Algorithm::RS384 | Algorithm::PS384 | Algorithm::ES384 => &SHA384,
        Algorithm::RS512 | Algorithm::PS512 | Algorithm::EdDSA => &SHA512,
        _ => return None,
    };
    let digest = digest(hash, token.as_bytes());
    let half = &digest.as_ref()[..digest.as_ref().len() / 2];
    Some(URL_SAFE_NO_PAD.encode(half))
}

fn equal(one: &str, other: &str) -> bool {
    one.as_bytes().ct_eq(other.as_bytes()).into()
}

#[cfg(test)]
mod tests;
