//! Host and path to route.

use std::borrow::Cow;
use std::sync::Arc;

use super::routes::{Route, Routes};
use super::scope::SessionHost;
use super::sites::{Site, Sites};
use crate::config::checked::{Config, RouteHost};
use crate::model::origin::{Authority, Origin, Scheme};
use crate::model::target::{Target, TargetError};
use crate::policy::RoutePolicy;

#[derive(Debug)]
pub enum Found<'a> {
    Route(&'a Route),
    /// 400: no route of this host, or this one, takes the path as it is
    /// spelt.
    Refused(TargetError),
    /// 404: the host is ours, the path belongs to nobody, or its spellings
    /// belong to different routes.
    NoRoute,
    /// 421: not a name of ours.
    UnknownHost,
}

/// An immutable snapshot, swapped whole.
#[derive(Debug)]
pub struct RouteTable {
    sites: Sites,
    /// Of whatever host has none of its own.
    any: Routes,
    public_host: String,
    public_port: Option<u16>,
    default_port: u16,
    home: SessionHost,
    scheme: Scheme,
}

impl RouteTable {
    /// A host that was written without a port is that name on every port; one
    /// with a port wins over it there. Among the routes of a host the more
    /// specific pattern comes first (`PathPattern::by_specificity`).
    pub fn compile(config: &Config) -> Self {
        let public_url = &config.server.public_url;
        let mut table = Self {
            sites: Sites::default(),
            any: Routes::default(),
            public_host: public_url.host.clone(),
            public_port: public_url.port,
            default_port: public_url.scheme.default_port(),
            home: SessionHost::new(
                &Authority {
                    host: public_url.host.clone(),
                    port: public_url.port,
                },
                public_url,
                &config.session,
                true,
            ),
            scheme: public_url.scheme,
        };
        for (index, route) in config.routes.iter().enumerate() {
            let policy = Arc::new(RoutePolicy::compile(route));
            let route = Arc::new(route.clone());
            for host in &route.hosts {
                let mut entry = Route {
                    index,
                    config: Arc::clone(&route),
                    policy: Arc::clone(&policy),
                    scope: None,
                };
                match host {
                    RouteHost::Any => table.any.list.push(entry),
                    RouteHost::Exact(host) => {
                        let sessions = route.access.is_some();
                        let session = SessionHost::new(host, public_url, &config.session, sessions);
                        entry.scope = Some(session.scope.clone());
                        table.sites.add(host, session, entry);
                    }
                    RouteHost::Below(domain) => {
                        let sessions = route.access.is_some();
                        let session =
                            SessionHost::new(domain, public_url, &config.session, sessions);
                        let shared = config.session.cookie_domain.as_ref();
                        let is_shared = Some(&session.scope.0) == shared;
                        entry.scope = is_shared.then(|| session.scope.clone());
                        table.sites.add_below(domain, session, !is_shared, entry);
                    }
                }
            }
        }
        table.any.sort();
        table.sites.sort();
        table
    }

    /// The most specific host decides alone, then the most specific path.
    ///
    /// Where the path as written and its lenient reading lead to different
    /// routes, it leads to none: an upstream behind the one may read it as a
    /// path of the other, with other access.
    pub fn find(&self, target: &Target) -> Found<'_> {
        let Some(routes) = self.routes_of(&target.authority) else {
            return Found::UnknownHost;
        };
        match routes.and_then(|routes| routes.find(target)) {
            Some(route) => match route.policy.takes(target) {
                Ok(()) => Found::Route(route),
                Err(error) => Found::Refused(error),
            },
            None if target.has_encoded_slash() => Found::Refused(TargetError::EncodedSlash),
            None => Found::NoRoute,
        }
    }

    /// Whether a request's host is the one that talks to the provider and has
    /// the own endpoints that need it.
    pub fn is_public_host(&self, authority: &Authority) -> bool {
        let ours = self.public_port.unwrap_or(self.default_port);
        authority.host == self.public_host && self.port_of(authority) == ours
    }

    /// A Host without a port means the port of `public_url` on its own host,
    /// because servers in front drop it, and the scheme's port elsewhere.
    fn port_of(&self, authority: &Authority) -> u16 {
        let unwritten = if authority.host == self.public_host {
            self.public_port
        } else {
            None
        };
        authority.port.or(unwritten).unwrap_or(self.default_port)
    }

    /// How a request's host gets its sessions; `None` where it has none.
    pub fn session_host(&self, authority: &Authority) -> Option<Cow<'_, SessionHost>> {
        // A wildcard that covers it says nothing about the host of sign-ins.
        if self.is_public_host(authority) {
            return Some(Cow::Borrowed(&self.home));
        }
        let site = self.site_of(authority)?;
        if !site.own_scopes {
            return Some(Cow::Borrowed(&site.session));
        }
        let named = Authority {
            host: authority.host.clone(),
            port: site.port,
        };
        Some(Cow::Owned(site.session.of_name(named, self.scheme)))
    }

    /// The host of `origin`, if sign-ins are handed over to it, just there.
    pub fn hand_off_host(&self, origin: &str) -> Option<Cow<'_, SessionHost>> {
        let (_, authority) = origin.split_once("://")?;
        let host = self.session_host(&Authority::parse(authority).ok()?)?;
        (host.hand_off && host.origin.to_string() == origin).then_some(host)
    }

    fn site_of(&self, authority: &Authority) -> Option<&Site> {
        self.sites.find(&authority.host, self.port_of(authority))
    }

    /// The routes of its site, else those of every host: one decides alone.
    /// `None` for a host that is not ours, `Some(None)` for one that is ours
    /// without a route.
    fn routes_of(&self, authority: &Authority) -> Option<Option<&Routes>> {
        match self.site_of(authority) {
            Some(site) => Some(Some(&site.routes)),
            None if !self.any.list.is_empty() => Some(Some(&self.any)),
            None => self.is_public_host(authority).then_some(None),
        }
    }

    /// The routes of one name, whatever their ports: its own, and those of
    /// the wildcards above it.
    pub(super) fn routes_of_name(&self, host: &str) -> impl Iterator<Item = &Route> {
        let sites = self.sites.of_name(host);
        sites.flat_map(|site| &site.routes.list)
    }

    /// Whether browsers speak TLS.
    pub(super) fn is_secure(&self) -> bool {
        self.default_port == Scheme::Https.default_port()
    }

    /// Whether `origin` is exactly that of one of the route's hosts, as a
    /// browser spells it. `"*"` is no origin.
    pub fn is_origin_of(&self, route: &Route, origin: &[u8]) -> bool {
        route.config.hosts.iter().any(|host| match host {
            RouteHost::Exact(host) => {
                let port = Some(self.port_of(host)).filter(|port| *port != self.default_port);
                let own = Origin {
                    scheme: self.scheme,
                    host: host.host.clone(),
                    port,
                };
                own.to_string().as_bytes() == origin
            }
            _ => false,
        })
    }

    /// Whether `origin` is one of a route that has this host.
    pub fn is_origin_at(&self, authority: &Authority, origin: &[u8]) -> bool {
        let routes = self.routes_of(authority).flatten();
        let mut routes = routes.into_iter().flat_map(|routes| &routes.list);
        routes.any(|route| self.is_origin_of(route, origin))
    }

    /// Every route on every host it has; for start-up sentences and `check`.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        let listed = self.sites.all().flat_map(|site| &site.routes.list);
        listed.chain(&self.any.list)
    }
}

#[cfg(test)]
mod tests;
