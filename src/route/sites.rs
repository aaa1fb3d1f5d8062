//! The names that routes have, and the routes of each.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::routes::{Route, Routes};
use super::scope::SessionHost;
use crate::model::origin::Authority;

/// By name. Every request asks here, so the hash is a quick one; the names
/// are those of the configuration, so nobody can choose them to collide.
type ByName = HashMap<String, Vec<Site>, RandomState>;

#[derive(Debug, Default)]
pub(super) struct Sites {
    exact: ByName,
    /// The names below a domain, by the domain.
    below: ByName,
}

/// The routes of one name, for one port or (`None`) for every port.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) port: Option<u16>,
    pub(super) routes: Routes,
    pub(super) session: SessionHost,
    /// Stands for every name below, each a scope of its own: a wildcard
    /// outside the cookie domain.
    pub(super) own_scopes: bool,
}

impl Sites {
    /// Adds a route of exactly this host.
    pub(super) fn add(&mut self, host: &Authority, session: SessionHost, route: Route) {
        add(&mut self.exact, host, session, false, route);
    }

    /// Adds a route of every name below this domain.
    pub(super) fn add_below(
        &mut self,
        domain: &Authority,
        session: SessionHost,
        own_scopes: bool,
        route: Route,
    ) {
        add(&mut self.below, domain, session, own_scopes, route);
    }

    /// Once all are there.
    pub(super) fn sort(&mut self) {
        for sites in self.exact.values_mut().chain(self.below.values_mut()) {
            // A written port before none.
            sites.sort_by_key(|site| site.port.is_none());
            for site in sites {
                site.routes.sort();
            }
        }
    }

    /// An exact name, else the longest domain that it lies below.
    pub(super) fn find(&self, host: &str, port: u16) -> Option<&Site> {
        let fits = |site: &&Site| site.port.is_none_or(|written| written == port);
        let exact = self.exact.get(host);
        if let Some(site) = exact.and_then(|sites| sites.iter().find(fits)) {
            return Some(site);
        }
        let mut rest = host;
        while let Some((_, domain)) = rest.split_once('.') {
            let sites = self.below.get(domain);
            if let Some(site) = sites.and_then(|sites| sites.iter().find(fits)) {
                return Some(site);
            }
            rest = domain;
        }
        None
    }

    /// Whatever their ports: its own, and those of the wildcards above it.
    pub(super) fn of_name(&self, host: &str) -> impl Iterator<Item = &Site> {
        let domains = host.match_indices('.').map(|(at, _)| &host[at + 1..]);
        let below = domains.filter_map(|domain| self.below.get(domain));
        self.exact.get(host).into_iter().chain(below).flatten()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Site> {
        self.exact.values().chain(self.below.values()).flatten()
    }
}

fn add(names: &mut ByName, name: &Authority, session: SessionHost, own_scopes: bool, route: Route) {
    let hand_off = session.hand_off;
    let sites = names.entry(name.host.clone()).or_default();
    let at = sites.iter().position(|site| site.port == name.port);
    let at = at.unwrap_or_else(|| {
        sites.push(Site {
            port: name.port,
            routes: Routes::default(),
            session,
            own_scopes,
        });
        sites.len() - 1
    });
    // One route with sessions is enough.
    sites[at].session.hand_off |= hand_off;
    sites[at].routes.list.push(route);
}
