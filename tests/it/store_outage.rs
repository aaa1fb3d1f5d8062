//! What an outage of the store means: known sessions go on for a moment, what
//! cannot be written waits, and nobody is sent away who need not be.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::harness::browser::Browser;
use crate::harness::chaos::{Chaos, Weather};
use crate::harness::gateway::Gateway;
use crate::harness::part::{self, Part};
use crate::harness::provider::{Endpoint, Fault, User};
use crate::harness::redis::Redis;
use crate::harness::scene::{Scene, session_cookie};
use crate::harness::until;
use crate::harness::wire::Answer;

async fn scene(redis: &Redis, lines: &str) -> Scene {
    Scene::with("oidc-plain", |plan| {
        plan.redis(&redis.lines()).session(lines)
    })
    .await
}

async fn get(gateway: &Gateway, browser: &Browser) -> Answer {
    browser.fetch("GET", &gateway.url("/x"), &[]).await
}

async fn status(gateway: &Gateway, browser: &Browser) -> u16 {
    get(gateway, browser).await.status.as_u16()
}

/// The same cookies, at another replica.
fn at(replica: &Gateway, browser: &Browser) -> Browser {
    let twin = browser.twin();
    twin.detour(&replica.authority(), replica.address());
    twin
}

/// Fails closed: later, never "who are you".
fn waits(answer: &Answer) {
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_ne!(answer.header("retry-after"), "");
    assert!(
        answer.set_cookies().is_empty(),
        "{:?}",
        answer.set_cookies()
    );
}

async fn answers_again(gateway: &Gateway, browser: &Browser) -> Duration {
    let began = Instant::now();
    until::some("it recovers by itself", || async {
        (status(gateway, browser).await == 200).then_some(())
    })
    .await;
    began.elapsed()
}

async fn logged(gateway: &Gateway, text: &str) {
    until::holds(text, || gateway.log().contains(text)).await;
}

fn lines_with(gateway: &Gateway, text: &str) -> usize {
    gateway.log().matches(text).count()
}

#[tokio::test]
async fn r1_known_sessions_go_on_and_others_wait() {
    let name = "r1_known_sessions_go_on_and_others_wait";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let mut redis = Redis::start().await;
    let scene = Scene::with("oidc-plain", |plan| {
        plan.redis(&redis.lines())
            .route("rules = [ { path = \"/public/*\", lane = \"public\" } ]")
    })
    .await;
    let second = scene.gateway.plan().replica().start().await;
    let ann = scene.signed_in(User::ann()).await;
    let elsewhere = at(&second, &ann);
    assert_eq!(status(&scene.gateway, &ann).await, 200);
    redis.kill();
    until::some("nothing is told any more", || async {
        let watching = "vestibule_session_cache_watching";
        (scene.gateway.metric(watching).await == 0.0).then_some(())
    })
    .await;
    for _ in 0..20 {
        assert_eq!(status(&scene.gateway, &ann).await, 200);
    }
    // The second one has never read her session.
    waits(&get(&second, &elsewhere).await);
    let page = elsewhere.step(&second.url("/hello")).await;
    waits(&page);
    let nobody = Browser::new();
    let public = nobody
        .fetch("GET", &scene.gateway.url("/public/x"), &[])
        .await;
    assert_eq!(public.status, 200);
    let served = scene.gateway.metric("vestibule_stale_sessions_total").await;
    assert!(served >= 20.0, "{served}");
    assert_eq!(lines_with(&scene.gateway, "go on for session.max_stale"), 1);
    scene
        .gateway
        .metric("vestibule_state{state=\"store_degraded\"}")
        .await;
    redis.restart().await;
    let (one, two) = (
        answers_again(&scene.gateway, &ann).await,
        answers_again(&second, &elsewhere).await,
    );
    println!("R1: first success {one:?} and {two:?} after Redis takes connections");
    assert!(one < Duration::from_secs(3) && two < Duration::from_secs(3));
    assert_eq!(scene.logins(), (1, 1));
    assert_eq!(session_cookie(&ann), session_cookie(&elsewhere));
}

