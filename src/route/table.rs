//! Host and path to route.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;

use super::scope::SessionHost;
use crate::config::checked::{self, Config, RouteHost};
use crate::model::origin::{Authority, Origin, Scheme};
use crate::model::pattern_tree::PatternTree;
use crate::model::target::{Target, TargetError};
use crate::policy::RoutePolicy;
use crate::session::ticket::Scope;

/// One route on one of its hosts.
#[derive(Debug, Clone)]
pub struct Route {
    /// Its place among the routes of the configuration.
    pub index: usize,
    pub config: Arc<checked::Route>,
    pub policy: Arc<RoutePolicy>,
    /// The cookie scope of the host. `None` on `host = "*"`, which has no
    /// session lane, and below a wildcard outside the cookie domain, where
    /// every name is a scope of its own ([`scope_of`]).
    pub scope: Option<Scope>,
}

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

/// By name. Every request asks here, so the hash is a quick one; the names
/// are those of the configuration, so nobody can choose them to collide.
type Sites = HashMap<String, Vec<Site>, RandomState>;

/// An immutable snapshot, swapped whole.
#[derive(Debug)]
pub struct RouteTable {
    hosts: Sites,
    /// The names below a domain, by the domain.
    below: Sites,
    any: Routes,
    public_host: String,
    public_port: Option<u16>,
    default_port: u16,
    home: SessionHost,
    scheme: Scheme,
}

/// The routes of one name, for one port or (`None`) for every port.
#[derive(Debug)]
struct Site {
    port: Option<u16>,
    routes: Routes,
    session: SessionHost,
    /// Stands for every name below, each a scope of its own: a wildcard
    /// outside the cookie domain.
    own_scopes: bool,
}

/// The routes that share their hosts, the more specific pattern first.
#[derive(Debug, Default)]
struct Routes {
    list: Vec<Route>,
    by_path: PatternTree,
}

impl Routes {
    fn sort(&mut self) {
        self.list
            .sort_by(|one, other| one.config.path.by_specificity(&other.config.path));
        let patterns = self.list.iter().map(|route| &route.config.path);
        self.by_path = PatternTree::new(patterns.enumerate());
    }

    /// See [`RouteTable::find`].
    fn find(&self, target: &Target) -> Option<&Route> {
        let path = target.path();
        let mut first = None;
        let note = |first: &mut Option<usize>, at| {
            *first = Some(first.map_or(at, |before: usize| before.min(at)));
        };
        self.by_path.matches(path, |at| note(&mut first, at));
        let at = first?;
        if self.list.len() > 1 || !target.is_canonical() {
            let reading = target.lenient_reading();
            if reading != path {
                let mut first = None;
                self.by_path
                    .matches_lenient(&reading, |at| note(&mut first, at));
                // A segment that `%2f` splits fits no pattern for one segment.
                let split = first.is_none() && target.has_encoded_slash();
                if first != Some(at) && !split {
                    return None;
                }
            }
        }
        Some(&self.list[at])
    }
}

