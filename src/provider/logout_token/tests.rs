use serde_json::json;

use super::super::scripted::{self, Scripted};
use super::*;

fn providers(idp: &Scripted) -> Providers {
    let config = idp.config();
    let configs = [(config.id.clone(), config)].into();
    Providers::new(&configs, &scripted::limits(), idp.clock.clone()).unwrap()
}

/// A good logout token's claims.
fn claims(idp: &Scripted) -> Value {
    let now = idp.clock.now().as_secs();
    json!({
        "iss": idp.origin, "aud": idp.claims()["aud"], "iat": now, "exp": now + 120,
        "jti": "j-1", "sub": "ann", "sid": "s-1", "events": { EVENT: {} },
    })
}

async fn asked(idp: &Scripted, claims: &Value) -> Result<LogoutRequest, LogoutTokenError> {
    let header = json!({"alg": "ES256", "kid": "ec-1", "typ": "logout+jwt"});
    asked_with(idp, &header, claims).await
}

async fn asked_with(
    idp: &Scripted,
    header: &Value,
    claims: &Value,
) -> Result<LogoutRequest, LogoutTokenError> {
    let token = scripted::sign(header, claims);
    providers(idp).logout_request(&token, idp.clock.now()).await
}

async fn refused(idp: &Scripted, name: &str, value: Option<Value>, reason: &str) {
    let mut changed = claims(idp);
    match value.clone() {
        Some(value) => changed[name] = value,
        None => drop(changed.as_object_mut().unwrap().remove(name)),
    }
    let error = asked(idp, &changed).await.expect_err(name);
    assert_eq!(error.reason(), reason, "{name} = {value:?}");
}

#[tokio::test]
async fn a_good_token_says_whom() {
    let idp = Scripted::start().await;
    let request = asked(&idp, &claims(&idp)).await.unwrap();
    assert_eq!(
        request,
        LogoutRequest {
            issuer: idp.origin.clone(),
            subject: Some("ann".into()),
            session: Some("s-1".into()),
            id: "j-1".into(),
        }
    );
    for typ in [json!("JWT"), Value::Null] {
        let mut header = json!({"alg": "RS256", "kid": "rsa-1"});
        if !typ.is_null() {
            header["typ"] = typ;
        }
        assert!(asked_with(&idp, &header, &claims(&idp)).await.is_ok());
    }
    let mut without_end = claims(&idp);
    without_end.as_object_mut().unwrap().remove("exp");
    assert!(asked(&idp, &without_end).await.is_ok());
}

#[tokio::test]
async fn sec_rp_61_issuer_audience_and_signature() {
    let idp = Scripted::start().await;
    let stranger = "logout_token_stranger";
    refused(&idp, "iss", Some(json!("https://evil.test")), stranger).await;
    refused(&idp, "iss", None, stranger).await;
    refused(&idp, "aud", Some(json!("another")), stranger).await;
    refused(&idp, "aud", None, stranger).await;
    let good = claims(&idp);
    for header in [
        json!({"alg": "none"}),
        json!({"alg": "HS256", "kid": "ec-1"}),
    ] {
        let error = asked_with(&idp, &header, &good).await.unwrap_err();
        assert_eq!(error.reason(), "id_token_algorithm");
    }
    let token = scripted::sign(&json!({"alg": "ES256", "kid": "ec-1"}), &good);
    let (signed, _) = token.rsplit_once('.').unwrap();
    let other = scripted::sign(&json!({"alg": "ES256", "kid": "ec-1"}), &json!({}));
    let forged = format!("{signed}.{}", other.rsplit_once('.').unwrap().1);
    let error = providers(&idp)
        .logout_request(&forged, idp.clock.now())
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "id_token_signature");
}

#[tokio::test]
async fn sec_rp_62_63_64_whom_events_and_nonce() {
    let idp = Scripted::start().await;
    let mut nobody = claims(&idp);
    nobody.as_object_mut().unwrap().remove("sub");
    assert!(asked(&idp, &nobody).await.is_ok(), "sid alone");
    nobody.as_object_mut().unwrap().remove("sid");
    let error = asked(&idp, &nobody).await.unwrap_err();
    assert_eq!(error.reason(), "logout_token_whom");
    refused(&idp, "sub", Some(json!(7)), "logout_token_whom").await;
    refused(&idp, "sid", Some(json!("")), "logout_token_whom").await;
    for events in [
        None,
        Some(json!([EVENT])),
        Some(json!({ EVENT: null })),
        Some(json!({ EVENT: true })),
        Some(json!({ EVENT: "x" })),
        Some(json!({ EVENT.replace("http:", "https:"): {} })),
        Some(json!(EVENT)),
    ] {
        refused(&idp, "events", events, "logout_token_events").await;
    }
    for nonce in [json!("n"), Value::Null] {
        refused(&idp, "nonce", Some(nonce), "logout_token_nonce").await;
    }
}

#[tokio::test]
async fn sec_rp_65_jti_and_age() {
    let idp = Scripted::start().await;
    let now = idp.clock.now().as_secs();
    refused(&idp, "jti", None, "logout_token_jti").await;
    refused(&idp, "jti", Some(json!(1)), "logout_token_jti").await;
    for iat in [
        None,
        Some(json!(now - 3600)),
        Some(json!(now + 3600)),
        Some(json!("1")),
    ] {
        refused(&idp, "iat", iat, "logout_token_age").await;
    }
    for exp in [json!(now - 61), json!("soon")] {
        refused(&idp, "exp", Some(exp), "logout_token_age").await;
    }
}

#[tokio::test]
async fn sec_rp_66_an_id_token_signs_nobody_out() {
    let idp = Scripted::start().await;
    let token = scripted::id_token(&idp.claims());
    let error = providers(&idp)
        .logout_request(&token, idp.clock.now())
        .await
        .unwrap_err();
    assert_eq!(error.reason(), "logout_token_events");
    let header = json!({"alg": "ES256", "kid": "ec-1", "typ": "at+jwt"});
    let error = asked_with(&idp, &header, &claims(&idp)).await.unwrap_err();
    assert_eq!(error.reason(), "id_token_type");
}

#[tokio::test]
async fn sec_rp_70_a_flood_of_unknown_keys_asks_the_provider_five_times() {
    let idp = Scripted::start().await;
    let providers = providers(&idp);
    for number in 0..50 {
        let header = json!({"alg": "ES256", "kid": format!("k-{number}")});
        let token = scripted::sign(&header, &claims(&idp));
        let refused = providers.logout_request(&token, idp.clock.now()).await;
        assert_eq!(refused.unwrap_err().reason(), "jwks_unknown_kid");
    }
    assert_eq!(
        idp.seen("/keys").len(),
        6,
        "the first fetch and a burst of five"
    );
}
