//! The hand-off: a host outside the cookie scope of `public_url` gets a ticket
//! of its own to the session that the browser has there.
//!
//! The host sends the browser home with a sealed wish and keeps half of it, a
//! random secret, in a cookie. Home leaves the session in the store under a
//! code and sends the browser back with that. The host takes it once, and
//! only from the browser that holds the secret: neither a wish nor a code of
//! another browser does anything (login CSRF, session fixation).
//!
//! The wish is sealed, not stored: a flood of them costs no memory.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use super::tagged_cookies;
use super::{Inner, Login};
use crate::base::clock::Timestamp;
use crate::base::fault::{Blame, Fault};
use crate::base::key_ring::KeyId;
use crate::base::random;
use crate::base::seal::{self, Binding};
use crate::model::identity::ProviderId;
use crate::model::origin::Origin;
use crate::session::sessions::{Session, SessionError};
use crate::session::ticket::{Scope, Ticket};

/// How long a wish and its cookie are good for.
pub(super) const LIFETIME: Duration = Duration::from_secs(10 * 60);
/// How long a browser may take from home to the host that waits.
const GRANT_LIFETIME: Duration = Duration::from_secs(30);

/// This many hand-offs of one browser to one origin within `LOOP_WINDOW` are
/// no person's doing: the host's cookie does not stick.
const LOOP_LIMIT: usize = 3;
const LOOP_WINDOW: Duration = Duration::from_secs(60);
/// Follows the prefix of the hand-off cookies; no tag has this length.
const LOOP_COOKIE: &str = "loop";
/// Hand-offs that the cookie remembers, over all origins.
const LOOP_KEPT: usize = 24;

/// A host that asks home for a session.
pub struct Request<'a> {
    pub origin: &'a Origin,
    /// Where to land there. Checked: a path.
    pub path: &'a str,
    pub provider: Option<&'a ProviderId>,
    /// The `Cookie` fields of the request.
    pub cookies: &'a [&'a [u8]],
}

/// What a host asks home for. Home compares `origin` with its configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Wish {
    #[serde(rename = "o")]
    pub origin: String,
    #[serde(rename = "r")]
    pub path: String,
    /// base64url of the SHA-256 of the browser's secret.
    #[serde(rename = "d")]
    digest: String,
    /// The session must be of this provider.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<ProviderId>,
    #[serde(rename = "t")]
    asked_at: Timestamp,
}

/// What a grant says besides the session.
#[derive(Serialize, Deserialize)]
struct Note {
    #[serde(rename = "o")]
    origin: String,
    #[serde(rename = "r")]
    path: String,
    #[serde(rename = "d")]
    digest: String,
}

/// A hand-off that worked.
#[derive(Debug)]
pub struct HandedOff {
    pub ticket: Ticket,
    pub session: Session,
    /// As it was sealed; to be checked once more before use.
    pub path: String,
    /// Drops the cookie of this hand-off.
    pub set_cookies: Vec<String>,
}

