//! Sessions end by time: unused for too long, or at their absolute end.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::harness::browser::Browser;
use crate::harness::provider::{Endpoint, User};
use crate::harness::scene::Scene;
use crate::harness::wire::Answer;

async fn asked(scene: &Scene, browser: &Browser) -> Answer {
    browser.fetch("GET", &scene.gateway.url("/x"), &[]).await
}

#[tokio::test]
async fn an_idle_session_ends_and_a_used_one_goes_on() {
    let idle = Duration::from_secs(2);
    let scene = Scene::with("oidc-plain", |plan| plan.session("idle_timeout = \"2s\"")).await;
    let ann = scene.signed_in(User::ann()).await;
    let begun = Instant::now();
    while begun.elapsed() < idle * 2 {
        assert_eq!(asked(&scene, &ann).await.status, 200, "in use");
        sleep(idle / 8).await;
    }
    // Nothing to wait for but the time itself.
    sleep(idle + idle / 4).await;
    let answer = asked(&scene, &ann).await;
    assert_eq!(answer.status, 401);
    assert_eq!(answer.json()["reason"], "session_idle");
    // A person is sent to the provider, and is back at once.
    let before = scene.provider.count(Endpoint::Authorize);
    scene.sign_in(&ann, User::ann()).await;
    assert_eq!(scene.provider.count(Endpoint::Authorize), before + 1);
}

#[tokio::test]
async fn a_session_in_use_ends_at_its_absolute_end() {
    let lifetime = Duration::from_secs(3);
    let scene = Scene::with("oidc-plain", |plan| plan.session("lifetime = \"3s\"")).await;
    let begun = Instant::now();
    let ann = scene.signed_in(User::ann()).await;
    let signed_in = Instant::now();
    let answer = loop {
        let answer = asked(&scene, &ann).await;
        if answer.status != 200 {
            break answer;
        }
        assert!(signed_in.elapsed() < lifetime * 2, "never ends");
        sleep(lifetime / 30).await;
    };
    assert!(begun.elapsed() >= lifetime, "too early");
    assert_eq!(answer.status, 401);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 0);
    scene.sign_in(&ann, User::ann()).await;
}
