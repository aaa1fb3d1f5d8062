use std::time::Duration;

use secrecy::SecretString;
use serde_json::json;

use super::super::scripted::{self, Reply, Scripted};
use super::*;
use crate::model::identity::Identity;
use crate::model::tokens::TokenSet;

fn tokens(idp: &Scripted, id_token: &str) -> TokenSet {
    let now = idp.clock.now();
    TokenSet {
        access_token: SecretString::from("at-1"),
        refresh_token: None,
        id_token: Some(SecretString::from(id_token)),
        access_expires_at: now.plus(Duration::from_secs(300)),
        received_at: now,
        scope: None,
    }
}

async fn identify(idp: &Scripted, token: &str) -> Result<Identity, ProviderError> {
    idp.discovery(json!({"userinfo_endpoint": null}));
    idp.provider().identify(&tokens(idp, token), "n-1").await
}

async fn refused(idp: &Scripted, token: &str, flaw: Flaw) {
    let error = identify(idp, token).await.expect_err(token);
    assert_eq!(error.class, Class::IdToken(flaw), "{token}");
}

/// Each change of a good token's claims, and the flaw that it must be.
async fn claims_refused(changes: &[(&str, Value, Flaw)]) {
    let idp = Scripted::start().await;
    for (name, value, flaw) in changes {
        let mut claims = idp.claims();
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(*name)),
            value => claims[*name] = value.clone(),
        }
        refused(&idp, &scripted::id_token(&claims), *flaw).await;
    }
}

#[tokio::test]
async fn good_tokens_of_both_kinds_are_accepted() {
    let idp = Scripted::start().await;
    for header in [
        json!({"alg": "RS256", "kid": "rsa-1"}),
        json!({"alg": "ES256", "kid": "ec-1", "typ": "JWT"}),
        json!({"alg": "RS256", "typ": "jwt"}),
    ] {
        let identity = identify(&idp, &scripted::sign(&header, &idp.claims())).await;
        let identity = identity.unwrap();
        assert_eq!(identity.subject, "ann");
        assert_eq!(identity.issuer, idp.origin);
    }
}

#[tokio::test]
async fn sec_rp_31_issuer_is_exactly_ours() {
    let idp = Scripted::start().await;
    for iss in [
        json!(format!("{}/", idp.origin)),
        json!(idp.origin.to_uppercase()),
        json!([idp.origin]),
        Value::Null,
    ] {
        let mut claims = idp.claims();
        claims["iss"] = iss;
        refused(&idp, &scripted::id_token(&claims), Flaw::Issuer).await;
    }
}

#[tokio::test]
async fn sec_rp_32_audience_is_us() {
    claims_refused(&[
        ("aud", json!("gateway "), Flaw::Audience),
        ("aud", json!("GATEWAY"), Flaw::Audience),
        ("aud", json!([]), Flaw::Audience),
        ("aud", json!(["other"]), Flaw::Audience),
        ("aud", json!(["gateway", 1]), Flaw::Audience),
        ("aud", json!(["gateway", "other"]), Flaw::Audience),
        ("azp", json!("other"), Flaw::Audience),
        ("azp", json!(["gateway"]), Flaw::Audience),
        ("aud", Value::Null, Flaw::Audience),
    ])
    .await;
    let idp = Scripted::start().await;
    let mut claims = idp.claims();
    claims["aud"] = json!(["other", "gateway"]);
    claims["azp"] = json!("gateway");
    identify(&idp, &scripted::id_token(&claims)).await.unwrap();
}

