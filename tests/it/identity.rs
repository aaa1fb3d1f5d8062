//! The upstream hears who somebody is from the gateway and from nobody else.

use std::time::Duration;

use crate::harness::browser::Browser;
use crate::harness::echo::Echo;
use crate::harness::provider::User;
use crate::harness::scene::{Scene, session_cookie};
use crate::harness::wire;

const QUIET: Duration = Duration::from_secs(5);

/// Every injected name, in its proper spelling.
const NAMES: &[&str] = &[
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Forwarded-Preferred-Username",
    "X-Forwarded-Access-Token",
    "X-Auth-Request-User",
    "X-Auth-Request-Email",
    "X-Auth-Request-Roles",
    "Remote-User",
    "Remote-Groups",
    "Remote-Admin",
    "X-Remote-User",
    "X-WEBAUTH-USER",
    "X-Vestibule-Assertion",
    "Impersonate-User",
];

/// Only the four of the default preset arrive, once each, with the session's values.
fn assert_is_bob(echo: &Echo, what: &str) {
    for name in NAMES {
        let expected = match *name {
            "X-Forwarded-User" => Some("sub-bob"),
            "X-Forwarded-Email" => Some("bob@corp.test"),
            "X-Forwarded-Groups" => Some("staff"),
            "X-Forwarded-Preferred-Username" => Some("bob"),
            _ => None,
        };
        assert_eq!(echo.one(name), expected, "{what}: {name}");
    }
}

/// Sends `lines` as they are, with bob's cookie, and gives the upstream's view.
async fn raw_echo(scene: &Scene, bob: &Browser, target: &str, lines: &str) -> Echo {
    let before = scene.upstream.requests().len();
    let text = format!(
        "GET {target} HTTP/1.1\r\nHost: {}\r\nCookie: vestibule={}\r\n{lines}\r\n",
        scene.gateway.authority(),
        session_cookie(bob)
    );
    let answer = wire::raw(scene.gateway.address(), text.as_bytes(), QUIET / 10).await;
    assert_eq!(
        wire::status_of(&answer),
        200,
        "{lines}: {}",
        String::from_utf8_lossy(&answer)
    );
    let seen = scene.upstream.requests();
    assert_eq!(seen.len(), before + 1);
    seen.last().expect("one").clone()
}

#[tokio::test]
async fn sec_hdr_01_exact_names_on_every_lane() {
    let scene = Scene::of_case_book().await;
    let bob = scene.signed_in(User::bob()).await;
    let forged: Vec<(&str, &str)> = NAMES.iter().map(|name| (*name, "ann")).collect();
    let echo = Echo::of(&bob.fetch("GET", &scene.gateway.url("/x"), &forged).await);
    assert_is_bob(&echo, "protected");
    // On a public lane nothing arrives, signed in or not.
    for browser in [&bob, &Browser::new()] {
        let echo = Echo::of(
            &browser
                .fetch("GET", &scene.gateway.url("/public/x"), &forged)
                .await,
        );
        for name in NAMES {
            assert!(echo.folded(name).is_empty(), "public: {name}");
        }
    }
}

#[tokio::test]
async fn sec_hdr_02_case_order_and_repetition() {
    let scene = Scene::start().await;
    let bob = scene.signed_in(User::bob()).await;
    for lines in [
        "x-FORWARDED-user: ann\r\n",
        "X-Forwarded-User: ann\r\nX-Forwarded-User: ann\r\nX-Forwarded-User: ann\r\n",
        "X_Forwarded_User: ann\r\n",
        "X-Forwarded_User: ann\r\nx.forwarded.user: ann\r\n",
        "REMOTE_USER: ann\r\nremote.user: ann\r\nX_Remote_User: ann\r\n",
        "X-Forwarded-Groups: admins,staff\r\nX_FORWARDED_GROUPS: admins\r\n",
    ] {
        assert_is_bob(&raw_echo(&scene, &bob, "/x", lines).await, lines);
    }
}

