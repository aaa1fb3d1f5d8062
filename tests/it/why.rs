//! `why`: the history of a sign-in or a session, told from the store beside
//! a running gateway.

use serde_json::Value;

use crate::harness::browser::Browser;
use crate::harness::part::{self, Part};
use crate::harness::provider::User;
use crate::harness::redis::Redis;
use crate::harness::scene::Scene;
use crate::harness::until;

/// The last value of a field in the log.
fn logged(scene: &Scene, field: &str) -> Option<String> {
    let log = scene.gateway.log();
    let lines = log.lines().rev();
    lines
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .find_map(|record| found(&record, field))
}

fn found(record: &Value, field: &str) -> Option<String> {
    let object = record.as_object()?;
    if let Some(Value::String(text)) = object.get(field) {
        return Some(text.clone());
    }
    object.values().find_map(|inner| found(inner, field))
}

/// Asks until the answer has all of `said`: entries are written off the
/// request's path.
async fn told(scene: &Scene, reference: &str, said: &[&str]) -> String {
    until::some(&format!("why {reference} says {said:?}"), || async {
        let (status, text) = scene.gateway.plan().ends(&["why", reference]).await;
        let all = said.iter().all(|said| text.contains(said));
        (status.success() && all).then_some(text)
    })
    .await
}

async fn sign_out(scene: &Scene, browser: &Browser) {
    let answer = browser.step(&scene.gateway.own("/sign_out")).await;
    assert!(answer.status.as_u16() < 400, "{}", answer.text());
}

#[tokio::test]
async fn row_2_10_the_end_of_a_session_is_told() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    let session = logged(&scene, "session.reference").expect("a session's reference");
    sign_out(&scene, &ann).await;
    let said = [
        "ended: session_signed_out",
        "Next: the person signs in again",
    ];
    let text = told(&scene, &session, &said).await;
    assert!(text.starts_with(&format!("Session {session}")), "{text}");
    // Nobody's name or address is in it.
    for secret in ["ann", "corp.test", "Example"] {
        assert!(!text.contains(secret), "{secret}\n{text}");
    }
}

#[tokio::test]
async fn row_2_10_the_same_from_redis() {
    if !part::have("row_2_10_the_same_from_redis", &[Part::Redis]) {
        return;
    }
    let redis = Redis::start().await;
    let scene = Scene::with("oidc-plain", |plan| plan.redis(&redis.lines())).await;
    let ann = scene.signed_in(User::ann()).await;
    let session = logged(&scene, "session.reference").expect("a session's reference");
    sign_out(&scene, &ann).await;
    told(&scene, &session, &["ended: session_signed_out"]).await;
}

#[tokio::test]
async fn an_unknown_reference_says_where_to_look() {
    let scene = Scene::start().await;
    let (status, text) = scene.gateway.plan().ends(&["why", "0123456789"]).await;
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.contains("Nothing is known of 0123456789"), "{text}");
    assert!(text.contains("login_state_unknown"), "{text}");
    let (status, text) = scene.gateway.plan().ends(&["why", "…"]).await;
    assert_eq!(status.code(), Some(2), "{text}");
}
