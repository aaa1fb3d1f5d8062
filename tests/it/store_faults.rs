//! Faults of Redis and of the way to it, as people behind the gateway meet them.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::harness::browser::Browser;
use crate::harness::chaos::{Chaos, Weather};
use crate::harness::part::{self, Part};
use crate::harness::provider::{Endpoint, User};
use crate::harness::redis::Redis;
use crate::harness::redis_cluster::RedisCluster;
use crate::harness::scene::Scene;
use crate::harness::sentinels::Sentinels;
use crate::harness::until;

/// Nothing is served as it was read before: what answers here is the store.
async fn scene(lines: &str) -> Scene {
    Scene::with("oidc-plain", |plan| {
        plan.redis(lines).session("max_stale = \"0s\"")
    })
    .await
}

/// While the store is in trouble: served, or told to come again. Never sent
/// to the provider, never without the cookie.
async fn served_or_later(scene: &Scene, browser: &Browser) -> (u16, Duration) {
    let began = Instant::now();
    let answer = browser.fetch("GET", &scene.gateway.url("/x"), &[]).await;
    let took = began.elapsed();
    assert!(
        matches!(answer.status.as_u16(), 200 | 503),
        "{}: {}",
        answer.status,
        answer.text()
    );
    if answer.status == 503 {
        assert_ne!(answer.header("retry-after"), "");
    }
    assert_eq!(answer.set_cookies(), Vec::<String>::new());
    (answer.status.as_u16(), took)
}

