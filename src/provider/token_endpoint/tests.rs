use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::super::conversation::Provider;
use super::super::error::{Class, Sent};
use super::super::scripted::{self, Reply, Scripted};
use super::*;
use crate::base::secret_file::LiveSecret;

async fn exchange(provider: &Provider) -> Result<TokenSet, ProviderError> {
    let secret = |text: &str| SecretString::from(text);
    provider
        .exchange(&CodeExchange {
            code: &secret("c0de"),
            redirect_uri: "https://apps.test/oauth2/callback?x=1",
            pkce_verifier: &secret(&"v".repeat(43)),
        })
        .await
}

fn good() -> serde_json::Value {
    json!({
        "access_token": "at-2", "token_type": "Bearer", "expires_in": 600,
        "refresh_token": "rt-2", "id_token": "x.y.z", "scope": "openid email",
    })
}

fn before(idp: &Scripted) -> TokenSet {
    TokenSet {
        access_token: SecretString::from("at-1"),
        refresh_token: Some(SecretString::from("rt-1")),
        id_token: Some(SecretString::from("old.id.token")),
        access_expires_at: idp.clock.now(),
        received_at: idp.clock.now(),
        scope: Some("openid".into()),
    }
}

#[tokio::test]
async fn sec_rp_01_and_19_the_exchange_carries_redirect_uri_and_verifier() {
    let idp = Scripted::start().await;
    idp.reply("/token", Reply::json(&good()));
    let tokens = exchange(&idp.provider()).await.unwrap();
    assert_eq!(tokens.access_token.expose_secret(), "at-2");
    assert_eq!(tokens.refresh_token.unwrap().expose_secret(), "rt-2");
    assert_eq!(
        tokens.access_expires_at.since(tokens.received_at).as_secs(),
        600
    );
    let seen = idp.seen("/token").remove(0);
    assert_eq!(seen.method, http::Method::POST);
    let form = seen.form();
    assert_eq!(form["grant_type"], "authorization_code");
    assert_eq!(form["code"], "c0de");
    assert_eq!(
        form["redirect_uri"],
        "https://apps.test/oauth2/callback?x=1"
    );
    assert_eq!(form["code_verifier"], "v".repeat(43));
    assert_eq!(seen.headers["accept"], "application/json");
    assert!(
        seen.headers["user-agent"]
            .to_str()
            .unwrap()
            .starts_with("vestibule/")
    );
    assert!(!seen.headers.contains_key("accept-encoding"));
}

#[tokio::test]
async fn a_client_secret_that_was_rotated_is_used_without_a_restart() {
    let idp = Scripted::start().await;
    idp.reply("/token", Reply::json(&good()));
    idp.discovery(json!({"token_endpoint_auth_methods_supported": ["client_secret_post"]}));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("client_secret");
    let rotate = |text: &str| {
        std::fs::write(&file, text).unwrap();
        let owner = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&file, owner).unwrap();
    };
    rotate("old\n");
    let mut config = idp.config();
    config.client_secret = Some(LiveSecret::in_file(file.clone()).unwrap());
    let provider = idp.provider_with(config);
    exchange(&provider).await.unwrap();
    rotate("new\n");
    exchange(&provider).await.unwrap();
    std::fs::remove_file(&file).unwrap();
    exchange(&provider).await.unwrap();
    let sent: Vec<_> = idp
        .seen("/token")
        .iter()
        .map(|seen| seen.form()["client_secret"].clone())
        .collect();
    assert_eq!(sent, ["old", "new", "new"]);
}

