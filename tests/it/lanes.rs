//! The lanes, whole: who passes, and what the application is told.

use std::time::Duration;

use crate::harness::browser::Browser;
use crate::harness::echo::Echo;
use crate::harness::gateway::Plan;
use crate::harness::provider::{Endpoint, Provider, User};
use crate::harness::scene::Scene;
use crate::harness::upstream::Upstream;
use crate::harness::wire;

const TOKEN: &str = "abcdefghijklmnopqrstuvwxyz0123456789abcd";

const ROUTE: &str = r#"
deny = [{ usernames = ["eve"] }]
preflight = "pass"
rules = [
  { methods = ["POST"], path = "/api/upload", header = { name = "authorization", matches = "^[a-z0-9]{40}$" }, lane = "backend-token" },
  { path = "/api/*", lane = "session", unauthenticated = "401" },
  { path = "/explore/*", lane = "optional" },
  { methods = ["GET"], path = "/u/*", lane = "public" },
]
"#;

async fn scene(access: &str) -> Scene {
    scene_with(access, |plan| plan).await
}

async fn scene_with(access: &str, change: impl FnOnce(Plan) -> Plan) -> Scene {
    let provider = Provider::start("oidc-plain").await;
    let upstream = Upstream::start().await;
    let url = upstream.url();
    let route = format!("[route.app]\nupstream = \"{url}\"\naccess = {access}\n{ROUTE}");
    let gateway = change(Plan::bare(&provider.issuer).route(&route))
        .start()
        .await;
    Scene {
        provider,
        upstream,
        gateway,
    }
}

fn eve() -> User {
    User::bob().with("preferred_username", "eve".into())
}

#[tokio::test]
async fn optional_takes_everybody_and_names_who_is_signed_in() {
    let scene = scene("\"signed-in\"").await;
    let page = scene.gateway.url("/explore/a");
    let nobody = Browser::new();
    let forged = [
        ("x-forwarded-user", "mal"),
        ("cookie", "vestibule=junk; app=1"),
    ];
    let echo = Echo::of(&nobody.fetch("GET", &page, &forged).await);
    assert_eq!(echo.one("x-forwarded-user"), None);
    assert_eq!(echo.one("cookie"), Some("app=1"));

    let ann = scene.signed_in(User::ann()).await;
    let echo = Echo::of(&ann.fetch("GET", &page, &forged[..1]).await);
    assert_eq!(echo.one("x-forwarded-user"), Some("sub-ann"));
    assert_eq!(echo.one("cookie"), None);
    assert_eq!(scene.provider.count(Endpoint::Authorize), 1);

    // Not a canonical path: the session lane.
    let odd = scene.gateway.url("/explore//a");
    assert_eq!(nobody.fetch("GET", &odd, &[]).await.status, 401);
}

#[tokio::test]
async fn optional_waits_for_no_refresh() {
    let provider = Provider::start("oidc-plain").await;
    provider.set(|script| script.access_lifetime = 2);
    let upstream = Upstream::start().await;
    let route = format!(
        "[route.app]\nupstream = \"{}\"\naccess = \"signed-in\"\n{ROUTE}",
        upstream.url()
    );
    let gateway = Plan::bare(&provider.issuer).route(&route).start().await;
    let scene = Scene {
        provider,
        upstream,
        gateway,
    };
    let ann = scene.signed_in(User::ann()).await;
    scene.provider.down().await;
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let started = tokio::time::Instant::now();
    let echo = Echo::of(
        &ann.fetch("GET", &scene.gateway.url("/explore/a"), &[])
            .await,
    );
    assert!(
        started.elapsed() < Duration::from_secs(2),
        "{:?}",
        started.elapsed()
    );
    // The claims are younger than identity_max_age, so it is still Ann.
    assert_eq!(echo.one("x-forwarded-user"), Some("sub-ann"));
}

