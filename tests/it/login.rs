//! Signing in, with every kind of provider, and what the provider gets to see.

use std::collections::HashSet;

use crate::harness::browser::Browser;
use crate::harness::echo::Echo;
use crate::harness::provider::{CLIENT_ID, CLIENT_SECRET, Dialect, Endpoint, User};
use crate::harness::scene::Scene;

#[tokio::test]
async fn every_dialect_ends_in_a_session_with_all_claims() {
    for dialect in Dialect::names() {
        let scene = Scene::with(&dialect, |plan| plan).await;
        let browser = Browser::new();
        let echo = Echo::of(&scene.sign_in(&browser, User::ann()).await);
        assert_eq!(echo.one("x-forwarded-user"), Some("sub-ann"), "{dialect}");
        assert_eq!(
            echo.one("x-forwarded-email"),
            Some("ann@corp.test"),
            "{dialect}"
        );
        assert_eq!(
            echo.one("x-forwarded-groups"),
            Some("staff,admins"),
            "{dialect}"
        );
        assert_eq!(
            echo.one("x-forwarded-preferred-username"),
            Some("ann"),
            "{dialect}"
        );
        let again = browser
            .fetch("GET", &scene.gateway.url("/again"), &[])
            .await;
        assert_eq!(again.status, 200, "{dialect}");
        assert_eq!(scene.logins(), (1, 1), "{dialect}");
    }
}

#[tokio::test]
async fn returns_to_the_very_address() {
    let scene = Scene::start().await;
    for address in [
        "/deep/page?a=b%26c&d=%C3%A9",
        "/?x=https://elsewhere.test/",
        "/a%20b;c=1",
    ] {
        let browser = Browser::new();
        let answer = browser.open(&scene.gateway.url(address)).await;
        assert_eq!(Echo::of(&answer).target, address);
    }
}

#[tokio::test]
async fn sec_rp_01_redirect_uri_is_the_configured_one_both_times() {
    let scene = Scene::start().await;
    scene.signed_in(User::ann()).await;
    let authorize = &scene.provider.recorded(Endpoint::Authorize)[0];
    let code = &scene.provider.recorded(Endpoint::Code)[0];
    let expected = scene.gateway.own("/callback");
    assert_eq!(
        authorize.parameter("redirect_uri").as_deref(),
        Some(expected.as_str())
    );
    assert_eq!(
        code.parameter("redirect_uri").as_deref(),
        Some(expected.as_str())
    );
}

#[tokio::test]
async fn sec_rp_11_secret_is_form_encoded_inside_basic() {
    let scene = Scene::start().await;
    scene.signed_in(User::ann()).await;
    let code = &scene.provider.recorded(Endpoint::Code)[0];
    assert_eq!(
        code.basic,
        Some((CLIENT_ID.to_owned(), CLIENT_SECRET.to_owned()))
    );
}

#[tokio::test]
async fn sec_rp_12_one_way_of_client_authentication_and_never_the_url() {
    for dialect in ["oidc-plain", "no-refresh-token"] {
        let scene = Scene::with(dialect, |plan| plan).await;
        scene.signed_in(User::ann()).await;
        for seen in scene.provider.recorded(Endpoint::Code) {
            assert!(seen.query.is_empty(), "{dialect}: {:?}", seen.query);
            let in_form = seen.form.iter().any(|(name, _)| name == "client_secret");
            assert_ne!(in_form, seen.basic.is_some(), "{dialect}");
        }
    }
}

#[tokio::test]
async fn sec_rp_18_verifiers_are_fresh_and_never_in_an_address() {
    let scene = Scene::start().await;
    let mut seen = HashSet::new();
    for _ in 0..20 {
        let browser = scene.signed_in(User::ann()).await;
        let code = scene.provider.recorded(Endpoint::Code).pop().expect("code");
        let verifier = code.parameter("code_verifier").expect("verifier");
        assert!((43..=128).contains(&verifier.len()));
        let unreserved = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
        assert!(verifier.chars().all(unreserved), "{verifier}");
        assert!(
            browser
                .history()
                .iter()
                .all(|url| !url.as_str().contains(&verifier))
        );
        assert!(
            browser
                .cookies()
                .iter()
                .all(|cookie| !cookie.value.contains(&verifier))
        );
        assert!(seen.insert(verifier), "a verifier came twice");
    }
}