impl RouteTable {
    /// A host that was written without a port is that name on every port; one
    /// with a port wins over it there. Among the routes of a host the more
    /// specific pattern comes first (`PathPattern::by_specificity`).
    pub fn compile(config: &Config) -> Self {
        let public_url = &config.server.public_url;
        let mut table = Self {
            hosts: Sites::default(),
            below: Sites::default(),
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
                        let hand_off = session.hand_off;
                        let site = site(&mut table.hosts, host, session, false);
                        // One route with sessions is enough.
                        site.session.hand_off |= hand_off;
                        site.routes.list.push(entry);
                    }
                    RouteHost::Below(domain) => {
                        let sessions = route.access.is_some();
                        let session =
                            SessionHost::new(domain, public_url, &config.session, sessions);
                        let shared = config.session.cookie_domain.as_ref();
                        let is_shared = Some(&session.scope.0) == shared;
                        entry.scope =
                            Some(session.scope.clone()).filter(|scope| Some(&scope.0) == shared);
                        let hand_off = session.hand_off;
                        let site = site(&mut table.below, domain, session, !is_shared);
                        site.session.hand_off |= hand_off;
                        site.routes.list.push(entry);
                    }
                }
            }
        }
        table.any.sort();
        for sites in table.hosts.values_mut().chain(table.below.values_mut()) {
            // A written port before none.
            sites.sort_by_key(|site| site.port.is_none());
            for site in sites {
                site.routes.sort();
            }
        }
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

    /// An exact name, else the longest domain that it lies below.
    fn site_of(&self, authority: &Authority) -> Option<&Site> {
        let port = self.port_of(authority);
        let fits = |site: &&Site| site.port.is_none_or(|written| written == port);
        let exact = self.hosts.get(&authority.host);
        if let Some(site) = exact.and_then(|sites| sites.iter().find(fits)) {
            return Some(site);
        }
        let mut rest = authority.host.as_str();
        while let Some((_, domain)) = rest.split_once('.') {
            let sites = self.below.get(domain);
            if let Some(site) = sites.and_then(|sites| sites.iter().find(fits)) {
                return Some(site);
            }
            rest = domain;
        }
        None
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
        let domains = host.match_indices('.').map(|(at, _)| &host[at + 1..]);
        let below = domains.filter_map(|domain| self.below.get(domain));
        let sites = self.hosts.get(host).into_iter().chain(below).flatten();
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
        let sites = self.hosts.values().chain(self.below.values()).flatten();
        let listed = sites.flat_map(|site| &site.routes.list);
        listed.chain(&self.any.list)
    }
}

