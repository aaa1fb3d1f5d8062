//! More sessions than a gateway may keep in memory: it stays within its
//! bounds, and everybody is served all the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream;

use crate::harness::gateway::Plan;
use crate::harness::keep_alive::KeepAlive;
use crate::harness::mirror::Mirror;
use crate::harness::part::{self, Part};
use crate::harness::planted::Planter;
use crate::harness::provider::Provider;
use crate::harness::redis::Redis;
use crate::harness::until;

const MIB: usize = 1024 * 1024;
/// What the sessions in memory may take.
const BOUND: usize = 256 * MIB;
/// Beside them: the allocator's losses on what comes and goes.
const SLACK: usize = 128 * MIB;
const READERS: usize = 8;

/// `count` sessions with `groups` groups each, all read so many times.
async fn bounded(name: &str, count: usize, groups: usize, times: usize) {
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let words = ["--appendfsync", "no", "--appendonly", "no"];
    let redis = Redis::start_with(&words).await;
    let provider = Provider::start("oidc-plain").await;
    let mirror = Mirror::start().await;
    let plan = Plan::new(&provider.issuer, &mirror.url())
        .route("identity = \"none\"")
        .redis(&redis.lines())
        .log_level("info");
    let planter = Planter::of(&plan);
    let gateway = plan.start().await;
    let planting = (0..count).map(|number| planter.person_of(format!("p-{number}"), groups));
    // The cookies are all that stays of them here.
    let cookies: Vec<String> = stream::iter(planting)
        .buffered(64)
        .map(|person| person.cookie)
        .collect()
        .await;
    let before = gateway.peak_memory();
    for _ in 0..times {
        let next = Arc::new(AtomicUsize::new(0));
        let readers = (0..READERS).map(|_| async {
            let mut line = KeepAlive::to(&gateway);
            while let Some(cookie) = cookies.get(next.fetch_add(1, Ordering::Relaxed)) {
                let (status, text) = line.get("/x", cookie).await.expect("an answer");
                assert_eq!(status, 200, "{text}");
            }
        });
        join_all(readers).await;
    }
    let grown = gateway.peak_memory() - before;
    let metric = async |name: &str| {
        gateway
            .metric(&format!("vestibule_session_cache_{name}"))
            .await
    };
    let (entries, bytes) = (metric("entries").await, metric("bytes").await);
    let evicted = metric("removals_total{reason=\"evicted\"").await;
    println!(
        "{name}: {count} sessions, {entries} kept with {} MiB, {evicted} evicted, memory grew by {} MiB",
        bytes as usize / MIB,
        grown / MIB
    );
    assert!(bytes as usize <= BOUND, "{bytes}");
    assert!(grown <= BOUND + SLACK, "{} MiB", grown / MIB);
    // It did keep some, and not all.
    assert!(entries > 0.0 && evicted > 0.0, "{entries} {evicted}");
    assert!(entries + evicted >= count as f64);
    // Those who come again and again are not driven out by those who pass.
    let mut line = KeepAlive::to(&gateway);
    let hits = "lookups_total{outcome=\"hit\"";
    let before = metric(hits).await;
    for number in 0..200 {
        for cookie in [&cookies[0], &cookies[1 + number % (count - 1)]] {
            let (status, _) = line.get("/x", cookie).await.expect("an answer");
            assert_eq!(status, 200);
        }
    }
    let counted = || async { (metric(hits).await - before >= 195.0).then_some(()) };
    until::some("whoever is always there is known", counted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_of_sessions_is_bounded_in_bytes() {
    let name = "the_memory_of_sessions_is_bounded_in_bytes";
    bounded(name, 2600, 2000, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_of_many_small_sessions_is_bounded() {
    let name = "the_memory_of_many_small_sessions_is_bounded";
    if part::long() {
        bounded(name, 200_000, 2, 1).await;
    }
}
