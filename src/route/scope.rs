//! Which cookie scope a host belongs to, and how it gets its sessions.

use crate::config::checked;
use crate::model::origin::{Authority, Origin, Scheme};
use crate::session::ticket::Scope;

/// What sign-ins need to know of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionHost {
    pub scope: Scope,
    /// Where browsers reach it.
    pub origin: Origin,
    /// It needs sessions, and lies outside the scope where they are made:
    /// they are handed over.
    pub hand_off: bool,
}

impl SessionHost {
    pub fn new(
        host: &Authority,
        public_url: &Origin,
        session: &checked::Session,
        needs_sessions: bool,
    ) -> Self {
        let scope = scope_of(&host.host, session);
        Self {
            hand_off: needs_sessions && scope != scope_of(&public_url.host, session),
            scope,
            origin: Origin::new(public_url.scheme, host.clone()),
        }
    }

    /// The same for one name below a wildcard.
    pub(super) fn of_name(&self, name: Authority, scheme: Scheme) -> Self {
        Self {
            scope: Scope(name.host.clone()),
            origin: Origin::new(scheme, name),
            hand_off: self.hand_off,
        }
    }
}

/// The cookie domain, if `host` equals it or lies below it; else the host
/// itself. A port makes no other scope, because cookies ignore ports.
fn scope_of(host: &str, session: &checked::Session) -> Scope {
    let domain = session.cookie_domain.as_deref();
    let shared = domain.filter(|domain| is_at_or_below(host, domain));
    Scope(shared.unwrap_or(host).to_owned())
}

fn is_at_or_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain)
        .is_some_and(|before| before.is_empty() || before.ends_with('.'))
}
