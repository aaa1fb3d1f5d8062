//! A provider that stands behind this very gateway. Its sign-in pages must be
//! reachable without a session, or nobody can ever get one.

use std::collections::BTreeMap;

use http::Method;
use url::Url;

use super::checked::{Provider, Route, RouteHost};
use super::problems::Findings;
use crate::model::access::{Lane, LaneRule};
use crate::model::identity::ProviderId;
use crate::model::origin::{Authority, Origin};

/// Requests that a sign-in is made of: who sends them does not have a session
/// yet. Paths start at the origin.
const GITEA: [(Method, &str); 7] = [
    (Method::GET, "/login/oauth/authorize"),
    (Method::POST, "/login/oauth/access_token"),
    (Method::GET, "/login/oauth/userinfo"),
    (Method::GET, "/login/oauth/keys"),
    (Method::POST, "/login/oauth/grant"),
    (Method::GET, "/user/login"),
    (Method::POST, "/user/login"),
];

/// Below the issuer.
const KEYCLOAK: [(Method, &str); 4] = [
    (Method::GET, "/protocol/openid-connect/auth"),
    (Method::POST, "/protocol/openid-connect/token"),
    (Method::GET, "/protocol/openid-connect/certs"),
    (Method::POST, "/login-actions/authenticate"),
];

/// What authentik serves besides its issuer's own path.
const AUTHENTIK: [(Method, &str); 4] = [
    (Method::GET, "/application/o/authorize/"),
    (Method::POST, "/application/o/token/"),
    (Method::GET, "/if/flow/default-authentication-flow/"),
    (
        Method::GET,
        "/api/v3/flows/executor/default-authentication-flow/",
    ),
];

/// Every provider against the routes of its own origin. `public_url` gives
/// the scheme of all routes. Only a host that is named surely points here; a
/// name below a wildcard may point elsewhere, which is worth a warning.
pub(super) fn check(
    providers: &BTreeMap<ProviderId, Provider>,
    routes: &[Route],
    public_url: Option<&Origin>,
    findings: &mut Findings,
) {
    let Some(public_url) = public_url else {
        return;
    };
    for provider in providers.values() {
        let Ok(issuer) = Url::parse(&provider.issuer) else {
            continue;
        };
        if issuer.scheme() != public_url.scheme.as_str() {
            continue;
        }
        let host = Authority {
            host: issuer.host_str().unwrap_or_default().to_owned(),
            port: issuer.port(),
        };
        let routes = routes_of(routes, &host);
        let exact = RouteHost::Exact(host);
        for (method, path) in sign_in_requests(provider, &issuer, &routes) {
            let Some(route) = route_of(&routes, &path) else {
                continue;
            };
            let hindrance = match lane_of(route, &method, &path) {
                Lane::Session => "asks for a sign-in first",
                Lane::Deny => "refuses it",
                _ => continue,
            };
            let key = format!("provider.{}.issuer", provider.id);
            let cure = format!(
                "put {{ path = \"{}\", lane = \"public\" }} first in the rules of route.{}, and the same for the other paths of its sign-in ({}); or give the provider a host that this gateway does not guard",
                path,
                route.id,
                ways(&issuer, is_gitea(&routes)),
            );
            let named = route.hosts.contains(&exact);
            let unless = if named {
                ""
            } else {
                ", if that name leads to this gateway"
            };
            let what = format!(
                "{method} {path} is part of signing in there, and route.{} {hindrance}: nobody could ever get a session{unless}",
                route.id
            );
            if named {
                findings.error(&key, what, cure);
            } else {
                findings.warning(&key, what, cure);
            }
        }
    }
}

