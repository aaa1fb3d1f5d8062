//! Tokens are renewed unseen: early, once, and without harm when it fails.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::harness::browser::Browser;
use crate::harness::part::{self, Part};
use crate::harness::provider::{Endpoint, Fault, User};
use crate::harness::redis::Redis;
use crate::harness::scene::{Scene, session_cookie};
use crate::harness::until;

/// A session whose access token lives `seconds`; tokens of refreshes live an hour.
async fn short_lived(scene: &Scene, seconds: u64) -> Browser {
    scene
        .provider
        .set(|script| script.access_lifetime = seconds);
    let browser = scene.signed_in(User::ann()).await;
    scene.provider.set(|script| script.access_lifetime = 3600);
    browser
}

/// Past the end of an access token of `seconds`.
async fn outlive(seconds: u64) {
    sleep(Duration::from_millis(seconds * 1000 + 200)).await;
}

async fn parallel(browser: &Browser, url: &str, count: usize) -> Vec<u16> {
    let one = || async {
        let answer = browser.try_fetch("GET", url, &[], Bytes::new()).await;
        answer.map_or(0, |answer| answer.status.as_u16())
    };
    join_all((0..count).map(|_| one())).await
}

#[tokio::test]
async fn renewed_before_the_end_while_nobody_waits() {
    let scene = Scene::start().await;
    let gate = Arc::new(Semaphore::new(0));
    scene
        .provider
        .fail(Endpoint::Refresh, [Fault::Hold(Arc::clone(&gate))]);
    let browser = short_lived(&scene, 8).await;
    let cookie = session_cookie(&browser);
    let url = scene.gateway.url("/x");
    // Traffic begins it; the old token serves while the provider is slow.
    until::some("a refresh begins", || async {
        assert_eq!(browser.fetch("GET", &url, &[]).await.status, 200);
        (scene.provider.count(Endpoint::Refresh) > 0).then_some(())
    })
    .await;
    assert_eq!(browser.fetch("GET", &url, &[]).await.status, 200);
    gate.add_permits(1);
    outlive(8).await;
    assert_eq!(browser.fetch("GET", &url, &[]).await.status, 200);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    assert_eq!(session_cookie(&browser), cookie, "the cookie is stable");
    assert_eq!(scene.logins(), (1, 1));
}

#[tokio::test]
async fn a_hundred_requests_at_the_end_make_one_token_call() {
    let scene = Scene::start().await;
    let browser = short_lived(&scene, 2).await;
    outlive(2).await;
    let answers = parallel(&browser, &scene.gateway.url("/x"), 100).await;
    assert_eq!(answers, vec![200; 100]);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    assert_eq!(scene.provider.reuse(), 0);
}

#[tokio::test]
async fn sec_rp_23_two_gateways_on_one_redis_make_one_token_call() {
    if !part::have(
        "sec_rp_23_two_gateways_on_one_redis_make_one_token_call",
        &[Part::Redis],
    ) {
        return;
    }
    let redis = Redis::start().await;
    let scene = Scene::with("oidc-plain", |plan| plan.redis(&redis.lines())).await;
    let second = scene.gateway.plan().replica().start().await;
    let one = short_lived(&scene, 2).await;
    let two = one.twin();
    two.detour(&scene.gateway.authority(), second.address());
    outlive(2).await;
    let url = scene.gateway.url("/x");
    let (first, other) = tokio::join!(parallel(&one, &url, 50), parallel(&two, &url, 50));
    assert_eq!((first, other), (vec![200; 50], vec![200; 50]));
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    assert_eq!(scene.provider.reuse(), 0);
}

#[tokio::test]
async fn sec_rp_22_a_refused_refresh_ends_in_one_new_sign_in() {
    let scene = Scene::start().await;
    let browser = short_lived(&scene, 2).await;
    scene.provider.revoke_everything();
    outlive(2).await;
    let answers = parallel(&browser, &scene.gateway.url("/x"), 30).await;
    assert_eq!(answers, vec![401; 30]);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    let answer = scene.sign_in(&browser, User::ann()).await;
    assert_eq!(answer.status, 200);
    assert_eq!(scene.logins(), (2, 2));
}

