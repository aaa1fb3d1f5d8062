//! The login transaction: one sign-in under way, kept by the browser alone.
//!
//! `state` is sealed under the key ring and bound to a per-attempt cookie that
//! holds only a random secret; nonce, PKCE verifier and the seed of the new
//! ticket derive from the ring, that secret and the attempt id. Nothing is
//! stored until a callback comes, so a flood of starts costs no memory, and
//! any replica can finish what another started.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cookie::{Cookie, SameSite};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::Inner;
use super::error::LoginError;
use crate::base::clock::Timestamp;
use crate::base::key_ring::{KeyId, RingKey};
use crate::base::seal::{self, Binding};
use crate::base::{header_names, random};
use crate::model::identity::ProviderId;
use crate::model::origin::{Origin, Scheme};

/// How long a person may take at the provider.
pub const LIFETIME: std::time::Duration = std::time::Duration::from_secs(15 * 60);
/// Attempts that one browser may have open; the oldest give way.
const KEPT: usize = 16;
const KIND: &str = "login-state";

/// The half that the browser keeps in its cookie.
#[derive(Clone)]
pub(super) struct BrowserSecret {
    secret: [u8; 16],
}

/// What `state` says once opened.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Transaction {
    /// Shown on pages and in the log.
    #[serde(rename = "a")]
    pub attempt: String,
    #[serde(rename = "p")]
    pub provider: ProviderId,
    #[serde(rename = "t")]
    pub started_at: Timestamp,
    /// Checked before it was sealed, and again when it is used.
    #[serde(rename = "r")]
    pub return_to: String,
}

/// The secrets of one transaction.
pub(super) struct Derived {
    pub nonce: String,
    pub pkce_verifier: SecretString,
    pub ticket_seed: [u8; 32],
}

impl BrowserSecret {
    pub(super) fn generate() -> Self {
        Self {
            secret: random::bytes(),
        }
    }

    pub(super) fn derive(&self, key: &RingKey, attempt: &str) -> Derived {
        let part = |purpose| key.derive(purpose, &[&self.secret, attempt.as_bytes()]);
        Derived {
            nonce: URL_SAFE_NO_PAD.encode(part("login nonce")),
            pkce_verifier: SecretString::from(URL_SAFE_NO_PAD.encode(part("login pkce"))),
            ticket_seed: part("login ticket"),
        }
    }
}

/// tag (8 characters) | base64url(key id 2 | sealed)
pub(super) fn seal_state(
    inner: &Inner,
    key: &RingKey,
    tag: &str,
    secret: &BrowserSecret,
    transaction: &Transaction,
) -> String {
    let plain = serde_json::to_vec(transaction).expect("a transaction is plain data");
    let sealed = seal::seal(
        &key.derive("login state", &[]),
        binding(inner, tag, secret).as_binding(),
        &plain,
    );
    let mut bytes = key.id().0.to_vec();
    bytes.extend_from_slice(&sealed);
    format!("{tag}{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// A state that was opened: it is ours, of this browser, and not too old.
pub(super) struct Opened {
    pub transaction: Transaction,
    pub secret: BrowserSecret,
    pub key: RingKey,
    pub tag: String,
}

pub(super) fn open_state(
    inner: &Inner,
    state: &str,
    cookies: &[&[u8]],
) -> Result<Opened, LoginError> {
    let tag = state.get(..TAG_LENGTH).ok_or(LoginError::UnknownState)?;
    let bytes = URL_SAFE_NO_PAD
        .decode(&state[TAG_LENGTH..])
        .map_err(|_| LoginError::UnknownState)?;
    let (id, sealed) = bytes
        .split_first_chunk::<2>()
        .ok_or(LoginError::UnknownState)?;
    let key = inner
        .ring
        .find(KeyId(*id))
        .ok_or(LoginError::UnknownState)?;
    for secret in inner.cookies.find(cookies, tag) {
        let bound = binding(inner, tag, &secret);
        let opened = seal::open(&key.derive("login state", &[]), bound.as_binding(), sealed);
        let Ok(plain) = opened else { continue };
        let transaction: Transaction =
            serde_json::from_slice(&plain).map_err(|_| LoginError::UnknownState)?;
        if inner.clock.now().since(transaction.started_at) > LIFETIME {
            return Err(LoginError::ExpiredState);
        }
        return Ok(Opened {
            transaction,
            secret,
            key: key.clone(),
            tag: tag.to_owned(),
        });
    }
    Err(LoginError::UnknownState)
}

struct Bound<'a> {
    namespace: &'a str,
    name: Vec<u8>,
}

impl Bound<'_> {
    fn as_binding(&self) -> Binding<'_> {
        Binding {
            namespace: self.namespace,
            kind: KIND,
            name: &self.name,
        }
    }
}

