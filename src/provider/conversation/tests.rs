use std::time::Duration;

use serde_json::json;

use super::super::error::Sent;
use super::super::scripted::{self, Reply, Scripted};
use super::*;
use crate::config::checked::OfflineAccess;

fn tokens(idp: &Scripted, claims: &Value) -> TokenSet {
    let now = idp.clock.now();
    TokenSet {
        access_token: SecretString::from("at-1"),
        refresh_token: Some(SecretString::from("rt-1")),
        id_token: Some(SecretString::from(scripted::id_token(claims))),
        access_expires_at: now.plus(Duration::from_secs(300)),
        received_at: now,
        scope: None,
    }
}

fn request<'a>(verifier: &'a SecretString) -> AuthorizationRequest<'a> {
    AuthorizationRequest {
        redirect_uri: "https://apps.test/oauth2/callback",
        state: "s+ &",
        nonce: "n-1",
        pkce_verifier: verifier,
        prompt: None,
        without_offline_access: false,
    }
}

fn full(sub: &str) -> Value {
    json!({
        "sub": sub, "email": "ann@example.com", "email_verified": true, "name": "Ann",
        "preferred_username": "ann", "groups": ["staff"],
    })
}

#[test]
fn every_future_is_send() {
    fn send<T: Send>(_: &T) {}
    let config = scripted::config("http://127.0.0.1:1");
    let ann = json!({"sub": "ann"});
    let before = claims::identity(&config, ann.as_object().unwrap(), Timestamp(0)).unwrap();
    let provider = Provider::new(config, &scripted::limits(), Clock::system()).unwrap();
    let verifier = SecretString::from("v");
    let set = TokenSet {
        access_token: SecretString::from("a"),
        refresh_token: None,
        id_token: None,
        access_expires_at: Timestamp(0),
        received_at: Timestamp(0),
        scope: None,
    };
    let exchange = CodeExchange {
        code: &verifier,
        redirect_uri: "",
        pkce_verifier: &verifier,
    };
    send(&provider.authorization_url(&request(&verifier)));
    send(&provider.check_response_issuer(None));
    send(&provider.exchange(&exchange));
    send(&provider.identify(&set, ""));
    send(&provider.refresh(&set));
    send(&provider.reidentify(&set, &before));
    send(&provider.end_session_url(None, "", None));
}