#[tokio::test]
async fn sec_hdr_04_whole_families() {
    let scene = Scene::start().await;
    let bob = scene.signed_in(User::bob()).await;
    let invented = [
        "X-Auth-Request-Roles",
        "Remote-Admin",
        "X-Remote-Anything",
        "X-WEBAUTH-ROLE",
        "X-Vestibule-Made-Up",
        "Impersonate-Group",
    ];
    let forged: Vec<(&str, &str)> = invented.iter().map(|name| (*name, "admin")).collect();
    let echo = Echo::of(&bob.fetch("GET", &scene.gateway.url("/x"), &forged).await);
    for name in invented {
        assert!(echo.folded(name).is_empty(), "{name}");
    }
}

#[tokio::test]
async fn sec_hdr_05_connection_cannot_take_our_names_away() {
    let scene = Scene::start().await;
    let bob = scene.signed_in(User::bob()).await;
    for lines in [
        "Connection: close, X-Forwarded-User\r\n",
        "Connection: keep-alive, x-forwarded-user , X-Forwarded-Groups\r\n",
        "Connection: keep-alive\r\nConnection: x-forwarded-user\r\nX-Forwarded-User: ann\r\n",
    ] {
        assert_is_bob(&raw_echo(&scene, &bob, "/x", lines).await, lines);
    }
}

#[tokio::test]
async fn sec_hdr_08_connection_cannot_hide_what_is_judged() {
    let scene = Scene::start().await;
    let bob = scene.signed_in(User::bob()).await;
    for name in ["Cookie", "Host", "X-Forwarded-For", "Authorization"] {
        let lines = format!("Connection: {name}\r\n");
        assert_is_bob(&raw_echo(&scene, &bob, "/x", &lines).await, name);
    }
    // Nobody's request stays nobody's.
    let text = format!(
        "GET /x HTTP/1.1\r\nHost: {}\r\nConnection: Cookie, close\r\n\r\n",
        scene.gateway.authority()
    );
    let before = scene.upstream.requests().len();
    let answer = wire::raw(scene.gateway.address(), text.as_bytes(), QUIET).await;
    assert_eq!(wire::status_of(&answer), 401);
    assert_eq!(scene.upstream.requests().len(), before);
}

#[tokio::test]
async fn sec_hdr_10_authorization_is_the_applications_own() {
    let scene = Scene::start().await;
    let bob = scene.signed_in(User::bob()).await;
    let echo = raw_echo(&scene, &bob, "/x", "Authorization: Bearer mine\r\n").await;
    assert_eq!(echo.folded("authorization"), ["Bearer mine"]);
    assert_is_bob(&echo, "with authorization");
}

#[tokio::test]
async fn sec_hdr_11_the_upstream_cannot_speak_for_us() {
    let scene = Scene::start().await;
    let bob = scene.signed_in(User::bob()).await;
    let cookie = session_cookie(&bob);
    let answer = bob
        .fetch("GET", &scene.gateway.url("/takes-over"), &[])
        .await;
    assert_eq!(answer.status, 200);
    let set = answer.set_cookies();
    assert!(
        set.iter().all(|line| !line.contains("vestibule")),
        "{set:?}"
    );
    assert!(set.iter().any(|line| line.starts_with("app=1")), "{set:?}");
    assert_eq!(answer.header("x-forwarded-user"), "");
    assert_eq!(answer.header("x-auth-request-user"), "");
    assert_eq!(answer.header("clear-site-data"), "");
    assert_eq!(session_cookie(&bob), cookie);
}

