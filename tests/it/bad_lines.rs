//! Thin and lossy lines between the gateways, their store and the provider.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use crate::harness::browser::Browser;
use crate::harness::chaos::{Chaos, Weather};
use crate::harness::part::{self, Part};
use crate::harness::provider::{Endpoint, Provider, User};
use crate::harness::redis::Redis;
use crate::harness::scene::{Scene, session_cookie};
use crate::harness::until;

/// 256 kbit/s, one segment in five sent again.
fn bad() -> Weather {
    Weather::both(|path| {
        path.latency = Duration::from_millis(10);
        path.jitter = Duration::from_millis(20);
        path.loss = 20;
        path.rate = Some(256_000 / 8);
    })
}

/// What a browser was told while the weather lasted.
#[derive(Default, Debug)]
struct Told {
    served: usize,
    /// 503 with a promise to be back.
    put_off: usize,
}

async fn keeps_asking(browser: &Browser, url: &str, end: Instant) -> Told {
    let mut told = Told::default();
    while Instant::now() < end {
        let answer = browser.try_fetch("GET", url, &[], Bytes::new()).await;
        let answer = answer.expect("an answer");
        match answer.status.as_u16() {
            200 => told.served += 1,
            503 => {
                assert_ne!(answer.header("retry-after"), "");
                told.put_off += 1;
            }
            other => panic!("{other}: {}", answer.text()),
        }
        assert!(answer.set_cookies().is_empty(), "{:?}", answer.headers);
        sleep(Duration::from_millis(50)).await;
    }
    told
}

#[tokio::test]
async fn n3_on_bad_lines_no_error_but_time_outs_and_no_token_spent_twice() {
    let test = "n3_on_bad_lines_no_error_but_time_outs_and_no_token_spent_twice";
    if !part::have(test, &[Part::Redis]) {
        return;
    }
    let lasts = Duration::from_secs(if part::long() { 180 } else { 12 });
    let redis = Redis::start().await;
    let to_redis = Chaos::before(redis.address()).await;
    let (provider, to_provider) = Provider::behind_chaos("oidc-plain").await;
    // Every token lives for a moment, so that rotation follows rotation.
    provider.set(|script| script.access_lifetime = 4);
    let lines = Redis::lines_through(&to_redis);
    let scene = Scene::with_provider(provider, |plan| plan.redis(&lines)).await;
    let second = scene.gateway.plan().replica().start().await;
    let ann = scene.signed_in(User::ann()).await;
    let twin = ann.twin();
    twin.detour(&scene.gateway.authority(), second.address());
    let cookie = session_cookie(&ann);
    let url = scene.gateway.url("/x");

    to_redis.set(bad());
    to_provider.set(bad());
    let end = Instant::now() + lasts;
    let told = tokio::join!(
        keeps_asking(&ann, &url, end),
        keeps_asking(&ann, &url, end),
        keeps_asking(&twin, &url, end),
    );
    to_redis.calm();
    to_provider.calm();
    until::some("it is well again", || async {
        let (one, two) = tokio::join!(ann.fetch("GET", &url, &[]), twin.fetch("GET", &url, &[]));
        (one.status == 200 && two.status == 200).then_some(())
    })
    .await;
    let rotations = scene.provider.count(Endpoint::Refresh);
    println!("{told:?}, {rotations} rotations");
    assert!(rotations >= 2, "{rotations}");
    assert!(
        told.0.served + told.1.served + told.2.served > 0,
        "{told:?}"
    );
    assert_eq!(scene.provider.reuse(), 0);
    assert_eq!(session_cookie(&ann), cookie);
    assert_eq!(scene.logins(), (1, 1));
}