#[tokio::test]
async fn deny_beats_access_and_tells_optional_pages_nothing() {
    let scene = scene("[{ groups = [\"staff\"] }]").await;
    let browser = Browser::new();
    scene.provider.set(|script| script.user = eve());
    let answer = browser.open(&scene.gateway.url("/hello")).await;
    assert_eq!(answer.status, 403);
    let answer = browser
        .fetch("GET", &scene.gateway.url("/api/v1"), &[])
        .await;
    assert_eq!(answer.status, 403);
    assert_eq!(answer.json()["reason"], "denied_by_rule");
    let echo = Echo::of(
        &browser
            .fetch("GET", &scene.gateway.url("/explore/a"), &[])
            .await,
    );
    assert_eq!(echo.one("x-forwarded-user"), None);

    // Whether somebody without a user name is Eve cannot be told.
    let unnamed = Browser::new();
    scene
        .provider
        .set(|script| script.user = User::bob().without("preferred_username"));
    assert_eq!(unnamed.open(&scene.gateway.url("/hello")).await.status, 403);
    let bob = scene.signed_in(User::bob()).await;
    assert_eq!(
        bob.fetch("GET", &scene.gateway.url("/api/v1"), &[])
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn a_token_of_the_application_passes_alone() {
    let scene = scene("\"signed-in\"").await;
    let ann = scene.signed_in(User::ann()).await;
    let upload = scene.gateway.url("/api/upload");
    let token = ("authorization", TOKEN);
    let echo = Echo::of(
        &ann.fetch("POST", &upload, &[token, ("x-forwarded-user", "mal")])
            .await,
    );
    assert_eq!(echo.one("authorization"), Some(TOKEN));
    assert_eq!(echo.one("x-forwarded-user"), None);
    assert_eq!(echo.one("cookie"), None, "the whole Cookie header goes");
    let answer = Browser::new()
        .fetch("POST", &upload, &[token, ("cookie", "app=1")])
        .await;
    assert_eq!(Echo::of(&answer).one("cookie"), None);
    assert!(answer.set_cookies().is_empty());

    let refused: &[&[(&str, &str)]] = &[
        &[],
        &[("authorization", "")],
        &[("authorization", "short")],
        &[token, token],
        &[("authorization", "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789ABCD")],
        &[("x-authorization", TOKEN)],
    ];
    for headers in refused {
        let answer = Browser::new().fetch("POST", &upload, headers).await;
        assert_eq!(answer.status, 401, "{headers:?}");
    }
    for (method, path) in [
        ("GET", "/api/upload"),
        ("POST", "/api/upload/"),
        ("POST", "/api//upload"),
        ("POST", "/api/other"),
        ("POST", "/api/upload?_method=DELETE"),
    ] {
        let answer = Browser::new()
            .fetch(method, &scene.gateway.url(path), &[token])
            .await;
        assert_eq!(answer.status, 401, "{method} {path}");
    }
    // Signed in and without a token it is the session lane, with identity.
    let echo = Echo::of(&ann.fetch("POST", &upload, &[]).await);
    assert_eq!(echo.one("x-forwarded-user"), Some("sub-ann"));
}

#[tokio::test]
async fn sec_hdr_22_only_real_preflights_pass() {
    let scene = scene("\"signed-in\"").await;
    let url = scene.gateway.url("/api/v1");
    let origin = ("origin", "https://spa.test");
    let wanted = ("access-control-request-method", "PUT");
    let browser = Browser::new();
    let echo = Echo::of(
        &browser
            .fetch("OPTIONS", &url, &[origin, wanted, ("cookie", "app=1")])
            .await,
    );
    assert_eq!(
        (echo.method.as_str(), echo.target.as_str()),
        ("OPTIONS", "/api/v1")
    );
    assert_eq!(echo.one("cookie"), None);
    assert_eq!(echo.one("x-forwarded-user"), None);
    for headers in [&[][..], &[origin], &[wanted], &[origin, origin, wanted]] {
        let answer = browser.fetch("OPTIONS", &url, headers).await;
        assert_eq!(answer.status, 401, "{headers:?}");
    }
    let body = b"x".to_vec().into();
    let answer = browser
        .fetch_with("OPTIONS", &url, &[origin, wanted], body)
        .await;
    assert_eq!(answer.status, 401);
    assert_eq!(
        browser.fetch("PUT", &url, &[origin, wanted]).await.status,
        401
    );
}

#[tokio::test]
async fn one_address_cannot_take_all_of_the_open_lanes() {
    let scene = scene_with("\"signed-in\"", |plan| {
        plan.limits("open_requests_per_minute = 3")
    })
    .await;
    let page = scene.gateway.url("/u/a");
    let browser = Browser::new();
    let mut answers = Vec::new();
    for _ in 0..8 {
        answers.push(browser.fetch("GET", &page, &[]).await);
    }
    let passed = answers.iter().filter(|answer| answer.status == 200).count();
    assert_eq!(passed, 6, "three, with bursts of twice that");
    let limited = answers.last().expect("answers");
    assert_eq!(limited.status, 429);
    assert_eq!(limited.json()["reason"], "too_many_requests");
    let wait: u64 = limited.header("retry-after").parse().expect("seconds");
    assert!((1..=21).contains(&wait), "{wait}");
    let upload = scene.gateway.url("/api/upload");
    let answer = browser
        .fetch("POST", &upload, &[("authorization", TOKEN)])
        .await;
    assert_eq!(answer.status, 429, "one limit for both lanes");
    // Other lanes do not count.
    assert_eq!(
        browser
            .fetch("GET", &scene.gateway.url("/api/v1"), &[])
            .await
            .status,
        401
    );
    let ann = scene.signed_in(User::ann()).await;
    for _ in 0..8 {
        assert_eq!(
            ann.fetch("GET", &scene.gateway.url("/api/v1"), &[])
                .await
                .status,
            200
        );
    }
}

#[tokio::test]
async fn a_trusted_proxy_is_not_one_address() {
    let scene = scene_with("\"signed-in\"", |plan| {
        plan.limits("open_requests_per_minute = 1")
            .server("trusted_proxies = [\"loopback\"]")
    })
    .await;
    let page = scene.gateway.url("/u/a");
    let browser = Browser::new();
    for _ in 0..5 {
        assert_eq!(browser.fetch("GET", &page, &[]).await.status, 200);
    }
    let of = |address| [("x-forwarded-for", address)];
    let mut statuses = Vec::new();
    for address in ["192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2"] {
        statuses.push(
            browser
                .fetch("GET", &page, &of(address))
                .await
                .status
                .as_u16(),
        );
    }
    assert_eq!(statuses, [200, 200, 429, 200]);
}

#[tokio::test]
async fn client_networks_narrow_a_session_at_every_request() {
    let scene = scene_with(
        "[{ groups = [\"staff\"], client_networks = [\"192.0.2.0/24\", \"127.0.0.1\"] }]",
        |plan| plan.server("trusted_proxies = [\"loopback\"]"),
    )
    .await;
    let ann = scene.signed_in(User::ann()).await;
    let url = scene.gateway.url("/api/v1");
    for (address, status) in [
        ("192.0.2.7", 200),
        ("198.51.100.1", 403),
        ("192.0.2.7", 200),
        ("::ffff:192.0.2.9", 200),
        ("2001:db8::1", 403),
    ] {
        let answer = ann
            .fetch("GET", &url, &[("x-forwarded-for", address)])
            .await;
        assert_eq!(answer.status, status, "{address}");
    }
    let nobody = Browser::new();
    let answer = nobody
        .fetch("GET", &url, &[("x-forwarded-for", "192.0.2.7")])
        .await;
    assert_eq!(answer.status, 401, "a network never replaces signing in");
}

#[tokio::test]
async fn hosts_below_a_domain_and_encoded_slashes_are_asked_for() {
    let provider = Provider::start("oidc-plain").await;
    let upstream = Upstream::start().await;
    let url = upstream.url();
    let public = "rules = [{ path = \"/*\", lane = \"public\" }]";
    let routes = format!(
        "[route.wide]\nhost = \"*.apps.localhost\"\nupstream = \"{url}\"\nidentity = \"none\"\n{public}\n\
         [route.exact]\nhost = \"one.apps.localhost\"\npath = \"/one/*\"\nupstream = \"{url}\"\n{public}\n\
         [route.repos]\npath = \"/repos/*\"\nupstream = \"{url}\"\naccess = \"signed-in\"\nencoded_slash = true\n\
         [route.app]\nupstream = \"{url}\"\naccess = \"signed-in\"\n"
    );
    let gateway = Plan::bare(&provider.issuer).route(&routes).start().await;
    let scene = Scene {
        provider,
        upstream,
        gateway,
    };
    let port = scene.gateway.address().port();
    for (host, path, status) in [
        ("a.apps.localhost", "/x", 200),
        ("b.a.apps.localhost", "/x", 200),
        ("one.apps.localhost", "/one/x", 200),
        ("one.apps.localhost", "/x", 404),
        ("apps.localhost", "/x", 421),
        ("xapps.localhost", "/x", 421),
        ("a.apps.localhost", "/x%2fy", 400),
    ] {
        let answer = wire::get(&format!("http://{host}:{port}{path}")).await;
        assert_eq!(answer.status, status, "{host} {path}");
    }
    let ann = scene.signed_in(User::ann()).await;
    let echo = Echo::of(
        &ann.fetch("GET", &scene.gateway.url("/repos/a%2Fb/c"), &[])
            .await,
    );
    assert_eq!(echo.target, "/repos/a%2Fb/c", "not a byte is changed");
    for path in ["/other/a%2fb", "/repos/..%2fx", "/repos%2fa"] {
        let answer = ann.fetch("GET", &scene.gateway.url(path), &[]).await;
        assert_eq!(answer.status, 400, "{path}");
    }
    let nobody = Browser::new();
    let answer = nobody
        .fetch("GET", &scene.gateway.url("/repos/a%2fb"), &[])
        .await;
    assert_eq!(answer.status, 401);
}
