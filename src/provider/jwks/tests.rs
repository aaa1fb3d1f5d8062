use serde_json::json;

use super::super::error::IdTokenFlaw;
use super::super::scripted::{self, Reply, Scripted};
use super::*;
use crate::model::tokens::TokenSet;
use secrecy::SecretString;

fn tokens(idp: &Scripted, kid: &str) -> TokenSet {
    let header = json!({"alg": "RS256", "kid": kid});
    let now = idp.clock.now();
    TokenSet {
        access_token: SecretString::from("at-1"),
        refresh_token: None,
        id_token: Some(SecretString::from(scripted::sign(&header, &idp.claims()))),
        access_expires_at: now,
        received_at: now,
        scope: None,
    }
}

#[tokio::test]
async fn sec_rp_48_rotation_is_followed_at_once_and_within_a_budget() {
    let idp = Scripted::start().await;
    idp.discovery(json!({"userinfo_endpoint": null}));
    let provider = idp.provider();
    provider
        .identify(&tokens(&idp, "rsa-1"), "n-1")
        .await
        .unwrap();
    let keys = json!({"keys": [scripted::rsa_jwk("rsa-2")]});
    idp.reply("/keys", Reply::json(&keys));
    provider
        .identify(&tokens(&idp, "rsa-2"), "n-1")
        .await
        .unwrap();
    assert_eq!(idp.seen("/keys").len(), 2);
    for _ in 0..50 {
        let error = provider
            .identify(&tokens(&idp, "flood"), "n-1")
            .await
            .unwrap_err();
        assert_eq!(error.class, Class::IdToken(IdTokenFlaw::UnknownKey));
    }
    assert_eq!(idp.seen("/keys").len(), 6, "a burst of five");
    idp.clock.advance(12_000);
    for _ in 0..5 {
        provider
            .identify(&tokens(&idp, "flood"), "n-1")
            .await
            .unwrap_err();
    }
    assert_eq!(idp.seen("/keys").len(), 7, "one more every 12 s");
    idp.reply("/keys", Reply::text(500, "text/plain", "down"));
    idp.clock.advance(12_000);
    provider
        .identify(&tokens(&idp, "flood"), "n-1")
        .await
        .unwrap_err();
    assert_eq!(idp.seen("/keys").len(), 8);
    provider
        .identify(&tokens(&idp, "rsa-2"), "n-1")
        .await
        .unwrap();
}

#[tokio::test]
async fn i5_old_keys_are_kept_for_ten_minutes_while_new_ones_cannot_be_had() {
    let idp = Scripted::start().await;
    idp.discovery(json!({"userinfo_endpoint": null}));
    let keys = Reply::json(&scripted::key_set()).with("cache-control", "max-age=60");
    idp.reply("/keys", keys);
    let limits = crate::config::checked::Limits {
        provider_failures: 0,
        ..scripted::limits()
    };
    let provider = super::super::Provider::new(idp.config(), &limits, idp.clock.clone()).unwrap();
    // The tokens are of now each time; the keys age.
    let identify = || async { provider.identify(&tokens(&idp, "rsa-1"), "n-1").await };
    identify().await.unwrap();
    idp.reply("/keys", Reply::text(500, "text/plain", "down"));
    for _ in 0..10 {
        idp.clock.advance(65_000);
        identify().await.unwrap();
    }
    idp.clock.advance(15_000);
    let error = identify().await.unwrap_err();
    assert_eq!(
        (error.phase, error.class),
        (Phase::Keys, Class::ProviderError)
    );
    idp.reply("/keys", Reply::json(&scripted::key_set()));
    idp.clock.advance(3_000);
    identify().await.unwrap();
}

#[tokio::test]
async fn a_failed_first_fetch_is_remembered_shortly() {
    let idp = Scripted::start().await;
    idp.discovery(json!({"userinfo_endpoint": null}));
    idp.reply("/keys", Reply::text(500, "text/plain", "down"));
    let provider = idp.provider();
    let tokens = tokens(&idp, "rsa-1");
    for _ in 0..3 {
        let error = provider.identify(&tokens, "n-1").await.unwrap_err();
        assert_eq!(
            (error.phase, error.class),
            (Phase::Keys, Class::ProviderError)
        );
    }
    assert_eq!(idp.seen("/keys").len(), 1);
    idp.reply("/keys", Reply::json(&scripted::key_set()));
    idp.clock.advance(3_000);
    provider.identify(&tokens, "n-1").await.unwrap();
}

#[test]
fn sec_dos_09_keys_are_bounded_before_any_mathematics() {
    let rsa = |bits: usize| {
        let mut modulus = vec![0xff; bits / 8];
        modulus[0] = 0x80;
        json!({"kty": "RSA", "n": scripted::encode(modulus), "e": "AQAB"})
    };
    let usable = |jwk: &Value| Key::read(jwk.as_object().unwrap()).is_some();
    assert!(usable(&rsa(2048)) && usable(&rsa(8192)));
    let mut bad = vec![rsa(1024), rsa(2040), rsa(8200), rsa(16_384)];
    for (name, value) in [
        ("e", "AQ"),
        ("e", "AA"),
        ("e", ""),
        ("e", "Ag"),
        ("e", "_____________w"),
        ("n", ""),
        ("n", "!"),
        ("use", "enc"),
        ("kty", "oct"),
    ] {
        let mut jwk = scripted::rsa_jwk("a");
        jwk[name] = json!(value);
        bad.push(jwk);
    }
    let mut operations = scripted::ec_jwk("a");
    operations["key_ops"] = json!(["encrypt"]);
    bad.push(operations);
    let mut short = scripted::ec_jwk("a");
    short["x"] = json!("AAAA");
    bad.push(short);
    for jwk in bad {
        assert!(!usable(&jwk), "{jwk:.200}");
    }
    let many = json!({"keys": vec![scripted::ec_jwk("a"); 101]});
    assert!(read(many.as_object().unwrap()).is_err());
}

#[test]
fn a_key_serves_only_its_own_algorithm() {
    let mut jwk = scripted::rsa_jwk("a");
    jwk["alg"] = json!("RS512");
    let key = Key::read(jwk.as_object().unwrap()).unwrap();
    assert!(key.fits(Algorithm::RS512, "RS512"));
    assert!(!key.fits(Algorithm::RS256, "RS256"));
    assert!(!key.fits(Algorithm::ES256, "ES256"));
}
