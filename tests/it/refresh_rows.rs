//! The rows of the incident table that are about refreshes, by their numbers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::harness::browser::Browser;
use crate::harness::gateway::Plan;
use crate::harness::provider::{CLIENT_SECRET, Endpoint, Fault, Provider, User};
use crate::harness::scene::{Scene, session_cookie};
use crate::harness::until;
use crate::harness::upstream::Upstream;

/// A session whose access token lives four seconds; later ones an hour.
async fn short_lived(scene: &Scene) -> Browser {
    scene.provider.set(|script| script.access_lifetime = 4);
    let browser = scene.signed_in(User::ann()).await;
    scene.provider.set(|script| script.access_lifetime = 3600);
    browser
}

async fn outlive() {
    sleep(Duration::from_millis(4200)).await;
}

/// Status and reason.
async fn api(browser: &Browser, url: &str) -> (u16, String) {
    let answer = browser.fetch("GET", url, &[]).await;
    let reason = serde_json::from_str::<serde_json::Value>(&answer.text())
        .ok()
        .and_then(|json| Some(json["reason"].as_str()?.to_owned()));
    (answer.status.as_u16(), reason.unwrap_or_default())
}

async fn parallel(browser: &Browser, url: &str, count: usize) -> Vec<u16> {
    let one = || async {
        let answer = browser.try_fetch("GET", url, &[], Bytes::new()).await;
        answer.map_or(0, |answer| answer.status.as_u16())
    };
    join_all((0..count).map(|_| one())).await
}

#[tokio::test]
async fn row_1_5_a_provider_that_lost_its_keys_costs_one_sign_in() {
    let scene = Scene::with("gitea-like", |plan| plan).await;
    let browser = short_lived(&scene).await;
    let other = browser.twin();
    scene.provider.lose_refresh_tokens();
    outlive().await;
    let url = scene.gateway.url("/back?here=1");
    let lost = (401, "upstream_grant_lost".to_owned());
    assert_eq!(api(&other, &url).await, lost);
    let answer = browser.open(&url).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.url.as_str(), url);
    assert_eq!(scene.logins(), (2, 2));
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
}

#[tokio::test]
async fn row_1_6_many_lost_grants_are_one_alert_and_take_turns() {
    let scene = Scene::with("gitea-like", |plan| plan).await;
    scene.provider.set(|script| script.access_lifetime = 4);
    let browsers = join_all((0..16).map(|_| scene.signed_in(User::ann()))).await;
    scene.provider.lose_refresh_tokens();
    sleep(Duration::from_millis(4200)).await;
    let url = scene.gateway.url("/x");
    for browser in &browsers[..5] {
        assert_eq!(api(browser, &url).await.0, 401);
    }
    let began = Instant::now();
    let rest = join_all(browsers[5..].iter().map(|browser| api(browser, &url))).await;
    assert!(rest.iter().all(|answer| answer.0 == 401), "{rest:?}");
    // Eleven turns of 200 ms each, the first at once.
    assert!(began.elapsed() >= Duration::from_millis(1900));
    assert_eq!(scene.provider.count(Endpoint::Refresh), 16);
    let log = scene.gateway.log();
    let alerts: Vec<_> = log
        .lines()
        .filter(|line| line.contains("\"alert\":"))
        .collect();
    assert_eq!(alerts.len(), 1, "{alerts:?}");
    for word in ["grants_refused", "upstream_grant_lost", "jwt", "main"] {
        assert!(alerts[0].contains(word), "{word}: {}", alerts[0]);
    }
    let metric = "vestibule_alerts_total{alert=\"grants_refused\",provider=\"main\"}";
    assert_eq!(scene.gateway.metric(metric).await, 1.0);
}