#[tokio::test]
async fn row_1_9_redis_down_longer_than_it_can_be_bridged() {
    let name = "row_1_9_redis_down_longer_than_it_can_be_bridged";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let mut redis = Redis::start().await;
    let scene = scene(&redis, "max_stale = \"2s\"").await;
    let ann = scene.signed_in(User::ann()).await;
    assert_eq!(status(&scene.gateway, &ann).await, 200);
    redis.kill();
    assert_eq!(status(&scene.gateway, &ann).await, 200);
    sleep(Duration::from_millis(2200)).await;
    for _ in 0..3 {
        waits(&get(&scene.gateway, &ann).await);
        // A person's browser is not sent to the provider either.
        waits(&ann.step(&scene.gateway.url("/hello")).await);
    }
    redis.restart().await;
    let recovery = answers_again(&scene.gateway, &ann).await;
    println!("1.9: recovery {recovery:?}");
    assert!(recovery < Duration::from_secs(3), "{recovery:?}");
    assert_eq!(scene.logins(), (1, 1));
}

#[tokio::test]
async fn r1_an_access_token_that_ends_in_the_outage_is_not_served() {
    let name = "r1_an_access_token_that_ends_in_the_outage_is_not_served";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    for dialect in ["oidc-plain", "no-refresh-token"] {
        let mut redis = Redis::start().await;
        // Nothing is renewed before the outage.
        let scene = Scene::with(dialect, |plan| {
            plan.redis(&redis.lines())
                .provider("refresh_skew_max = \"100ms\"")
        })
        .await;
        scene.provider.set(|script| script.access_lifetime = 3);
        let ann = scene.signed_in(User::ann()).await;
        scene.provider.set(|script| script.access_lifetime = 3600);
        redis.kill();
        let first = status(&scene.gateway, &ann).await;
        assert!(matches!(first, 200 | 503), "{first}");
        sleep(Duration::from_millis(3200)).await;
        waits(&get(&scene.gateway, &ann).await);
        waits(&ann.step(&scene.gateway.url("/hello")).await);
        assert_eq!(scene.provider.count(Endpoint::Refresh), 0, "{dialect}");
        assert_eq!(scene.logins(), (1, 1), "{dialect}");
        redis.restart().await;
        if dialect == "oidc-plain" {
            answers_again(&scene.gateway, &ann).await;
            assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
        }
    }
}

#[tokio::test]
async fn row_1_8_and_r9_an_emptied_store_costs_everybody_one_sign_in() {
    let name = "row_1_8_and_r9_an_emptied_store_costs_everybody_one_sign_in";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let redis = Redis::start().await;
    let scene = scene(&redis, "").await;
    let ann = scene.signed_in(User::ann()).await;
    let bob = scene.signed_in(User::bob()).await;
    assert!(redis.ask("FLUSHALL").await.starts_with("+OK"));
    // What was read before is no excuse once the store has told of it, which
    // takes a moment.
    let told = Instant::now();
    while status(&scene.gateway, &bob).await != 401 {
        assert!(told.elapsed() < Duration::from_secs(1), "still served");
    }
    let before = scene.logins();
    for (browser, user) in [(&ann, User::ann()), (&bob, User::bob())] {
        let answer = scene.sign_in(browser, user).await;
        assert_eq!(answer.status, 200);
        for _ in 0..3 {
            assert_eq!(status(&scene.gateway, browser).await, 200);
        }
    }
    assert_eq!(scene.logins(), (before.0 + 2, before.1 + 2));
    assert!(!scene.gateway.log().contains("login_loop"));
    let failures = scene
        .gateway
        .metric("vestibule_requests_total{route=\"app\",code_class=\"5xx\"")
        .await;
    assert_eq!(failures, 0.0);
}