/// The browser's secret is part of the seal's name: without the cookie the
/// state does not open.
fn binding<'a>(inner: &'a Inner, tag: &str, secret: &BrowserSecret) -> Bound<'a> {
    let mut name = tag.as_bytes().to_vec();
    name.extend_from_slice(&secret.secret);
    Bound {
        namespace: &inner.namespace,
        name,
    }
}

pub(super) const TAG_LENGTH: usize = 8;

pub(super) fn tag() -> String {
    random::reference()[..TAG_LENGTH].to_owned()
}

/// The per-attempt cookies of logins, host-only on `public_url`'s host.
#[derive(Debug, Clone)]
pub struct TransactionCookies {
    prefix: &'static str,
    secure: bool,
}

impl TransactionCookies {
    pub fn new(public_url: &Origin) -> Self {
        let secure = public_url.scheme == Scheme::Https;
        Self {
            prefix: if secure {
                header_names::TRANSACTION_COOKIE_HOST
            } else {
                header_names::TRANSACTION_COOKIE
            },
            secure,
        }
    }

    /// `Set-Cookie` for a new attempt, and for the oldest ones if there are
    /// too many.
    pub(super) fn begin(
        &self,
        tag: &str,
        secret: &BrowserSecret,
        now: Timestamp,
        request_cookies: &[&[u8]],
    ) -> Vec<String> {
        let mut open = self.open_attempts(request_cookies);
        open.sort_by_key(|(_, started)| std::cmp::Reverse(*started));
        let mut set: Vec<String> = open
            .iter()
            .skip(KEPT - 1)
            .take(KEPT)
            .map(|(tag, _)| self.clear(tag))
            .collect();
        let mut value = secret.secret.to_vec();
        let started = u32::try_from(now.as_secs()).unwrap_or(u32::MAX);
        value.extend_from_slice(&started.to_be_bytes());
        let max_age = i64::try_from(LIFETIME.as_secs()).unwrap_or(i64::MAX);
        set.push(self.cookie(tag, URL_SAFE_NO_PAD.encode(value), max_age));
        set
    }

    /// Drops the cookie of an attempt that ended.
    pub(super) fn clear(&self, tag: &str) -> String {
        self.cookie(tag, String::new(), 0)
    }

    fn cookie(&self, tag: &str, value: String, max_age: i64) -> String {
        Cookie::build((format!("{}{tag}", self.prefix), value))
            .path("/")
            .http_only(true)
            .secure(self.secure)
            .same_site(SameSite::Lax)
            .max_age(cookie::time::Duration::seconds(max_age))
            .build()
            .to_string()
    }

    fn find(&self, cookies: &[&[u8]], tag: &str) -> Vec<BrowserSecret> {
        self.entries(cookies)
            .filter(|(found, _)| *found == tag)
            .filter_map(|(_, value)| parse_value(value).map(|(secret, _)| secret))
            .take(4)
            .collect()
    }

    fn open_attempts<'a>(&'a self, cookies: &'a [&'a [u8]]) -> Vec<(&'a str, u32)> {
        self.entries(cookies)
            .map(|(tag, value)| (tag, parse_value(value).map_or(0, |(_, started)| started)))
            .collect()
    }

    /// (tag, value) of every transaction cookie. Raw bytes: whatever is not
    /// ours is not looked at.
    fn entries<'a>(
        &'a self,
        cookies: &'a [&'a [u8]],
    ) -> impl Iterator<Item = (&'a str, &'a str)> + 'a {
        cookies
            .iter()
            .flat_map(|field| field.split(|byte| *byte == b';'))
            .filter_map(|pair| std::str::from_utf8(pair.trim_ascii()).ok())
            .filter_map(|pair| pair.split_once('='))
            .filter_map(|(name, value)| Some((name.strip_prefix(self.prefix)?, value)))
            .filter(|(tag, _)| {
                tag.len() == TAG_LENGTH && tag.bytes().all(|byte| byte.is_ascii_alphanumeric())
            })
    }
}

fn parse_value(value: &str) -> Option<(BrowserSecret, u32)> {
    let bytes = URL_SAFE_NO_PAD.decode(value).ok()?;
    let (secret, started) = bytes.split_first_chunk::<16>()?;
    let started = u32::from_be_bytes(started.try_into().ok()?);
    Some((BrowserSecret { secret: *secret }, started))
}
