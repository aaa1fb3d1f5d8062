//! ID tokens, token answers and userinfo that are not as they must be.

use serde_json::{Map, Value, json};

use crate::harness::browser::Browser;
use crate::harness::provider::{CLIENT_SECRET, Provider, Script, Signing};
use crate::harness::scene::Scene;
use crate::harness::wire::Answer;
use vestibule::base::clock::Clock;

type Claims = Map<String, Value>;

fn now() -> u64 {
    Clock::system().now().as_secs()
}

/// Signs in once with a changed script; gives the last answer.
async fn attempt(scene: &Scene, change: impl FnOnce(&mut Script)) -> (Browser, Answer) {
    scene.provider.set(|script| {
        script.signing = Signing::Proper(script.dialect.algorithm.clone());
        script.alter_head = None;
        script.alter_id_token = None;
        script.alter_token_answer = None;
        script.alter_userinfo = None;
        change(script);
    });
    let browser = Browser::new();
    let answer = browser.open(&scene.gateway.url("/hello")).await;
    (browser, answer)
}

async fn refused(scene: &Scene, what: &str, change: impl FnOnce(&mut Script)) {
    let before = scene.upstream.requests().len();
    let (browser, answer) = attempt(scene, change).await;
    assert!(
        answer.status.as_u16() >= 400,
        "{what} was taken: {}",
        answer.text()
    );
    assert_eq!(
        scene.upstream.requests().len(),
        before,
        "{what} reached the upstream"
    );
    let named = browser
        .cookies()
        .into_iter()
        .find(|cookie| cookie.name.ends_with("vestibule"));
    assert!(named.is_none(), "{what} made a session");
}

async fn accepted(scene: &Scene, what: &str, change: impl FnOnce(&mut Script)) {
    let (_, answer) = attempt(scene, change).await;
    assert_eq!(answer.status, 200, "{what}: {}", answer.text());
}

/// Each claim set to each value, one sign-in per pair.
async fn refused_claims(scene: &Scene, claim: &'static str, values: Vec<Value>) {
    for value in values {
        let what = format!("{claim} = {value}");
        refused(scene, &what, |script| {
            script.id_token(move |claims: &mut Claims| {
                claims.insert(claim.to_owned(), value.clone());
            });
        })
        .await;
    }
    refused(scene, &format!("no {claim}"), |script| {
        script.id_token(move |claims: &mut Claims| drop(claims.remove(claim)));
    })
    .await;
}

#[tokio::test]
async fn sec_rp_31_issuer() {
    let scene = Scene::start().await;
    let issuer = scene.provider.issuer.clone();
    let values = vec![
        json!(format!("{issuer}/")),
        json!(issuer.to_uppercase()),
        json!("https://evil.test"),
        json!([issuer]),
        json!(7),
    ];
    refused_claims(&scene, "iss", values).await;
}

#[tokio::test]
async fn sec_rp_32_audience() {
    let scene = Scene::start().await;
    let values = vec![
        json!("vestibule "),
        json!("VESTIBULE"),
        json!("other"),
        json!(["other"]),
        json!([]),
        json!({ "vestibule": true }),
    ];
    refused_claims(&scene, "aud", values).await;
    accepted(&scene, "a list of one", |script| {
        script.id_token(|claims| drop(claims.insert("aud".to_owned(), json!(["vestibule"]))));
    })
    .await;
}

#[tokio::test]
async fn sec_rp_33_signature() {
    let scene = Scene::start().await;
    for signing in [
        Signing::Flipped,
        Signing::EmptySignature,
        Signing::ForeignKey,
        Signing::UnknownKey,
    ] {
        refused(&scene, &format!("{signing:?}"), |script| {
            script.signing = signing.clone()
        })
        .await;
    }
    accepted(&scene, "proper", |_| {}).await;
}

#[tokio::test]
async fn sec_rp_34_algorithm() {
    let scene = Scene::start().await;
    let wrong = [
        Signing::Hs256(CLIENT_SECRET.to_owned()),
        Signing::Hs256PublicKey,
        Signing::Unsigned("none".to_owned()),
        Signing::Unsigned("None".to_owned()),
        Signing::Unsigned("nOnE".to_owned()),
        Signing::Unsigned(String::new()),
    ];
    for signing in wrong {
        refused(&scene, &format!("{signing:?}"), |script| {
            script.signing = signing.clone()
        })
        .await;
    }
    refused(&scene, "no alg", |script| {
        script.alter_head = Some(std::sync::Arc::new(|head| drop(head.remove("alg"))));
    })
    .await;
}

#[tokio::test]
async fn sec_rp_35_end() {
    let scene = Scene::start().await;
    let values = vec![
        json!(now() - 120),
        json!("9999999999"),
        json!(-1),
        json!(null),
    ];
    refused_claims(&scene, "exp", values).await;
}

#[tokio::test]
async fn sec_rp_36_time_of_issue() {
    let scene = Scene::start().await;
    let values = vec![json!(now() + 600), json!(now() - 86_400), json!("now")];
    refused_claims(&scene, "iat", values).await;
}

