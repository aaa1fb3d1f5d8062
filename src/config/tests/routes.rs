//! Hosts, paths, upstreams.

use super::*;

#[test]
fn the_usual_port_is_no_other_host() {
    let text = changed(
        "access =",
        "host = [\"files.example.com:443\", \"files.example.com\"]\naccess =",
    );
    refuses(&text, "route.files.host[1]", Some(8), "remove one");
}

#[test]
fn every_host_carries_only_lanes_without_session() {
    let text = changed("access =", "host = \"*\"\naccess =");
    refuses(&text, "route.files.host", Some(8), "lane = \"public\"");
    let closed = text.replace(
        "access = \"signed-in\"",
        "rules = [{ path = \"/*\", lane = \"deny\" }]",
    );
    assert_eq!(
        read(&closed).unwrap().config.routes[0].hosts,
        [RouteHost::Any]
    );
}

#[test]
fn a_session_outside_the_home_scope_is_handed_over() {
    let text = changed(
        "access =",
        "host = [\"files.example.com\", \"git.example.com:8443\"]\naccess =",
    );
    assert_eq!(read(&text).unwrap().config.routes[0].hosts.len(), 2);
    let foreign = changed("access =", "host = \"files.other.org\"\naccess =");
    assert!(read(&foreign).is_ok());
    let shared = format!("session.cookie_domain = \"Example.com\"\n{text}");
    let config = read(&shared).unwrap().config;
    assert_eq!(config.session.cookie_domain.as_deref(), Some("example.com"));
    assert_eq!(sentence::notes(&config).len(), 1);
    let strict = format!("session.same_site = \"strict\"\n{foreign}");
    refuses(
        &strict,
        "route.files.host",
        Some(9),
        "session.same_site = \"lax\"",
    );
    let together = format!("session.same_site = \"strict\"\n{shared}").replace(
        "host = [\"files.example.com\", \"git.example.com:8443\"]",
        "host = \"git.example.com\"",
    );
    assert!(read(&together).is_ok(), "one scope needs no hand-off");
}

#[test]
fn two_routes_for_the_same_requests_are_refused() {
    let text = format!(
        "{BASE}[route.more]\nhost = \"FILES.example.com\"\nupstream = \"http://127.0.0.1:3001\"\naccess = \"signed-in\"\n"
    );
    refuses(&text, "route.more", Some(9), "another host or path");
}

#[test]
fn routes_collide_where_hosts_and_paths_do_and_the_first_is_named() {
    let route = |id: &str, hosts: &str, path: &str| {
        format!(
            "[route.{id}]\nhost = [{hosts}]\npath = \"{path}\"\nupstream = \"http://127.0.0.1:1\"\n\
             rules = [{{ path = \"/*\", lane = \"deny\" }}]\n"
        )
    };
    let (x, y, xy) = ("\"x.test\"", "\"y.test\"", "\"x.test\", \"y.test\"");
    for (one, other, named) in [
        ((x, "/a/*"), (x, "/a/*"), Some("x.test/a/*, and so does")),
        ((x, "/a/*"), (xy, "/a/*"), Some("x.test/a/*, and so does")),
        ((xy, "/a/*"), (y, "/a/*"), Some("y.test/a/*, and so does")),
        ((x, "/a/*"), (y, "/a/*"), None),
        ((x, "/a/*"), (x, "/a"), None),
        ((x, "/a"), (x, "/a/"), None),
        ((x, "/a/*"), (x, "/a/b/*"), None),
        ((x, "/a/*"), (x, "/A/*"), Some("x.test/A/*, and some of")),
        ((x, "/a/*/c"), (x, "/a/b/*"), None),
        ((x, "/a/*/c"), (x, "/a/b/c"), None),
        (
            (x, "/a/*/c"),
            (x, "/*/b/c"),
            Some("could as well be /a/*/c"),
        ),
        ((x, "/a/*/c"), (y, "/*/b/c"), None),
        (
            (x, "/a/*/c"),
            (xy, "/a/*/c"),
            Some("x.test/a/*/c, and so does"),
        ),
        ((x, "/a/*/c"), (x, "/*/b/d"), None),
    ] {
        let (between, last) = (
            route("m", "\"z.test\"", "/a/*"),
            route("n", other.0, other.1),
        );
        let text = format!("{BASE}{}{between}{last}", route("l", one.0, one.1));
        match (read(&text), named) {
            (Ok(_), None) => {}
            (Err(problems), Some(named)) => {
                let told: Vec<_> = problems.errors.iter().map(|error| &error.what).collect();
                let [only] = told[..] else {
                    panic!("{problems}");
                };
                assert!(only.contains(named) && only.ends_with("route.l"), "{only}");
            }
            (Ok(_), Some(named)) => panic!("nobody finds {named}"),
            (Err(problems), None) => panic!("{one:?} {other:?}: {problems}"),
        }
    }
    // Of several before it the first one.
    let of = |id| route(id, x, "/a/*");
    let problems = read(&format!("{BASE}{}{}{}", of("l"), of("m"), of("n"))).unwrap_err();
    let told = problems.errors.iter();
    let told: Vec<_> = told
        .map(|error| (error.key.as_str(), error.what.ends_with("route.l")))
        .collect();
    assert_eq!(told, [("route.m", true), ("route.n", true)]);
}

