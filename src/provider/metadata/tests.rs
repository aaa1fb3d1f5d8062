use serde_json::json;

use super::super::scripted::{self, Reply, Scripted};
use super::*;
use crate::model::origin::{Origin, Scheme};

const WELL_KNOWN: &str = "/.well-known/openid-configuration";

fn document(issuer: &str, changes: &Value) -> Map<String, Value> {
    let mut document = json!({
        "issuer": issuer,
        "authorization_endpoint": "https://id.test/authorize",
        "token_endpoint": "https://id.test/token",
        "jwks_uri": "https://id.test/keys",
    });
    for (name, value) in changes.as_object().unwrap() {
        document[name] = value.clone();
    }
    document.as_object().unwrap().clone()
}

#[test]
fn sec_rp_56_endpoints_are_https_and_public() {
    let config = scripted::config("https://id.test");
    assert!(read(&config, &document("https://id.test", &json!({}))).is_ok());
    let elsewhere = json!({"token_endpoint": "https://oauth2.other.test/token"});
    assert!(read(&config, &document("https://id.test", &elsewhere)).is_ok());
    for url in [
        "http://id.test/token",
        "http://127.0.0.1:6379/",
        "file:///etc/passwd",
        "https://[::ffff:169.254.169.254]/",
        "https://169.254.169.254/latest",
        "https://10.0.0.1/token",
        "https://[::1]/token",
        "https://[fd00::1]/token",
        "https://user:pass@id.test/token",
        "https://id.test/token#x",
        "/token",
    ] {
        for name in ["token_endpoint", "jwks_uri", "userinfo_endpoint"] {
            let error = read(&config, &document("https://id.test", &json!({name: url})));
            let class = error.unwrap_err().class;
            assert!(matches!(class, Class::EndpointRefused(_)), "{url} {class}");
        }
    }
}

#[test]
fn a_private_issuer_may_name_its_own_address() {
    let issuer = "https://10.0.0.5";
    let own = json!({"token_endpoint": "https://10.0.0.5:8443/token"});
    let config = scripted::config(issuer);
    assert!(read(&config, &document(issuer, &own)).is_ok());
    let other = json!({"token_endpoint": "https://10.0.0.6/token"});
    assert!(read(&config, &document(issuer, &other)).is_err());
}

#[test]
fn sec_rp_17_http_issuer_only_on_loopback() {
    let http = "http://id.test";
    let error = read(&scripted::config(http), &document(http, &json!({}))).unwrap_err();
    assert!(matches!(error.class, Class::Configuration(_)));
}

#[test]
fn an_internal_origin_is_dialled_but_never_shown_to_browsers() {
    let mut config = scripted::config("https://id.test");
    config.internal_url = Some(Origin {
        scheme: Scheme::Http,
        host: "id".into(),
        port: Some(8080),
    });
    let internal = json!({
        "authorization_endpoint": "http://id:8080/authorize?x=1",
        "token_endpoint": "http://id:8080/token",
    });
    let metadata = read(&config, &document("https://id.test", &internal)).unwrap();
    let authorize = metadata.authorization_endpoint.as_str();
    assert_eq!(authorize, "https://id.test/authorize?x=1");
    assert_eq!(metadata.token_endpoint.as_str(), "http://id:8080/token");
}

#[tokio::test]
async fn sec_rp_54_issuer_is_identical() {
    let idp = Scripted::start().await;
    for issuer in [
        json!(format!("{}/", idp.origin)),
        json!(format!("{}INVALID", idp.origin)),
        Value::Null,
    ] {
        idp.discovery(json!({"issuer": issuer}));
        let error = idp.provider().metadata().await.unwrap_err();
        assert_eq!(error.class, Class::IssuerMismatch);
    }
    let mut config = idp.config();
    config.issuer = format!("{}/t1/", idp.origin);
    idp.reply(
        "/t1/.well-known/openid-configuration",
        Reply::json(&json!({
            "issuer": config.issuer,
            "authorization_endpoint": format!("{}/a", idp.origin),
            "token_endpoint": format!("{}/b", idp.origin),
            "jwks_uri": format!("{}/c", idp.origin),
        })),
    );
    idp.provider_with(config).metadata().await.unwrap();
}