#[tokio::test]
async fn sec_rp_37_nonce() {
    let scene = Scene::start().await;
    let values = vec![json!("another"), json!(""), json!(["n"]), json!(null)];
    refused_claims(&scene, "nonce", values).await;
}

#[tokio::test]
async fn sec_rp_39_access_token_hash() {
    let scene = Scene::start().await;
    for value in [json!("AAAAAAAAAAAAAAAAAAAAAA"), json!(7)] {
        refused(&scene, &format!("at_hash = {value}"), |script| {
            script.id_token(move |claims| drop(claims.insert("at_hash".to_owned(), value.clone())));
        })
        .await;
    }
    accepted(&scene, "no at_hash", |script| {
        script.id_token(|claims| drop(claims.remove("at_hash")));
    })
    .await;
}

#[tokio::test]
async fn sec_rp_43_other_types_of_token() {
    let scene = Scene::start().await;
    for kind in ["at+jwt", "logout+jwt"] {
        refused(&scene, kind, |script| {
            script.alter_head = Some(std::sync::Arc::new(move |head| {
                head.insert("typ".to_owned(), json!(kind));
            }));
        })
        .await;
    }
}

#[tokio::test]
async fn sec_rp_44_not_before() {
    let scene = Scene::start().await;
    for value in [json!(now() + 3600), json!("9999999999")] {
        refused(&scene, &format!("nbf = {value}"), |script| {
            script.id_token(move |claims| drop(claims.insert("nbf".to_owned(), value.clone())));
        })
        .await;
    }
}

#[tokio::test]
async fn sec_rp_45_unknown_critical_heads() {
    let scene = Scene::start().await;
    for value in [json!(["b64"]), json!(["exp"]), json!([])] {
        refused(&scene, &format!("crit = {value}"), |script| {
            script.alter_head = Some(std::sync::Arc::new(move |head| {
                head.insert("crit".to_owned(), value.clone());
                head.insert("b64".to_owned(), json!(false));
            }));
        })
        .await;
    }
    for kid in [
        "../../x".to_owned(),
        "' or 1=1".to_owned(),
        "k".repeat(10_000),
    ] {
        refused(&scene, "hostile kid", |script| {
            script.alter_head = Some(std::sync::Arc::new(move |head| {
                head.insert("kid".to_owned(), json!(kid));
            }));
        })
        .await;
    }
}

#[tokio::test]
async fn sec_rp_53_subject_is_there_and_is_text() {
    let scene = Scene::start().await;
    refused_claims(
        &scene,
        "sub",
        vec![json!(""), json!(7), json!(null), json!(["a"])],
    )
    .await;
}

#[tokio::test]
async fn sec_rp_50_userinfo_of_somebody_else() {
    let provider = Provider::start("claims-in-userinfo").await;
    let scene = Scene::with_provider(provider, |plan| plan).await;
    for value in [json!("sub-bob"), json!(7), json!(null)] {
        refused(&scene, &format!("userinfo sub = {value}"), |script| {
            script.alter_userinfo = Some(std::sync::Arc::new(move |claims| {
                claims.insert("sub".to_owned(), value.clone());
            }));
        })
        .await;
    }
    accepted(&scene, "own userinfo", |_| {}).await;
}

#[tokio::test]
async fn sec_rp_14_token_type() {
    let scene = Scene::start().await;
    for good in ["bearer", "BEARER"] {
        accepted(&scene, good, |script| {
            script.token_answer(move |answer| {
                drop(answer.insert("token_type".to_owned(), json!(good)))
            });
        })
        .await;
    }
    for bad in [json!("mac"), json!("N_A"), json!(7)] {
        refused(&scene, &format!("token_type = {bad}"), |script| {
            let bad = bad.clone();
            script.token_answer(move |answer| {
                answer.insert("token_type".to_owned(), bad.clone());
            });
        })
        .await;
    }
    refused(&scene, "no token_type", |script| {
        script.token_answer(|answer| drop(answer.remove("token_type")));
    })
    .await;
}

#[tokio::test]
async fn sec_rp_15_lifetimes_in_every_form_do_no_harm() {
    let scene = Scene::start().await;
    for value in [
        json!("3600"),
        json!(-1),
        json!(0),
        json!(1e99),
        json!("soon"),
        json!(null),
    ] {
        let what = format!("expires_in = {value}");
        let (_, answer) = attempt(&scene, |script| {
            script.token_answer(move |answer| {
                drop(answer.insert("expires_in".to_owned(), value.clone()))
            });
        })
        .await;
        // Taken with a default or refused as a bad answer, but never a crash of ours.
        assert!(
            matches!(answer.status.as_u16(), 200 | 502 | 503),
            "{what}: {}",
            answer.status
        );
        assert_eq!(
            scene.gateway.admin("/livez").await.expect("lives").status,
            200,
            "{what}"
        );
    }
}