#[tokio::test]
async fn r10_a_sign_out_in_an_outage_counts_here_at_once_and_everywhere_later() {
    let name = "r10_a_sign_out_in_an_outage_counts_here_at_once_and_everywhere_later";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let mut redis = Redis::start().await;
    let mut scene = scene(&redis, "").await;
    let second = scene.gateway.plan().replica().start().await;
    // Ann's session is known at the first replica, Bob's was never read there.
    let ann = scene.signed_in(User::ann()).await;
    let bob = Browser::new();
    bob.detour(&second.authority(), second.address());
    scene.provider.set(|script| script.user = User::bob());
    assert_eq!(bob.open(&second.url("/hello")).await.status, 200);
    let bob_here = bob.twin();
    bob_here.detour(&scene.gateway.authority(), scene.gateway.address());
    let thieves = [ann.twin(), bob_here.twin()];
    assert_eq!(status(&scene.gateway, &ann).await, 200);
    redis.kill();
    waits(&get(&scene.gateway, &thieves[1]).await);
    for browser in [&ann, &bob_here] {
        let answer = browser
            .submit(
                &scene.gateway.own("/"),
                &scene.gateway.own("/sign_out"),
                &[],
            )
            .await;
        assert!(
            matches!(answer.status.as_u16(), 200 | 303),
            "{}",
            answer.status
        );
        assert!(
            browser.cookies().iter().all(|c| c.name != "vestibule"),
            "cookie cleared"
        );
    }
    let page = bob_here.open(&scene.gateway.own("/sign_out")).await;
    assert!(
        page.text().contains("other servers follow"),
        "{}",
        page.text()
    );
    for thief in &thieves {
        assert_eq!(
            status(&scene.gateway, thief).await,
            401,
            "over here at once"
        );
    }

    // kill -9 in the middle of it, and the store is away still.
    let plan = scene.gateway.plan().clone();
    scene.gateway.kill();
    scene.gateway = plan.start_unready().await;
    for thief in &thieves {
        assert_eq!(status(&scene.gateway, thief).await, 401, "still over");
    }
    redis.restart().await;
    let began = Instant::now();
    for thief in &thieves {
        let there = at(&second, thief);
        until::some("the other replica follows", || async {
            (status(&second, &there).await == 401).then_some(())
        })
        .await;
    }
    println!(
        "R10: the other replica followed {:?} after Redis was back",
        began.elapsed()
    );
    assert!(
        began.elapsed() < Duration::from_secs(4),
        "{:?}",
        began.elapsed()
    );
}

/// The copy is complete, and then hears no more.
async fn copied_so_far(primary: &Redis, copy: &Redis) {
    becomes_a_copy(copy, primary).await;
}

/// The failover: what `primary` wrote last is lost.
async fn what_came_after_is_lost(primary: &Redis, copy: &Redis) {
    becomes_a_copy(primary, copy).await;
}

async fn becomes_a_copy(one: &Redis, of: &Redis) {
    let follow = format!("REPLICAOF 127.0.0.1 {}", of.address().port());
    assert!(one.ask(&follow).await.starts_with("+OK"));
    until::some("it has everything", || async {
        one.ask("ROLE").await.contains("connected").then_some(())
    })
    .await;
    assert!(one.ask("REPLICAOF NO ONE").await.starts_with("+OK"));
}

/// What a primary without a replica took, and a failover to an older copy
/// then lost: the provider sees a spent token once and ends that session.
#[tokio::test]
async fn r11_a_renewal_that_a_failover_lost_costs_that_session_one_sign_in() {
    let name = "r11_a_renewal_that_a_failover_lost_costs_that_session_one_sign_in";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let (primary, copy) = (Redis::start().await, Redis::start().await);
    let scene = scene(&primary, "").await;
    let bob = scene.signed_in(User::bob()).await;
    scene.provider.set(|script| script.access_lifetime = 6);
    let ann = scene.signed_in(User::ann()).await;
    scene.provider.set(|script| script.access_lifetime = 3600);
    let logins = scene.logins();
    copied_so_far(&primary, &copy).await;
    let stored = || async {
        assert_eq!(status(&scene.gateway, &ann).await, 200);
        let renewed = "vestibule_refreshes_total{outcome=\"refreshed\"";
        (scene.gateway.metric(renewed).await > 0.0).then_some(())
    };
    until::some("her tokens are renewed", stored).await;
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    what_came_after_is_lost(&primary, &copy).await;
    let over = || async { (status(&scene.gateway, &ann).await == 401).then_some(()) };
    until::some("the provider refuses the spent token", over).await;
    assert_eq!(scene.provider.count(Endpoint::Refresh), 2);
    assert_eq!(
        scene.provider.reuse(),
        1,
        "one extra send for one lost write"
    );
    assert_eq!(scene.sign_in(&ann, User::ann()).await.status, 200);
    for browser in [&ann, &bob] {
        assert_eq!(status(&scene.gateway, browser).await, 200);
    }
    assert_eq!(scene.logins(), (logins.0 + 1, logins.1 + 1));
    assert_eq!(scene.provider.count(Endpoint::Refresh), 2);
}

