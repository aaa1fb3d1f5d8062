//! Workers carry requests. What takes longer is worked off beside them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use crate::harness::provider::User;
use crate::harness::scene::Scene;

const SIGN_INS: u32 = 5;

/// What sign-ins cost the one worker, and the threads beside it.
async fn cost_of_sign_ins(scene: &Scene) -> (Duration, Duration) {
    let used = || {
        let gateway = &scene.gateway;
        (gateway.cpu_of("worker-"), gateway.cpu_of("control"))
    };
    let before = used();
    for _ in 0..SIGN_INS {
        scene.signed_in(User::ann()).await;
    }
    let after = used();
    ((after.0 - before.0), (after.1 - before.1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_provider_answers_is_read_beside_the_workers() {
    let scene = Scene::with("claims-in-userinfo", |plan| plan.server("workers = 1\n")).await;
    // The first one pays for what is made once.
    scene.signed_in(User::ann()).await;
    let (worker, beside) = cost_of_sign_ins(&scene).await;
    let much: Vec<String> = (0..20_000).map(|n| format!("a value number {n}")).collect();
    scene.provider.set(|script| {
        script.alter_userinfo = Some(Arc::new(move |claims| {
            claims.insert("much".to_owned(), json!(much));
        }));
    });
    let (worker_more, beside_more) = cost_of_sign_ins(&scene).await;
    let (worker, beside) = (
        worker_more.saturating_sub(worker),
        beside_more.saturating_sub(beside),
    );
    // Half a megabyte of JSON, five times.
    assert!(
        beside > Duration::from_millis(20),
        "no work to be seen: {beside:?} beside, {worker:?} on the worker"
    );
    assert!(
        worker * 4 < beside,
        "a worker reads what the provider says: {worker:?}, beside it {beside:?}"
    );
}