/// The discovery document is only asked for by servers: with `internal_url`
/// nobody needs it here.
fn sign_in_requests(provider: &Provider, issuer: &Url, routes: &[&Route]) -> Vec<(Method, String)> {
    let base = issuer.path().trim_end_matches('/');
    let mut out = Vec::new();
    if provider.internal_url.is_none() {
        let discovery = format!("{base}/.well-known/openid-configuration");
        out.push((Method::GET, discovery));
    }
    let (below, paths): (&str, &[(Method, &str)]) = if base.contains("/realms/") {
        (base, &KEYCLOAK)
    } else if base.starts_with("/application/o/") {
        ("", &AUTHENTIK)
    } else if is_gitea(routes) {
        (base, &GITEA)
    } else {
        ("", &[])
    };
    let absolute = |(method, path): &(Method, &str)| (method.clone(), format!("{below}{path}"));
    out.extend(paths.iter().map(absolute));
    out
}

/// An application that is told its users as Gitea wants it, or whose rules
/// speak of Gitea's own sign-in, is Gitea.
fn is_gitea(routes: &[&Route]) -> bool {
    let names_login = |rule: &LaneRule| rule.path.as_str().starts_with("/login/oauth/");
    routes
        .iter()
        .any(|route| route.identity.preset.name == "gitea" || route.rules.iter().any(names_login))
}

/// The routes that answer for `host`: the most specific spelling of it
/// decides alone. Routes of every host say nothing about this one.
fn routes_of<'a>(routes: &'a [Route], host: &Authority) -> Vec<&'a Route> {
    let rank = |route: &Route| {
        let fits = |written: &RouteHost| match written {
            RouteHost::Exact(exact) => (exact == host).then_some(usize::MAX),
            RouteHost::Below(domain) => {
                let inner = host.host.strip_suffix(&domain.host);
                let is_below = inner.is_some_and(|inner| inner.len() > 1 && inner.ends_with('.'));
                (is_below && domain.port == host.port).then_some(domain.host.len())
            }
            RouteHost::Any => None,
        };
        route.hosts.iter().filter_map(fits).max()
    };
    let best = routes.iter().filter_map(rank).max();
    let decides = |route: &&Route| best.is_some() && rank(route) == best;
    routes.iter().filter(decides).collect()
}

/// The way requests find their route: the longest path.
fn route_of<'a>(routes: &[&'a Route], path: &str) -> Option<&'a Route> {
    let fits = routes.iter().filter(|route| route.path.matches(path));
    fits.min_by(|one, other| one.path.by_specificity(&other.path))
        .copied()
}

/// What somebody without any credential meets.
fn lane_of(route: &Route, method: &Method, path: &str) -> Lane {
    let takes = |rule: &&LaneRule| {
        rule.header.is_none()
            && rule.path.matches(path)
            && (rule.methods.is_empty() || rule.methods.contains(method))
    };
    route
        .rules
        .iter()
        .find(takes)
        .map_or(Lane::Session, |rule| rule.lane)
}

