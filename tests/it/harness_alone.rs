//! The harness checked without any gateway: a peer that misbehaves by accident
//! would make every other test lie.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Semaphore;
use url::Url;

use crate::harness::browser::Browser;
use crate::harness::chaos::Chaos;
use crate::harness::chromium::Chromium;
use crate::harness::cookie_jar::{CookieJar, Initiator};
use crate::harness::echo::Echo;
use crate::harness::node_provider::NodeProvider;
use crate::harness::part::{self, Part};
use crate::harness::port;
use crate::harness::provider::{CLIENT_ID, CLIENT_SECRET, Dialect, Endpoint, Fault, Provider};
use crate::harness::radicale::Radicale;
use crate::harness::redis::Redis;
use crate::harness::upstream::Upstream;
use crate::harness::wire;

const VERIFIER: &str = "a-verifier-of-forty-three-characters-or-more-0123";

/// Walks through authorize and gives the code.
async fn code(provider: &Provider, browser: &Browser) -> String {
    use aws_lc_rs::digest::{SHA256, digest};
    use base64::Engine;
    let challenge = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .encode(digest(&SHA256, VERIFIER.as_bytes()));
    let mut url = Url::parse(&format!("{}/authorize", provider.issuer)).expect("url");
    url.query_pairs_mut()
        .append_pair("client_id", CLIENT_ID)
        .append_pair("response_type", "code")
        .append_pair("scope", "openid offline_access")
        .append_pair("redirect_uri", "http://app.localhost:1/cb")
        .append_pair("state", "s-1")
        .append_pair("nonce", "n-1")
        .append_pair("code_challenge", &challenge)
        .append_pair("code_challenge_method", "S256");
    let back = browser
        .step(url.as_str())
        .await
        .location()
        .expect("location");
    let pairs: std::collections::HashMap<_, _> = back.query_pairs().into_owned().collect();
    assert_eq!(pairs["state"], "s-1");
    assert_eq!(pairs["iss"], provider.issuer);
    pairs["code"].clone()
}

async fn token(provider: &Provider, form: &[(&str, &str)]) -> wire::Answer {
    try_token(provider, form).await.expect("an answer")
}

async fn try_token(provider: &Provider, form: &[(&str, &str)]) -> Result<wire::Answer, String> {
    let form = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(form)
        .append_pair("client_id", CLIENT_ID)
        .append_pair("client_secret", CLIENT_SECRET)
        .finish();
    let headers = [("content-type", "application/x-www-form-urlencoded")];
    let url = format!("{}/token", provider.issuer);
    Browser::new()
        .try_fetch("POST", &url, &headers, form.into())
        .await
}

fn exchange(code: &str) -> [(&str, &str); 4] {
    [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", "http://app.localhost:1/cb"),
        ("code_verifier", VERIFIER),
    ]
}

fn refresh(token: &str) -> [(&str, &str); 2] {
    [("grant_type", "refresh_token"), ("refresh_token", token)]
}