/// Why there is none. Clients are told one and the same about all that they
/// could have caused.
#[derive(Debug, thiserror::Error)]
pub enum HandOffError {
    #[error("request for a hand-off was not sealed by us, or was changed")]
    ForeignWish,
    #[error("request for a hand-off is too old")]
    ExpiredWish(Box<Wish>),
    #[error("request for a hand-off names an origin without sessions: {0}")]
    UnknownOrigin(String),
    #[error("code is not one, was used before, or is too old")]
    UnknownCode,
    #[error("code was made for another host")]
    OtherHost,
    #[error("code was made for another browser, or its cookie is blocked")]
    OtherBrowser,
    /// Everything else was right: another sign-in of this browser may have
    /// replaced the session meanwhile.
    #[error("session ended before it was handed over: {reason}")]
    Ended { reason: &'static str, path: String },
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl Fault for HandOffError {
    fn blame(&self) -> Blame {
        match self {
            Self::Session(error) => error.blame(),
            _ => Blame::Client,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Session(error) => error.reason(),
            _ => "handoff_failed",
        }
    }
}

impl Login {
    /// Makes a wish: the value of `h`, and what to set. Writes nothing to the
    /// store.
    pub fn wish(&self, request: &Request<'_>) -> (String, Vec<String>) {
        let inner = &self.inner;
        let secret = random::bytes::<32>();
        let now = inner.clock.now();
        let wish = Wish {
            origin: request.origin.to_string(),
            path: request.path.to_owned(),
            digest: digest_of(&secret),
            provider: request.provider.cloned(),
            asked_at: now,
        };
        let plain = serde_json::to_vec(&wish).expect("a wish is plain data");
        let key = inner.ring.writer();
        let mut bytes = key.id().0.to_vec();
        let sealing = key.derive("hand-off wish", &[]);
        bytes.extend(seal::seal(&sealing, inner.wish_binding(), &plain));
        let cookies = &inner.hand_off_cookies;
        let set = cookies.begin(&tagged_cookies::tag(), &secret, now, request.cookies, 0);
        (URL_SAFE_NO_PAD.encode(bytes), set)
    }

    pub fn open_wish(&self, h: &str) -> Result<Wish, HandOffError> {
        let inner = &self.inner;
        let open = || {
            let bytes = URL_SAFE_NO_PAD.decode(h).ok()?;
            let (id, sealed) = bytes.split_first_chunk()?;
            let key = inner.ring.find(KeyId(*id))?;
            let sealing = key.derive("hand-off wish", &[]);
            let plain = seal::open(&sealing, inner.wish_binding(), sealed).ok()?;
            serde_json::from_slice::<Wish>(&plain).ok()
        };
        let wish = open().ok_or(HandOffError::ForeignWish)?;
        if inner.clock.now().since(wish.asked_at) > LIFETIME {
            return Err(HandOffError::ExpiredWish(Box::new(wish)));
        }
        Ok(wish)
    }

    /// Leaves the session for the host that asked. The code goes there, in
    /// the browser's hands.
    pub async fn grant(&self, session: &Session, wish: &Wish) -> Result<String, SessionError> {
        let code = random::bytes::<32>();
        let note = Note {
            origin: wish.origin.clone(),
            path: wish.path.clone(),
            digest: wish.digest.clone(),
        };
        let note = serde_json::to_vec(&note).expect("a note is plain data");
        let sessions = &self.inner.sessions;
        sessions
            .leave_grant(session, &code, &note, GRANT_LIFETIME)
            .await?;
        Ok(URL_SAFE_NO_PAD.encode(code))
    }

    /// The code becomes a new ticket for `scope`, the host of `origin`. It is
    /// spent whatever the outcome.
    pub async fn redeem(
        &self,
        code: &str,
        origin: &Origin,
        scope: &Scope,
        cookies: &[&[u8]],
    ) -> Result<HandedOff, HandOffError> {
        let inner = &self.inner;
        let code = URL_SAFE_NO_PAD.decode(code).ok();
        let code = code.and_then(|bytes| bytes.try_into().ok());
        let code: [u8; 32] = code.ok_or(HandOffError::UnknownCode)?;
        let grant = inner.sessions.take_grant(&code).await?;
        let grant = grant.ok_or(HandOffError::UnknownCode)?;
        let note: Note =
            serde_json::from_slice(grant.note()).map_err(|_| HandOffError::UnknownCode)?;
        if note.origin != origin.to_string() {
            return Err(HandOffError::OtherHost);
        }
        let mut secrets = inner.hand_off_cookies.secrets::<32>(cookies);
        let ours = secrets.find(|(_, secret)| {
            let shown = digest_of(secret);
            shown.as_bytes().ct_eq(note.digest.as_bytes()).into()
        });
        let (tag, _) = ours.ok_or(HandOffError::OtherBrowser)?;
        let outcome = inner.sessions.ticket_of_grant(&grant, scope).await?;
        let (ticket, session) = match outcome {
            Ok(both) => both,
            Err(ending) => {
                return Err(HandOffError::Ended {
                    reason: ending.reason(),
                    path: note.path,
                });
            }
        };
        tracing::info!(
            session.reference = session.id.reference(),
            origin = note.origin,
            "sign-in handed over"
        );
        Ok(HandedOff {
            ticket,
            session,
            path: note.path,
            set_cookies: vec![inner.hand_off_cookies.clear(tag)],
        })
    }

    /// Counts a hand-off to `origin` in a cookie of the browser: what to set,
    /// or `None` if it goes in circles. Whoever forges the cookie misleads
    /// nobody else.
    pub fn count_hand_off(&self, origin: &str, cookies: &[&[u8]]) -> Option<String> {
        let inner = &self.inner;
        let now = u32::try_from(inner.clock.now().as_secs()).unwrap_or(u32::MAX);
        let mark = blake3::hash(origin.as_bytes());
        let (mark, _) = mark.as_bytes().split_first_chunk::<4>()?;
        let mut kept: Vec<[u8; 8]> = inner
            .hand_off_cookies
            .named(cookies)
            .filter(|(name, _)| *name == LOOP_COOKIE)
            .filter_map(|(_, value)| URL_SAFE_NO_PAD.decode(value).ok())
            .flat_map(|bytes| bytes.as_chunks::<8>().0.to_vec())
            .filter(|entry| {
                let [_, _, _, _, at @ ..] = entry;
                let at = u32::from_be_bytes(*at);
                u64::from(now.abs_diff(at)) < LOOP_WINDOW.as_secs()
            })
            .take(LOOP_KEPT)
            .collect();
        let before = kept.iter().filter(|entry| entry.starts_with(mark)).count();
        if before >= LOOP_LIMIT {
            return None;
        }
        let mut entry = [0; 8];
        entry[..4].copy_from_slice(mark);
        entry[4..].copy_from_slice(&now.to_be_bytes());
        kept.insert(0, entry);
        kept.truncate(LOOP_KEPT);
        let value = URL_SAFE_NO_PAD.encode(kept.concat());
        let cookies = &inner.hand_off_cookies;
        Some(cookies.cookie(LOOP_COOKIE, value, LOOP_WINDOW))
    }
}

impl Inner {
    fn wish_binding(&self) -> Binding<'_> {
        Binding {
            namespace: &self.namespace,
            kind: "hand-off-wish",
            name: b"",
        }
    }
}

fn digest_of(secret: &[u8; 32]) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, secret))
}

#[cfg(test)]
mod tests;