#[tokio::test]
async fn sec_rp_22_a_provider_in_trouble_ends_no_session() {
    let faults = [
        Fault::Respond {
            status: 503,
            content_type: "text/html",
            body: "<h1>down</h1>".to_owned(),
        },
        Fault::Respond {
            status: 200,
            content_type: "text/html",
            body: "<h1>hello</h1>".to_owned(),
        },
        Fault::Busy {
            status: 429,
            retry_after: 1,
        },
        Fault::error(401, "invalid_client", "who are you"),
    ];
    for fault in faults {
        let scene = Scene::start().await;
        let browser = short_lived(&scene, 2).await;
        let cookie = session_cookie(&browser);
        scene.provider.fail_always(Endpoint::Refresh, fault.clone());
        outlive(2).await;
        let answer = browser.fetch("GET", &scene.gateway.url("/x"), &[]).await;
        assert_eq!(answer.status, 503, "{fault:?}");
        assert_ne!(answer.header("retry-after"), "", "{fault:?}");
        assert!(answer.set_cookies().is_empty(), "{fault:?}");
        scene.provider.heal(Endpoint::Refresh);
        until::some("it recovers by itself", || async {
            let answer = browser.fetch("GET", &scene.gateway.url("/x"), &[]).await;
            (answer.status == 200).then_some(())
        })
        .await;
        assert_eq!(session_cookie(&browser), cookie);
        assert_eq!(scene.logins(), (1, 1), "{fault:?}");
        assert_eq!(scene.provider.reuse(), 0, "{fault:?}");
    }
}

#[tokio::test]
async fn a_valid_token_serves_while_the_provider_is_down() {
    let scene = Scene::start().await;
    let browser = scene.signed_in(User::ann()).await;
    scene.provider.down().await;
    let answers = parallel(&browser, &scene.gateway.url("/x"), 20).await;
    assert_eq!(answers, vec![200; 20]);
}

#[tokio::test]
async fn sec_rp_24_an_answer_without_a_new_token_keeps_the_old() {
    for empty in [false, true] {
        let scene = Scene::with("keycloak-like", |plan| plan).await;
        scene.provider.set(|script| script.access_lifetime = 2);
        let browser = scene.signed_in(User::ann()).await;
        scene.provider.set(|script| {
            script.token_answer(move |answer| {
                if empty {
                    answer.insert("refresh_token".to_owned(), "".into());
                }
            });
        });
        for round in 1..=2 {
            outlive(2).await;
            let answer = browser.fetch("GET", &scene.gateway.url("/x"), &[]).await;
            assert_eq!(answer.status, 200, "round {round}, empty {empty}");
        }
        assert!(scene.provider.count(Endpoint::Refresh) >= 2);
        let all = scene.provider.recorded(Endpoint::Refresh);
        assert!(all.iter().all(|seen| {
            seen.parameter("refresh_token")
                .is_some_and(|t| !t.is_empty())
        }));
    }
}

#[tokio::test]
async fn sec_rp_21_a_refresh_never_widens_the_scope() {
    let scene = Scene::start().await;
    let browser = short_lived(&scene, 2).await;
    outlive(2).await;
    assert_eq!(
        browser
            .fetch("GET", &scene.gateway.url("/x"), &[])
            .await
            .status,
        200
    );
    let asked = scene.provider.recorded(Endpoint::Authorize)[0]
        .parameter("scope")
        .expect("scope");
    let refresh = &scene.provider.recorded(Endpoint::Refresh)[0];
    for word in refresh
        .parameter("scope")
        .unwrap_or_default()
        .split_whitespace()
    {
        assert!(
            asked.split(' ').any(|known| known == word),
            "{word} was never granted"
        );
    }
}

#[tokio::test]
async fn an_unknown_outcome_costs_at_most_one_new_sign_in() {
    let scene = Scene::start().await;
    let browser = short_lived(&scene, 2).await;
    scene.provider.fail(Endpoint::Refresh, [Fault::HangUpAfter]);
    outlive(2).await;
    let url = scene.gateway.url("/x");
    // Held back for a moment, then one last try, which a strict provider refuses.
    until::some("an end of doubt", || async {
        let status = browser.fetch("GET", &url, &[]).await.status.as_u16();
        assert!(matches!(status, 401 | 503), "{status}");
        (status == 401).then_some(())
    })
    .await;
    assert_eq!(
        scene.provider.count(Endpoint::Refresh),
        2,
        "one last try, no more"
    );
    assert_eq!(scene.sign_in(&browser, User::ann()).await.status, 200);
    assert_eq!(scene.logins(), (2, 2));
}

