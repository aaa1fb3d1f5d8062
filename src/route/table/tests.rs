use super::*;
use crate::config::checked;
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