fn site<'a>(
    sites: &'a mut Sites,
    host: &Authority,
    session: SessionHost,
    own_scopes: bool,
) -> &'a mut Site {
    let sites = sites.entry(host.host.clone()).or_default();
    let at = sites.iter().position(|site| site.port == host.port);
    let at = at.unwrap_or_else(|| {
        sites.push(Site {
            port: host.port,
            routes: Routes::default(),
            session,
            own_scopes,
        });
        sites.len() - 1
    });
    &mut sites[at]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::access::{Access, Lane, LaneRule};
    use crate::model::pattern::PathPattern;
    use crate::route::fixture::{self, route};

    fn table(public_url: &str, routes: Vec<checked::Route>) -> RouteTable {
        RouteTable::compile(&fixture::config(public_url, routes))
    }

    fn find(table: &RouteTable, url: &str) -> String {
        match table.find(&Target::for_tests("GET", url)) {
            Found::Route(route) => route.config.id.clone(),
            Found::NoRoute => "404".to_owned(),
            Found::Refused(_) => "400".to_owned(),
            Found::UnknownHost => "421".to_owned(),
        }
    }

    #[test]
    fn sec_ses_32_an_origin_is_exactly_that_of_a_host_of_the_route() {
        let table = table(
            "https://apps.test:8443",
            vec![
                route("app", &["apps.test", "app.apps.test"], "/*"),
                route("other", &["other.test:9000"], "/*"),
                route("open", &["*"], "/*"),
            ],
        );
        let at = |host: &str, origin: &str| {
            let host = Authority::parse(host).unwrap();
            table.is_origin_at(&host, origin.as_bytes())
        };
        assert!(at("apps.test:8443", "https://apps.test:8443"));
        assert!(at("app.apps.test", "https://apps.test:8443"));
        assert!(at("apps.test:8443", "https://app.apps.test"));
        assert!(at("other.test:9000", "https://other.test:9000"));
        for origin in [
            "https://apps.test",
            "http://apps.test:8443",
            "https://APPS.test:8443",
            "https://apps.test:8443/",
            "https://x.apps.test:8443",
            "https://apps.test:8443.evil.test",
            "https://evil.test",
            "https://other.test:9000",
            "null",
            "*",
            "",
        ] {
            assert!(!at("apps.test:8443", origin), "{origin}");
        }
        assert!(!at("anything.test", "https://anything.test"));
    }

    #[test]
    fn the_most_specific_host_decides_alone_then_the_longest_path() {
        let table = table(
            "https://apps.test",
            vec![
                route("root", &["apps.test"], "/*"),
                route("deep", &["apps.test"], "/a/b/*"),
                route("admin", &["apps.test"], "/admin/*"),
                route("exact", &["apps.test"], "/admin/x"),
                route("files", &["files.test", "cdn.test"], "/u/*"),
                route("ported", &["files.test:8443"], "/only/*"),
                route("any", &["*"], "/status"),
            ],
        );
        for (url, id) in [
            ("https://apps.test/", "root"),
            ("https://APPS.test./x", "root"),
            ("https://apps.test:443/x", "root"),
            ("https://apps.test:9/x", "root"),
            ("https://apps.test/a/b/c", "deep"),
            ("https://apps.test/a/b", "root"),
            ("https://apps.test/admin/x", "exact"),
            ("https://apps.test/admin/y", "admin"),
            ("https://files.test/u/x", "files"),
            ("https://cdn.test/u/x", "files"),
            ("https://files.test/status", "404"),
            ("https://files.test:8443/only/x", "ported"),
            ("https://files.test:8443/u/x", "404"),
            ("https://files.test:9443/u/x", "files"),
            ("https://other.test/status", "any"),
            ("https://other.test/", "404"),
        ] {
            assert_eq!(find(&table, url), id, "{url}");
        }
    }

    #[test]
    fn unknown_hosts_are_421_but_public_url_is_always_ours() {
        let table = table(
            "https://apps.test:8443",
            vec![route("f", &["f.test"], "/*")],
        );
        for (url, id) in [
            ("https://f.test/", "f"),
            ("https://f.test.evil.test/", "421"),
            ("https://evil.test/", "421"),
            ("https://127.0.0.1/", "421"),
            ("https://[::1]/", "421"),
            ("https://apps.test:8443/", "404"),
            ("https://apps.test/", "404"),
            ("https://apps.test:443/", "421"),
        ] {
            assert_eq!(find(&table, url), id, "{url}");
        }
    }

    #[test]
    fn the_public_host_is_known_behind_servers_that_drop_its_port() {
        for (public_url, host, public) in [
            ("https://apps.test:8443", "apps.test", true),
            ("https://apps.test:8443", "apps.test:8443", true),
            ("https://apps.test:8443", "apps.test:443", false),
            ("https://apps.test", "apps.test:443", true),
            ("https://apps.test", "apps.test:8443", false),
            ("https://apps.test", "b.test", false),
        ] {
            let table = table(public_url, vec![route("r", &["apps.test"], "/*")]);
            let host = Authority::parse(host).unwrap();
            assert_eq!(table.is_public_host(&host), public, "{public_url} {host}");
        }
    }

    #[test]
    fn sec_path_16_a_path_of_two_readings_reaches_no_route() {
        let table = table(
            "https://a.test",
            vec![
                route("root", &["a.test"], "/*"),
                route("admin", &["a.test"], "/admin/*"),
            ],
        );
        for (path, id) in [
            ("/admin/x", "admin"),
            ("/Admin/x", "404"),
            ("//admin/x", "404"),
            ("/%61dmin/x", "404"),
            ("/;x/admin/y", "404"),
            ("/admin%252fx", "404"),
            ("/admin;x/y", "404"),
            ("/Other/x", "root"),
            ("//other", "root"),
            ("/admin/X", "admin"),
            ("/admin/%61", "admin"),
        ] {
            assert_eq!(find(&table, &format!("https://a.test{path}")), id, "{path}");
        }
    }

    #[test]
    fn scopes_follow_the_cookie_domain() {
        let routes = vec![route(
            "r",
            &["apps.test", "files.apps.test", "xapps.test", "b.test:8443"],
            "/*",
        )];
        let mut config = fixture::config("https://apps.test:444", routes);
        let scopes = |config: &Config| {
            let mut scopes: Vec<_> = RouteTable::compile(config)
                .routes()
                .map(|route| route.scope.clone().unwrap().0)
                .collect();
            scopes.sort();
            scopes
        };
        assert_eq!(
            scopes(&config),
            ["apps.test", "b.test", "files.apps.test", "xapps.test"]
        );
        config.session.cookie_domain = Some("apps.test".to_owned());
        assert_eq!(
            scopes(&config),
            ["apps.test", "apps.test", "b.test", "xapps.test"]
        );
    }

    #[test]
    fn each_name_below_a_wildcard_is_a_scope_of_its_own() {
        let mut config = fixture::config("https://home.wild.test", vec![]);
        let mut wild = route("wild", &[], "/*");
        wild.hosts = vec![RouteHost::Below(Authority::parse("wild.test").unwrap())];
        config.routes = vec![wild];
        let session = |config: &Config, authority: &str| {
            let table = RouteTable::compile(config);
            let host = table.session_host(&Authority::parse(authority).unwrap());
            host.map(|host| (host.scope.0.clone(), host.origin.to_string(), host.hand_off))
        };
        let own = |name: &str| Some((name.to_owned(), format!("https://{name}"), true));
        assert_eq!(session(&config, "a.wild.test"), own("a.wild.test"));
        assert_eq!(session(&config, "b.a.wild.test"), own("b.a.wild.test"));
        assert_eq!(
            session(&config, "home.wild.test"),
            Some((
                "home.wild.test".into(),
                "https://home.wild.test".into(),
                false
            ))
        );
        assert_eq!(session(&config, "wild.test"), None);
        let table = RouteTable::compile(&config);
        assert!(table.hand_off_host("https://a.wild.test").is_some());
        for origin in [
            "http://a.wild.test",
            "https://a.wild.test:9000",
            "https://wild.test",
        ] {
            assert!(table.hand_off_host(origin).is_none(), "{origin}");
        }
        config.session.cookie_domain = Some("wild.test".to_owned());
        let shared = session(&config, "a.wild.test").unwrap();
        assert_eq!((&*shared.0, shared.2), ("wild.test", false));
    }

    #[test]
    fn hosts_outside_the_home_scope_have_sign_ins_handed_over() {
        let mut open = route("open", &["open.test"], "/*");
        open.access = None;
        let hosts = [
            "apps.test",
            "apps.test:9000",
            "files.apps.test",
            "b.test:8443",
        ];
        let mut config = fixture::config(
            "https://apps.test:444",
            vec![
                route("r", &hosts, "/*"),
                open,
                route("p", &["c.test"], "/p/*"),
            ],
        );
        let hand_off = |config: &Config, authority: &str| {
            let table = RouteTable::compile(config);
            let host = table.session_host(&Authority::parse(authority).unwrap())?;
            let origin = host.origin.to_string();
            assert_eq!(
                table.hand_off_host(&origin).is_some(),
                host.hand_off,
                "{authority}"
            );
            host.hand_off.then_some(origin)
        };
        for (authority, origin) in [
            ("apps.test", None),
            ("apps.test:444", None),
            ("apps.test:9000", None),
            ("files.apps.test", Some("https://files.apps.test")),
            ("files.apps.test:9000", Some("https://files.apps.test")),
            ("b.test:8443", Some("https://b.test:8443")),
            ("b.test", None),
            ("c.test", Some("https://c.test")),
            ("open.test", None),
            ("unknown.test", None),
        ] {
            assert_eq!(
                hand_off(&config, authority).as_deref(),
                origin,
                "{authority}"
            );
        }
        let table = RouteTable::compile(&config);
        for origin in [
            "http://b.test:8443",
            "https://b.test",
            "https://b.test:8443/",
            "https://B.test:8443",
            "b.test:8443",
            "https://x@b.test:8443",
            "https://apps.test:444",
            "",
        ] {
            assert!(table.hand_off_host(origin).is_none(), "{origin}");
        }
        config.session.cookie_domain = Some("apps.test".to_owned());
        assert_eq!(hand_off(&config, "files.apps.test"), None);
        assert!(hand_off(&config, "c.test").is_some());
    }

    #[test]
    fn a_host_for_all_has_no_scope_but_its_policy() {
        let mut status = route("any", &["*"], "/status");
        status.access = None::<Access>;
        status.rules = vec![LaneRule::plain(
            Lane::Public,
            PathPattern::parse("/*").unwrap(),
        )];
        let table = table("https://a.test", vec![status]);
        let target = Target::for_tests("GET", "https://whatever.test/status");
        let Found::Route(found) = table.find(&target) else {
            panic!("the route for all hosts")
        };
        assert!(found.scope.is_none());
        let lane = found.policy.lane(&target, &http::HeaderMap::new());
        assert_eq!(lane.lane(), Lane::Public);
    }

    #[test]
    fn sec_path_16_a_reading_of_a_less_specific_route_reaches_none_either() {
        let mut tree = route("tree", &["a.test"], "/*/tree/*");
        tree.encoded_slash = true;
        let docs = route("docs", &["a.test"], "/docs/*");
        let alone = route("alone", &["b.test"], "/*/docs/*");
        let open = route("open", &["a.test"], "/*/docs/*");
        let table = table("https://a.test", vec![tree, docs, alone, open]);
        for (url, id) in [
            ("https://a.test/x/docs/a", "open"),
            ("https://a.test/x;v=1/docs/a", "open"),
            ("https://a.test/docs/a", "docs"),
            // Servers that drop path parameters read "/docs/a".
            ("https://a.test/;v=1/docs/a", "404"),
            ("https://b.test/;v=1/docs/a", "404"),
            ("https://b.test/x/docs/a", "alone"),
            ("https://a.test/docs%2fx/tree/a", "400"),
            ("https://a.test/x%2fy/tree/a", "tree"),
        ] {
            assert_eq!(find(&table, url), id, "{url}");
        }
    }

    #[test]
    fn a_wildcard_itself_is_no_scope_and_never_that_of_the_sign_in() {
        let mut wild = route("wild", &["*.apps.test"], "/*");
        wild.access = None;
        let files = route("files", &["apps.test"], "/*");
        let mut config = fixture::config("https://login.apps.test", vec![wild, files]);
        let scope = |config: &Config, host: &str| {
            let table = RouteTable::compile(config);
            let host = table.session_host(&Authority::parse(host).unwrap())?;
            Some((host.scope.0.clone(), host.hand_off))
        };
        let of = |name: &str, hand_off| Some((name.to_owned(), hand_off));
        assert_eq!(
            scope(&config, "login.apps.test"),
            of("login.apps.test", false)
        );
        assert_eq!(scope(&config, "apps.test"), of("apps.test", true));
        // Each name stands alone; this route has no sessions to hand over.
        assert_eq!(scope(&config, "x.apps.test"), of("x.apps.test", false));
        config.session.cookie_domain = Some("apps.test".to_owned());
        for host in ["login.apps.test", "apps.test", "x.apps.test"] {
            assert_eq!(scope(&config, host), of("apps.test", false), "{host}");
        }
    }

    #[test]
    fn the_longest_wildcard_decides_alone_and_an_exact_name_beats_it() {
        let mut table = table(
            "https://apps.test",
            vec![
                route("exact", &["a.x.test"], "/e/*"),
                route("wide", &["*.test"], "/*"),
                route("narrow", &["*.x.test"], "/n/*"),
                route("ported", &["*.x.test:8443"], "/*"),
                route("any", &["*"], "/*"),
            ],
        );
        for (url, id) in [
            ("https://a.x.test/e/1", "exact"),
            ("https://a.x.test/n/1", "404"),
            ("https://A.X.test./e/1", "exact"),
            ("https://b.x.test/n/1", "narrow"),
            ("https://b.c.x.test/n/1", "narrow"),
            ("https://b.x.test/e/1", "404"),
            ("https://a.x.test:8443/n/1", "404"),
            ("https://b.x.test:8443/other", "ported"),
            ("https://x.test/n/1", "wide"),
            ("https://bx.test/n/1", "wide"),
            ("https://b.x.test.evil.example/n/1", "any"),
            ("https://test/", "any"),
            ("https://192.0.2.1/", "any"),
            ("https://[2001:db8::1]/", "any"),
        ] {
            assert_eq!(find(&table, url), id, "{url}");
        }
        table.any = Routes::default();
        assert_eq!(find(&table, "https://b.x.test.evil.example/n/1"), "421");
    }

    #[test]
    fn sec_path_07_an_encoded_slash_passes_only_where_the_route_asks() {
        let mut open = route("open", &["a.test"], "/repos/*");
        open.encoded_slash = true;
        let table = table(
            "https://a.test",
            vec![
                open,
                route("admin", &["a.test"], "/repos/admin/*"),
                route("root", &["a.test"], "/r/*"),
            ],
        );
        for (path, id) in [
            ("/repos/a%2fb", "open"),
            ("/repos/a%2Fb/c", "open"),
            ("/repos/admin%2fb", "400"),
            ("/repos%2fx", "400"),
            ("/r/a%2fb", "400"),
            ("/none%2fb", "400"),
            ("/oauth2%2fcallback", "400"),
        ] {
            assert_eq!(find(&table, &format!("https://a.test{path}")), id, "{path}");
        }
    }
}
