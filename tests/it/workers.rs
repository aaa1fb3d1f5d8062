//! Workers carry requests. What takes longer is worked off beside them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;

use crate::harness::gateway::{Gateway, Plan};
use crate::harness::keep_alive::KeepAlive;
use crate::harness::provider::{Provider, User};
use crate::harness::scene::Scene;
use crate::harness::{tls, until, wire};

const SIGN_INS: u32 = 5;
/// Of what is quicker.
const TIMES: usize = 300;

/// What `work` costs the one worker, and the threads beside it.
async fn cost(gateway: &Gateway, work: impl Future<Output = ()>) -> (Duration, Duration) {
    let used = || (gateway.cpu_of("worker-"), gateway.cpu_of("control"));
    let before = used();
    work.await;
    let after = used();
    ((after.0 - before.0), (after.1 - before.1))
}

async fn cost_of_sign_ins(scene: &Scene) -> (Duration, Duration) {
    let work = async {
        for _ in 0..SIGN_INS {
            scene.signed_in(User::ann()).await;
        }
    };
    cost(&scene.gateway, work).await
}

/// Of visits on one connection, each answered with `status`.
async fn cost_of_visits(gateway: &Gateway, path: &str, status: u16) -> (Duration, Duration) {
    let mut connection = KeepAlive::to(gateway);
    let work = async {
        for _ in 0..TIMES {
            let (told, body) = connection.navigate(path).await.expect(path);
            assert_eq!(told, status, "{path}: {body}");
        }
    };
    cost(gateway, work).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sign_ins_and_pages_are_made_beside_the_workers() {
    let scene = Scene::with("oidc-plain", |plan| {
        let closed = "rules = [ { path = \"/closed\", lane = \"deny\" } ]\n";
        plan.server("workers = 1\n").route(closed)
    })
    .await;
    let gateway = &scene.gateway;
    scene.signed_in(User::ann()).await;
    // A few lines of JSON, made in place: what a request costs that needs
    // nothing.
    let mut connection = KeepAlive::to(gateway);
    let work = async {
        for _ in 0..TIMES {
            let (told, body) = connection.get("/closed", "none").await.expect("an answer");
            assert_eq!(told, 403, "{body}");
        }
    };
    let (least, beside) = cost(gateway, work).await;
    assert!(
        beside * 10 < least,
        "JSON goes far: {least:?}, beside it {beside:?}"
    );
    for (path, status) in [
        ("/closed", 403),
        ("/hello", 302),
        ("/oauth2/start", 302),
        ("/oauth2/sign_out", 200),
    ] {
        let (worker, beside) = cost_of_visits(gateway, path, status).await;
        assert!(
            worker * 5 < least * 8 && beside * 5 > least,
            "{path}: {worker:?} on the worker, where {least:?} would do; beside it {beside:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_store_answers_is_read_beside_the_workers() {
    // The application is told nothing of the groups.
    let mut scene = Scene::with("claims-in-userinfo", |plan| {
        plan.server("workers = 1\n").route("identity = \"none\"\n")
    })
    .await;
    let groups: Vec<String> = (0..2_000).map(|n| format!("a group number {n}")).collect();
    let mut people = Vec::new();
    for _ in 0..SIGN_INS {
        let ann = User::ann().with("groups", json!(groups));
        people.push(scene.signed_in(ann).await);
    }
    scene.gateway.restart().await;
    let url = scene.gateway.url("/x");
    let visits = || async {
        for person in &people {
            assert_eq!(person.fetch("GET", &url, &[]).await.status, 200);
        }
    };
    let first = cost(&scene.gateway, visits()).await;
    let (known, _) = cost(&scene.gateway, visits()).await;
    let (worker, beside) = (first.0.saturating_sub(known), first.1);
    assert!(
        worker * 2 < beside,
        "a worker reads sessions: {worker:?}, beside it {beside:?}"
    );
}

/// The refusal of what is too much must not wait for what there is too much of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_beyond_the_limit_are_refused_in_place() {
    let provider = Provider::start("oidc-plain").await;
    let application = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let upstream = application.local_addr().expect("its address");
    let route = format!(
        "[route.app]\nupstream = \"http://{upstream}\"\n\
         rules = [ {{ path = \"/*\", lane = \"public\" }} ]\n"
    );
    let gateway = Plan::bare(&provider.issuer)
        .server("workers = 1\n")
        .limits("in_flight = 1\n")
        .route(&route)
        .start()
        .await;
    let mut waits = KeepAlive::to(&gateway);
    let waits = tokio::spawn(async move { waits.navigate("/slow").await });
    let (_never_answered, _) = application.accept().await.expect("a request");
    let (worker, beside) = cost_of_visits(&gateway, "/x", 503).await;
    assert!(
        beside * 10 < worker,
        "{worker:?} on the worker, beside it {beside:?}"
    );
    waits.abort();
    // Its place is free again.
    let nowhere = gateway.own("/nothing");
    until::some("a place", || async {
        (wire::get(&nowhere).await.status == 404).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handshakes_are_worked_off_beside_the_workers() {
    let scene = Scene::with("oidc-plain", |plan| plan.tls().server("workers = 1\n")).await;
    drop(tls::connect(&scene.gateway, "http/1.1").await);
    let work = async {
        for _ in 0..TIMES {
            drop(tls::connect(&scene.gateway, "http/1.1").await);
        }
    };
    let used = || scene.gateway.cpu_of("handshakes");
    let before = used();
    let (worker, control) = cost(&scene.gateway, work).await;
    let beside = used() - before;
    assert!(
        worker < beside && control * 10 < beside,
        "a worker shakes hands, or who serves the store: {worker:?}, {control:?}, beside {beside:?}"
    );
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
