//! Whole configurations: what is refused, where the fault is said to be, and
//! how it is to be cured.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use super::checked::{HeaderSource, ListenAddr, RouteHost, Store, Upstream};
use super::*;
use crate::base::key_ring::KeyRing;
use crate::model::access::{Access, Lane};

mod access_faults;
mod papers;
mod peers_mistakes;
mod single_faults;
mod sources;

/// The smallest configuration; tests change its lines.
const BASE: &str = r#"server.public_url = "https://files.example.com"
[provider.main]
kind = "oidc"
issuer = "https://id.example.com"
client_id = "vestibule"
[route.files]
upstream = "http://127.0.0.1:3000"
access = "signed-in"
"#;

fn read(text: &str) -> Result<Loaded, Problems> {
    let folder = tempfile::tempdir().unwrap();
    parse(text, "vestibule.toml", &[], folder.path())
}

fn with_environment(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, Problems> {
    let folder = tempfile::tempdir().unwrap();
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let variables: Vec<_> = variables.iter().map(own).collect();
    parse(text, "vestibule.toml", &variables, folder.path())
}

/// The base with one line replaced by another text.
fn changed(from: &str, to: &str) -> String {
    assert!(BASE.contains(from), "{from}");
    BASE.replace(from, to)
}

/// Exactly one fault: key path, line, and a part of the cure.
#[track_caller]
fn refuses(text: &str, key: &str, line: Option<usize>, cure: &str) {
    let problems = read(text).expect_err(text);
    assert_eq!(problems.errors.len(), 1, "{text}\n{problems}");
    let problem = &problems.errors[0];
    assert_eq!(
        (problem.key.as_str(), problem.line),
        (key, line),
        "{text}\n{problem}"
    );
    assert!(problem.cure.contains(cure), "{text}\n{problem}");
    assert!(!problem.what.is_empty());
}

fn write(path: &Path, text: &str, mode: u32) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn the_smallest_configuration_has_the_documented_defaults() {
    let folder = tempfile::tempdir().unwrap();
    let loaded = parse(BASE, "vestibule.toml", &[], folder.path()).unwrap();
    assert_eq!(loaded.warnings, []);
    let config = loaded.config;
    assert_eq!(
        config.server.listen,
        [ListenAddr::Tcp(([127, 0, 0, 1], 4180).into())]
    );
    assert_eq!(config.server.prefix, "/oauth2");
    assert!(config.server.workers > 0);
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:4181");
    assert_eq!(config.session.lifetime, Duration::from_secs(30 * 86_400));
    assert_eq!(config.session.idle_timeout, Duration::from_secs(7 * 86_400));
    let Store::Embedded { path } = &config.store else {
        panic!("{:?}", config.store)
    };
    assert_eq!(path, &folder.path().join("vestibule.db"));
    let provider = config.providers.values().next().unwrap();
    assert_eq!(provider.name, "id.example.com");
    assert_eq!(provider.scopes, ["openid", "email", "profile"]);
    assert!(provider.client_secret.is_none());
    let [route] = config.routes.as_slice() else {
        panic!()
    };
    assert_eq!(
        route.upstream,
        Upstream::Http(crate::model::origin::Authority::parse("127.0.0.1:3000").unwrap())
    );
    assert_eq!(route.access, Some(Access::SignedIn));
    assert!(route.path.is_everything() && route.preserve_host && route.max_body.is_none());
    assert!(
        matches!(&route.hosts[..], [RouteHost::Exact(host)] if host.to_string() == "files.example.com")
    );
}

#[test]
fn sec_adv_15_an_empty_string_in_access_is_refused() {
    let text = changed("\"signed-in\"", "[{ groups = [\"\", \"admins\"] }]");
    refuses(&text, "route.files.access[0].groups[0]", Some(8), "group");
}

#[test]
fn sec_adv_04_an_unknown_or_misspelt_key_is_refused() {
    let text = changed("access = \"signed-in\"", "acces = \"signed-in\"");
    refuses(&text, "route.files.acces", Some(8), "did you mean access?");
}

#[test]
fn signed_in_is_refused_where_anybody_can_register() {
    for issuer in [
        "https://accounts.google.com",
        "https://github.com",
        "https://gitlab.com",
        "https://discord.com",
        "https://appleid.apple.com",
        "https://slack.com",
        "https://www.linkedin.com/oauth",
        "https://bitbucket.org",
        "https://login.microsoftonline.com/common/v2.0",
    ] {
        let text = changed("https://id.example.com", issuer);
        refuses(&text, "route.files.access", Some(8), "\"anyone\"");
        let meant = text.replace("\"signed-in\"", "\"anyone\"");
        assert!(read(&meant).is_ok(), "{issuer}");
        let limited = text.replace("\"signed-in\"", "[{ email_domains = [\"Example.com\"] }]");
        assert!(read(&limited).is_ok(), "{issuer}");
    }
    let tenant = "https://login.microsoftonline.com/0f1e2d3c-0000-4000-8000-000000000000/v2.0";
    assert!(read(&changed("https://id.example.com", tenant)).is_ok());
}

#[test]
fn with_several_providers_a_rule_on_groups_names_its_provider() {
    let second = "[provider.second]\nkind = \"oidc\"\nissuer = \"https://two.example.com\"\nclient_id = \"v\"\n";
    let text = changed("\"signed-in\"", "[{ groups = [\"staff\"] }]") + second;
    refuses(
        &text,
        "route.files.access[0]",
        Some(8),
        "provider = \"main\"",
    );
    let text = text.replace("groups =", "provider = \"second\", groups =");
    let config = read(&text).unwrap().config;
    assert_eq!(
        sentence::admissions(&config),
        ["files.example.com/*: whoever is in staff and signs in with two.example.com"]
    );
    let uris: Vec<String> = sentence::redirect_uris(&config)
        .into_iter()
        .map(|(_, uri)| uri)
        .collect();
    assert_eq!(
        uris,
        [
            "https://files.example.com/oauth2/callback/main",
            "https://files.example.com/oauth2/callback/second"
        ]
    );
}

#[test]
fn a_route_without_access_ends_in_a_rule_for_everything() {
    let open = |rules: &str| changed("access = \"signed-in\"", &format!("rules = [{rules}]"));
    let config = read(&open("{ path = \"/*\", lane = \"public\" }"))
        .unwrap()
        .config;
    assert_eq!(config.routes[0].access, None);
    assert_eq!(config.routes[0].rules[0].lane, Lane::Public);
    for rules in [
        "{ path = \"/a/*\", lane = \"public\" }",
        "{ path = \"/*\", lane = \"public\", methods = [\"GET\"] }",
        "{ path = \"/a\", lane = \"session\" }, { path = \"/*\", lane = \"deny\" }",
    ] {
        refuses(
            &open(rules),
            "route.files.access",
            Some(6),
            "lane = \"public\"",
        );
    }
}

#[test]
fn a_rule_of_a_session_lane_narrows_the_route() {
    let rules = "rules = [{ path = \"/admin/*\", lane = \"session\", access = [{ groups = [\"admins\"] }] }]\n";
    let config = read(&format!("{BASE}{rules}")).unwrap().config;
    assert_eq!(
        sentence::admissions(&config),
        [
            "files.example.com/admin/*: whoever is in admins",
            "files.example.com/* (everything else): whoever signs in with id.example.com"
        ]
    );
    let narrower = changed("\"signed-in\"", "[{ groups = [\"staff\"] }]") + rules;
    let config = read(&narrower).unwrap().config;
    assert_eq!(
        sentence::admissions(&config)[0],
        "files.example.com/admin/*: whoever is in admins, out of these: whoever is in staff"
    );
}

#[test]
fn the_usual_port_is_no_other_host() {
    let text = changed(
        "access =",
        "host = [\"files.example.com:443\", \"files.example.com\"]\naccess =",
    );
    refuses(&text, "route.files.host[1]", Some(8), "remove one");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(128))]

    /// Whatever stands in the file, the answer is a configuration or a list
    /// of faults.
    #[test]
    fn no_text_makes_the_checks_panic(
        cuts in proptest::collection::vec((0_usize..4000, 0_usize..40, "[\\PC\n\"\\[\\]{}=.]{0,4}"), 1..6),
    ) {
        let mut text: Vec<char> = include_str!("../../../config/full.toml").chars().collect();
        for (at, length, with) in cuts {
            let at = at.min(text.len());
            let end = (at + length).min(text.len());
            text.splice(at..end, with.chars());
        }
        let text: String = text.into_iter().collect();
        match read(&text) {
            Ok(_) => {}
            Err(problems) => {
                proptest::prop_assert!(!problems.errors.is_empty());
                proptest::prop_assert!(problems.errors.iter().all(|problem| !problem.cure.is_empty()));
            }
        }
    }
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
fn plain_http_is_allowed_on_this_machine() {
    let text = BASE
        .replace("https://files.example.com", "http://app.localhost:4180")
        .replace("https://id.example.com", "http://127.0.0.1:9000/realm");
    let config = read(&text).unwrap().config;
    assert_eq!(
        config.server.public_url.to_string(),
        "http://app.localhost:4180"
    );
    assert_eq!(config.providers.values().next().unwrap().name, "127.0.0.1");
    assert!(
        matches!(&config.routes[0].hosts[..], [RouteHost::Exact(host)] if host.port == Some(4180))
    );
}

