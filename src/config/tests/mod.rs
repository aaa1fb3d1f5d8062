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
mod admission;
mod papers;
mod peers_mistakes;
mod routes;
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
fn sec_adv_04_an_unknown_or_misspelt_key_is_refused() {
    let text = changed("access = \"signed-in\"", "acces = \"signed-in\"");
    refuses(&text, "route.files.acces", Some(8), "did you mean access?");
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