#[tokio::test]
async fn provider_checks_codes_and_rotates() {
    let provider = Provider::start("oidc-plain").await;
    let browser = Browser::new();
    let first = code(&provider, &browser).await;
    let mut wrong = exchange(&first);
    wrong[3].1 = "another-verifier-of-forty-three-characters-0123456";
    assert_eq!(token(&provider, &wrong).await.status, 400, "wrong verifier");

    let second = code(&provider, &browser).await;
    let answer = token(&provider, &exchange(&second)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let tokens = answer.json();
    assert_eq!(
        token(&provider, &exchange(&second)).await.status,
        400,
        "spent code"
    );

    let old = tokens["refresh_token"].as_str().expect("refresh token");
    let rotated = token(&provider, &refresh(old)).await.json();
    let new = rotated["refresh_token"].as_str().expect("refresh token");
    assert_ne!(old, new);
    assert_eq!(
        token(&provider, &refresh(old)).await.status,
        400,
        "spent refresh token"
    );
    assert_eq!(provider.reuse(), 1);
    assert_eq!(
        token(&provider, &refresh(new)).await.status,
        400,
        "its family is revoked"
    );
    assert_eq!(provider.count(Endpoint::Refresh), 3);

    // The ID token verifies with the published keys.
    let keys: jsonwebtoken::jwk::JwkSet =
        serde_json::from_slice(&wire::get(&format!("{}/jwks", provider.issuer)).await.body)
            .expect("key set");
    let id_token = tokens["id_token"].as_str().expect("id token");
    verify(&keys, "es-1", id_token, jsonwebtoken::Algorithm::ES256);
}

#[tokio::test]
async fn provider_signs_with_rsa_too() {
    let provider = Provider::start("keycloak-like").await;
    let browser = Browser::new();
    provider.set(|script| script.dialect.iss_parameter = true);
    let code = code(&provider, &browser).await;
    let tokens = token(&provider, &exchange(&code)).await.json();
    let keys = serde_json::from_slice(&wire::get(&format!("{}/jwks", provider.issuer)).await.body)
        .expect("key set");
    let id_token = tokens["id_token"].as_str().expect("id token");
    verify(&keys, "rs-1", id_token, jsonwebtoken::Algorithm::RS256);
}

fn verify(
    keys: &jsonwebtoken::jwk::JwkSet,
    kid: &str,
    token: &str,
    algorithm: jsonwebtoken::Algorithm,
) {
    let key = jsonwebtoken::DecodingKey::from_jwk(keys.find(kid).expect("kid")).expect("key");
    let mut validation = jsonwebtoken::Validation::new(algorithm);
    validation.set_audience(&[CLIENT_ID]);
    let claims = jsonwebtoken::decode::<Value>(token, &key, &validation)
        .expect("verifies")
        .claims;
    assert_eq!(claims["sub"], "sub-ann");
    assert_eq!(claims["nonce"], "n-1");
}

#[tokio::test]
async fn provider_fails_on_order() {
    let provider = Provider::start("oidc-plain").await;
    let browser = Browser::new();
    let code = code(&provider, &browser).await;
    let gate = Arc::new(Semaphore::new(0));
    provider.fail(
        Endpoint::Code,
        [
            Fault::HangUpBefore,
            Fault::Busy {
                status: 429,
                retry_after: 7,
            },
            Fault::Hold(Arc::clone(&gate)),
        ],
    );
    assert!(
        try_token(&provider, &exchange(&code)).await.is_err(),
        "hangs up"
    );
    assert_eq!(
        token(&provider, &exchange(&code))
            .await
            .header("retry-after"),
        "7"
    );
    gate.add_permits(1);
    assert_eq!(
        token(&provider, &exchange(&code)).await.status,
        200,
        "nothing was spent before"
    );
    provider.down().await;
    assert!(
        try_token(&provider, &exchange(&code)).await.is_err(),
        "down"
    );
    provider.up().await;
    assert_eq!(
        token(&provider, &exchange(&code)).await.status,
        400,
        "up again, code spent"
    );
}

#[test]
fn every_dialect_reads() {
    let names = Dialect::names();
    assert!(names.len() >= 5, "{names:?}");
    for name in names {
        let dialect = Dialect::named(&name);
        for error in [
            "client",
            "code_unknown",
            "refresh_unknown",
            "refresh_spent",
            "pkce",
        ] {
            dialect.error(error);
        }
    }
}

#[tokio::test]
async fn upstream_echoes_and_keeps_bytes() {
    let upstream = Upstream::start().await;
    let browser = Browser::new();
    let url = format!("{}/a?b=c", upstream.url());
    let headers = [("x-one", "1"), ("X_One", "2")];
    let echo = Echo::of(
        &browser
            .fetch_with("POST", &url, &headers, "body".into())
            .await,
    );
    assert_eq!(
        (echo.method.as_str(), echo.target.as_str()),
        ("POST", "/a?b=c")
    );
    assert_eq!(echo.folded("x-one"), ["1", "2"]);
    assert_eq!(echo.body_length, 4);
    assert!(
        echo.body_sha256.starts_with("230d8358dc8e"),
        "{}",
        echo.body_sha256
    );
    let bytes = String::from_utf8(upstream.bytes()).expect("text");
    assert!(bytes.starts_with("POST /a?b=c HTTP/1.1\r\n") && bytes.ends_with("\r\n\r\nbody"));

    let chunked = b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nbo\r\n2\r\ndy\r\n0\r\nX-T: 1\r\n\r\n";
    let answer = wire::raw(upstream.address, chunked, std::time::Duration::from_secs(5)).await;
    assert!(answer.starts_with(b"HTTP/1.1 200"));
    assert_eq!(upstream.requests()[1].body_sha256, echo.body_sha256);
    assert_eq!(
        upstream.requests()[1].trailers,
        [("X-T".to_owned(), "1".to_owned())]
    );

    let long = browser
        .fetch("GET", &format!("{}/stream/300000", upstream.url()), &[])
        .await;
    assert_eq!(long.body.len(), 300_000);
    assert_eq!(upstream.streamed(), 300_000);
}

#[test]
fn jar_keeps_to_the_rules() {
    let app = Url::parse("http://app.localhost:1/deep/page").expect("url");
    let other = Url::parse("http://id.localhost:1/").expect("url");
    let mut jar = CookieJar::default();
    for line in [
        "a=1; Path=/; HttpOnly; SameSite=Lax",
        "b=2",
        "__Host-c=3; Path=/; Secure; SameSite=Strict",
        "__Host-d=4; Path=/",
        "e=5; Domain=evil.test",
        "f=6; Path=/; SameSite=None; Secure; Max-Age=60",
    ] {
        jar.take(&app, line);
    }
    assert_eq!(
        jar.header(&app, Initiator::SameSite).expect("some"),
        "a=1; b=2; __Host-c=3; f=6"
    );
    assert_eq!(
        jar.header(&app, Initiator::CrossSiteNavigation)
            .expect("some"),
        "a=1; b=2; f=6"
    );
    assert_eq!(jar.header(&app, Initiator::CrossSite).expect("some"), "f=6");
    assert_eq!(jar.header(&other, Initiator::SameSite), None);
    jar.take(&app, "a=; Path=/; Max-Age=0");
    jar.remove("b");
    let root = Url::parse("http://app.localhost:1/").expect("url");
    assert_eq!(
        jar.header(&root, Initiator::SameSite).expect("some"),
        "__Host-c=3; f=6"
    );
    assert!(
        jar.all()
            .iter()
            .any(|cookie| cookie.max_age == Some(60) && !cookie.http_only)
    );
}

#[tokio::test]
async fn redis_is_killed_and_comes_back() {
    if !part::have("redis_is_killed_and_comes_back", &[Part::Redis]) {
        return;
    }
    let mut redis = Redis::start().await;
    assert!(redis.ask("SET key value-in-clear").await.starts_with("+OK"));
    redis.restart().await;
    assert!(redis.ask("GET key").await.contains("value-in-clear"));
    assert!(String::from_utf8_lossy(&redis.bytes_on_disk()).contains("value-in-clear"));
    assert!(redis.socket().exists());
    let chaos = Chaos::before(redis.address()).await;
    assert!(Redis::lines_through(&chaos).contains(&chaos.address.to_string()));
    let locked = Redis::with_access_list().await;
    assert!(locked.ask("GET key").await.starts_with("-NOAUTH"));
    let hidden = Redis::with_tls().await;
    assert!(hidden.lines_of_tls().contains("rediss://"));
}

#[tokio::test]
async fn node_provider_in_chromium() {
    if !part::have("node_provider_in_chromium", &[Part::Node, Part::Browser]) {
        return;
    }
    let port = port::free();
    let upstream = Upstream::start().await;
    let origin = format!("http://app.localhost:{}", upstream.address.port());
    let provider = NodeProvider::start(port, &origin, 15).await;
    let chromium = Chromium::start().await;
    let query = format!(
        "client_id=vestibule&response_type=code&scope=openid&state=s&redirect_uri={origin}/oauth2/callback&code_challenge={}&code_challenge_method=S256",
        "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    );
    chromium
        .open(&format!("{}/auth?{query}", NodeProvider::issuer_on(port)))
        .await;
    chromium.shows("Test provider").await;
    chromium.write("input[name=login]", "bob").await;
    chromium.screenshot("oidc-provider").await;
    chromium.press("continue").await;
    chromium.shows("/oauth2/callback?code=").await;
    assert!(chromium.url().await.starts_with(&origin));
    assert_eq!(provider.count("logins").await, 1);
    assert_eq!(provider.count("code").await, 0);
    chromium.quit().await;
}

#[tokio::test]
async fn radicale_trusts_the_header() {
    if !part::have("radicale_trusts_the_header", &[Part::Radicale]) {
        return;
    }
    let radicale = Radicale::start().await;
    let browser = Browser::new();
    let url = format!("{}/ann/", radicale.url());
    let headers = [("x-remote-user", "ann"), ("depth", "0")];
    assert_eq!(browser.fetch("PROPFIND", &url, &headers).await.status, 207);
    let refused = browser
        .fetch("PROPFIND", &url, &[("depth", "0")])
        .await
        .status;
    assert!(refused == 401 || refused == 403, "{refused}");
    // Why spellings matter: this header must never come through a gateway.
    let folded = [("x_remote_user", "ann"), ("depth", "0")];
    assert_eq!(browser.fetch("PROPFIND", &url, &folded).await.status, 207);
}
