//! Which cookie scope a host belongs to, and how it gets its sessions.

use crate::config::checked;
use crate::model::origin::{Authority, Origin};
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
        let home = Authority {
            host: public_url.host.clone(),
            port: public_url.port,
        };
        let scope = scope_of(host, public_url, session);
        Self {
            hand_off: needs_sessions && scope != scope_of(&home, public_url, session),
            scope,
            origin: Origin::new(public_url.scheme, host.clone()),
        }
    }
}

/// The cookie domain, if `host` equals it or lies below it; else the host
/// itself, with its port if one was written. The host of `public_url` is the
/// same scope however its port is written, because cookies ignore ports.
pub fn scope_of(host: &Authority, public_url: &Origin, session: &checked::Session) -> Scope {
    if let Some(domain) = &session.cookie_domain
        && is_at_or_below(&host.host, domain)
    {
        return Scope(domain.clone());
    }
    let scheme = public_url.scheme;
    let port = host.port.filter(|port| *port != scheme.default_port());
    let home = host.host == public_url.host && (port.is_none() || port == public_url.port);
    let host = Authority {
        host: host.host.clone(),
        port: if home { public_url.port } else { port },
    };
    Scope(host.to_string())
}

fn is_at_or_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain)
        .is_some_and(|before| before.is_empty() || before.ends_with('.'))
}