/// Killed while the provider's answer is on its way: the token is spent and
/// nobody has the new one.
#[tokio::test]
async fn row_1_13_killed_between_answer_and_store_costs_one_sign_in() {
    let mut scene = Scene::start().await;
    let browser = short_lived(&scene).await;
    let gate = Arc::new(Semaphore::new(0));
    scene
        .provider
        .fail(Endpoint::Refresh, [Fault::HoldAnswer(Arc::clone(&gate))]);
    outlive().await;
    let url = scene.gateway.url("/x");
    let impatient = browser.try_fetch("GET", &url, &[], Bytes::new());
    drop(tokio::time::timeout(Duration::from_millis(400), impatient).await);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    scene.gateway.restart().await;
    // The lease of the dead process runs out, then comes the one last try.
    let end = until::some("an end of doubt", || async {
        let answer = api(&browser, &url).await;
        assert!(matches!(answer.0, 401 | 503), "{answer:?}");
        (answer.0 == 401).then_some(answer.1)
    })
    .await;
    assert_eq!(end, "rotation_lost");
    assert_eq!(scene.provider.count(Endpoint::Refresh), 2);
    assert_eq!(
        scene
            .gateway
            .metric("vestibule_refreshes_total{outcome=\"rotation_lost\"")
            .await,
        1.0
    );
    assert_eq!(parallel(&browser, &url, 20).await, vec![401; 20]);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 2, "no third try");
    assert_eq!(scene.sign_in(&browser, User::ann()).await.status, 200);
    assert_eq!(scene.logins(), (2, 2));
}

/// Killed before the provider did anything: the last try brings new tokens.
#[tokio::test]
async fn row_1_13_killed_before_the_provider_acted_costs_nothing() {
    let mut scene = Scene::start().await;
    let browser = short_lived(&scene).await;
    let gate = Arc::new(Semaphore::new(0));
    scene
        .provider
        .fail(Endpoint::Refresh, [Fault::Hold(Arc::clone(&gate))]);
    outlive().await;
    let url = scene.gateway.url("/x");
    let impatient = browser.try_fetch("GET", &url, &[], Bytes::new());
    drop(tokio::time::timeout(Duration::from_millis(400), impatient).await);
    scene.gateway.restart().await;
    until::some("the last try works", || async {
        let status = api(&browser, &url).await.0;
        assert!(matches!(status, 200 | 503), "{status}");
        (status == 200).then_some(())
    })
    .await;
    assert_eq!(scene.provider.reuse(), 0);
    assert_eq!(scene.logins(), (1, 1));
}

#[tokio::test]
async fn row_1_14_a_failed_refresh_is_seen_by_the_request_that_needed_it() {
    let scene = Scene::start().await;
    let browser = short_lived(&scene).await;
    scene
        .provider
        .fail_always(Endpoint::Refresh, Fault::page(500));
    outlive().await;
    let before = scene.upstream.requests().len();
    let answer = api(&browser, &scene.gateway.url("/x")).await;
    assert_eq!(answer, (503, "provider_error".to_owned()));
    assert_eq!(
        scene.upstream.requests().len(),
        before,
        "not the stale token"
    );
}

#[tokio::test]
async fn row_2_2_a_valid_token_serves_and_the_refresh_is_repeated_unseen() {
    let scene = Scene::start().await;
    scene.provider.set(|script| script.access_lifetime = 12);
    let browser = scene.signed_in(User::ann()).await;
    scene.provider.set(|script| script.access_lifetime = 3600);
    scene
        .provider
        .fail(Endpoint::Refresh, [Fault::page(500), Fault::page(503)]);
    let url = scene.gateway.url("/x");
    until::some("the third refresh works", || async {
        assert_eq!(api(&browser, &url).await.0, 200);
        let worked = scene
            .gateway
            .metric("vestibule_refreshes_total{outcome=\"refreshed\"")
            .await;
        (worked > 0.0).then_some(())
    })
    .await;
    assert_eq!(scene.provider.count(Endpoint::Refresh), 3);
    assert_eq!(scene.logins(), (1, 1));
}

