//! Many requests on several gateways at the moment in which tokens end.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::time::sleep;

use crate::harness::browser::Browser;
use crate::harness::gateway::Gateway;
use crate::harness::part::{self, Part};
use crate::harness::provider::{CLIENT_SECRET, Endpoint, Fault, User};
use crate::harness::redis::Redis;
use crate::harness::scene::Scene;
use crate::harness::until;

/// Three gateways on one Redis, and one person who comes to each of them.
struct Storm {
    scene: Scene,
    others: Vec<Gateway>,
    browsers: Vec<Browser>,
    _redis: Redis,
}

impl Storm {
    /// The access token lives `seconds`.
    async fn brewing(seconds: u64) -> Self {
        let redis = Redis::start().await;
        let scene = Scene::with("oidc-plain", |plan| {
            // Six hundred at once on a small machine; what is tried is the call.
            plan.redis(&redis.lines()).limits("store_timeout = \"3s\"")
        })
        .await;
        let plan = scene.gateway.plan().clone();
        // One after the other: they write the same file of the secret.
        let others = vec![plan.replica().start().await, plan.replica().start().await];
        scene
            .provider
            .set(|script| script.access_lifetime = seconds);
        let one = scene.signed_in(User::ann()).await;
        scene.provider.set(|script| script.access_lifetime = 3600);
        let mut browsers = vec![one];
        for other in &others {
            let twin = browsers[0].twin();
            twin.detour(&scene.gateway.authority(), other.address());
            browsers.push(twin);
        }
        Self {
            scene,
            others,
            browsers,
            _redis: redis,
        }
    }

    /// `each` requests to each gateway at once: status and `Retry-After`.
    async fn strike(&self, each: usize) -> Vec<(u16, bool)> {
        let url = self.scene.gateway.url("/x");
        let one = async |browser: &Browser| {
            let answer = browser.try_fetch("GET", &url, &[], Bytes::new()).await;
            answer.map_or((0, false), |answer| {
                let later = !answer.header("retry-after").is_empty();
                (answer.status.as_u16(), later)
            })
        };
        let all = self.browsers.iter();
        let all = all.flat_map(|browser| std::iter::repeat_n(browser, each));
        join_all(all.map(one)).await
    }

    fn log(&self) -> String {
        let others = self.others.iter();
        let all = [&self.scene.gateway].into_iter().chain(others);
        all.map(Gateway::log).collect()
    }

    fn calls(&self) -> usize {
        self.scene.provider.count(Endpoint::Refresh)
    }
}

const OUTCOME_UNKNOWN: &str = "\"reason\":\"outcome_unknown\"";

fn is_served((status, _): &(u16, bool)) -> bool {
    *status == 200
}

/// Served, or told to come again: never signed out.
fn is_patient(answer: &(u16, bool)) -> bool {
    is_served(answer) || *answer == (503, true)
}

/// The tokens have ended and the provider answers after `secs`; all wait.
async fn after_the_end(secs: u64) {
    let storm = Storm::brewing(6).await;
    storm.scene.provider.fail(
        Endpoint::Refresh,
        [Fault::DelayAnswer(Duration::from_secs(secs))],
    );
    sleep(Duration::from_millis(6200)).await;
    let began = Instant::now();
    let answers = storm.strike(200).await;
    let took = began.elapsed();
    assert_eq!(answers.len(), 600);
    let served = answers.iter().filter(|answer| is_served(answer)).count();
    assert_eq!((served, storm.calls()), (600, 1), "{took:?}");
    assert_eq!(storm.scene.provider.reuse(), 0);
    assert_eq!(storm.scene.logins(), (1, 1));
    println!("storm, provider answers after {secs} s: 600 of 600 in {took:?}, one call");
}

#[tokio::test]
async fn row_1_11_storm_while_the_provider_answers_after_a_second() {
    if part::have("row_1_11_storm_1", &[Part::Redis]) {
        after_the_end(1).await;
    }
}

#[tokio::test]
async fn row_1_11_storm_while_the_provider_answers_after_three_seconds() {
    if part::have("row_1_11_storm_3", &[Part::Redis]) {
        after_the_end(3).await;
    }
}

#[tokio::test]
async fn row_1_11_storm_while_the_provider_answers_after_eight_seconds() {
    if !part::long() || !part::have("row_1_11_storm_8", &[Part::Redis]) {
        return;
    }
    let storm = Storm::brewing(10).await;
    storm.scene.provider.fail(
        Endpoint::Refresh,
        [Fault::DelayAnswer(Duration::from_secs(8))],
    );
    // The window opens in the second half of the life.
    sleep(Duration::from_secs(6)).await;
    let early = storm.strike(200).await;
    assert!(early.iter().all(is_served), "the old token is valid");
    until::holds("it was sent", || storm.calls() == 1).await;
    sleep(Duration::from_millis(4300)).await;
    let late = storm.strike(200).await;
    assert!(late.iter().all(is_patient), "{late:?}");
    let waited = late.iter().filter(|answer| !is_served(answer)).count();
    until::some("all are served again", || async {
        let answers = storm.strike(20).await;
        assert!(answers.iter().all(is_patient), "{answers:?}");
        answers.iter().all(is_served).then_some(())
    })
    .await;
    assert_eq!(storm.calls(), 1);
    assert_eq!(storm.scene.provider.reuse(), 0);
    assert_eq!(storm.scene.logins(), (1, 1));
    println!(
        "storm, provider answers after 8 s: {} of {} served before the end, {waited} of {} told to wait after it, one call",
        early.len(),
        early.len(),
        late.len()
    );
}