#[tokio::test]
async fn sec_rp_19_pkce_state_and_nonce_on_every_request() {
    let scene = Scene::start().await;
    scene.signed_in(User::ann()).await;
    scene.signed_in(User::bob()).await;
    let all = scene.provider.recorded(Endpoint::Authorize);
    for name in ["state", "nonce", "code_challenge"] {
        let values: HashSet<_> = all
            .iter()
            .map(|seen| seen.parameter(name).expect("parameter"))
            .collect();
        assert_eq!(values.len(), all.len(), "{name} is reused");
        assert!(
            values.iter().all(|value| value.len() >= 22),
            "{name} is short"
        );
    }
    for seen in &all {
        assert_eq!(
            seen.parameter("code_challenge_method").as_deref(),
            Some("S256")
        );
        assert_eq!(seen.parameter("response_type").as_deref(), Some("code"));
        let scope = seen.parameter("scope").expect("scope");
        assert!(scope.split(' ').any(|word| word == "openid"), "{scope}");
    }
}

#[tokio::test]
async fn sec_red_19_only_navigations_are_redirected() {
    let scene = Scene::start().await;
    let browser = Browser::new();
    let url = scene.gateway.url("/data");
    let cases: &[&[(&str, &str)]] = &[
        &[("accept", "application/json")],
        &[
            ("accept", "text/html"),
            ("x-requested-with", "XMLHttpRequest"),
        ],
        &[("sec-fetch-dest", "image")],
        &[("connection", "upgrade"), ("upgrade", "websocket")],
        &[("accept", "text/event-stream")],
    ];
    for headers in cases {
        let answer = browser.fetch("GET", &url, headers).await;
        assert_eq!(answer.status, 401, "{headers:?}");
        assert_eq!(answer.header("location"), "");
        assert!(
            answer.header("www-authenticate").starts_with("Bearer"),
            "{headers:?}"
        );
        assert!(answer.set_cookies().is_empty(), "no new state: {headers:?}");
        assert!(
            answer
                .header("content-type")
                .starts_with("application/problem+json")
        );
        let login = answer.json()["login_url"]
            .as_str()
            .expect("login_url")
            .to_owned();
        assert!(login.contains("/oauth2/"), "{login}");
    }
    let navigation = browser.step(&url).await;
    assert_eq!(navigation.status, 302);
    assert!(scene.upstream.requests().is_empty());
}

#[tokio::test]
async fn sec_rp_09_a_form_is_neither_replayed_nor_silently_lost() {
    let scene = Scene::start().await;
    let browser = Browser::new();
    let page = scene.gateway.url("/form");
    let answer = browser.submit(&page, &page, &[("a", "1")]).await;
    assert_eq!(answer.status, 401);
    assert!(
        answer.header("content-type").starts_with("text/html"),
        "{:?}",
        answer.headers
    );
    assert!(scene.upstream.requests().is_empty());
}

#[tokio::test]
async fn a_wrong_client_secret_is_told_as_the_operators_trouble() {
    let scene = Scene::with("oidc-plain", |plan| {
        plan.client_secret("not-the-secret-of-this")
    })
    .await;
    let browser = Browser::new();
    let answer = browser.open(&scene.gateway.url("/hello")).await;
    assert!(answer.status.is_server_error(), "{}", answer.status);
    assert!(!answer.reference().is_empty(), "{}", answer.text());
    crate::harness::until::holds("the log names the trouble", || {
        scene.gateway.log().contains("client_credentials_rejected")
    })
    .await;
    assert!(scene.upstream.requests().is_empty());
}

#[tokio::test]
async fn sec_rp_53_unverified_mail_is_never_told_upstream() {
    let scene = Scene::start().await;
    let cases = [
        User::ann().with("email_verified", serde_json::json!(false)),
        User::ann().with("email_verified", serde_json::json!("false")),
        User::ann().without("email_verified"),
    ];
    for user in cases {
        let claims = user.claims.clone();
        let browser = Browser::new();
        let echo = Echo::of(&scene.sign_in(&browser, user).await);
        assert!(
            echo.one("x-forwarded-email").unwrap_or_default().is_empty(),
            "{claims:?}"
        );
        assert_eq!(echo.one("x-forwarded-user"), Some("sub-ann"));
    }
}

#[tokio::test]
async fn sec_rp_92_signed_in_but_refused_is_403_and_no_loop() {
    let scene = Scene::of_case_book().await;
    let bob = scene.signed_in(User::bob()).await;
    let answer = bob.open(&scene.gateway.url("/admin/users")).await;
    assert_eq!(answer.status, 403);
    assert!(answer.header("content-type").starts_with("text/html"));
    assert_eq!(scene.logins(), (1, 1));
    let ann = scene.signed_in(User::ann()).await;
    assert_eq!(
        ann.open(&scene.gateway.url("/admin/users")).await.status,
        200
    );
    let seen = scene.upstream.requests();
    assert_eq!(
        seen.iter()
            .filter(|echo| echo.target == "/admin/users")
            .count(),
        1
    );
}