#[tokio::test]
async fn row_2_3_without_the_provider_identity_goes_on_a_little_and_tokens_do_not() {
    let provider = Provider::start("oidc-plain").await;
    let upstream = Upstream::start().await;
    let url = upstream.url();
    let route = |name: &str, more: &str| {
        format!("[route.{name}]\nupstream = \"{url}\"\naccess = \"signed-in\"\n{more}\n")
    };
    let gateway = Plan::bare(&provider.issuer)
        .session("outage_grace = \"6s\"")
        .route(&route("app", ""))
        .route(&route(
            "tokens",
            "path = \"/tokens/*\"\npass_access_token = true",
        ))
        .start()
        .await;
    let scene = Scene {
        provider,
        upstream,
        gateway,
    };
    let browser = short_lived(&scene).await;
    let (plain, tokens) = (scene.gateway.url("/x"), scene.gateway.url("/tokens/x"));
    assert_eq!(api(&browser, &tokens).await.0, 200);
    scene.provider.down().await;
    outlive().await;
    let before = scene.upstream.requests().len();
    assert_eq!(api(&browser, &plain).await.0, 200);
    assert_eq!(scene.upstream.requests().len(), before + 1);
    let answer = browser.fetch("GET", &tokens, &[]).await;
    assert_eq!(answer.status, 503);
    assert_ne!(answer.header("retry-after"), "");
    assert_eq!(
        scene.upstream.requests().len(),
        before + 1,
        "an ended token"
    );
    sleep(Duration::from_secs(6)).await;
    assert_eq!(api(&browser, &plain).await.0, 503, "the grace is over");
    scene.provider.up().await;
    until::some("both go on", || async {
        let both = (
            api(&browser, &plain).await.0,
            api(&browser, &tokens).await.0,
        );
        (both == (200, 200)).then_some(())
    })
    .await;
    assert_eq!(scene.logins(), (1, 1));
}

#[tokio::test]
async fn row_2_4_a_thousand_requests_on_a_dead_grant_are_one_token_call() {
    let scene = Scene::start().await;
    let browser = short_lived(&scene).await;
    scene.provider.revoke_everything();
    outlive().await;
    let url = scene.gateway.url("/x");
    for _ in 0..10 {
        assert_eq!(parallel(&browser, &url, 100).await, vec![401; 100]);
    }
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
}

#[tokio::test]
async fn row_2_4_a_provider_in_trouble_is_asked_ever_more_rarely() {
    let scene = Scene::start().await;
    let browser = short_lived(&scene).await;
    scene
        .provider
        .fail_always(Endpoint::Refresh, Fault::page(500));
    outlive().await;
    let url = scene.gateway.url("/x");
    let end = Instant::now() + Duration::from_secs(5);
    while Instant::now() < end {
        let answers = parallel(&browser, &url, 20).await;
        assert_eq!(answers, vec![503; 20]);
        sleep(Duration::from_millis(20)).await;
    }
    // At 0, 1 and 3 s, and 7 s would be next.
    let calls = scene.provider.count(Endpoint::Refresh);
    assert!((2..=3).contains(&calls), "{calls}");
}

#[tokio::test]
async fn row_2_5_public_routes_refresh_nothing_and_expiry_may_be_absent() {
    let scene = Scene::of_case_book().await;
    let browser = short_lived(&scene).await;
    outlive().await;
    let public = scene.gateway.url("/public/x");
    assert_eq!(parallel(&browser, &public, 10).await, vec![200; 10]);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 0);
    for expires_in in ["string", "absent"] {
        let scene = Scene::start().await;
        scene.provider.set(|script| {
            script.dialect.expires_in = expires_in.to_owned();
            script.access_lifetime = 4;
        });
        let browser = scene.signed_in(User::ann()).await;
        outlive().await;
        let url = scene.gateway.url("/x");
        assert_eq!(api(&browser, &url).await.0, 200);
        // Absent is five minutes where there is a refresh token.
        let calls = usize::from(expires_in == "string");
        assert_eq!(
            scene.provider.count(Endpoint::Refresh),
            calls,
            "{expires_in}"
        );
    }
}

#[tokio::test]
async fn row_2_6_an_answer_without_an_id_token_keeps_who_it_is() {
    let scene = Scene::start().await;
    let browser = short_lived(&scene).await;
    scene.provider.set(|script| {
        script.dialect.id_token_on_refresh = false;
        script.dialect.userinfo = false;
    });
    outlive().await;
    let url = scene.gateway.url("/x");
    let cookie = session_cookie(&browser);
    assert_eq!(api(&browser, &url).await.0, 200);
    let who = browser
        .fetch("GET", &scene.gateway.own("/userinfo"), &[])
        .await;
    assert_eq!(who.json()["email"], "ann@corp.test");
    assert_eq!(session_cookie(&browser), cookie);
    assert_eq!(scene.logins(), (1, 1));
}