#[tokio::test]
async fn sec_rp_33_signature_is_the_providers() {
    let idp = Scripted::start().await;
    let good = scripted::id_token(&idp.claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    refused(&idp, &format!("{signed}."), Flaw::Malformed).await;
    let cut = &signature[..336];
    refused(&idp, &format!("{signed}.{cut}"), Flaw::Signature).await;
    let mut forged = idp.claims();
    forged["sub"] = json!("ben");
    let (header, _) = signed.split_once('.').unwrap();
    let payload = scripted::encode(forged.to_string());
    refused(
        &idp,
        &format!("{header}.{payload}.{signature}"),
        Flaw::Signature,
    )
    .await;
    // A key of the other kind under the kid that the token names.
    let crossed = scripted::sign(&json!({"alg": "ES256", "kid": "rsa-1"}), &idp.claims());
    refused(&idp, &crossed, Flaw::UnknownKey).await;
}

#[tokio::test]
async fn sec_rp_34_only_listed_algorithms() {
    let idp = Scripted::start().await;
    let mut algorithms = vec![json!(1), Value::Null];
    algorithms
        .extend(["none", "None", "nOnE", "HS256", "HS512", "rs256", ""].map(|alg| json!(alg)));
    for alg in algorithms {
        let token = scripted::sign(&json!({"alg": alg, "kid": "rsa-1"}), &idp.claims());
        refused(&idp, &token, Flaw::Algorithm).await;
    }
    refused(
        &idp,
        &scripted::sign(&json!({}), &idp.claims()),
        Flaw::Algorithm,
    )
    .await;
    idp.discovery(json!({
        "id_token_signing_alg_values_supported": ["ES256"], "userinfo_endpoint": null,
    }));
    let unannounced = tokens(&idp, &scripted::id_token(&idp.claims()));
    let error = idp
        .provider()
        .identify(&unannounced, "n-1")
        .await
        .unwrap_err();
    assert_eq!(error.class, Class::IdToken(Flaw::Algorithm));
}

#[tokio::test]
async fn sec_rp_35_and_36_and_44_times() {
    let idp = Scripted::start().await;
    let now = i64::try_from(idp.clock.now().as_secs()).unwrap();
    claims_refused(&[
        ("exp", json!(now - 61), Flaw::Expired),
        ("exp", json!(now - 1), Flaw::Expired), // before its own iat
        ("exp", Value::Null, Flaw::Expired),
        ("exp", json!("9999999999"), Flaw::Expired),
        ("iat", Value::Null, Flaw::IssuedAt),
        ("iat", json!(now + 200), Flaw::IssuedAt),
        ("iat", json!(now - 86_400), Flaw::IssuedAt),
        ("iat", json!("1"), Flaw::IssuedAt),
        ("nbf", json!(now + 90), Flaw::NotYetValid),
        ("nbf", json!("9999999999"), Flaw::NotYetValid),
    ])
    .await;
    let mut claims = idp.claims();
    claims["iat"] = json!(now - 500);
    claims["exp"] = json!(now - 61);
    refused(&idp, &scripted::id_token(&claims), Flaw::Expired).await;
    claims["exp"] = json!(now - 20);
    identify(&idp, &scripted::id_token(&claims)).await.unwrap();
}

#[tokio::test]
async fn a_skewed_clock_is_named_with_its_offset() {
    let idp = Scripted::start().await;
    let token = scripted::id_token(&idp.claims());
    // Ten minutes pass for us but not for the provider, whose answers carry
    // the Date of its own clock.
    idp.clock.advance(600_000);
    let error = identify(&idp, &token).await.unwrap_err();
    let Class::ClockSkew { offset_secs } = error.class else {
        panic!("{error:?}");
    };
    assert!((-605..=-595).contains(&offset_secs), "{offset_secs}");
}

#[tokio::test]
async fn sec_rp_37_nonce_is_this_transactions() {
    claims_refused(&[
        ("nonce", json!("n-2"), Flaw::Nonce),
        ("nonce", json!(["n-1"]), Flaw::Nonce),
        ("nonce", Value::Null, Flaw::Nonce),
    ])
    .await;
}

#[tokio::test]
async fn sec_rp_39_access_token_hash() {
    let wrong = json!("AAAAAAAAAAAAAAAAAAAAAA");
    claims_refused(&[
        ("at_hash", wrong, Flaw::AccessTokenHash),
        ("at_hash", json!(7), Flaw::AccessTokenHash),
    ])
    .await;
    let idp = Scripted::start().await;
    let mut claims = idp.claims();
    claims["at_hash"] = json!(access_token_hash("at-1", Algorithm::RS256).unwrap());
    identify(&idp, &scripted::id_token(&claims)).await.unwrap();
}

#[test]
fn the_hash_is_that_of_the_specification() {
    // OpenID Connect Core, appendix A.3.
    let token = "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y";
    let hash = access_token_hash(token, Algorithm::RS256).unwrap();
    assert_eq!(hash, "77QmUPtjPfzWtF2AnpK9RQ");
}

#[tokio::test]
async fn sec_rp_43_typed_tokens_are_not_interchangeable() {
    let idp = Scripted::start().await;
    for typ in ["at+jwt", "logout+jwt", "application/at+jwt", ""] {
        let header = json!({"alg": "RS256", "kid": "rsa-1", "typ": typ});
        refused(&idp, &scripted::sign(&header, &idp.claims()), Flaw::Type).await;
    }
}

#[tokio::test]
async fn sec_rp_45_headers_are_never_followed() {
    let idp = Scripted::start().await;
    let lure = format!("{}/lure", idp.origin);
    for (name, value) in [
        ("crit", json!(["b64"])),
        ("crit", json!(["exp"])),
        ("jku", json!(lure)),
        ("x5u", json!(lure)),
        ("jwk", scripted::rsa_jwk("rsa-1")),
    ] {
        let mut header = json!({"alg": "RS256", "kid": "rsa-1"});
        header[name] = value;
        refused(&idp, &scripted::sign(&header, &idp.claims()), Flaw::Header).await;
    }
    let long = "k".repeat(10_000);
    for kid in ["../../x", "' or 1=1", &long] {
        let token = scripted::sign(&json!({"alg": "RS256", "kid": kid}), &idp.claims());
        refused(&idp, &token, Flaw::UnknownKey).await;
    }
    assert!(idp.seen("/lure").is_empty());
}

#[tokio::test]
async fn sec_rp_46_strict_encoding_and_members() {
    let idp = Scripted::start().await;
    let good = scripted::id_token(&idp.claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    for token in [
        format!("{good}="),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{good}.x"),
        good.replace('.', ".."),
        format!("{signed}.{}+", &signature[..signature.len() - 1]),
        "a".repeat(20_000),
        String::new(),
    ] {
        refused(&idp, &token, Flaw::Malformed).await;
    }
    let twice = format!("{{\"sub\":\"ben\",{}", &idp.claims().to_string()[1..]);
    let token = scripted::sign_raw(r#"{"alg":"RS256","kid":"rsa-1"}"#, &twice);
    refused(&idp, &token, Flaw::Malformed).await;
    let header = r#"{"alg":"RS256","alg":"RS256","kid":"rsa-1"}"#;
    let token = scripted::sign_raw(header, &idp.claims().to_string());
    refused(&idp, &token, Flaw::Malformed).await;
}

#[tokio::test]
async fn sec_rp_47_without_kid_fitting_keys_are_tried() {
    let idp = Scripted::start().await;
    for keys in [
        json!({"keys": [scripted::rsa_jwk("a")]}),
        json!({"keys": [scripted::ec_jwk("b"), scripted::rsa_jwk("a"), 7, {}]}),
    ] {
        idp.reply("/keys", Reply::json(&keys));
        let token = scripted::sign(&json!({"alg": "RS256"}), &idp.claims());
        identify(&idp, &token).await.unwrap();
    }
}

#[tokio::test]
async fn sec_rp_53_subject_is_needed() {
    claims_refused(&[
        ("sub", Value::Null, Flaw::Subject),
        ("sub", json!(""), Flaw::Subject),
        ("sub", json!(17), Flaw::Subject),
        ("sub", json!("ä"), Flaw::Subject),
        ("sub", json!("x".repeat(256)), Flaw::Subject),
    ])
    .await;
}