#[tokio::test]
async fn r11_a_sign_out_that_a_failover_lost_is_told_again() {
    let name = "r11_a_sign_out_that_a_failover_lost_is_told_again";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let (primary, other) = (Redis::start().await, Redis::start().await);
    let scene = scene(&primary, "").await;
    let second = scene.gateway.plan().replica().start().await;
    let ann = scene.signed_in(User::ann()).await;
    let thief = ann.twin();
    let thief_there = at(&second, &thief);
    assert_eq!(status(&second, &thief_there).await, 200);
    copied_so_far(&primary, &other).await;

    let answer = ann
        .submit(
            &scene.gateway.own("/"),
            &scene.gateway.own("/sign_out"),
            &[],
        )
        .await;
    assert!(matches!(answer.status.as_u16(), 200 | 303));
    assert_eq!(status(&second, &thief_there).await, 401);
    what_came_after_is_lost(&primary, &other).await;
    let began = Instant::now();
    assert_ne!(
        status(&scene.gateway, &thief).await,
        200,
        "never again here"
    );
    until::some("it is told again", || async {
        (status(&second, &thief_there).await == 401).then_some(())
    })
    .await;
    println!("R11: revived for at most {:?}", began.elapsed());
    assert!(
        began.elapsed() < Duration::from_secs(15),
        "{:?}",
        began.elapsed()
    );
    assert_ne!(status(&scene.gateway, &thief).await, 200);
    logged(&scene.gateway, "had lost a sign-out").await;
}

/// Renewed tokens are on their way when the store stops taking writes; the
/// provider's answer comes after that.
async fn refreshed_into(scene: &Scene, trouble: impl AsyncFnOnce()) -> Browser {
    scene.provider.set(|script| script.access_lifetime = 4);
    let ann = scene.signed_in(User::ann()).await;
    scene.provider.set(|script| script.access_lifetime = 3600);
    let gate = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    scene.provider.fail(
        Endpoint::Refresh,
        [Fault::HoldAnswer(std::sync::Arc::clone(&gate))],
    );
    until::some("a refresh begins", || async {
        assert_eq!(status(&scene.gateway, &ann).await, 200);
        (scene.provider.count(Endpoint::Refresh) > 0).then_some(())
    })
    .await;
    trouble().await;
    gate.add_permits(1);
    logged(&scene.gateway, "renewed tokens wait on disk").await;
    sleep(Duration::from_millis(4200)).await;
    ann
}

async fn refreshed_into_an_outage(scene: &Scene, redis: &mut Redis) -> Browser {
    refreshed_into(scene, async || redis.kill()).await
}

async fn memory_of(redis: &Redis, bytes: &str) {
    redis.command(&["CONFIG", "SET", "maxmemory", bytes]).await;
}

#[tokio::test]
async fn row_1_12_renewed_tokens_that_cannot_be_stored_serve_and_land_later() {
    let name = "row_1_12_renewed_tokens_that_cannot_be_stored_serve_and_land_later";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let mut redis = Redis::start().await;
    let scene = scene(&redis, "").await;
    let ann = refreshed_into_an_outage(&scene, &mut redis).await;
    for _ in 0..5 {
        assert_eq!(status(&scene.gateway, &ann).await, 200, "from memory");
    }
    redis.restart().await;
    answers_again(&scene.gateway, &ann).await;
    // Another replica finds them in the store.
    let second = scene.gateway.plan().replica().start().await;
    answers_again(&second, &at(&second, &ann)).await;
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    assert_eq!((scene.provider.reuse(), scene.logins()), (0, (1, 1)));
}