#[tokio::test]
async fn sec_rp_11_and_12_one_method_and_well_encoded() {
    let idp = Scripted::start().await;
    idp.reply("/token", Reply::json(&good()));
    let mut config = idp.config();
    config.client_id = "a:b".into();
    config.client_secret = Some(SecretString::from("p+ %/é:&").into());
    exchange(&idp.provider_with(config.clone())).await.unwrap();
    let seen = idp.seen("/token").remove(0);
    let basic = seen.headers["authorization"].to_str().unwrap();
    let basic = STANDARD
        .decode(basic.strip_prefix("Basic ").unwrap())
        .unwrap();
    assert_eq!(basic, b"a%3Ab:p%2B+%25%2F%C3%A9%3A%26");
    assert!(!seen.form().contains_key("client_secret"));
    assert!(!seen.form().contains_key("client_id"));

    idp.discovery(json!({"token_endpoint_auth_methods_supported": ["client_secret_post"]}));
    exchange(&idp.provider_with(config.clone())).await.unwrap();
    let seen = idp.seen("/token").remove(1);
    assert!(!seen.headers.contains_key("authorization"));
    assert_eq!(seen.form()["client_secret"], "p+ %/é:&");

    idp.discovery(json!({"token_endpoint_auth_methods_supported": ["private_key_jwt"]}));
    let error = exchange(&idp.provider_with(config.clone()))
        .await
        .unwrap_err();
    assert!(matches!(error.class, Class::Unsupported(_)));
    assert_eq!(error.sent, Sent::Not);

    config.client_secret = None;
    exchange(&idp.provider_with(config)).await.unwrap();
    let seen = idp.seen("/token").remove(2);
    assert!(!seen.headers.contains_key("authorization"));
    assert_eq!(seen.form()["client_id"], "a:b");
}

#[tokio::test]
async fn sec_rp_15_lives_of_every_form() {
    let idp = Scripted::start().await;
    for (told, secs) in [
        (json!(3600), 3600),
        (json!("3600"), 3600),
        (json!(59.9), 59),
        (json!(-1), 300),
        (json!(0), 300),
        (json!("soon"), 300),
        (json!(null), 300),
        (json!([1]), 300),
        (json!(1e99), LIFE_MAX),
    ] {
        let mut answer = good();
        answer["expires_in"] = told.clone();
        idp.reply("/token", Reply::json(&answer));
        let tokens = exchange(&idp.provider()).await.unwrap();
        let life = tokens.access_expires_at.since(tokens.received_at);
        assert_eq!(life.as_secs(), secs, "{told}");
    }
    let alone = json!({"access_token": "a", "token_type": "bearer", "refresh_token": ""});
    idp.reply("/token", Reply::json(&alone));
    let tokens = exchange(&idp.provider()).await.unwrap();
    assert!(tokens.refresh_token.is_none(), "an empty one is none");
    assert_eq!(
        tokens.access_expires_at.since(tokens.received_at),
        LIFE_ALONE
    );
    let wrong = json!({"access_token": "a", "token_type": "bearer", "refresh_token": [1]});
    idp.reply("/token", Reply::json(&wrong));
    let error = exchange(&idp.provider()).await.unwrap_err();
    assert!(matches!(error.class, Class::BadResponse(_)));
}

#[tokio::test]
async fn row_0_2_refused_connections_are_tried_again_and_0_3_lost_answers_never() {
    let idp = Scripted::start().await;
    let unused = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = format!("http://{}/token", unused.local_addr().unwrap());
    drop(unused);
    idp.discovery(json!({"token_endpoint": closed}));
    let error = exchange(&idp.provider()).await.unwrap_err();
    assert_eq!(error.class, Class::NetworkUnreachable);
    assert_eq!((error.sent, error.attempts), (Sent::Not, 3));

    idp.discovery(json!({}));
    idp.reply("/token", Reply::HangUp);
    let error = exchange(&idp.provider()).await.unwrap_err();
    assert_eq!(error.class, Class::OutcomeUnknown);
    assert_eq!((error.sent, error.attempts), (Sent::Unknown, 1));
    assert_eq!(idp.seen("/token").len(), 1);

    idp.reply("/token", Reply::Silence);
    let limits = crate::config::checked::Limits {
        provider_total: Duration::from_millis(300),
        ..scripted::limits()
    };
    let hasty = Provider::new(idp.config(), &limits, idp.clock.clone()).unwrap();
    let error = exchange(&hasty).await.unwrap_err();
    assert_eq!(error.class, Class::OutcomeUnknown);
    assert_eq!((error.sent, error.attempts), (Sent::Unknown, 1));
    assert_eq!(idp.seen("/token").len(), 2);
}