#[tokio::test]
async fn sec_rp_18_and_57_the_authorization_request() {
    let idp = Scripted::start().await;
    // RFC 7636, appendix B.
    let verifier = SecretString::from("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
    let mut config = idp.config();
    config.scopes = vec!["email".into(), "openid".into(), "email".into()];
    let url = idp.provider_with(config.clone());
    let url = url.authorization_url(&request(&verifier)).await.unwrap();
    let query = url.query().unwrap();
    assert!(
        query.contains("scope=openid%20email%20offline_access"),
        "{query}"
    );
    assert!(query.contains("state=s%2B%20%26"), "{query}");
    let pairs: std::collections::BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    assert_eq!(pairs["response_type"], "code");
    assert_eq!(pairs["client_id"], "gateway");
    assert_eq!(pairs["code_challenge_method"], "S256");
    assert_eq!(
        pairs["code_challenge"],
        "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
    );
    assert!(!query.contains(verifier.expose_secret()) && !pairs.contains_key("prompt"));
    for (mode, asked) in [(OfflineAccess::Never, false), (OfflineAccess::Always, true)] {
        idp.discovery(json!({"scopes_supported": []}));
        config.offline_access = mode;
        let provider = idp.provider_with(config.clone());
        let silent = AuthorizationRequest {
            prompt: Some("none"),
            ..request(&verifier)
        };
        let url = provider.authorization_url(&silent).await.unwrap();
        assert_eq!(url.as_str().contains("offline_access"), asked);
        assert_eq!(provider.asks_for_offline_access().await, asked);
        let less = AuthorizationRequest {
            without_offline_access: true,
            ..request(&verifier)
        };
        let less = provider.authorization_url(&less).await.unwrap();
        assert!(!less.as_str().contains("offline_access"));
        assert!(url.as_str().ends_with("&prompt=none"));
    }
}

#[tokio::test]
async fn sec_rp_28_response_issuer() {
    let idp = Scripted::start().await;
    let provider = idp.provider();
    provider
        .check_response_issuer(Some(&idp.origin))
        .await
        .unwrap();
    let slash = format!("{}/", idp.origin);
    for iss in [
        None,
        Some(""),
        Some("https://evil.test"),
        Some(slash.as_str()),
    ] {
        let error = provider.check_response_issuer(iss).await.unwrap_err();
        assert_eq!(error.class, Class::ResponseIssuerMismatch, "{iss:?}");
    }
    idp.discovery(json!({"authorization_response_iss_parameter_supported": false}));
    idp.provider().check_response_issuer(None).await.unwrap();
}

#[tokio::test]
async fn sec_rp_50_userinfo_is_about_the_same_subject() {
    let idp = Scripted::start().await;
    let provider = idp.provider();
    idp.reply("/userinfo", Reply::json(&full("ann")));
    let identity = provider
        .identify(&tokens(&idp, &idp.claims()), "n-1")
        .await
        .unwrap();
    assert_eq!(identity.groups, Groups::Known(vec!["staff".into()]));
    assert_eq!(identity.verified_email(), Some("ann@example.com"));
    let seen = idp.seen("/userinfo").remove(0);
    assert_eq!(seen.headers["authorization"], "Bearer at-1");
    for told in [
        full("ann-invalid"),
        json!({"groups": ["admins"]}),
        json!({"sub": ["ann"]}),
    ] {
        idp.reply("/userinfo", Reply::json(&told));
        let error = provider
            .identify(&tokens(&idp, &idp.claims()), "n-1")
            .await
            .unwrap_err();
        assert_eq!(error.class, Class::UserinfoSubjectMismatch);
        assert_eq!(error.phase, Phase::Userinfo);
    }
    let complete = idp.seen("/userinfo").len();
    let mut claims = idp.claims();
    for (name, value) in full("ann").as_object().unwrap() {
        claims[name] = value.clone();
    }
    provider
        .identify(&tokens(&idp, &claims), "n-1")
        .await
        .unwrap();
    assert_eq!(idp.seen("/userinfo").len(), complete, "nothing was missing");
}

#[tokio::test]
async fn row_0_16_userinfo_is_asked_again_when_the_provider_is_unwell() {
    let idp = Scripted::start().await;
    let bad = Reply::text(502, "text/html", "<h1>");
    idp.replies(
        "/userinfo",
        [bad.clone(), bad.clone(), Reply::json(&full("ann"))],
    );
    idp.provider()
        .identify(&tokens(&idp, &idp.claims()), "n-1")
        .await
        .unwrap();
    idp.reply("/userinfo", bad);
    let error = idp
        .provider()
        .identify(&tokens(&idp, &idp.claims()), "n-1")
        .await
        .unwrap_err();
    assert_eq!(
        (error.phase, error.class),
        (Phase::Userinfo, Class::ProviderError)
    );
    let before = idp.seen("/userinfo").len();
    idp.reply("/userinfo", Reply::text(401, "text/plain", "no"));
    idp.provider()
        .identify(&tokens(&idp, &idp.claims()), "n-1")
        .await
        .unwrap_err();
    assert_eq!(idp.seen("/userinfo").len(), before + 1);
}

#[tokio::test]
async fn sec_rp_51_signed_userinfo_is_verified() {
    let idp = Scripted::start().await;
    let provider = idp.provider();
    let jwt = |token: &str| Reply::text(200, "application/jwt; charset=utf-8", token);
    idp.reply("/userinfo", jwt(&scripted::id_token(&full("ann"))));
    let identity = provider
        .identify(&tokens(&idp, &idp.claims()), "n-1")
        .await
        .unwrap();
    assert_eq!(identity.name.as_deref(), Some("Ann"));
    let mut foreign = full("ann");
    foreign["aud"] = json!("other");
    for token in [
        scripted::sign(&json!({"alg": "none"}), &full("ann")),
        scripted::sign(&json!({"alg": "HS256", "kid": "rsa-1"}), &full("ann")),
        scripted::id_token(&foreign),
        full("ann").to_string(),
    ] {
        idp.reply("/userinfo", jwt(&token));
        let error = provider
            .identify(&tokens(&idp, &idp.claims()), "n-1")
            .await
            .unwrap_err();
        assert!(matches!(error.class, Class::IdToken(_)), "{error:?}");
    }
}

#[tokio::test]
async fn sec_dos_10_a_hanging_provider_holds_a_bounded_number_of_calls() {
    let idp = Scripted::start().await;
    let limits = Limits {
        provider_parallel: 2,
        ..scripted::limits()
    };
    let provider = Provider::new(idp.config(), &limits, idp.clock.clone()).unwrap();
    provider.metadata().await.unwrap();
    idp.reply("/token", Reply::Silence);
    let provider = Arc::new(provider);
    let set = tokens(&idp, &idp.claims());
    let hanging: Vec<_> = (0..2)
        .map(|_| {
            let (provider, set) = (Arc::clone(&provider), set.clone());
            tokio::spawn(async move { provider.refresh(&set).await })
        })
        .collect();
    while idp.seen("/token").len() < 2 {
        tokio::task::yield_now().await;
    }
    for _ in 0..100 {
        let error = provider.refresh(&set).await.unwrap_err();
        assert_eq!((error.class, error.sent), (Class::ProviderBusy, Sent::Not));
    }
    assert_eq!(idp.seen("/token").len(), 2);
    for task in hanging {
        task.abort();
    }
}

async fn signed_in(idp: &Scripted, provider: &Provider) -> (TokenSet, Identity) {
    idp.reply("/userinfo", Reply::json(&full("ann")));
    let tokens = tokens(idp, &idp.claims());
    let identity = provider.identify(&tokens, "n-1").await.unwrap();
    // Ten minutes later the tokens are refreshed; the Date of the scripted
    // answers does not follow, and need not.
    idp.clock.advance(600_000);
    (tokens, identity)
}

#[tokio::test]
async fn row_o_another_subject_issuer_or_audience_ends_the_session() {
    let idp = Scripted::start().await;
    let provider = idp.provider();
    let (_, before) = signed_in(&idp, &provider).await;
    for (name, value) in [
        ("sub", json!("ben")),
        ("iss", json!("https://evil.test")),
        ("aud", json!("other")),
    ] {
        let mut claims = idp.claims();
        claims[name] = value;
        let error = provider
            .reidentify(&tokens(&idp, &claims), &before)
            .await
            .unwrap_err();
        assert_eq!(error.class.reason(), "subject_changed", "{name}");
    }
    idp.reply("/userinfo", Reply::json(&full("ben")));
    let fresh = tokens(&idp, &idp.claims());
    let error = provider.reidentify(&fresh, &before).await.unwrap_err();
    assert_eq!(error.class, Class::SubjectChanged);
}

#[tokio::test]
async fn a_new_id_token_needs_no_nonce_and_tells_new_groups() {
    let idp = Scripted::start().await;
    let provider = idp.provider();
    let (_, before) = signed_in(&idp, &provider).await;
    let mut claims = idp.claims();
    claims.as_object_mut().unwrap().remove("nonce");
    claims["groups"] = json!(["staff", "admins"]);
    let asked_at = idp.clock.now();
    let after = provider
        .reidentify(&tokens(&idp, &claims), &before)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        after.groups,
        Groups::Known(vec!["staff".into(), "admins".into()])
    );
    let read_at = asked_at..=idp.clock.now();
    assert!(read_at.contains(&after.read_at), "{read_at:?}");
    claims["exp"] = json!(idp.clock.now().as_secs() - 100);
    claims["iat"] = json!(idp.clock.now().as_secs() - 200);
    let error = provider
        .reidentify(&tokens(&idp, &claims), &before)
        .await
        .unwrap_err();
    assert_eq!(error.phase, Phase::IdToken, "a new one must be valid");
}

