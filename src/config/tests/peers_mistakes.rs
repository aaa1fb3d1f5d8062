//! What users of other gateways suffer from, one row for each pain that the
//! survey of peers counted: the mistake in a configuration that would bring it
//! here and the fault that names its cure, or why there is nothing to write
//! wrongly.

use super::*;

enum Row {
    /// A line of the base, what is written instead, key of the fault, part of
    /// its cure.
    Fault(&'static str, &'static str, &'static str, &'static str),
    /// The same, and only a warning: it may be meant.
    Warning(&'static str, &'static str, &'static str, &'static str),
    /// Why no configuration can bring it about.
    Impossible(&'static str),
    /// What is not built can be neither right nor wrong.
    Absent(&'static str),
}

use Row::{Absent, Fault, Impossible, Warning};

const URL: &str = "server.public_url = \"https://files.example.com\"";
const CLIENT: &str = "client_id = \"vestibule\"";
const UPSTREAM: &str = "upstream = \"http://127.0.0.1:3000\"";
const ACCESS: &str = "access = \"signed-in\"";

#[rustfmt::skip]
const ROWS: &[(u8, Row)] = &[
    (1, Impossible("one refresher per session, with a durable intent; no key changes that")),
    (2, Fault(URL, "server.public_url = \"https://files.example.com\"\nsession.cookie_refresh = \"1h\"", "session.cookie_refresh", "the cookie never changes")),
    (3, Impossible("an error of the store never ends a session")),
    (4, Fault(CLIENT, "client_id = \"vestibule\"\nrefresh_skew_max = 300", "provider.main.refresh_skew_max", "\"300s\"")),
    (5, Fault(URL, "server.public_url = \"https://files.example.com\"\ncookie_refresh = \"1s\"", "cookie_refresh", "tokens are renewed before they end")),
    (6, Fault(URL, "server.public_url = \"https://files.example.com\"\nsession.store = \"cookie\"", "session.store", "\"embedded\" or \"redis\"")),
    (7, Fault(ACCESS, "access = \"signed-in\"\nheaders.Cookie = \"subject\"", "route.files.headers.Cookie", "another name")),
    (8, Fault(URL, "server.public_url = \"https://files.example.com\"\nsession.same_site = \"none\"", "session.same_site", "\"lax\"")),
    (9, Fault(URL, "server.public_url = \"https://files.example.com\"\nsession.cookie_csrf_per_request = true", "session.cookie_csrf_per_request", "a cookie of its own")),
    (10, Impossible("each tab has a transaction of its own")),
    (11, Fault(ACCESS, "access = \"signed-in\"\nrules = [{ path = \"/api/*\", lane = \"session\", unauthenticated = 401 }]", "route.files.rules[0].unauthenticated", "double quotes")),
    (12, Absent("CORS of our own errors has no key")),
    (13, Fault(ACCESS, "access = [{ groups = [\"staff\"] }]\n[provider.two]\nkind = \"oidc\"\nissuer = \"https://two.example.com\"\nclient_id = \"v\"", "route.files.access[0]", "add provider = \"main\"")),
    (14, Fault(ACCESS, "access = \"signed-in\"\nrules = [{ path = \"/*\", lane = \"session\" }, { path = \"/admin/*\", lane = \"session\", access = [{ groups = [\"admins\"] }] }]", "route.files.rules[1]", "further up")),
    (15, Fault(ACCESS, "access = \"signed-in\"\n[route.more]\nupstream = \"http://127.0.0.1:3001\"\naccess = \"signed-in\"", "route.more", "another host or path")),
    (16, Impossible("the provider's own sign-out is used where it announces one")),
    (17, Absent("back-channel logout has no key")),
    (18, Impossible("sessions are always indexed by person")),
    (19, Impossible("no cache of sessions can be configured")),
    (20, Impossible("a provider that is down does not stop the start")),
    (21, Fault(UPSTREAM, "upstream = \"http://localhost:4180\"", "route.files.upstream", "of the application")),
    (22, Fault(URL, "server.public_url = \"https://files.example.com\"\nserver.return_to_hosts = [\"*.example.com\"]", "server.return_to_hosts[0]", "\".example.com\"")),
    (22, Fault(URL, "server.public_url = \"https://files.example.com\"\nwhitelist_domains = [\".example.com\"]", "whitelist_domains", "server.return_to_hosts")),
    (23, Fault(URL, "server.public_url = \"http://files.example.com\"", "server.public_url", "\"https://files.example.com\"")),
    (23, Fault(URL, "server.public_url = \"https://files.example.com\"\nserver.redirect_url = \"https://files.example.com/oauth2/callback\"", "server.redirect_url", "`vestibule check` prints it")),
    (23, Fault(URL, "server.public_url = \"https://files.example.com\"\nserver.trusted_proxies = [\"0.0.0.0/0\"]", "server.trusted_proxies[0]", "directly in front")),
    (24, Fault(URL, "server.public_url = \"https://files.example.com\"\nsession.cookie_domain = \"other.org\"", "session.cookie_domain", "\"example.com\"")),
    (25, Impossible("by default a cookie stays on its host; with cookie_domain, `check` says who sees it")),
    (26, Fault(URL, "server.public_url = \"https://files.example.com\"\nsession.idle_timeout = \"60d\"", "session.idle_timeout", "session.lifetime longer")),
    (26, Fault(URL, "server.public_url = \"https://files.example.com\"\nsession.cookie_expire = \"168h\"", "session.cookie_expire", "session.idle_timeout")),
    (27, Impossible("a fragment never reaches a server")),
    (28, Impossible("a form without a session gets a page that says so, never a redirect")),
    (29, Fault(ACCESS, "access = \"signed-in\"\nrules = [{ path = \"/api/*\", lane = \"machine-token\" }]", "route.files.rules[0].lane", "\"public\"")),
    (30, Absent("tokens are not exchanged for sessions")),
    (31, Fault(ACCESS, "access = [{ email_domains = [\"example.com\"] }]\n[provider.two]\nkind = \"oidc\"\nissuer = \"https://two.example.com\"\nclient_id = \"v\"\nemail_verified = \"always\"", "provider.two.email_verified", "\"require\"")),
    (31, Fault(CLIENT, "client_id = \"vestibule\"\nemail_verified = \"ignore\"\n[route.mail]\nupstream = \"http://127.0.0.1:3001\"\npath = \"/mail/*\"\naccess = [{ emails = [\"ann@example.com\"] }]", "route.mail.access[0]", "email_verified")),
    (31, Fault(ACCESS, "access = [{ email_domains = [\"*\"] }]", "route.files.access[0].email_domains[0]", "\"signed-in\"")),
    (32, Impossible("groups that the provider does not tell are unknown, and unknown never admits")),
    (33, Fault(ACCESS, "access = \"signed-in\"\nheaders.X-Forwarded-User = \"email\"", "route.files.headers.X-Forwarded-User", "identity = \"none\"")),
    (34, Warning(CLIENT, "client_id = \"vestibule\"\nclient_secret = \"s3cr3t\"", "provider.main.client_secret", "client_secret_file")),
    (35, Absent("nothing is reloaded yet")),
    (36, Fault(UPSTREAM, "upstream = \"grpc://127.0.0.1:3000\"", "route.files.upstream", "h2c://")),
    (37, Fault(URL, "server.public_url = \"https://files.example.com\"\nforward_auth.callers = []", "forward_auth", "remove it")),
    (38, Fault(URL, "server.public_url = \"https://files.example.com\"\nserver.proxy_prefix = \"/oauth2\"", "server.proxy_prefix", "server.prefix")),
    (39, Fault(URL, "server.public_url = \"https://files.example.com\"\nlog.format = \"logfmt\"", "log.format", "\"json\" or \"text\"")),
    (39, Fault(URL, "server.public_url = \"https://files.example.com\"\nlog.access = false\nlog.decisions = true", "log.decisions", "access = true")),
    (40, Absent("traces are not exported yet")),
    (41, Fault(URL, "server.public_url = \"https://files.example.com\"\nredis.url = \"redis://127.0.0.1\"", "redis", "store = \"redis\"")),
    (42, Fault(URL, "server.public_url = \"https://files.example.com\"\nsession.store = \"memory\"", "session.store", "\"embedded\" or \"redis\"")),
    (43, Fault(ACCESS, "access = \"signed-in\"\nrules = [{ path = \"/live\", lane = \"session\", upgrade = true }]", "route.files.rules[0].upgrade", "lane = \"public\"")),
    (44, Fault(UPSTREAM, "upstream = \"http://127.0.0.1:3000\"\nmax_body = 100", "route.files.max_body", "\"100")),
];

#[test]
fn each_mistake_of_peers_users_is_a_fault_with_its_cure() {
    for (number, row) in ROWS {
        let (Fault(from, to, key, cure) | Warning(from, to, key, cure)) = row else {
            continue;
        };
        let text = changed(from, to);
        let (errors, warnings) = match read(&text) {
            Ok(loaded) => (Vec::new(), loaded.warnings),
            Err(problems) => (problems.errors, problems.warnings),
        };
        let found = match row {
            Fault(..) => errors,
            Warning(..) => {
                assert!(errors.is_empty(), "row {number}: {errors:?}");
                warnings
            }
            Impossible(_) | Absent(_) => unreachable!("left out above"),
        };
        let [problem] = &found[..] else {
            panic!("row {number}: {found:?}")
        };
        assert_eq!(problem.key, *key, "row {number}: {problem}");
        assert!(problem.cure.contains(cure), "row {number}: {problem}");
    }
}

#[test]
fn every_pain_of_the_survey_has_a_row() {
    let mut numbers: Vec<u8> = ROWS.iter().map(|(number, _)| *number).collect();
    numbers.dedup();
    assert_eq!(numbers, (1..=44).collect::<Vec<_>>());
    for (number, row) in ROWS {
        if let Impossible(why) | Absent(why) = row {
            assert!(why.len() > 20, "row {number} says why");
        }
    }
}

#[test]
fn trace_and_shadow_are_checked_like_the_rest() {
    #[rustfmt::skip]
    let rows = [
        ("trace.admins = []", "trace.admins", "groups"),
        ("trace.admins = [{}]", "trace.admins[0]", "email_domains"),
        ("trace.admins = [{ groups = [\"\"] }]", "trace.admins[0].groups[0]", "as the provider spells it"),
        ("trace.admins = [{ provider = \"mian\" }]", "trace.admins[0].provider", "did you mean \"main\"?"),
        ("trace.admin = []", "trace.admin", "did you mean admins?"),
        ("shadow.file = \"\"", "shadow.file", "name a configuration file"),
        ("shadow.file = \"nowhere.toml\"", "shadow.file", "correct the path"),
    ];
    for (line, key, cure) in rows {
        refuses(&changed(URL, &format!("{URL}\n{line}")), key, Some(2), cure);
    }
    let problems = with_environment(BASE, &[("VESTIBULE__TRACE__ADMINS", "[]")]).unwrap_err();
    assert!(
        problems
            .to_string()
            .contains("cannot come from the environment")
    );
}

#[test]
fn a_shadow_is_a_configuration_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let with = |next: &str, environment: &[(String, String)]| {
        write(&folder.path().join("next.toml"), next, 0o600);
        let text = changed(URL, &format!("{URL}\nshadow.file = \"next.toml\""));
        parse(&text, "vestibule.toml", environment, folder.path())
    };
    let next = changed(ACCESS, "access = [{ groups = [\"staff\"] }]");
    let config = with(&next, &[]).unwrap().config;
    assert_eq!(sentence::notes(&config).len(), 1);
    let shadow = config.shadow.expect("a shadow");
    assert!(matches!(
        &shadow.config.routes[0].access,
        Some(Access::AnyOf(_))
    ));
    assert_eq!(config.routes[0].access, Some(Access::SignedIn));

    let faulty = with(&changed(ACCESS, "acces = \"signed-in\""), &[]).unwrap_err();
    let [problem] = &faulty.errors[..] else {
        panic!("{faulty}")
    };
    assert!(problem.place.ends_with("next.toml"), "{problem}");
    assert_eq!(problem.line, Some(8));

    let deeper = with(&format!("shadow.file = \"more.toml\"\n{next}"), &[]).unwrap_err();
    assert_eq!(deeper.errors[0].key, "shadow");
    // A variable that names the shadow does not reach into it.
    let named = [("VESTIBULE__SHADOW__FILE".to_owned(), "next.toml".to_owned())];
    assert!(with(&next, &named).is_ok());
}