fn ways(issuer: &Url, gitea: bool) -> String {
    if gitea {
        return "\"/.well-known/*\", \"/login/*\", \"/user/login\", \"/assets/*\"".to_owned();
    }
    match issuer.path().trim_end_matches('/') {
        "" => "\"/.well-known/*\" and its login pages".to_owned(),
        base => format!("\"{base}/*\" and its login pages"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Problem, Problems, parse};

    /// One host; the lines of `route` follow its upstream and access.
    /// The warnings.
    fn read(issuer: &str, route: &str) -> Result<Vec<Problem>, Problems> {
        let text = format!(
            "server.public_url = \"https://git.example.com\"\n\
             [provider.main]\nkind = \"oidc\"\nissuer = \"{issuer}\"\nclient_id = \"vestibule\"\n\
             [route.git]\nupstream = \"http://127.0.0.1:3000\"\naccess = \"signed-in\"\n{route}\n"
        );
        let folder = tempfile::tempdir().unwrap();
        parse(&text, "vestibule.toml", &[], folder.path()).map(|loaded| loaded.warnings)
    }

    #[track_caller]
    fn refuses(issuer: &str, route: &str, path: &str) {
        let problems = read(issuer, route).expect_err(route);
        let [only] = &problems.errors[..] else {
            panic!("{problems}");
        };
        assert_eq!(only.key, "provider.main.issuer");
        assert!(only.what.contains(path), "{}", only.what);
        assert!(only.cure.contains("lane = \"public\""), "{}", only.cure);
    }

    const OPEN: &str = r#"rules = [
        { methods = ["GET"], path = "/.well-known/*", lane = "public" },
        { path = "/login/oauth/*", lane = "public" },
        { methods = ["GET", "POST"], path = "/user/login", lane = "public" },
    ]"#;

    #[test]
    fn an_issuer_behind_its_own_session_lane_is_refused() {
        let discovery = "/.well-known/openid-configuration";
        refuses("https://git.example.com", "", discovery);
        refuses("https://git.example.com/", "", discovery);
        refuses("https://GIT.example.com:443", "", discovery);
        refuses(
            "https://git.example.com/realms/staff",
            "rules = [{ path = \"/.well-known/*\", lane = \"public\" }]",
            "/realms/staff/.well-known/openid-configuration",
        );
        refuses(
            "https://git.example.com",
            "rules = [{ path = \"/.well-known/*\", lane = \"deny\" }]",
            discovery,
        );
    }

    #[test]
    fn every_step_of_the_sign_in_counts() {
        assert!(read("https://git.example.com", OPEN).is_ok());
        for (from, to, path) in [
            ("/user/login", "/user/log", "GET /user/login"),
            ("\"GET\", \"POST\"", "\"GET\"", "POST /user/login"),
            (
                "/login/oauth/*",
                "/login/oauth/authorize",
                "/login/oauth/access_token",
            ),
        ] {
            refuses("https://git.example.com", &OPEN.replace(from, to), path);
        }
        let keycloak =
            "rules = [{ methods = [\"GET\"], path = \"/realms/staff/*\", lane = \"public\" }]";
        refuses(
            "https://git.example.com/realms/staff",
            keycloak,
            "POST /realms/staff/protocol/openid-connect/token",
        );
    }

    #[test]
    fn an_application_that_is_told_as_gitea_is_gitea() {
        let open = "identity = \"gitea\"\nuser_from = \"username\"\nrules = [{ methods = [\"GET\"], path = \"/*\", lane = \"optional\" }]";
        refuses(
            "https://git.example.com",
            open,
            "POST /login/oauth/access_token",
        );
    }

    #[test]
    fn an_issuer_elsewhere_is_nobodys_business() {
        for issuer in [
            "https://id.example.com",
            "https://git.example.com:8443",
            "https://git.example.com.evil.test",
        ] {
            assert!(read(issuer, "").is_ok(), "{issuer}");
        }
    }

    #[test]
    fn the_most_specific_host_decides() {
        let wide = "host = \"*.example.com\"\n[session]\ncookie_domain = \"example.com\"";
        let warnings = read("https://id.example.com", wide).expect("only a warning");
        let [only] = &warnings[..] else {
            panic!("{warnings:?}");
        };
        assert_eq!(only.key, "provider.main.issuer");
        assert!(only.what.contains("/.well-known/openid-configuration"));
        let own = format!(
            "{wide}\n[route.id]\nhost = \"id.example.com\"\nupstream = \"http://127.0.0.1:8080\"\nrules = [{{ path = \"/*\", lane = \"public\" }}]"
        );
        let catch_all = "[route.rest]\nhost = \"*\"\nupstream = \"http://127.0.0.1:1\"\nrules = [{ path = \"/*\", lane = \"deny\" }]";
        for (issuer, more) in [
            ("https://id.example.com", own.as_str()),
            ("https://example.com", wide),
            ("https://id.example.com", catch_all),
        ] {
            let warnings = read(issuer, more).expect("fine");
            assert!(warnings.is_empty(), "{more} {warnings:?}");
        }
    }

    #[test]
    fn a_path_that_another_route_opens_is_open() {
        let other = "[route.id]\npath = \"/realms/*\"\nupstream = \"http://127.0.0.1:8080\"\nrules = [{ path = \"/*\", lane = \"public\" }]";
        assert!(read("https://git.example.com/realms/staff", other).is_ok());
    }
}