#[tokio::test]
async fn an_old_id_token_tells_nothing_new_but_userinfo_may() {
    let idp = Scripted::start().await;
    let provider = idp.provider();
    let (old, before) = signed_in(&idp, &provider).await;
    let refreshed = TokenSet {
        received_at: idp.clock.now(),
        ..old
    };
    let mut told = full("ann");
    told["groups"] = json!([]);
    idp.reply("/userinfo", Reply::json(&told));
    let after = provider
        .reidentify(&refreshed, &before)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(after.groups, Groups::Known(Vec::new()));
    idp.reply("/userinfo", Reply::json(&json!({"sub": "ann"})));
    let told = provider.reidentify(&refreshed, &before).await.unwrap();
    assert_eq!(told, None, "less than before is nothing new");
    for reply in [Reply::text(500, "text/plain", "down"), Reply::HangUp] {
        idp.reply("/userinfo", reply);
        let error = provider.reidentify(&refreshed, &before).await.unwrap_err();
        assert!(error.is_transient(), "{error:?}");
    }
}

#[tokio::test]
async fn sec_rp_58_sign_out_at_the_provider() {
    let idp = Scripted::start().await;
    let provider = idp.provider();
    let hint = SecretString::from("a.b.c");
    let home = "https://apps.test/oauth2/";
    let url = provider
        .end_session_url(Some(&hint), home, Some("s 1"))
        .await
        .unwrap();
    let expected = format!(
        "{}/end?client_id=gateway&post_logout_redirect_uri=https%3A%2F%2Fapps.test%2Foauth2%2F\
         &id_token_hint=a.b.c&state=s%201",
        idp.origin
    );
    assert_eq!(url.as_str(), expected);
    idp.discovery(json!({"end_session_endpoint": null}));
    assert_eq!(idp.provider().end_session_url(None, home, None).await, None);
}

#[tokio::test]
async fn an_internal_url_is_dialled_with_the_public_host() {
    let idp = Scripted::start().await;
    let mut config = idp.config();
    config.issuer = "https://id.example.com".into();
    let port = idp.origin.rsplit_once(':').unwrap().1.parse().unwrap();
    config.internal_url = Some(crate::model::origin::Origin {
        scheme: crate::model::origin::Scheme::Http,
        host: "id.localhost".into(),
        port: Some(port),
    });
    idp.discovery(json!({
        "issuer": "https://id.example.com",
        "authorization_endpoint": "https://id.example.com/authorize",
        "token_endpoint": "https://id.example.com/token",
        "jwks_uri": "https://id.example.com/keys",
        "end_session_endpoint": null,
        "userinfo_endpoint": null,
    }));
    let mut claims = idp.claims();
    claims["iss"] = json!("https://id.example.com");
    let provider = idp.provider_with(config);
    provider
        .identify(&tokens(&idp, &claims), "n-1")
        .await
        .unwrap();
    let seen = idp.seen("/keys").remove(0);
    assert_eq!(seen.headers["host"], "id.example.com");
    assert_eq!(seen.headers["x-forwarded-proto"], "https");
}