#[test]
fn trusting_addresses_of_an_open_provider_warns() {
    let text = changed(
        "https://id.example.com",
        "https://login.microsoftonline.com/common/v2.0",
    )
    .replace("client_id", "email_verified = \"trust\"\nclient_id")
    .replace(
        "\"signed-in\"",
        "[{ email_domains = [\"example.com\"] }, { provider = \"main\" }]",
    );
    let warnings = read(&text).unwrap().warnings;
    let keys: Vec<&str> = warnings
        .iter()
        .map(|warning| warning.key.as_str())
        .collect();
    assert_eq!(
        keys,
        ["provider.main.email_verified", "route.files.access[1]"]
    );
}

#[test]
fn no_password_of_an_address_is_printed() {
    for (from, to) in [
        (
            "https://files.example.com",
            "ftp://me:pw1@files.example.com",
        ),
        (
            "https://files.example.com",
            "http://me:pw1@files.example.com",
        ),
        ("https://id.example.com", "ftp://me:pw1@id.example.com"),
        ("http://127.0.0.1:3000", "me:pw1@127.0.0.1:3000"),
    ] {
        let printed = read(&changed(from, to)).expect_err(to).to_string();
        assert!(!printed.contains("pw1"), "{printed}");
    }
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
fn all_faults_come_at_once_and_read_well() {
    let text = "\
[server]
public_url = \"http://apps.example.com/x\"
trusted_proxies = [\"0.0.0.0/0\"]
tls = { certificate_file = \"a\" }

[session]
lifetime = 30

[provider.main]
kind = \"keycloak\"
isuer = \"https://id.example.com\"

[route.files]
upstream = \"http://127.0.0.1:3000\"
";
    let problems = with_environment(text, &[("VESTIBULE__SERVER__WORKER", "2")]).unwrap_err();
    let expected = include_str!("faults.txt");
    assert_eq!(format!("{problems}\n"), expected, "\n{problems}");
}

#[test]
fn broken_toml_is_reported_with_its_line() {
    let problems = read("server.public_url = \"https://a.example\"\n[route.files\nupstream = 1\n")
        .unwrap_err();
    assert!(
        problems
            .errors
            .iter()
            .any(|problem| problem.line == Some(2)),
        "{problems}"
    );
    let problems = read(&format!("{BASE}access = \"anyone\"\n")).unwrap_err();
    assert_eq!(problems.errors[0].line, Some(9), "{problems}");
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
fn a_route_for_one_providers_people_knows_that() {
    let second = "[provider.two]\nkind = \"oidc\"\nissuer = \"https://two.example.com\"\nclient_id = \"vestibule\"\n";
    for (access, only) in [
        ("\"signed-in\"", None),
        ("[{ provider = \"two\" }]", Some("two")),
        (
            "[{ provider = \"two\", groups = [\"a\"] }, { provider = \"two\" }]",
            Some("two"),
        ),
        ("[{ provider = \"two\" }, { provider = \"main\" }]", None),
        (
            "[{ provider = \"two\" }, { emails = [\"a@example.com\"] }]",
            None,
        ),
    ] {
        let text = changed("\"signed-in\"", access)
            .replace("[route.files]", &format!("{second}[route.files]"));
        let loaded = read(&text).unwrap_or_else(|faults| panic!("{text}\n{faults}"));
        let found = &loaded.config.routes[0].identity.only_provider;
        assert_eq!(found.as_ref().map(|id| &*id.0), only, "{access}");
    }
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
