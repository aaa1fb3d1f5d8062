//! A configuration for the tests of this module.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::key_ring::KeyRing;
use crate::config::checked::{
    Admin, Config, IdentityRules, Keys, Limits, Log, Pages, Route, RouteHost, Runtime, SameSite,
    Server, Session, Store, Upstream,
};
use crate::model::access::Access;
use crate::model::origin::{Authority, Origin, Scheme};
use crate::model::pattern::PathPattern;

pub(super) fn origin(url: &str) -> Origin {
    let (scheme, authority) = url.split_once("://").unwrap();
    let scheme = match scheme {
        "https" => Scheme::Https,
        _ => Scheme::Http,
    };
    Origin::new(scheme, Authority::parse(authority).unwrap())
}

pub(super) fn route(id: &str, hosts: &[&str], path: &str) -> Route {
    Route {
        id: id.to_owned(),
        hosts: hosts
            .iter()
            .map(|host| match *host {
                "*" => RouteHost::Any,
                name if name.starts_with("*.") => {
                    RouteHost::Below(Authority::parse(&name[2..]).unwrap())
                }
                name => RouteHost::Exact(Authority::parse(name).unwrap()),
            })
            .collect(),
        path: PathPattern::parse(path).unwrap(),
        upstream: Upstream::Unix(PathBuf::from("app.sock")),
        upstream_tls: Default::default(),
        prefix: Default::default(),
        preserve_host: true,
        access: Some(Access::SignedIn),
        deny: Vec::new(),
        rules: Vec::new(),
        encoded_slash: false,
        preflight: Default::default(),
        identity: IdentityRules::default(),
        headers: Vec::new(),
        pass_access_token: false,
        response_timeout: Duration::from_secs(60),
        max_body: None,
    }
}

pub(super) fn config(public_url: &str, routes: Vec<Route>) -> Config {
    Config {
        server: Server {
            listen: Vec::new(),
            public_url: origin(public_url),
            prefix: "/oauth2".to_owned(),
            trusted_proxies: Vec::new(),
            return_to_hosts: Vec::new(),
            tls: None,
            workers: 1,
            runtime: Runtime::Shared,
        },
        admin: Admin {
            listen: ([127, 0, 0, 1], 0).into(),
            ready_requires_store: false,
        },
        session: Session {
            folder: std::path::PathBuf::new(),
            lifetime: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(60),
            identity_max_age: Duration::from_secs(60),
            outage_grace: Duration::ZERO,
            max_stale: Duration::ZERO,
            cookie_domain: None,
            same_site: SameSite::Lax,
        },
        store: Store::Memory,
        keys: Keys {
            ring: KeyRing::parse(&KeyRing::generate()).unwrap(),
            origin: "test".to_owned(),
        },
        providers: BTreeMap::new(),
        routes,
        pages: Pages {
            auto: true,
            name: None,
            logo: None,
            accent: None,
            contact_url: None,
        },
        log: Log {
            json: true,
            level: "info".to_owned(),
            access: true,
            decisions: false,
        },
        limits: Limits::default(),
        self_test: None,
        trace: Default::default(),
        shadow: None,
    }
}