#[tokio::test]
async fn sec_hdr_12_our_cookies_stay_here_and_others_pass_unchanged() {
    let scene = Scene::start().await;
    let bob = scene.signed_in(User::bob()).await;
    let session = session_cookie(&bob);
    let before = scene.upstream.requests().len();
    let text = format!(
        "GET /x HTTP/1.1\r\nHost: {}\r\nCookie: a=1; vestibule={session}; b=\"2 ;x\"; __Host-vestibule-t-abc=s; c==3\r\nConnection: close\r\n\r\n",
        scene.gateway.authority(),
    );
    let answer = wire::raw(scene.gateway.address(), text.as_bytes(), QUIET).await;
    assert_eq!(wire::status_of(&answer), 200);
    let echo = scene.upstream.requests()[before].clone();
    assert_eq!(echo.one("cookie"), Some("a=1; b=\"2 ;x\"; c==3"));
    let bytes = String::from_utf8_lossy(&scene.upstream.bytes()).into_owned();
    assert!(
        !bytes.contains(&session) && !bytes.contains("vestibule"),
        "{bytes}"
    );
}

#[tokio::test]
async fn sec_hdr_16_client_address_is_the_peers_own() {
    let scene = Scene::start().await;
    let bob = scene.signed_in(User::bob()).await;
    let lines = "X-Forwarded-For: 6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\n";
    let echo = raw_echo(&scene, &bob, "/x", lines).await;
    assert_eq!(echo.one("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(echo.one("x-forwarded-proto"), Some("http"));
    assert!(
        echo.headers
            .iter()
            .all(|(_, value)| !value.contains("6.6.6.6") && !value.contains("evil.test"))
    );
}

#[tokio::test]
async fn sec_hdr_20_overrides_of_method_and_address_are_dropped() {
    let scene = Scene::start().await;
    let bob = scene.signed_in(User::bob()).await;
    let names = [
        "X-HTTP-Method-Override",
        "X-HTTP-Method",
        "X-Method-Override",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Forwarded-Uri",
        "X-Forwarded-Prefix",
        "X-Forwarded-Method",
    ];
    let lines: String = names
        .iter()
        .map(|name| format!("{name}: /admin\r\n"))
        .collect();
    let echo = raw_echo(&scene, &bob, "/x", &lines).await;
    for name in names {
        assert!(echo.folded(name).is_empty(), "{name}");
    }
}

#[tokio::test]
async fn presets_and_headers_of_ones_own() {
    let scene = Scene::with("oidc-plain", |plan| {
        plan.route("identity = \"remote-user\"\n[route.app.headers]\nX-Team = \"claim:team\"\nX-Who = \"email\"")
    })
    .await;
    let browser = Browser::new();
    let user = User::ann().with("team", serde_json::json!("red"));
    let echo = Echo::of(&scene.sign_in(&browser, user).await);
    assert_eq!(echo.one("remote-user"), Some("sub-ann"));
    assert_eq!(echo.one("remote-email"), Some("ann@corp.test"));
    assert_eq!(echo.one("remote-name"), Some("Ann Example"));
    assert_eq!(echo.one("remote-groups"), Some("staff,admins"));
    assert_eq!(echo.one("x-team"), Some("red"));
    assert_eq!(echo.one("x-who"), Some("ann@corp.test"));
    assert_eq!(echo.one("x-forwarded-user"), None);
}

#[tokio::test]
async fn values_that_cannot_stand_in_a_header_are_never_rewritten() {
    let scene = Scene::start().await;
    let groups = serde_json::json!(["staff", "a,b", "ad\r\nmins", " edge", "ok"]);
    let browser = Browser::new();
    let echo = Echo::of(
        &scene
            .sign_in(&browser, User::ann().with("groups", groups))
            .await,
    );
    assert_eq!(echo.one("x-forwarded-groups"), Some("staff,ok"));
    let before = scene.upstream.requests().len();
    let name = serde_json::json!("an\r\nX-Evil: 1");
    scene
        .provider
        .set(|script| script.user = User::ann().with("preferred_username", name));
    let answer = Browser::new().open(&scene.gateway.url("/x")).await;
    assert!(answer.status.as_u16() >= 400, "{}", answer.status);
    assert_eq!(scene.upstream.requests().len(), before);
}