/// The store answers reads all the time, with the tokens that are spent.
#[tokio::test]
async fn row_1_12_and_r4_renewed_tokens_that_meet_full_memory_wait_for_room() {
    let name = "row_1_12_and_r4_renewed_tokens_that_meet_full_memory_wait_for_room";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    for killed in [false, true] {
        let redis = Redis::start().await;
        let mut scene = scene(&redis, "").await;
        let ann = refreshed_into(&scene, async || memory_of(&redis, "1").await).await;
        for _ in 0..5 {
            assert_eq!(status(&scene.gateway, &ann).await, 200, "from memory");
        }
        if killed {
            // Started again with full memory, it has them still.
            let plan = scene.gateway.plan().clone();
            scene.gateway.kill();
            scene.gateway = plan.start_unready().await;
            let answer = get(&scene.gateway, &ann).await;
            assert!(
                matches!(answer.status.as_u16(), 200 | 503),
                "{}",
                answer.status
            );
        }
        memory_of(&redis, "0").await;
        logged(&scene.gateway, "came home").await;
        let took = answers_again(&scene.gateway, &ann).await;
        println!("R4: served {took:?} after there was room, killed: {killed}");
        let second = scene.gateway.plan().replica().start().await;
        answers_again(&second, &at(&second, &ann)).await;
        assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
        assert_eq!((scene.provider.reuse(), scene.logins()), (0, (1, 1)));
    }
}

#[tokio::test]
async fn row_1_13_kill_9_between_answer_and_store_loses_no_token() {
    let name = "row_1_13_kill_9_between_answer_and_store_loses_no_token";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let mut redis = Redis::start().await;
    let mut scene = scene(&redis, "").await;
    let ann = refreshed_into_an_outage(&scene, &mut redis).await;
    scene.gateway.kill();
    redis.restart().await;
    scene.gateway.restart().await;
    for _ in 0..3 {
        assert_eq!(status(&scene.gateway, &ann).await, 200);
    }
    logged(&scene.gateway, "came home").await;
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1, "no second send");
    assert_eq!((scene.provider.reuse(), scene.logins()), (0, (1, 1)));
}

#[tokio::test]
async fn n1_a_replica_cut_from_the_store_turns_unready_and_the_other_serves() {
    let name = "n1_a_replica_cut_from_the_store_turns_unready_and_the_other_serves";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let redis = Redis::start().await;
    let wire = Chaos::before(redis.address()).await;
    let scene = Scene::with("oidc-plain", |plan| {
        plan.redis(&redis.lines())
            .environment("VESTIBULE__ADMIN__READY_REQUIRES_STORE", "true")
    })
    .await;
    let lines = format!("url = \"redis://{}/0\"\n", wire.address);
    let mut second = scene.gateway.plan().replica().redis(&lines).start().await;
    scene.provider.set(|script| script.access_lifetime = 4);
    let ann = scene.signed_in(User::ann()).await;
    scene.provider.set(|script| script.access_lifetime = 3600);
    let cut_off = at(&second, &ann);
    assert_eq!(status(&second, &cut_off).await, 200);
    wire.set(Weather::stalled());
    let began = Instant::now();
    second.admin_answers("/readyz", 503).await;
    let unready = began.elapsed();
    println!("N1: unready after {unready:?}");
    assert!(unready < Duration::from_secs(3), "{unready:?}");
    let body = second.admin("/readyz").await.expect("answer").text();
    assert!(
        body.contains("store_lost") && body.contains("store_degraded"),
        "{body}"
    );
    sleep(Duration::from_secs(4)).await;
    // The token has ended: the one that reaches the store renews it, alone.
    waits(&get(&second, &cut_off).await);
    assert_eq!(status(&scene.gateway, &ann).await, 200);
    waits(&get(&second, &cut_off).await);
    assert_eq!(scene.provider.count(Endpoint::Refresh), 1);
    wire.set(Weather::default());
    second.ready().await;
    assert_eq!(status(&second, &cut_off).await, 200);
    assert_eq!(
        scene.provider.count(Endpoint::Refresh),
        1,
        "no split refresh"
    );
    assert_eq!((scene.provider.reuse(), scene.logins()), (0, (1, 1)));
}