/// Not even if it might have worked: a provider may have spent the token
/// both times.
#[tokio::test]
async fn a_token_that_was_not_answered_twice_is_never_sent_again() {
    let scene = Scene::start().await;
    let browser = short_lived(&scene, 2).await;
    let faults = [Fault::HangUpBefore, Fault::HangUpBefore];
    scene.provider.fail(Endpoint::Refresh, faults);
    outlive(2).await;
    let url = scene.gateway.url("/x");
    let reason = until::some("an end of doubt", || async {
        let answer = browser.fetch("GET", &url, &[]).await;
        let status = answer.status.as_u16();
        assert!(matches!(status, 401 | 503), "{status}");
        (status == 401).then(|| answer.json()["reason"].to_string())
    })
    .await;
    assert_eq!(reason, "\"outcome_unknown\"");
    assert_eq!(parallel(&browser, &url, 20).await, vec![401; 20]);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 2, "no third try");
    let subject = User::ann().subject;
    assert_eq!(scene.provider.unanswered(), [(subject, 2)]);
    assert_eq!(scene.sign_in(&browser, User::ann()).await.status, 200);
    assert_eq!(scene.logins(), (2, 2));
}

#[tokio::test]
async fn row_0_10_and_n4_a_client_that_leaves_does_not_cancel_the_refresh() {
    let scene = Scene::start().await;
    let browser = short_lived(&scene, 2).await;
    let gate = Arc::new(Semaphore::new(0));
    scene
        .provider
        .fail(Endpoint::Refresh, [Fault::HoldAnswer(Arc::clone(&gate))]);
    outlive(2).await;
    let url = scene.gateway.url("/x");
    let impatient = tokio::time::timeout(
        Duration::from_millis(300),
        browser.try_fetch("GET", &url, &[], Bytes::new()),
    );
    assert!(
        impatient.await.is_err(),
        "the provider holds its answer back"
    );
    gate.add_permits(1);
    until::some("the result is kept", || async {
        (browser.fetch("GET", &url, &[]).await.status == 200).then_some(())
    })
    .await;
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    assert_eq!(scene.provider.reuse(), 0);
}

#[tokio::test]
async fn an_id_token_of_somebody_else_ends_the_session() {
    let scene = Scene::start().await;
    let browser = short_lived(&scene, 2).await;
    scene.provider.set(|script| {
        script.id_token(|claims| drop(claims.insert("sub".to_owned(), "sub-bob".into())));
    });
    outlive(2).await;
    let before = scene.upstream.requests().len();
    let answer = browser.fetch("GET", &scene.gateway.url("/x"), &[]).await;
    assert_eq!(answer.status, 401);
    assert_eq!(scene.upstream.requests().len(), before);
}

#[tokio::test]
async fn without_a_refresh_token_the_end_is_a_new_sign_in() {
    let scene = Scene::with("no-refresh-token", |plan| {
        plan.session("identity_max_age = \"2s\"")
    })
    .await;
    let browser = short_lived(&scene, 2).await;
    outlive(2).await;
    assert_eq!(
        browser
            .fetch("GET", &scene.gateway.url("/x"), &[])
            .await
            .status,
        401
    );
    let answer = browser.open(&scene.gateway.url("/back?here=1")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.url.as_str(), scene.gateway.url("/back?here=1"));
    assert_eq!(scene.provider.count(Endpoint::Refresh), 0);
}

/// Rotation after rotation on two gateways that are killed in turn; only with
/// `tests/run --long`, for its length.
#[tokio::test]
async fn storm_of_rotations_and_kills() {
    if !part::have("storm_of_rotations_and_kills", &[Part::Redis]) {
        return;
    }
    let rounds = if part::long() { 60 } else { 3 };
    let redis = Redis::start().await;
    let mut scene = Scene::with("oidc-plain", |plan| plan.redis(&redis.lines())).await;
    let mut second = scene.gateway.plan().replica().start().await;
    scene.provider.set(|script| script.access_lifetime = 3);
    let one = scene.signed_in(User::ann()).await;
    let two = one.twin();
    two.detour(&scene.gateway.authority(), second.address());
    let url = scene.gateway.url("/x");
    for round in 0..rounds {
        outlive(3).await;
        let before = scene.provider.count(Endpoint::Refresh);
        let (first, other) = tokio::join!(parallel(&one, &url, 50), parallel(&two, &url, 50));
        assert_eq!(
            (first, other),
            (vec![200; 50], vec![200; 50]),
            "round {round}"
        );
        assert_eq!(
            scene.provider.count(Endpoint::Refresh),
            before + 1,
            "round {round}"
        );
        let struck = if round % 2 == 0 {
            &mut scene.gateway
        } else {
            &mut second
        };
        struck.restart().await;
    }
    assert_eq!(scene.provider.reuse(), 0);
    assert_eq!(scene.logins(), (1, 1));
}
