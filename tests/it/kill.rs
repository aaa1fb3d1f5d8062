//! `kill -9` of the gateway and of its store loses nobody's session.

use std::time::Duration;

use crate::harness::part::{self, Part};
use crate::harness::provider::{Endpoint, User};
use crate::harness::redis::Redis;
use crate::harness::scene::{Scene, session_cookie};
use crate::harness::until;

/// The same cookie works and the provider was asked nothing.
async fn unharmed(scene: &Scene, browser: &crate::harness::browser::Browser) {
    let answer = browser.fetch("GET", &scene.gateway.url("/x"), &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(scene.logins(), (1, 1));
    assert_eq!(scene.provider.count(Endpoint::Refresh), 0);
}

/// Nobody is served while the store is away; `store_outage` has the rest.
async fn strict(redis: &Redis) -> Scene {
    Scene::with("oidc-plain", |plan| {
        plan.redis(&redis.lines()).session("max_stale = \"0s\"")
    })
    .await
}

#[tokio::test]
async fn row_1_1_killed_gateway_with_its_own_store() {
    let mut scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    for _ in 0..3 {
        scene.gateway.kill();
        scene.gateway.restart().await;
        unharmed(&scene, &ann).await;
    }
}

#[tokio::test]
async fn row_1_1_killed_gateway_and_row_1_9_killed_redis() {
    if !part::have(
        "row_1_1_killed_gateway_and_row_1_9_killed_redis",
        &[Part::Redis],
    ) {
        return;
    }
    let mut redis = Redis::start().await;
    let mut scene = strict(&redis).await;
    let ann = scene.signed_in(User::ann()).await;
    scene.gateway.restart().await;
    unharmed(&scene, &ann).await;

    redis.kill();
    // A moment passes until the gateway has seen that its connection ended.
    let killed = tokio::time::Instant::now();
    let answer = until::some("closed while it cannot be known", || async {
        let answer = ann.fetch("GET", &scene.gateway.url("/x"), &[]).await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    let noticed = killed.elapsed();
    assert!(noticed < Duration::from_secs(3), "{noticed:?}");
    assert_ne!(answer.header("retry-after"), "");
    redis.restart().await;
    until::some("it recovers by itself", || async {
        let answer = ann.fetch("GET", &scene.gateway.url("/x"), &[]).await;
        (answer.status == 200).then_some(())
    })
    .await;
    unharmed(&scene, &ann).await;
}

#[tokio::test]
async fn a_stalled_redis_holds_nobody_for_long() {
    if !part::have("a_stalled_redis_holds_nobody_for_long", &[Part::Redis]) {
        return;
    }
    let redis = Redis::start().await;
    let scene = strict(&redis).await;
    let ann = scene.signed_in(User::ann()).await;
    redis.stall();
    let stalled = tokio::time::Instant::now();
    // Whom the gateway knows goes on until it notices, within 3 s; nobody
    // waits for that.
    let refused = until::some("nobody is served without the store", || async {
        let began = tokio::time::Instant::now();
        let answer = ann.fetch("GET", &scene.gateway.url("/x"), &[]).await;
        let took = began.elapsed();
        assert!(took < std::time::Duration::from_secs(5), "{took:?}");
        (answer.status != 200).then_some(answer)
    });
    assert_eq!(refused.await.status, 503);
    assert!(stalled.elapsed() < std::time::Duration::from_secs(8));
    redis.go_on();
    until::some("it recovers by itself", || async {
        let answer = ann.fetch("GET", &scene.gateway.url("/x"), &[]).await;
        (answer.status == 200).then_some(())
    })
    .await;
    unharmed(&scene, &ann).await;
}

#[tokio::test]
async fn a_sign_in_that_began_before_the_kill_ends_after_it() {
    let mut scene = Scene::start().await;
    let browser = crate::harness::browser::Browser::new();
    let callback = scene.callback_of(&browser).await;
    scene.gateway.kill();
    scene.gateway.restart().await;
    let answer = browser.open(callback.as_str()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    session_cookie(&browser);
}

#[tokio::test]
async fn redis_over_tls_unix_socket_and_with_an_access_list() {
    if !part::have(
        "redis_over_tls_unix_socket_and_with_an_access_list",
        &[Part::Redis],
    ) {
        return;
    }
    let tls = Redis::with_tls().await;
    let listed = Redis::with_access_list().await;
    let plain = Redis::start().await;
    for lines in [
        tls.lines_of_tls(),
        listed.lines_of_access_list(),
        plain.lines_of_socket(),
    ] {
        let scene = Scene::with("oidc-plain", |plan| plan.redis(&lines)).await;
        let ann = scene.signed_in(User::ann()).await;
        unharmed(&scene, &ann).await;
    }
}

#[tokio::test]
async fn sigterm_lets_running_requests_end() {
    let mut scene = Scene::start().await;
    let ann = std::sync::Arc::new(scene.signed_in(User::ann()).await);
    let url = scene.gateway.url("/slow");
    let request = tokio::spawn({
        let ann = std::sync::Arc::clone(&ann);
        async move { ann.try_fetch("GET", &url, &[], bytes::Bytes::new()).await }
    });
    until::holds("the request is under way", || {
        scene
            .upstream
            .requests()
            .iter()
            .any(|echo| echo.target == "/slow")
    })
    .await;
    scene.gateway.signal("TERM");
    scene.gateway.admin_answers("/readyz", 503).await;
    scene.upstream.release();
    let answer = request
        .await
        .expect("task")
        .expect("the answer still comes");
    assert_eq!(answer.status, 200);
    assert!(scene.gateway.ended().await.success());
}
