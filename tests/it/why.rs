//! `why`: the history of a sign-in or a session, told from the store beside
//! a running gateway.

use serde_json::Value;

use crate::harness::browser::Browser;
use crate::harness::part::{self, Part};
use crate::harness::provider::{Endpoint, Fault, User};
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

/// The way of a sign-in that failed, by the id that its page shows.
#[tokio::test]
async fn row_2_10_a_failed_sign_in_is_told_by_the_reference_of_its_page() {
    let scene = Scene::start().await;
    scene.provider.fail_always(
        Endpoint::Code,
        Fault::error(401, "invalid_client", "wrong secret"),
    );
    let browser = Browser::new();
    let page = browser.open(&scene.gateway.url("/hello")).await;
    let reference = page.reference();
    assert!(!reference.is_empty(), "{}", page.text());
    let said = [
        "provider main",
        "failed in phase exchange: client_credentials_rejected (after ",
        "state took ",
        "Next: the person can start a new sign-in",
        "For you: copy client id and secret",
        "provider.main.client_secret_file",
    ];
    let text = told(&scene, &reference, &said).await;
    assert!(text.starts_with(&format!("Sign-in {reference}")), "{text}");
    assert!(!text.contains("invalid_client"), "{text}");
    // A reload of the page is not another failure.
    browser.open(page.url.as_str()).await;
    let again = told(&scene, &reference, &said).await;
    assert_eq!(again, text);
}

/// From the sign-in to its session, through refreshes that work and fail.
#[tokio::test]
async fn row_2_10_a_session_tells_of_its_refreshes() {
    let scene = Scene::start().await;
    scene.provider.set(|script| script.access_lifetime = 2);
    let ann = scene.signed_in(User::ann()).await;
    let attempt = logged(&scene, "login.attempt").expect("an attempt");
    let session = logged(&scene, "session.reference").expect("a session's reference");
    let began = format!("began with sign-in {attempt}; the access token lives until 20");
    told(&scene, &session, &[&began]).await;
    refreshed(&scene, &ann).await;
    told(
        &scene,
        &session,
        &["tokens renewed; the access token lives until 20"],
    )
    .await;
    scene.provider.fail_always(
        Endpoint::Refresh,
        Fault::error(503, "temporarily_unavailable", ""),
    );
    until::some("the refresh fails", || async {
        let answer = ann.fetch("GET", &scene.gateway.url("/x"), &[]).await;
        (answer.status == 503).then_some(())
    })
    .await;
    let said = [
        "tokens could not be renewed: provider_error; not tried again before 20",
        "nobody is signed out for this",
        "For you: the provider failed by itself",
    ];
    told(&scene, &session, &said).await;
    scene.provider.heal(Endpoint::Refresh);
    scene.provider.revoke_everything();
    until::some("the session ends", || async {
        let answer = ann.fetch("GET", &scene.gateway.url("/x"), &[]).await;
        (answer.status == 401).then_some(())
    })
    .await;
    let ended = [
        "ended: grant_expired_or_revoked",
        "this session does not come back",
    ];
    let text = told(&scene, &session, &ended).await;
    let order = [&*began, "tokens renewed", "could not be renewed", "ended:"];
    let places: Vec<_> = order.iter().map(|part| text.find(part)).collect();
    assert!(places.is_sorted(), "newest last: {text}");
    // The sign-in leads to the session.
    let leads = format!("signed in; it became session {session}");
    let text = told(
        &scene,
        &attempt,
        &[&leads, "ended: grant_expired_or_revoked"],
    )
    .await;
    for step in ["exchange took", "id_token took", "session_write took"] {
        assert!(text.contains(step), "{step}\n{text}");
    }
    // Nothing of a person or a token.
    for secret in scene.provider.secrets() {
        assert!(!text.contains(&secret), "{text}");
    }
    assert!(!text.contains("corp.test"), "{text}");
}

async fn refreshed(scene: &Scene, browser: &Browser) {
    let before = scene.provider.count(Endpoint::Refresh);
    until::some("a refresh", || async {
        browser.fetch("GET", &scene.gateway.url("/x"), &[]).await;
        (scene.provider.count(Endpoint::Refresh) > before).then_some(())
    })
    .await;
}

/// Whoever starts sign-ins in masses writes nothing.
#[tokio::test]
async fn a_flood_of_starts_leaves_no_history() {
    let scene = Scene::start().await;
    let before = scene.gateway.metric(WRITTEN).await;
    for _ in 0..50 {
        let answer = Browser::new().step(&scene.gateway.url("/hello")).await;
        assert_eq!(answer.status, 302);
    }
    // Answers that no browser of ours asked for.
    for _ in 0..50 {
        let forged = scene.gateway.own("/callback?code=c&state=forged");
        Browser::new().step(&forged).await;
    }
    scene.signed_in(User::ann()).await;
    until::some("the sign-in is noted", || async {
        (scene.gateway.metric(WRITTEN).await >= before + 2.0).then_some(())
    })
    .await;
    assert_eq!(scene.gateway.metric(WRITTEN).await, before + 2.0);
}

const WRITTEN: &str =
    "vestibule_store_operations_total{store=\"embedded\",operation=\"history_add\"";

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
