//! The store goes away between the exchange of the code and the write of the
//! session; and what becomes of tokens that nobody needs any more.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::harness::browser::Browser;
use crate::harness::disk::Disk;
use crate::harness::gateway::Plan;
use crate::harness::part::{self, Part};
use crate::harness::provider::{Endpoint, Fault, Provider, User};
use crate::harness::redis::Redis;
use crate::harness::scene::Scene;
use crate::harness::until;
use crate::harness::upstream::Upstream;
use crate::harness::wire::Answer;

/// By the book, and wants to know which tokens are not needed any more.
async fn provider() -> Provider {
    let provider = Provider::start("oidc-plain").await;
    provider.set(|script| script.revocation = true);
    provider
}

async fn scene(redis: &Redis) -> Scene {
    Scene::with_provider(provider().await, |plan| plan.redis(&redis.lines())).await
}

async fn status(scene: &Scene, browser: &Browser) -> u16 {
    let url = scene.gateway.url("/x");
    browser.fetch("GET", &url, &[]).await.status.as_u16()
}

/// Its answer has to wait for a permit.
fn held(scene: &Scene, endpoint: Endpoint) -> Arc<Semaphore> {
    let gate = Arc::new(Semaphore::new(0));
    let fault = Fault::HoldAnswer(Arc::clone(&gate));
    scene.provider.fail(endpoint, [fault]);
    gate
}

async fn logged(scene: &Scene, text: &str) {
    until::holds(text, || scene.gateway.log().contains(text)).await;
}

/// A callback whose code is redeemed while `strike` happens to the store.
async fn redeemed_into<F: Future<Output = ()>>(
    scene: &Scene,
    strike: impl FnOnce() -> F,
) -> (Browser, url::Url, Answer) {
    let browser = Browser::new();
    let callback = scene.callback_of(&browser).await;
    let codes = scene.provider.count(Endpoint::Code);
    let gate = held(scene, Endpoint::Code);
    let struck = async {
        until::holds("the code is redeemed", || {
            scene.provider.count(Endpoint::Code) > codes
        })
        .await;
        strike().await;
        gate.add_permits(1);
    };
    let (answer, ()) = tokio::join!(browser.step(callback.as_str()), struck);
    (browser, callback, answer)
}

/// Later, and nothing that looks like a session.
fn is_put_off(browser: &Browser, answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_ne!(answer.header("retry-after"), "");
    assert!(browser.cookies_named("vestibule").iter().all(|cookie| {
        // Of the sign-in, for a reload.
        cookie.name.starts_with("vestibule-")
    }));
}

async fn revoked(scene: &Scene, count: usize) -> Vec<String> {
    until::holds("tokens are revoked", || {
        scene.provider.count(Endpoint::Revocation) >= count
    })
    .await;
    let seen = scene.provider.recorded(Endpoint::Revocation);
    assert_eq!(seen.len(), count);
    seen.iter()
        .map(|request| {
            assert_eq!(
                request.parameter("token_type_hint").as_deref(),
                Some("refresh_token")
            );
            assert!(request.basic.is_some(), "authenticated as elsewhere");
            request.parameter("token").expect("token")
        })
        .collect()
}

#[tokio::test]
async fn row_0_8_a_store_that_is_away_for_a_moment_costs_no_sign_in() {
    let name = "row_0_8_a_store_that_is_away_for_a_moment_costs_no_sign_in";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let mut redis = Redis::start().await;
    let scene = scene(&redis).await;
    let browser = Browser::new();
    let callback = scene.callback_of(&browser).await;
    let gate = held(&scene, Endpoint::Code);
    let outage = async {
        until::holds("the code is redeemed", || {
            scene.provider.count(Endpoint::Code) == 1
        })
        .await;
        redis.kill();
        gate.add_permits(1);
        logged(&scene, "a step of a sign-in is tried again").await;
        redis.restart().await;
    };
    let (answer, ()) = tokio::join!(browser.step(callback.as_str()), outage);
    assert_eq!(answer.status, 303, "{}", answer.text());
    until::some("she is served", || async {
        (status(&scene, &browser).await == 200).then_some(())
    })
    .await;
    assert_eq!(scene.logins(), (1, 1));
    assert_eq!(scene.provider.count(Endpoint::Revocation), 0);
}