async fn is_served(scene: &Scene, browser: &Browser) {
    let answer = browser.fetch("GET", &scene.gateway.url("/x"), &[]).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Somebody new signs in: the store takes writes. Gives how long it took
/// until that worked.
async fn sign_ins_work(scene: &Scene) -> Duration {
    let began = Instant::now();
    scene.provider.set(|script| script.user = User::bob());
    until::some("sign-ins work again", || async {
        let answer = Browser::new().open(&scene.gateway.url("/hello")).await;
        assert!(
            matches!(answer.status.as_u16(), 200 | 503),
            "{}: {}",
            answer.status,
            answer.text()
        );
        (answer.status == 200).then_some(())
    })
    .await;
    began.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn r2_a_stalled_redis_holds_each_request_once() {
    if !part::have("r2_a_stalled_redis_holds_each_request_once", &[Part::Redis]) {
        return;
    }
    let redis = Redis::start().await;
    let scene = scene(&redis.lines()).await;
    let ann = scene.signed_in(User::ann()).await;
    redis.stall();
    let mut times = Vec::new();
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        times.push(served_or_later(&scene, &ann).await.1);
        sleep(Duration::from_millis(50)).await;
    }
    let slowest = times.iter().max().expect("requests");
    let slow = times
        .iter()
        .filter(|time| **time > Duration::from_millis(300));
    let slow = slow.count();
    redis.go_on();
    let back = sign_ins_work(&scene).await;
    println!(
        "slowest {slowest:?}, {slow} of {} slow; back after {back:?}",
        times.len()
    );
    // 550 ms and 1 s are the promise; a machine under load is slower.
    assert!(*slowest < Duration::from_millis(1100), "{slowest:?}");
    assert!(slow <= 4, "{times:?}");
    assert!(back < Duration::from_secs(2), "{back:?}");
    is_served(&scene, &ann).await;
}

/// The way stalls, not the server: another connection would work.
#[tokio::test(flavor = "multi_thread")]
async fn r2_a_stalled_connection_is_left_for_another() {
    let name = "r2_a_stalled_connection_is_left_for_another";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let redis = Redis::start().await;
    let proxy = Chaos::before(redis.address()).await;
    let scene = scene(&format!("url = \"redis://{}/0\"\n", proxy.address)).await;
    let ann = scene.signed_in(User::ann()).await;
    // The connections that there are stall for good; new ones pass.
    proxy.set(Weather::stalled());
    for _ in 0..64 {
        proxy.next(Weather::default());
    }
    let began = Instant::now();
    let mut slowest = Duration::ZERO;
    loop {
        let (status, took) = served_or_later(&scene, &ann).await;
        slowest = slowest.max(took);
        if status == 200 && took < Duration::from_millis(300) && proxy.taken() > 2 {
            break;
        }
        assert!(began.elapsed() < until::PATIENCE, "stays where it is");
        sleep(Duration::from_millis(20)).await;
    }
    let back = began.elapsed();
    sign_ins_work(&scene).await;
    println!("left after {back:?}, slowest request {slowest:?}");
    assert!(back < Duration::from_secs(4), "{back:?}");
    assert!(slowest < Duration::from_millis(1100), "{slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r3_a_slow_redis_piles_nothing_up() {
    if !part::have("r3_a_slow_redis_piles_nothing_up", &[Part::Redis]) {
        return;
    }
    let redis = Redis::start().await;
    let proxy = Chaos::before(redis.address()).await;
    let scene =
        std::sync::Arc::new(scene(&format!("url = \"redis://{}/0\"\n", proxy.address)).await);
    let ann = std::sync::Arc::new(scene.signed_in(User::ann()).await);
    for latency in [200, 600] {
        proxy.set(Weather::to_client(|path| {
            path.latency = Duration::from_millis(latency);
        }));
        let tasks: Vec<_> = (0..100)
            .map(|_| {
                let (scene, ann) = (std::sync::Arc::clone(&scene), std::sync::Arc::clone(&ann));
                tokio::spawn(async move { served_or_later(&scene, &ann).await })
            })
            .collect();
        let mut answers = Vec::new();
        for task in tasks {
            answers.push(task.await.expect("request"));
        }
        answers.sort_by_key(|(_, took)| *took);
        let served = answers.iter().filter(|(status, _)| *status == 200).count();
        let (_, p99) = answers[98];
        println!("{latency} ms slow: {served} of 100 served, p99 {p99:?}");
        // 600 ms: two calls for each request, of which the first may take
        // 500 ms in vain. The rest is for a machine under load.
        assert!(p99 < Duration::from_secs(1), "{p99:?}");
        if latency == 200 {
            assert_eq!(served, 100, "slow is not away");
        }
    }
    proxy.calm();
    let back = sign_ins_work(&scene).await;
    println!("back after {back:?}");
    assert!(back < Duration::from_secs(4), "{back:?}");
    is_served(&scene, &ann).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r4_memory_full_costs_new_sign_ins_only_and_no_code() {
    let name = "r4_memory_full_costs_new_sign_ins_only_and_no_code";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let redis = Redis::start().await;
    let scene = scene(&redis.lines()).await;
    let ann = scene.signed_in(User::ann()).await;
    let bob = scene.signed_in(User::bob()).await;
    let codes = scene.provider.count(Endpoint::Code);
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    is_served(&scene, &ann).await;
    let answer = Browser::new().open(&scene.gateway.url("/hello")).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_ne!(answer.header("retry-after"), "");
    assert_eq!(
        scene.provider.count(Endpoint::Code),
        codes,
        "a code was spent"
    );
    until::holds("the reason is told", || {
        scene.gateway.log().contains("store_refuses_writes")
    })
    .await;
    // Signing out works, for good.
    let thief = bob.twin();
    let answer = bob.open(&scene.gateway.own("/sign_out")).await;
    assert!(
        answer.status.as_u16() < 500,
        "{}: {}",
        answer.status,
        answer.text()
    );
    let dead = thief.fetch("GET", &scene.gateway.url("/x"), &[]).await;
    assert_eq!(dead.status, 401, "{}", dead.text());
    is_served(&scene, &ann).await;

    redis.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
    let back = sign_ins_work(&scene).await;
    println!("back after {back:?}");
    assert!(back < Duration::from_secs(2), "{back:?}");
    let dead = thief.fetch("GET", &scene.gateway.url("/x"), &[]).await;
    assert_eq!(dead.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn r5_a_primary_that_became_a_replica_is_read() {
    let name = "r5_a_primary_that_became_a_replica_is_read";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let redis = Redis::start().await;
    let scene = scene(&redis.lines()).await;
    let ann = scene.signed_in(User::ann()).await;
    // Follows a server that is not there: it keeps what it has.
    redis.command(&["REPLICAOF", "127.0.0.1", "1"]).await;
    for _ in 0..20 {
        is_served(&scene, &ann).await;
        sleep(Duration::from_millis(50)).await;
    }
    let answer = Browser::new().open(&scene.gateway.url("/hello")).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    is_served(&scene, &ann).await;
    redis.command(&["REPLICAOF", "NO", "ONE"]).await;
    let back = sign_ins_work(&scene).await;
    println!("back after {back:?}");
    assert!(back < Duration::from_secs(2), "{back:?}");
    is_served(&scene, &ann).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r6_a_failover_signs_nobody_out() {
    if !part::have("r6_a_failover_signs_nobody_out", &[Part::Redis]) {
        return;
    }
    let mut sentinels = Sentinels::start().await;
    let scene = scene(&sentinels.lines()).await;
    let ann = scene.signed_in(User::ann()).await;
    sentinels.primary.kill();
    let began = Instant::now();
    let served = until::some("she is served from the new primary", || async {
        let (status, _) = served_or_later(&scene, &ann).await;
        (status == 200).then(|| began.elapsed())
    })
    .await;
    sign_ins_work(&scene).await;
    let back = began.elapsed();
    println!("served after {served:?}, sign-ins after {back:?}");
    // down-after + 2 s; the rest is for a machine under load.
    assert!(back < Duration::from_millis(4500), "{back:?}");
    is_served(&scene, &ann).await;
    // The old one comes back as a replica and is none of our business.
    sentinels.primary.restart().await;
    for _ in 0..20 {
        is_served(&scene, &ann).await;
        sleep(Duration::from_millis(50)).await;
    }
    sign_ins_work(&scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r7_people_do_not_notice_that_slots_move() {
    if !part::have("r7_people_do_not_notice_that_slots_move", &[Part::Redis]) {
        return;
    }
    let cluster = RedisCluster::start().await;
    let scene = scene(&cluster.lines()).await;
    let people = [
        scene.signed_in(User::ann()).await,
        scene.signed_in(User::ann()).await,
        scene.signed_in(User::bob()).await,
    ];
    // Every slot that holds something moves on to the next primary.
    let mut moves = Vec::new();
    for from in 0..3 {
        let keys = cluster.nodes[from].command(&["KEYS", "*"]).await;
        let keys: Vec<String> = ::redis::from_redis_value(keys).expect("names");
        for key in keys {
            let words = ["CLUSTER", "KEYSLOT", &key];
            let slot = cluster.nodes[from].command(&words).await;
            let slot: u16 = ::redis::from_redis_value(slot).expect("a slot");
            moves.push((slot, from));
        }
    }
    moves.sort_unstable();
    moves.dedup();
    assert!(moves.len() >= 6, "{moves:?}");
    for (slot, from) in &moves {
        let to = (from + 1) % 3;
        cluster.begin_move(*slot, *from, to).await;
        for person in &people {
            is_served(&scene, person).await;
        }
        let keys = cluster.keys_of(*slot, *from).await;
        cluster.move_keys(&keys, *from, to).await;
        for person in &people {
            is_served(&scene, person).await;
        }
        cluster.end_move(*slot, *from, to).await;
        for person in &people {
            is_served(&scene, person).await;
        }
    }
    println!("{} slots moved", moves.len());
    scene.signed_in(User::bob()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r8_a_password_that_changed_is_read_again() {
    let name = "r8_a_password_that_changed_is_read_again";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let redis = Redis::with_access_list().await;
    let mut scene = scene(&redis.lines_of_access_list()).await;
    let ann = scene.signed_in(User::ann()).await;
    // The connections that there are go on.
    redis.new_password("second-tests-only-secret", false).await;
    for _ in 0..10 {
        is_served(&scene, &ann).await;
        sleep(Duration::from_millis(50)).await;
    }
    sign_ins_work(&scene).await;
    if part::long() {
        let alarms = || {
            let log = scene.gateway.log();
            log.matches("store_refuses_new_connections").count()
        };
        let began = Instant::now();
        while alarms() == 0 {
            assert!(began.elapsed() < Duration::from_secs(75), "no alarm");
            sleep(Duration::from_millis(200)).await;
        }
        println!("alarm after {:?}", began.elapsed());
        // The next try fails as well, and is no news.
        sleep(Duration::from_secs(65)).await;
        assert_eq!(alarms(), 1);
        let counted = "vestibule_alerts_total{alert=\"store_refuses_new_connections\"";
        assert_eq!(scene.gateway.metric(counted).await, 1.0);
        is_served(&scene, &ann).await;
    }
    redis.hand_out("second-tests-only-secret");
    scene.gateway.restart().await;
    is_served(&scene, &ann).await;
    sign_ins_work(&scene).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r8_connections_that_end_after_a_change_come_back_with_the_new_password() {
    let name = "r8_connections_that_end_after_a_change_come_back_with_the_new_password";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let redis = Redis::with_access_list().await;
    let scene = scene(&redis.lines_of_access_list()).await;
    let ann = scene.signed_in(User::ann()).await;
    redis.new_password("second-tests-only-secret", true).await;
    until::some("the reason is told", || async {
        served_or_later(&scene, &ann).await;
        let log = scene.gateway.log();
        log.contains("store_credentials_rejected").then_some(())
    })
    .await;
    // No crash, no loop: it asks at its own pace, and takes what is handed out.
    redis.hand_out("second-tests-only-secret");
    let back = sign_ins_work(&scene).await;
    println!("back after {back:?}");
    assert!(back < Duration::from_secs(3), "{back:?}");
    is_served(&scene, &ann).await;
}

/// Said at the start, with the setting that would help.
#[tokio::test(flavor = "multi_thread")]
async fn row_1_8_a_redis_that_forgets_is_named_at_the_start() {
    let name = "row_1_8_a_redis_that_forgets_is_named_at_the_start";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let words = ["--appendonly", "no", "--maxmemory-policy", "allkeys-lru"];
    let forgetful = Redis::start_with(&words).await;
    let good = Redis::start().await;
    for (redis, count) in [(forgetful, 1), (good, 0)] {
        let mut scene = scene(&redis.lines()).await;
        if count == 1 {
            until::holds("the warnings", || {
                scene.gateway.log().contains("set appendonly yes")
            })
            .await;
        }
        scene.signed_in(User::ann()).await;
        // Once: not again after the connection was lost.
        redis.command(&["CLIENT", "KILL", "TYPE", "normal"]).await;
        scene.gateway.ready().await;
        sign_ins_work(&scene).await;
        let log = scene.gateway.log();
        assert_eq!(
            log.matches("set maxmemory-policy noeviction").count(),
            count
        );
        assert_eq!(log.matches("sessions will not survive it").count(), count);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r10_a_redis_that_is_loading_is_waited_for() {
    let name = "r10_a_redis_that_is_loading_is_waited_for";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    // Of a log it would answer between a thousand commands only.
    let mut redis = Redis::start_with(&[
        "--appendonly",
        "no",
        "--key-load-delay",
        "1000",
        "--loading-process-events-interval-bytes",
        "1024",
    ])
    .await;
    let scene = scene(&redis.lines()).await;
    let ann = scene.signed_in(User::ann()).await;
    let script = "for n = 1, 2000 do redis.call('SET', 'other:' .. n, 'x') end";
    redis.command(&["EVAL", script, "0"]).await;
    redis.command(&["SAVE"]).await;
    redis.begin_restart();
    until::some("it is loading", || async {
        tokio::net::TcpStream::connect(redis.address()).await.ok()
    })
    .await;
    let loading = redis.ask("GET x").await;
    assert!(loading.contains("LOADING"), "{loading}");
    let began = Instant::now();
    let mut slowest = Duration::ZERO;
    while redis.ask("GET x").await.contains("LOADING") {
        let (_, took) = served_or_later(&scene, &ann).await;
        slowest = slowest.max(took);
        assert!(began.elapsed() < until::PATIENCE, "loads for ever");
    }
    let loaded = began.elapsed();
    let back = sign_ins_work(&scene).await;
    println!("loaded after {loaded:?}, then back after {back:?}; slowest {slowest:?}");
    assert!(
        slowest > Duration::ZERO,
        "nobody asked while it was loading"
    );
    assert!(slowest < Duration::from_millis(1100), "{slowest:?}");
    assert!(back < Duration::from_secs(3), "{back:?}");
    is_served(&scene, &ann).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn r10_a_redis_that_cannot_save_refuses_sign_ins_and_says_why() {
    let name = "r10_a_redis_that_cannot_save_refuses_sign_ins_and_says_why";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let redis = Redis::start().await;
    let scene = scene(&redis.lines()).await;
    let ann = scene.signed_in(User::ann()).await;
    // A folder where the snapshot should be: saving fails, then all writes do.
    let snapshot = redis.folder().join("dump.rdb");
    std::fs::create_dir(&snapshot).expect("folder");
    redis.command(&["CONFIG", "SET", "save", "900 1"]).await;
    redis.command(&["BGSAVE"]).await;
    until::some("writes are refused", || async {
        redis.ask("SET x y").await.contains("MISCONF").then_some(())
    })
    .await;
    is_served(&scene, &ann).await;
    let codes = scene.provider.count(Endpoint::Code);
    let answer = Browser::new().open(&scene.gateway.url("/hello")).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(
        scene.provider.count(Endpoint::Code),
        codes,
        "a code was spent"
    );
    until::holds("the reason is told", || {
        scene.gateway.log().contains("MISCONF")
    })
    .await;
    is_served(&scene, &ann).await;
    redis.command(&["CONFIG", "SET", "save", ""]).await;
    let back = sign_ins_work(&scene).await;
    println!("back after {back:?}");
    assert!(back < Duration::from_secs(2), "{back:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn r10_a_redis_without_room_for_connections_keeps_those_it_has() {
    let name = "r10_a_redis_without_room_for_connections_keeps_those_it_has";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let redis = Redis::start().await;
    let mut scene = scene(&redis.lines()).await;
    let ann = scene.signed_in(User::ann()).await;
    let client = ::redis::Client::open(format!("redis://{}/", redis.address())).expect("url");
    let mut operator = client
        .get_multiplexed_async_connection()
        .await
        .expect("connects");
    let mut set = ::redis::cmd("CONFIG");
    set.arg(&["SET", "maxclients", "1"]);
    set.exec_async(&mut operator).await.expect("set");
    is_served(&scene, &ann).await;
    sign_ins_work(&scene).await;
    // A gateway that starts now finds no room.
    let second = scene.gateway.plan().replica().start_unready().await;
    let twin = ann.twin();
    twin.detour(&scene.gateway.authority(), second.address());
    let answer = twin.fetch("GET", &scene.gateway.url("/x"), &[]).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    let mut set = ::redis::cmd("CONFIG");
    set.arg(&["SET", "maxclients", "100"]);
    set.exec_async(&mut operator).await.expect("set");
    until::some("there is room", || async {
        let answer = twin.fetch("GET", &scene.gateway.url("/x"), &[]).await;
        (answer.status == 200).then_some(())
    })
    .await;
    scene.gateway.ready().await;
}
