//! Signing in: from the first redirect to the session.
//!
//! Owns: the login transaction (state, nonce, PKCE, its cookie), the
//! callback's order of checks, single use, attempts and their phases, the guard
//! against circles; the hand-off of a sign-in to another host.
//! Must not know: routes, policy, how pages look.

mod attempt_log;
mod callback;
mod error;
mod exchange;
#[cfg(test)]
mod fixture;
mod handoff;
mod history;
mod rounds;
mod session_write;
mod single_use;
mod start;
mod tagged_cookies;
mod transaction;

pub use callback::{CallbackRequest, CameBack, Failed, SignedIn};
pub use error::{LoginError, Phase};
pub use handoff::{HandOffError, HandedOff, Request as HandOffRequest, Wish};
pub use start::{Asking, NotStarted, StartRequest, Started};

use std::sync::Arc;

use tokio::runtime::Handle;

use self::tagged_cookies::TaggedCookies;
use crate::base::clock::Clock;
use crate::base::header_names;
use crate::base::key_ring::KeyRing;
use crate::config::checked::Config;
use crate::model::origin::Scheme;
use crate::provider::Providers;
use crate::session::sessions::Sessions;
use crate::session::ticket::Scope;
use crate::telemetry::Telemetry;

/// The door: one value for the process, cheap to clone.
#[derive(Clone)]
pub struct Login {
    inner: Arc<Inner>,
}

struct Inner {
    providers: Arc<Providers>,
    sessions: Arc<Sessions>,
    ring: KeyRing,
    namespace: String,
    clock: Clock,
    telemetry: Telemetry,
    /// The scope of `public_url`'s host, where tickets of logins are made.
    home: Scope,
    /// Of sign-ins under way, on `public_url`'s host.
    cookies: TaggedCookies,
    /// Of sign-ins that succeeded a moment ago, there too.
    recent_cookies: TaggedCookies,
    /// Of hand-offs under way, on the host that waits for one.
    hand_off_cookies: TaggedCookies,
    /// `{public_url}{prefix}/callback`, without the provider.
    callback_url: String,
    control: Handle,
}

/// What the door is made of.
pub struct Parts {
    pub providers: Arc<Providers>,
    pub sessions: Arc<Sessions>,
    pub clock: Clock,
    pub telemetry: Telemetry,
    pub home: Scope,
    pub namespace: String,
    pub control: Handle,
}

impl Login {
    pub fn new(config: &Config, parts: Parts) -> Self {
        let server = &config.server;
        let secure = server.public_url.scheme == Scheme::Https;
        let named = |host, loopback| if secure { host } else { loopback };
        Self {
            inner: Arc::new(Inner {
                providers: parts.providers,
                sessions: parts.sessions,
                ring: config.keys.ring.clone(),
                namespace: parts.namespace,
                clock: parts.clock,
                telemetry: parts.telemetry,
                home: parts.home,
                cookies: TaggedCookies {
                    prefix: named(
                        header_names::TRANSACTION_COOKIE_HOST,
                        header_names::TRANSACTION_COOKIE,
                    ),
                    secure,
                    lifetime: transaction::LIFETIME,
                },
                recent_cookies: TaggedCookies {
                    prefix: named(
                        header_names::RECENT_COOKIE_HOST,
                        header_names::RECENT_COOKIE,
                    ),
                    secure,
                    lifetime: transaction::KEPT_AFTERWARDS,
                },
                hand_off_cookies: TaggedCookies {
                    prefix: named(
                        header_names::HAND_OFF_COOKIE_HOST,
                        header_names::HAND_OFF_COOKIE,
                    ),
                    secure,
                    lifetime: handoff::LIFETIME,
                },
                callback_url: format!("{}{}/callback", server.public_url, server.prefix),
                control: parts.control,
            }),
        }
    }
}

impl Inner {
    /// With one provider `/callback`, with several `/callback/{id}`: distinct
    /// redirect URIs defend against mix-up (RFC 9700 section 4.4).
    fn redirect_uri(&self, provider: &crate::model::identity::ProviderId) -> String {
        if self.providers.iter().count() == 1 {
            self.callback_url.clone()
        } else {
            format!("{}/{provider}", self.callback_url)
        }
    }
}
