//! The disk of the embedded store: full, broken, and a file that was damaged.

use std::time::Duration;

use tokio::time::Instant;

use crate::harness::browser::Browser;
use crate::harness::disk::Disk;
use crate::harness::gateway::Plan;
use crate::harness::provider::{Endpoint, Provider, User};
use crate::harness::scene::Scene;
use crate::harness::until;
use crate::harness::upstream::Upstream;
use crate::harness::wire::Answer;

async fn scene_on_a_disk() -> (Disk, Scene) {
    let provider = Provider::start("oidc-plain").await;
    let upstream = Upstream::start().await;
    let (disk, plan) = Disk::under(Plan::new(&provider.issuer, &upstream.url()));
    let gateway = plan.start().await;
    let scene = Scene {
        provider,
        upstream,
        gateway,
    };
    (disk, scene)
}

async fn asked(scene: &Scene, browser: &Browser) -> Answer {
    browser.fetch("GET", &scene.gateway.url("/x"), &[]).await
}

async fn sign_out(scene: &Scene, browser: &Browser) -> u16 {
    let origin = scene.gateway.url("");
    let headers = [
        ("origin", origin.as_str()),
        ("content-type", "application/x-www-form-urlencoded"),
    ];
    let url = scene.gateway.own("/sign_out");
    let answer = browser.fetch("POST", &url, &headers).await;
    answer.status.as_u16()
}

/// A sign-in fails with a promise to be back, before its code is spent.
async fn no_sign_in(scene: &Scene) {
    let codes = scene.provider.count(Endpoint::Code);
    let answer = Browser::new().open(&scene.gateway.url("/hello")).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_ne!(answer.header("retry-after"), "");
    assert_eq!(scene.provider.count(Endpoint::Code), codes, "code unspent");
}

async fn sign_ins_resume(scene: &Scene) -> Duration {
    let began = Instant::now();
    until::some("sign-ins resume", || async {
        let answer = Browser::new().open(&scene.gateway.url("/hello")).await;
        (answer.status == 200).then_some(())
    })
    .await;
    began.elapsed()
}

#[tokio::test]
async fn g8_on_a_full_disk_sessions_go_on_and_end_and_sign_ins_wait() {
    let (disk, mut scene) = scene_on_a_disk().await;
    let ann = scene.signed_in(User::ann()).await;
    let bob = scene.signed_in(User::bob()).await;
    let carol = scene.signed_in(User::ann()).await;
    disk.is_full();
    // Nothing has noticed yet, or the store's own check just did.
    assert!(matches!(sign_out(&scene, &ann).await, 200 | 303));
    assert_eq!(asked(&scene, &ann).await.status, 401);
    no_sign_in(&scene).await;
    until::holds("it is said once", || {
        scene.gateway.log().contains("is full")
    })
    .await;
    for _ in 0..20 {
        assert_eq!(asked(&scene, &bob).await.status, 200);
    }
    let thief = carol.twin();
    assert!(matches!(sign_out(&scene, &carol).await, 200 | 303));
    // What was said in reserved room survives a crash, and the gateway starts.
    scene.gateway.kill();
    scene.gateway.restart_unready().await;
    assert_eq!(asked(&scene, &bob).await.status, 200);
    assert_eq!(asked(&scene, &thief).await.status, 401);
    no_sign_in(&scene).await;
    assert!(matches!(sign_out(&scene, &bob).await, 200 | 303));

    disk.is_well();
    let took = sign_ins_resume(&scene).await;
    assert!(took < Duration::from_secs(4), "{took:?}");
    println!("writes resumed after {} ms", took.as_millis());
    assert_eq!(asked(&scene, &thief).await.status, 401);
    assert!(scene.gateway.log().contains("takes writes again"));
    assert!(!scene.gateway.log().contains("panicked"));
}

#[tokio::test]
async fn g8_on_a_broken_disk_sessions_are_read_and_nothing_panics() {
    let (disk, scene) = scene_on_a_disk().await;
    let ann = scene.signed_in(User::ann()).await;
    disk.is_broken();
    no_sign_in(&scene).await;
    until::holds("it is said", || scene.gateway.log().contains("fails")).await;
    for _ in 0..20 {
        assert_eq!(asked(&scene, &ann).await.status, 200);
    }
    // Nothing durable can be promised, so nothing is.
    assert_eq!(sign_out(&scene, &ann).await, 503);
    disk.is_well();
    let took = sign_ins_resume(&scene).await;
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert!(matches!(sign_out(&scene, &ann).await, 200 | 303));
    assert_eq!(asked(&scene, &ann).await.status, 401);
    assert!(!scene.gateway.log().contains("panicked"));
}

#[tokio::test]
async fn g9_a_damaged_database_stops_the_start() {
    let scene = Scene::start().await;
    let plan = scene.gateway.plan().clone();
    scene.signed_in(User::ann()).await;
    let Scene { mut gateway, .. } = scene;
    gateway.signal("TERM");
    assert!(gateway.ended().await.success());
    let path = plan.folder().join("vestibule.db");
    // Closed properly: everything is in the one file.
    rusqlite::Connection::open(&path)
        .and_then(|database| database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)"))
        .expect("closed");
    let whole = std::fs::read(&path).expect("the database");
    for damaged in [&whole[..0], &whole[..whole.len() / 2]] {
        std::fs::write(&path, damaged).expect("written");
        let (status, log) = plan.ends(&["serve"]).await;
        assert!(!status.success(), "{log}");
        for part in ["vestibule.db", "damaged", "restore", "move it"] {
            assert!(log.contains(part), "{part}: {log}");
        }
    }
    std::fs::write(&path, &whole).expect("written");
    plan.start().await;
}