#[tokio::test]
async fn sec_rp_55_fetched_once_kept_within_bounds_and_beyond_failure() {
    let idp = Scripted::start().await;
    let provider = idp.provider();
    let (one, two, three) = tokio::join!(
        provider.metadata(),
        provider.metadata(),
        provider.metadata()
    );
    let first = one.unwrap();
    assert_eq!(first, two.unwrap());
    assert_eq!(first, three.unwrap());
    assert_eq!(idp.seen(WELL_KNOWN).len(), 1, "single flight");
    idp.clock.advance(3_599_000);
    provider.metadata().await.unwrap();
    assert_eq!(idp.seen(WELL_KNOWN).len(), 1, "an hour by default");
    idp.reply(WELL_KNOWN, Reply::text(500, "text/html", "<h1>"));
    idp.clock.advance(2_000);
    assert_eq!(provider.metadata().await.unwrap(), first, "last good");
    provider.metadata().await.unwrap();
    assert_eq!(idp.seen(WELL_KNOWN).len(), 2, "not asked each time");
    idp.discovery(json!({"issuer": "http://127.0.0.1:1"}));
    idp.clock.advance(31_000);
    assert_eq!(provider.metadata().await.unwrap(), first, "not adopted");
    assert_eq!(idp.seen(WELL_KNOWN).len(), 3);
}

#[tokio::test]
async fn sec_rp_55_down_at_first_then_up() {
    let idp = Scripted::start().await;
    let provider = idp.provider();
    idp.reply(WELL_KNOWN, Reply::text(503, "text/html", "<h1>"));
    for _ in 0..3 {
        let error = provider.metadata().await.unwrap_err();
        assert_eq!(error.class, Class::ProviderError);
    }
    assert_eq!(idp.seen(WELL_KNOWN).len(), 1, "failure is remembered");
    idp.discovery(json!({}));
    idp.clock.advance(5_000);
    provider.metadata().await.unwrap();
}

#[test]
fn cache_times_are_bounded() {
    for (told, kept) in [
        (None, 3600),
        (Some(0), 60),
        (Some(600), 600),
        (Some(1 << 40), 86_400),
    ] {
        let told = told.map(Duration::from_secs);
        assert_eq!(freshness(told), Duration::from_secs(kept));
    }
}

#[tokio::test]
async fn sec_rp_74_required_pushed_requests_are_refused() {
    let idp = Scripted::start().await;
    idp.discovery(json!({"require_pushed_authorization_requests": true}));
    let error = idp.provider().metadata().await.unwrap_err();
    assert!(matches!(error.class, Class::Unsupported(_)));
}

#[tokio::test]
async fn garbage_is_an_error_and_redirects_are_not_followed() {
    let idp = Scripted::start().await;
    for reply in [
        Reply::text(200, "text/html", "<html>"),
        Reply::text(200, "application/json", "{\"issuer\":"),
        Reply::text(200, "application/json", "[]"),
        Reply::text(200, "application/json", &"x".repeat(2 << 20)),
        Reply::json(&json!({})).with("content-encoding", "gzip"),
        Reply::text(302, "text/html", "").with("location", "/lure"),
        Reply::HangUp,
    ] {
        idp.reply(WELL_KNOWN, reply);
        idp.provider().metadata().await.unwrap_err();
    }
    assert!(idp.seen("/lure").is_empty());
}

/// Never another issuer's word, and no outage of ours because of it.
#[tokio::test]
async fn i7_the_last_good_document_stays_in_use() {
    let idp = Scripted::start().await;
    let provider = idp.provider();
    let good = provider.metadata().await.unwrap();
    let hour = || idp.clock.advance(3_601_000);
    for reply in [
        Reply::text(404, "text/html", "<h1>gone</h1>"),
        Reply::text(500, "text/plain", "oops"),
        Reply::text(302, "text/plain", "").with("location", "https://evil.test/"),
        Reply::text(200, "text/html", "<h1>please sign in</h1>"),
        Reply::text(200, "application/json", "{"),
        Reply::HangUp,
    ] {
        idp.reply(WELL_KNOWN, reply);
        hour();
        assert_eq!(provider.metadata().await.unwrap(), good);
    }
    for changes in [
        json!({"issuer": "https://evil.test"}),
        json!({"token_endpoint": "http://10.0.0.1/token"}),
        json!({"jwks_uri": "file:///etc/passwd"}),
        json!({"require_pushed_authorization_requests": true}),
    ] {
        idp.discovery(changes);
        hour();
        assert_eq!(provider.metadata().await.unwrap(), good);
    }
    // What the issuer itself says over its own connection is followed.
    idp.discovery(json!({"token_endpoint": format!("{}/v2/token", idp.origin)}));
    hour();
    let moved = provider.metadata().await.unwrap();
    assert!(moved.token_endpoint.as_str().ends_with("/v2/token"));
    let asked = idp.seen(WELL_KNOWN).len();
    assert_eq!(provider.metadata().await.unwrap(), moved);
    assert_eq!(idp.seen(WELL_KNOWN).len(), asked, "it is fresh");
}

/// N2: no address of a provider is kept. Every call makes a connection of its
/// own, and every connection looks its name up.
#[tokio::test]
async fn n2_every_call_looks_the_name_up_again() {
    let idp = Scripted::start().await;
    let provider = idp.provider();
    for calls in 1..=3 {
        idp.clock.advance(3_601_000);
        provider.metadata().await.unwrap();
        assert_eq!(idp.connections(), calls);
    }
}