#[tokio::test]
async fn row_0_8_a_store_that_stays_away_leaves_no_half_session() {
    let name = "row_0_8_a_store_that_stays_away_leaves_no_half_session";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    for read_only in [false, true] {
        let mut redis = Redis::start().await;
        let scene = scene(&redis).await;
        let server = &mut redis;
        let began = Instant::now();
        let (browser, callback, answer) = redeemed_into(&scene, || async {
            if read_only {
                server.command(&["REPLICAOF", "127.0.0.1", "1"]).await;
            } else {
                server.kill();
            }
        })
        .await;
        println!("0.8: given up after {:?}", began.elapsed());
        is_put_off(&browser, &answer);
        let page = answer.text();
        assert!(
            page.contains("session_write") || page.contains("store_"),
            "{page}"
        );
        let tokens = revoked(&scene, 1).await;
        assert!(tokens[0].starts_with("refresh-"));
        // While it is away, and after that: nothing is redeemed again.
        let reloaded = browser.step(callback.as_str()).await;
        assert_eq!(reloaded.status, 503, "{}", reloaded.text());
        if read_only {
            redis.command(&["REPLICAOF", "NO", "ONE"]).await;
        } else {
            redis.restart().await;
        }
        let told = until::some("a reload tells how it ended", || async {
            let again = browser.step(callback.as_str()).await;
            assert_eq!(again.status, 503, "{}", again.text());
            again.text().contains("/oauth2/start?").then_some(again)
        })
        .await;
        assert!(told.text().contains("store_"), "{}", told.text());
        assert_eq!(status(&scene, &browser).await, 401);
        assert_eq!(scene.logins(), (1, 1));
        until::some("signing in works again", || async {
            let answer = browser.open(&scene.gateway.url("/hello")).await;
            (answer.status == 200).then_some(())
        })
        .await;
        assert_eq!(scene.provider.count(Endpoint::Code), 2);
        assert_eq!(status(&scene, &browser).await, 200);
        assert_eq!(scene.provider.count(Endpoint::Revocation), 1);
    }
}

#[tokio::test]
async fn row_0_8_a_disk_that_fills_meanwhile_leaves_no_half_session() {
    let provider = provider().await;
    let upstream = Upstream::start().await;
    let (disk, plan) = Disk::under(Plan::new(&provider.issuer, &upstream.url()));
    let gateway = plan.start().await;
    let scene = Scene {
        provider,
        upstream,
        gateway,
    };
    let (browser, callback, answer) = redeemed_into(&scene, || async { disk.is_full() }).await;
    is_put_off(&browser, &answer);
    revoked(&scene, 1).await;
    assert_eq!(browser.step(callback.as_str()).await.status, 503);
    disk.is_well();
    until::some("signing in works again", || async {
        let answer = browser.open(&scene.gateway.url("/hello")).await;
        (answer.status == 200).then_some(())
    })
    .await;
    assert_eq!(browser.step(callback.as_str()).await.status, 503);
    assert_eq!(scene.provider.count(Endpoint::Code), 2);
    assert_eq!(status(&scene, &browser).await, 200);
}

#[tokio::test]
async fn a_sign_out_revokes_the_refresh_token_and_never_waits_for_it() {
    let scene = Scene::with_provider(provider().await, |plan| plan).await;
    let sign_out = async |browser: &Browser| {
        let began = Instant::now();
        let url = scene.gateway.own("/sign_out");
        let answer = browser.submit(&scene.gateway.own("/"), &url, &[]).await;
        assert!(answer.status.as_u16() < 400, "{}", answer.status);
        assert_eq!(status(&scene, browser).await, 401);
        began.elapsed()
    };
    let ann = scene.signed_in(User::ann()).await;
    sign_out(&ann).await;
    revoked(&scene, 1).await;
    logged(&scene, "were revoked at the provider").await;
    // An endpoint that is broken, or says nothing, is no reason for anything.
    let silent = Fault::Hold(Arc::new(Semaphore::new(0)));
    for fault in [Fault::page(500), silent] {
        scene.provider.fail_always(Endpoint::Revocation, fault);
        for _ in 0..7 {
            let bob = scene.signed_in(User::bob()).await;
            let took = sign_out(&bob).await;
            assert!(took.as_secs() < 3, "{took:?}");
        }
    }
    logged(&scene, "could not be revoked at the provider").await;
    scene.signed_in(User::ann()).await;
    assert!(!scene.gateway.log().contains("counts as unreachable"));
}

#[tokio::test]
async fn tokens_that_a_refresh_brings_after_the_sign_out_are_revoked() {
    let scene = Scene::with_provider(provider().await, |plan| plan).await;
    scene.provider.set(|script| script.access_lifetime = 4);
    let ann = scene.signed_in(User::ann()).await;
    let gate = held(&scene, Endpoint::Refresh);
    until::some("a refresh begins", || async {
        assert_eq!(status(&scene, &ann).await, 200);
        (scene.provider.count(Endpoint::Refresh) > 0).then_some(())
    })
    .await;
    let url = scene.gateway.own("/sign_out");
    ann.submit(&scene.gateway.own("/"), &url, &[]).await;
    let old = revoked(&scene, 1).await;
    gate.add_permits(1);
    let both = revoked(&scene, 2).await;
    assert_ne!(old[0], both[1], "the new one");
    assert_eq!(status(&scene, &ann).await, 401);
}