/// With each key or route looking through all the others this takes minutes.
#[test]
fn thousands_of_routes_are_read_in_seconds() {
    let route = |number: usize| {
        format!(
            "[route.r{number}]\npath = \"/r{number}/*\"\nupstream = \"http://127.0.0.1:1\"\naccess = \"signed-in\"\n\
             rules = [{{ path = \"/r{number}/open/*\", lane = \"public\" }}]\n"
        )
    };
    let routes: String = (0..2000).map(route).collect();
    let started = std::time::Instant::now();
    let config = read(&format!("{BASE}{routes}")).unwrap().config;
    assert_eq!(config.routes.len(), 2001);
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn routes_come_sorted_and_inherit_defaults() {
    let text = format!(
        "{BASE}[route.api]\npath = \"/api/*\"\nupstream = \"unix:/run/api.sock\"\nheaders.X-Team = \"claim:/org/team\"\n\
         [route.rest]\nhost = \"*\"\nupstream = \"http://127.0.0.1:1\"\nrules = [{{ path = \"/*\", lane = \"deny\" }}]\n\
         [route_defaults]\nresponse_timeout = \"5s\"\naccess = [{{ emails = [\"Ann@Example.com\"] }}]\n"
    );
    let config = read(&text).unwrap().config;
    let ids: Vec<&str> = config
        .routes
        .iter()
        .map(|route| route.id.as_str())
        .collect();
    assert_eq!(ids, ["api", "files", "rest"]);
    let api = &config.routes[0];
    assert_eq!(api.response_timeout, Duration::from_secs(5));
    assert_eq!(api.upstream, Upstream::Unix("/run/api.sock".into()));
    let Some(Access::AnyOf(rules)) = &api.access else {
        panic!()
    };
    assert_eq!(rules[0].emails, ["ann@example.com"]);
    assert_eq!(config.routes[1].access, Some(Access::SignedIn));
    assert_eq!(
        api.headers[0].value,
        HeaderSource::Claim("/org/team".into())
    );
    assert_eq!(
        config.providers.values().next().unwrap().claims.extra,
        ["/org/team"]
    );
    // a fault of a default is told once, where it stands
    let wrong = text.replace("\"5s\"", "\"5\"");
    refuses(
        &wrong,
        "route_defaults.response_timeout",
        Some(18),
        "such as",
    );
}

#[test]
fn what_an_application_is_told_follows_from_route_preset_and_access() {
    use super::checked::UserFrom;

    let told = |lines: &str| {
        let loaded = read(&format!("{BASE}{lines}\n")).unwrap_or_else(|faults| panic!("{faults}"));
        loaded.config.routes[0].identity.clone()
    };
    let standard = told("");
    assert_eq!(standard, super::checked::IdentityRules::default());
    let jenkins = told("identity = \"jenkins\"");
    assert_eq!(
        (jenkins.preset.name, &*jenkins.group_separator),
        ("jenkins", "|")
    );
    let own = told("identity = \"jenkins\"\ngroup_separator = \", \"\nuser_from = \"username\"");
    assert_eq!(
        (&*own.group_separator, own.user_from),
        (", ", UserFrom::Username)
    );
    assert_eq!(told("identity = \"open-webui\"").user_from, UserFrom::Email);
    // A default for all routes gives way to what a preset needs.
    let needs = told("identity = \"home-assistant\"\n[route_defaults]\nuser_from = \"email\"");
    assert_eq!(needs.user_from, UserFrom::Username);
    assert!(told("namespace = \"shared\"").shared_namespace);
    assert_eq!(told("clear_cookies = [\"a\"]").clear_cookies, ["a"]);
    let domain = "[session]\ncookie_domain = \"example.com\"";
    for (host, on_arrival) in [("files", false), ("other", true)] {
        let lines = format!("host = \"{host}.example.com\"\nclear_cookies = [\"a\"]\n{domain}");
        assert_eq!(told(&lines).clear_on_arrival, on_arrival, "{host}");
    }
    let none = told("clear_cookies = []\n[route_defaults]\nclear_cookies = [\"a\"]");
    assert_eq!(none.clear_cookies, [""; 0]);
}

#[test]
fn sec_path_16_prefixes_fit_the_route_and_its_rules() {
    let upstream = "upstream = \"http://127.0.0.1:3000\"";
    let route = |lines: &str| changed(upstream, &format!("{upstream}\n{lines}"));
    let good = "path = \"/app/*\"\nstrip_prefix = \"/app\"\n";
    let config = read(&route(good)).unwrap().config;
    assert_eq!(config.routes[0].prefix.strip.as_deref(), Some("/app"));
    let both = format!(
        "{good}add_prefix = \"/x\"\nrules = [{{ path = \"/x/a\", lane = \"deny\" }}, {{ path = \"/*\", lane = \"session\" }}]"
    );
    let config = read(&route(&both)).unwrap().config;
    assert_eq!(config.routes[0].prefix.add.as_deref(), Some("/x"));
    assert_eq!(
        sentence::admissions(&config)[0],
        "files.example.com/app/* (at the application /x/a): nobody"
    );
    for (lines, key, line, cure) in [
        (
            "strip_prefix = \"/app\"",
            "route.files.strip_prefix",
            8,
            "path = \"/app/*\"",
        ),
        (
            "path = \"/application/*\"\nstrip_prefix = \"/app\"",
            "route.files.strip_prefix",
            9,
            "path = \"/app/*\"",
        ),
        (
            "add_prefix = \"/x/\"",
            "route.files.add_prefix",
            8,
            "\"/x\"",
        ),
        (
            "add_prefix = \"/x/../y\"",
            "route.files.add_prefix",
            8,
            "\"/app\"",
        ),
        (
            "path = \"/app/*\"\nstrip_prefix = \"/app\"\nrules = [{ path = \"/app/admin/*\", lane = \"deny\" }]",
            "route.files.rules[0].path",
            10,
            "\"/admin/*\"",
        ),
        (
            "add_prefix = \"/x\"\nrules = [{ path = \"/admin/*\", lane = \"deny\" }]",
            "route.files.rules[0].path",
            9,
            "\"/x/admin/*\"",
        ),
    ] {
        refuses(&route(lines), key, Some(line), cure);
    }
}

#[test]
fn upstream_tls_is_for_https_and_its_files_fit_together() {
    let folder = tempfile::tempdir().unwrap();
    let made = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let (one, other) = (made("one"), made("other"));
    write(&folder.path().join("one.pem"), &one.cert.pem(), 0o644);
    write(
        &folder.path().join("one.key"),
        &one.signing_key.serialize_pem(),
        0o600,
    );
    write(
        &folder.path().join("other.key"),
        &other.signing_key.serialize_pem(),
        0o600,
    );
    write(
        &folder.path().join("open.key"),
        &one.signing_key.serialize_pem(),
        0o644,
    );
    let read = |scheme: &str, tls: &str| {
        let upstream = format!("upstream = \"{scheme}://127.0.0.1:3000\"\nupstream_tls = {tls}");
        let text = changed("upstream = \"http://127.0.0.1:3000\"", &upstream);
        parse(&text, "vestibule.toml", &[], folder.path())
    };
    let whole = "{ ca_file = \"one.pem\", client_certificate_file = \"one.pem\", client_key_file = \"one.key\", server_name = \"app.internal\" }";
    let config = read("https", whole).unwrap().config;
    let tls = &config.routes[0].upstream_tls;
    assert_eq!(tls.ca_file, Some(folder.path().join("one.pem")));
    assert_eq!(tls.server_name.as_deref(), Some("app.internal"));
    assert_eq!(
        tls.client.as_ref().unwrap().key_file,
        folder.path().join("one.key")
    );
    for (scheme, tls, key) in [
        ("http", whole, ""),
        ("https", "{ ca_file = \"nowhere.pem\" }", ".ca_file"),
        ("https", "{ server_name = \"https://a\" }", ".server_name"),
        (
            "https",
            "{ client_key_file = \"one.key\" }",
            ".client_key_file",
        ),
        (
            "https",
            "{ client_certificate_file = \"one.pem\" }",
            ".client_certificate_file",
        ),
        (
            "https",
            "{ client_certificate_file = \"one.pem\", client_key_file = \"other.key\" }",
            ".client_key_file",
        ),
        (
            "https",
            "{ client_certificate_file = \"one.pem\", client_key_file = \"open.key\" }",
            ".client_key_file",
        ),
    ] {
        let problems = read(scheme, tls).expect_err(tls);
        let keys: Vec<_> = problems
            .errors
            .iter()
            .map(|problem| problem.key.as_str())
            .collect();
        assert_eq!(keys, [format!("route.files.upstream_tls{key}")], "{tls}");
    }
}