#[tokio::test]
async fn row_1_11_storm_while_the_provider_answers_after_twelve_seconds() {
    if !part::have("row_1_11_storm_12", &[Part::Redis]) {
        return;
    }
    let storm = Storm::brewing(6).await;
    storm.scene.provider.fail(
        Endpoint::Refresh,
        [Fault::DelayAnswer(Duration::from_secs(12))],
    );
    sleep(Duration::from_millis(6200)).await;
    let mut each = 200;
    let mut told = 0;
    // The deadline is 10 s; a moment later comes the last try, which this
    // provider refuses.
    let end = Instant::now() + until::PATIENCE;
    while !storm.log().contains(OUTCOME_UNKNOWN) {
        assert!(Instant::now() < end, "the outcome is never unknown");
        let answers = storm.strike(each).await;
        assert!(answers.iter().all(is_patient), "{answers:?}");
        told += answers.len();
        each = 5;
        assert_eq!(storm.calls(), 1, "one call");
    }
    assert_eq!(storm.scene.logins(), (1, 1));
    println!("storm, provider answers after 12 s: {told} of {told} told to wait, one call");
}

/// The same while the old access token is valid: nobody even waits.
#[tokio::test]
async fn row_1_11_storm_unheard_while_the_old_token_is_valid() {
    if !part::long() || !part::have("row_1_11_storm_valid", &[Part::Redis]) {
        return;
    }
    let storm = Storm::brewing(50).await;
    storm.scene.provider.fail(
        Endpoint::Refresh,
        [Fault::DelayAnswer(Duration::from_secs(12))],
    );
    sleep(Duration::from_secs(24)).await;
    let end = Instant::now() + Duration::from_secs(24);
    let mut served = 0;
    while Instant::now() < end {
        let answers = storm.strike(200).await;
        assert!(answers.iter().all(is_served));
        served += answers.len();
        sleep(Duration::from_millis(1500)).await;
    }
    assert_eq!(storm.calls(), 1, "one call");
    assert!(storm.log().contains(OUTCOME_UNKNOWN));
    assert_eq!(storm.scene.logins(), (1, 1));
    println!(
        "storm, no answer while the old token is valid: {served} of {served} served, one call"
    );
}

/// Everybody's tokens end while our client secret is wrong at the provider.
#[tokio::test]
async fn row_2_1_d_a_wrong_client_secret_signs_nobody_out() {
    let (people, trouble) = match part::long() {
        true => (1000, Duration::from_secs(300)),
        false => (60, Duration::from_secs(12)),
    };
    let scene = Scene::start().await;
    let life = 4 + people / 20;
    scene.provider.set(|script| script.access_lifetime = life);
    let mut browsers = Vec::new();
    for _ in 0..people {
        browsers.push(scene.signed_in(User::ann()).await);
    }
    scene.provider.set(|script| script.access_lifetime = 3600);
    let secret = scene.gateway.plan().folder().join("client_secret");
    std::fs::write(&secret, "not the secret\n").expect("the file of the secret");
    sleep(Duration::from_secs(life)).await;
    let before = scene.provider.count(Endpoint::Refresh);
    let url = scene.gateway.url("/x");
    let everybody = || async {
        let one = async |browser: &Browser| browser.fetch("GET", &url, &[]).await;
        let mut answers = Vec::new();
        // All of them come from one address, which may open 256 connections.
        for some in browsers.chunks(100) {
            answers.extend(join_all(some.iter().map(one)).await);
        }
        answers
    };
    let (mut answered, mut first, began) = (0, true, Instant::now());
    while began.elapsed() < trouble {
        for answer in everybody().await {
            assert_eq!(answer.status, 503, "{}", answer.text());
            // The first of them ask all at once, and not all are let through.
            let reason = answer.json()["reason"].clone();
            assert!(first || reason == "client_credentials_rejected", "{reason}");
            assert!(answer.set_cookies().is_empty());
            answered += 1;
        }
        first = false;
        sleep(Duration::from_millis(500)).await;
    }
    let calls = scene.provider.count(Endpoint::Refresh) - before;
    // Two ways of authenticating, at 0, 5 and 15 s, later once a minute; and
    // those that were under way when the first refusal came.
    let probes = 2 * (4 + usize::try_from(trouble.as_secs()).expect("small") / 60);
    assert!(calls <= probes + 2 * 64, "{calls}");
    let log = scene.gateway.log();
    let alerts = log.lines().filter(|line| line.contains("\"alert\":"));
    assert_eq!(alerts.count(), 1, "one alert");
    std::fs::write(&secret, format!("{CLIENT_SECRET}\n")).expect("the file of the secret");
    let end = Instant::now() + Duration::from_secs(90);
    loop {
        let answers = everybody().await;
        assert!(answers.iter().all(|answer| answer.status != 401));
        if answers.iter().all(|answer| answer.status == 200) {
            break;
        }
        assert!(Instant::now() < end, "the right secret heals everybody");
        sleep(Duration::from_millis(300)).await;
    }
    let people = usize::try_from(people).expect("small");
    assert_eq!(scene.logins(), (people, people), "zero log-outs");
    println!(
        "wrong secret for {trouble:?}: {answered} answers 503, {calls} calls, one alert, no log-out"
    );
}
