//! The login transaction: one sign-in under way, kept by the browser alone.
//!
//! `state` is sealed under the key ring and bound to a per-attempt cookie that
//! holds only a random secret; nonce, PKCE verifier and the seed of the new
//! ticket derive from the ring, that secret and the attempt id. Nothing is
//! stored until a callback comes, so a flood of starts costs no memory, and
//! any replica can finish what another started.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::Inner;
use super::error::LoginError;
use super::tagged_cookies::TAG_LENGTH;
use crate::base::clock::Timestamp;
use crate::base::key_ring::{KeyId, RingKey};
use crate::base::random;
use crate::base::seal::{self, Binding};
use crate::model::identity::ProviderId;
use crate::session::provider_sign_out::NOTES_KEPT;

/// How long a person may take at the provider.
pub const LIFETIME: std::time::Duration = std::time::Duration::from_secs(15 * 60);
/// A sign-in that is finished at the last moment still sees that the provider
/// signed the person out meanwhile.
const _: () = assert!(NOTES_KEPT.as_secs() >= LIFETIME.as_secs() + 120);
/// How long a browser keeps the secret of one that succeeded, for a reload.
pub const KEPT_AFTERWARDS: std::time::Duration = std::time::Duration::from_secs(120);
/// Cookies of one tag that are tried.
const TRIED: usize = 4;
const KIND: &str = "login-state";

/// The half that the browser keeps in its cookie.
#[derive(Clone)]
pub(super) struct BrowserSecret {
    pub(super) secret: [u8; 16],
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
    /// The host that waits for this sign-in (`handoff`), still sealed.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub hand_off: Option<String>,
    #[serde(rename = "c", default)]
    pub course: Course,
}

/// What happened before within the same sign-in: each thing that a sign-in
/// may do by itself is done once. A new one keeps the attempt's id and gets
/// everything else anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Course {
    /// Begun anew because nobody knows what became of the first code.
    #[serde(rename = "g", default, skip_serializing_if = "is_not")]
    pub again: bool,
    /// The provider refused `offline_access`.
    #[serde(rename = "o", default, skip_serializing_if = "is_not")]
    pub without_offline_access: bool,
    /// The provider may ask the person nothing (`prompt=none`).
    #[serde(rename = "s", default, skip_serializing_if = "is_not")]
    pub silent: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_not(flag: &bool) -> bool {
    !flag
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
    let secrets = inner.cookies.secrets(cookies);
    let secrets = secrets.chain(inner.recent_cookies.secrets(cookies));
    let ours = secrets.filter(|(found, _)| *found == tag).take(TRIED);
    for secret in ours.map(|(_, secret)| BrowserSecret { secret }) {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;
    use crate::login::fixture::login;
    use crate::login::tagged_cookies;
    use crate::refresh::fixture::signed_in;

    #[tokio::test]
    async fn row_0_6_unknown_foreign_and_expired_states_are_told_apart() {
        let rig = signed_in(LIFETIME).await;
        let clock = Clock::movable();
        let inner = login(&rig, &clock).inner;
        let (tag, secret) = (tagged_cookies::tag(), BrowserSecret::generate());
        let course = Course {
            again: true,
            ..Course::default()
        };
        let transaction = Transaction {
            attempt: "7h3kq9x2mp".to_owned(),
            provider: ProviderId("main".to_owned()),
            started_at: clock.now(),
            return_to: "/x".to_owned(),
            hand_off: None,
            course,
        };
        let state = seal_state(&inner, inner.ring.writer(), &tag, &secret, &transaction);
        let set = inner
            .cookies
            .begin(&tag, &secret.secret, clock.now(), &[], 0);
        let field = set[0].split(';').next().unwrap().to_owned();
        let kept = inner.recent_cookies.keep(&tag, &secret.secret, clock.now());
        let kept = kept.split(';').next().unwrap().to_owned();

        for field in [&field, &kept] {
            let opened = open_state(&inner, &state, &[field.as_bytes()]).unwrap();
            assert_eq!(opened.transaction.course, course);
        }
        let foreign = open_state(&inner, &state, &[]).err();
        assert!(matches!(foreign, Some(LoginError::UnknownState)));
        let unknown = open_state(&inner, "AAAAAAAAAAAAAAAAAAAA", &[field.as_bytes()]).err();
        assert!(matches!(unknown, Some(LoginError::UnknownState)));
        clock.advance(15 * 60 * 1000 + 1000);
        let late = open_state(&inner, &state, &[field.as_bytes()]).err();
        assert!(matches!(late, Some(LoginError::ExpiredState)));
    }
}
