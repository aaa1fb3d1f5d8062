//! A clock that is wrong, or set while the gateway runs.

use std::time::Duration;

use crate::harness::browser::Browser;
use crate::harness::gateway::Plan;
use crate::harness::provider::{Endpoint, Provider, User};
use crate::harness::scene::{Scene, session_cookie};
use crate::harness::until;
use crate::harness::upstream::Upstream;
use crate::harness::wall_clock::WallClock;

async fn scene_with_a_clock(change: impl FnOnce(Plan) -> Plan) -> (WallClock, Scene) {
    let provider = Provider::start("oidc-plain").await;
    let upstream = Upstream::start().await;
    let plan = change(Plan::new(&provider.issuer, &upstream.url()));
    let (clock, plan) = WallClock::of(plan);
    let gateway = plan.start().await;
    let scene = Scene {
        provider,
        upstream,
        gateway,
    };
    (clock, scene)
}

async fn status(scene: &Scene, browser: &Browser) -> u16 {
    let url = scene.gateway.url("/x");
    browser.fetch("GET", &url, &[]).await.status.as_u16()
}

#[tokio::test]
async fn g7_a_clock_that_jumps_ends_no_session_and_makes_none_immortal() {
    let (clock, scene) = scene_with_a_clock(|plan| plan.session("lifetime = \"2h\"")).await;
    // Longer than every jump below.
    scene
        .provider
        .set(|script| script.access_lifetime = 5 * 3600);
    let ann = scene.signed_in(User::ann()).await;
    let cookie = session_cookie(&ann);
    for off in [600, -600, -3600, 0] {
        clock.is_off(off);
        for _ in 0..3 {
            assert_eq!(status(&scene, &ann).await, 200, "{off}");
        }
        // In use, and looked at by whatever looks once a second.
        tokio::time::sleep(Duration::from_millis(1300)).await;
        assert_eq!(status(&scene, &ann).await, 200, "{off}");
    }
    assert_eq!(session_cookie(&ann), cookie);
    assert_eq!(scene.logins(), (1, 1));
    assert_eq!(scene.provider.count(Endpoint::Refresh), 0);
    until::holds("each step was logged", || {
        let log = scene.gateway.log();
        log.matches("the clock was set").count() >= 4
    })
    .await;

    // Its end comes by its own clock, wherever that was in between.
    clock.is_off(2 * 3600 - 60);
    assert_eq!(status(&scene, &ann).await, 200);
    clock.is_off(2 * 3600 + 60);
    assert_eq!(status(&scene, &ann).await, 401);
    clock.is_off(0);
    let bob = scene.signed_in(User::bob()).await;
    assert_eq!(status(&scene, &bob).await, 200);
}

#[tokio::test]
async fn g7_sign_ins_bear_a_clock_that_is_a_little_off() {
    let (clock, scene) = scene_with_a_clock(|plan| plan).await;
    for off in [45, -45] {
        clock.is_off(off);
        let ann = scene.signed_in(User::ann()).await;
        assert_eq!(status(&scene, &ann).await, 200, "{off}");
    }
    // Ten minutes behind: the token is from the future, and the log says so.
    clock.is_off(-600);
    let upstream = scene.upstream.requests().len();
    let answer = Browser::new().open(&scene.gateway.url("/hello")).await;
    assert!(answer.status.is_server_error(), "{}", answer.status);
    assert_eq!(scene.upstream.requests().len(), upstream);
    until::holds("the log names the cause", || {
        scene.gateway.log().contains("clock_skew")
    })
    .await;
}