#[tokio::test]
async fn row_0_15_the_other_listed_method_is_tried_once_and_remembered() {
    let idp = Scripted::start().await;
    let rejected = Reply::text(401, "application/json", r#"{"error":"invalid_client"}"#);
    let methods = ["client_secret_basic", "client_secret_post"];
    idp.discovery(json!({"token_endpoint_auth_methods_supported": methods}));
    idp.replies("/token", [rejected.clone(), Reply::json(&good())]);
    let provider = idp.provider();
    exchange(&provider).await.unwrap();
    exchange(&provider).await.unwrap();
    let methods: Vec<bool> = idp
        .seen("/token")
        .iter()
        .map(|seen| seen.headers.contains_key("authorization"))
        .collect();
    assert_eq!(methods, [true, false, false]);

    idp.discovery(json!({}));
    idp.reply("/token", rejected);
    let error = exchange(&idp.provider()).await.unwrap_err();
    assert_eq!(error.class, Class::ClientCredentialsRejected);
    assert_eq!(idp.seen("/token").len(), 4, "the other one is not listed");
}

#[tokio::test]
async fn sec_rp_21_and_24_a_refresh_keeps_what_is_left_out() {
    let idp = Scripted::start().await;
    let provider = idp.provider();
    for refresh_token in [json!(null), json!("")] {
        let answer = json!({
            "access_token": "at-2", "token_type": "bearer", "refresh_token": refresh_token,
        });
        idp.reply("/token", Reply::json(&answer));
        let tokens = provider.refresh(&before(&idp)).await.unwrap();
        assert_eq!(tokens.refresh_token.unwrap().expose_secret(), "rt-1");
        assert_eq!(tokens.id_token.unwrap().expose_secret(), "old.id.token");
        assert_eq!(tokens.scope.as_deref(), Some("openid"));
    }
    let form = idp.seen("/token").remove(0).form();
    assert_eq!(form["grant_type"], "refresh_token");
    assert_eq!(form["refresh_token"], "rt-1");
    assert!(!form.contains_key("scope"), "never widened");
    idp.reply("/token", Reply::json(&good()));
    let tokens = provider.refresh(&before(&idp)).await.unwrap();
    assert_eq!(tokens.refresh_token.unwrap().expose_secret(), "rt-2");
}

#[tokio::test]
async fn sec_rp_22_a_refresh_is_sent_exactly_once() {
    let idp = Scripted::start().await;
    let provider = idp.provider();
    let slow = Reply::text(429, "text/plain", "").with("retry-after", "100000");
    for (reply, class) in [
        (Reply::HangUp, Class::OutcomeUnknown),
        (Reply::text(500, "text/html", "<h1>"), Class::ProviderError),
        (slow, Class::RateLimited),
        (
            Reply::text(400, "application/json", r#"{"error":"invalid_grant"}"#),
            Class::GrantExpiredOrRevoked,
        ),
    ] {
        let earlier = idp.seen("/token").len();
        idp.reply("/token", reply);
        let error = provider.refresh(&before(&idp)).await.unwrap_err();
        assert_eq!(error.class, class);
        assert_eq!(idp.seen("/token").len(), earlier + 1);
        let capped = (class == Class::RateLimited).then_some(Duration::from_secs(300));
        assert_eq!(error.retry_after, capped);
    }
    let none = TokenSet {
        refresh_token: None,
        ..before(&idp)
    };
    let error = provider.refresh(&none).await.unwrap_err();
    assert_eq!(
        (error.class, error.sent),
        (Class::GrantExpiredOrRevoked, Sent::Not)
    );
}
