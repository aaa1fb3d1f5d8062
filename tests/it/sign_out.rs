//! Signing out ends the session where it is kept, not only the cookie.

use std::time::Duration;

use tokio::time::Instant;

use crate::harness::browser::Browser;
use crate::harness::part::{self, Part};
use crate::harness::provider::{Endpoint, Fault, Provider, User};
use crate::harness::redis::Redis;
use crate::harness::scene::Scene;
use crate::harness::until;

async fn alive(scene: &Scene, browser: &Browser) -> bool {
    browser
        .fetch("GET", &scene.gateway.url("/x"), &[])
        .await
        .status
        == 200
}

/// Presses the button on our own page.
async fn press_sign_out(scene: &Scene, browser: &Browser) -> crate::harness::wire::Answer {
    let page = scene.gateway.own("/");
    browser
        .submit(&page, &scene.gateway.own("/sign_out"), &[])
        .await
}

#[tokio::test]
async fn sec_ses_18_a_copied_cookie_is_dead_after_sign_out() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    let thief = ann.twin();
    let elsewhere = scene.signed_in(User::ann()).await;
    assert!(alive(&scene, &thief).await);
    let answer = press_sign_out(&scene, &ann).await;
    assert!(
        matches!(answer.status.as_u16(), 200 | 303),
        "{}",
        answer.status
    );
    assert!(
        ann.cookies()
            .iter()
            .all(|cookie| cookie.name != "vestibule"),
        "cookie cleared"
    );
    assert!(
        !alive(&scene, &thief).await,
        "the copy still opens the door"
    );
    assert!(
        alive(&scene, &elsewhere).await,
        "another session of hers goes on"
    );
}

#[tokio::test]
async fn sec_ses_18_dead_on_every_replica_and_after_a_restart_of_redis() {
    let name = "sec_ses_18_dead_on_every_replica_and_after_a_restart_of_redis";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let mut redis = Redis::start().await;
    let scene = Scene::with("oidc-plain", |plan| plan.redis(&redis.lines())).await;
    let mut second = scene.gateway.plan().replica().start().await;
    let ann = scene.signed_in(User::ann()).await;
    let thief = ann.twin();
    thief.detour(&scene.gateway.authority(), second.address());
    assert!(alive(&scene, &thief).await);
    press_sign_out(&scene, &ann).await;
    assert!(
        !alive(&scene, &thief).await,
        "the other replica still opens"
    );
    redis.restart().await;
    second.ready().await;
    crate::harness::until::some("the store is back", || async {
        let answer = thief.fetch("GET", &scene.gateway.url("/x"), &[]).await;
        assert_ne!(answer.status, 200, "a restart brought it back to life");
        (answer.status == 401).then_some(())
    })
    .await;
}

#[tokio::test]
async fn sec_ses_18_a_browser_that_leaves_at_once_is_signed_out_everywhere() {
    let name = "sec_ses_18_a_browser_that_leaves_at_once_is_signed_out_everywhere";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let redis = Redis::start().await;
    let provider = Provider::start("oidc-plain").await;
    provider.set(|script| script.revocation = true);
    let scene = Scene::with_provider(provider, |plan| plan.redis(&redis.lines())).await;
    let second = scene.gateway.plan().replica().start().await;
    let ann = scene.signed_in(User::ann()).await;
    let bob = scene.signed_in(User::bob()).await;
    // He signs out where his session was not read yet.
    bob.detour(&scene.gateway.authority(), second.address());
    assert!(alive(&scene, &ann).await);
    for (times, person) in [(1, &ann), (2, &bob)] {
        let thief = person.twin();
        if times == 1 {
            thief.detour(&scene.gateway.authority(), second.address());
        }
        redis.stall();
        let short = Duration::from_millis(200);
        let answered = tokio::time::timeout(short, press_sign_out(&scene, person)).await;
        assert!(answered.is_err(), "answered before the store was told");
        // The gateway sees that the browser has gone before the store goes on.
        tokio::time::sleep(short).await;
        redis.go_on();
        until::holds("the tokens are revoked", || {
            scene.provider.count(Endpoint::Revocation) == times
        })
        .await;
        assert!(!alive(&scene, &thief).await);
    }
}