#[tokio::test]
async fn row_2_9_a_session_that_the_provider_ended_stops_within_one_refresh() {
    let scene = Scene::start().await;
    scene.provider.set(|script| script.access_lifetime = 4);
    let browser = scene.signed_in(User::ann()).await;
    let url = scene.gateway.url("/x");
    scene.provider.revoke_everything();
    let began = Instant::now();
    until::some("access stops", || async {
        (api(&browser, &url).await.0 == 401).then_some(())
    })
    .await;
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
}

#[tokio::test]
async fn within_the_grace_of_the_provider_an_unheard_answer_costs_nothing() {
    let scene = Scene::with("oidc-plain", |plan| {
        plan.provider("rotation_grace = \"20s\"")
    })
    .await;
    scene.provider.set(|script| script.grace = 30);
    let browser = short_lived(&scene).await;
    scene.provider.fail(
        Endpoint::Refresh,
        [Fault::HangUpAfter, Fault::HangUpAfter, Fault::HangUpAfter],
    );
    outlive().await;
    let url = scene.gateway.url("/x");
    until::some("the fourth try is heard", || async {
        let status = api(&browser, &url).await.0;
        assert!(matches!(status, 200 | 503), "{status}");
        (status == 200).then_some(())
    })
    .await;
    assert_eq!(scene.provider.count(Endpoint::Refresh), 4);
    assert_eq!(scene.provider.reuse(), 0);
    assert_eq!(scene.logins(), (1, 1));
}

/// A provider whose refreshes tell nothing about the person.
async fn untold() -> (Scene, Browser) {
    let provider = Provider::start("oidc-plain").await;
    provider.set(|script| {
        script.dialect.id_token_on_refresh = false;
        script.dialect.userinfo = false;
    });
    let plan = |plan: Plan| plan.session("identity_max_age = \"2s\"");
    let scene = Scene::with_provider(provider, plan).await;
    let browser = scene.signed_in(User::ann()).await;
    (scene, browser)
}

#[tokio::test]
async fn claims_that_nothing_tells_anew_end_in_a_silent_sign_in() {
    let (scene, browser) = untold().await;
    let url = scene.gateway.url("/back?here=1");
    outlive().await;
    let reason = until::some("the claims are too old", || async {
        let (status, reason) = api(&browser, &url).await;
        (status == 401).then_some(reason)
    })
    .await;
    assert_eq!(reason, "identity_too_old");
    assert_eq!(parallel(&browser, &url, 20).await, vec![401; 20]);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    let answer = browser.open(&url).await;
    assert_eq!((answer.status.as_u16(), answer.url.as_str()), (200, &*url));
    assert_eq!(scene.logins(), (2, 2));
}

#[tokio::test]
async fn old_claims_serve_while_the_provider_is_down() {
    let (scene, browser) = untold().await;
    scene.provider.down().await;
    outlive().await;
    let url = scene.gateway.url("/x");
    for _ in 0..20 {
        assert_eq!(api(&browser, &url).await.0, 200);
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(scene.logins(), (1, 1));
}

#[tokio::test]
async fn row_0_15_a_refresh_finds_the_other_client_authentication_too() {
    let provider = Provider::start("oidc-plain").await;
    provider.set(|script| {
        script.answer_of(Endpoint::Discovery, |document| {
            let both = serde_json::json!(["client_secret_basic", "client_secret_post"]);
            document.insert("token_endpoint_auth_methods_supported".to_owned(), both);
        });
    });
    let scene = Scene::with_provider(provider, |plan| plan).await;
    let browser = short_lived(&scene).await;
    scene.provider.set(|script| {
        script.dialect.auth_methods = vec!["client_secret_post".to_owned()];
        script.access_lifetime = 4;
    });
    outlive().await;
    let url = scene.gateway.url("/x");
    assert_eq!(api(&browser, &url).await.0, 200);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 2);
    outlive().await;
    assert_eq!(api(&browser, &url).await.0, 200);
    let calls = scene.provider.recorded(Endpoint::Refresh);
    let basic: Vec<_> = calls.iter().map(|call| call.basic.is_some()).collect();
    assert_eq!(basic, [true, false, false], "remembered");
    assert_eq!(
        calls[2].parameter("client_secret").as_deref(),
        Some(CLIENT_SECRET)
    );
    assert_eq!(scene.provider.reuse(), 0);
}