#[tokio::test]
async fn sec_ses_18_a_gateway_that_stops_has_the_tokens_revoked_first() {
    let provider = Provider::start("oidc-plain").await;
    provider.set(|script| script.revocation = true);
    let mut scene = Scene::with_provider(provider, |plan| plan).await;
    let ann = scene.signed_in(User::ann()).await;
    let slow = Duration::from_millis(1500);
    scene
        .provider
        .fail(Endpoint::Revocation, [Fault::DelayAnswer(slow)]);
    press_sign_out(&scene, &ann).await;
    let begin = Instant::now();
    scene.gateway.signal("TERM");
    assert!(scene.gateway.ended().await.success());
    let took = begin.elapsed();
    assert!(took > slow / 2, "ended within {took:?}");
    assert_eq!(scene.provider.count(Endpoint::Revocation), 1);
}

#[tokio::test]
async fn sec_rp_58_the_provider_hears_of_it() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    let answer = ann.step(&scene.gateway.own("/sign_out")).await;
    assert_eq!(answer.status, 303);
    let location = answer.location().expect("location");
    assert!(
        location
            .as_str()
            .starts_with(&format!("{}/end_session?", scene.provider.issuer))
    );
    let pairs: Vec<(String, String)> = location.query_pairs().into_owned().collect();
    for name in ["id_token_hint", "client_id", "post_logout_redirect_uri"] {
        assert!(
            pairs
                .iter()
                .any(|(key, value)| key == name && !value.is_empty()),
            "no {name}"
        );
    }
    ann.open(location.as_str()).await;
    assert_eq!(scene.provider.count(Endpoint::EndSession), 1);
    // From a form it is a page that moves on: a redirect would be stopped by
    // the page's own form-action policy.
    let bob = scene.signed_in(User::bob()).await;
    let page = press_sign_out(&scene, &bob).await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("/end_session?"), "{}", page.text());
}

#[tokio::test]
async fn sec_rp_58_a_provider_that_is_down_keeps_nobody_signed_in() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    let thief = ann.twin();
    scene.provider.down().await;
    let answer = press_sign_out(&scene, &ann).await;
    assert!(answer.status.as_u16() < 500, "{}", answer.status);
    assert!(!alive(&scene, &thief).await);
}

#[tokio::test]
async fn sec_rp_59_another_site_cannot_sign_anybody_out() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    let answer = ann
        .link("http://evil.localhost/", &scene.gateway.own("/sign_out"))
        .await;
    assert_eq!(answer.status, 200, "a page with a button");
    assert!(
        answer.text().contains("method=\"post\""),
        "{}",
        answer.text()
    );
    assert!(alive(&scene, &ann).await);
    ann.submit(
        "http://evil.localhost/",
        &scene.gateway.own("/sign_out"),
        &[],
    )
    .await;
    assert!(alive(&scene, &ann).await);
    // The person's own link works.
    let answer = ann.step(&scene.gateway.own("/sign_out")).await;
    assert!(
        matches!(answer.status.as_u16(), 200 | 303),
        "{}",
        answer.status
    );
    assert!(!alive(&scene, &ann).await);
}

#[tokio::test]
async fn sign_out_returns_only_to_places_of_ours() {
    for evil in [
        "https://evil.test/",
        "//evil.test",
        "/%5cevil.test",
        "http:evil.test",
    ] {
        let scene = Scene::start().await;
        let ann = scene.signed_in(User::ann()).await;
        let rd: String = url::form_urlencoded::byte_serialize(evil.as_bytes()).collect();
        let answer = ann
            .step(&scene.gateway.own(&format!("/sign_out?rd={rd}")))
            .await;
        assert!(
            !answer.header("location").contains("evil.test"),
            "{evil}: {:?}",
            answer.headers
        );
    }
}
