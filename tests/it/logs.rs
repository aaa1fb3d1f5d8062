//! A whole life with everything logged, and no secret to be found anywhere.

use std::time::Duration;

use crate::harness::browser::Browser;
use crate::harness::part::{self, Part};
use crate::harness::provider::{Endpoint, Fault, Signing, User};
use crate::harness::redis::{PASSWORD, Redis};
use crate::harness::scene::{Scene, session_cookie};
use crate::harness::{secrets, wire};

/// Sign-ins that work and that fail, a refresh that works and that fails, a
/// sign-out. Gives every secret that occurred.
async fn live(scene: &Scene) -> Vec<String> {
    let mut found = Vec::new();
    scene.provider.set(|script| script.access_lifetime = 1);
    let ann = scene.signed_in(User::ann()).await;
    found.push(session_cookie(&ann));
    let headers = [("authorization", "Bearer applications-own-secret-0001")];
    ann.fetch(
        "GET",
        &scene.gateway.url("/x?token=in-the-query-0001"),
        &headers,
    )
    .await;
    found.push("applications-own-secret-0001".to_owned());
    tokio::time::sleep(Duration::from_millis(1200)).await;
    ann.fetch("GET", &scene.gateway.url("/x"), &[]).await;
    let fault = Fault::Respond {
        status: 500,
        content_type: "text/html",
        body: "secret-provider-page-0001".to_owned(),
    };
    scene.provider.fail(
        Endpoint::Refresh,
        [fault.clone(), fault.clone(), fault.clone()],
    );
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let answer = ann.fetch("GET", &scene.gateway.url("/x"), &[]).await;
    assert!(!answer.text().contains("secret-provider-page"));

    scene.provider.fail(Endpoint::Code, [fault]);
    let mut pages = vec![Browser::new().open(&scene.gateway.url("/x")).await];
    scene
        .provider
        .set(|script| script.signing = Signing::Flipped);
    pages.push(Browser::new().open(&scene.gateway.url("/x")).await);
    scene
        .provider
        .set(|script| script.signing = Signing::Proper("ES256".to_owned()));
    let browser = Browser::new();
    let callback = scene.callback_of(&browser).await;
    pages.push(Browser::new().step(callback.as_str()).await);
    found.extend(browser.cookies().into_iter().map(|cookie| cookie.value));
    let own = scene.gateway.own("/");
    pages.push(ann.submit(&own, &scene.gateway.own("/sign_out"), &[]).await);
    found.extend(scene.provider.secrets());
    for page in pages {
        secrets::absent(&format!("page {}", page.url.path()), &page.body, &found);
    }
    found
}

#[tokio::test]
async fn sec_log_01_no_secret_at_any_level() {
    let scene = Scene::with("oidc-plain", |plan| plan.log_level("trace")).await;
    let found = live(&scene).await;
    secrets::absent("log", scene.gateway.log().as_bytes(), &found);
    let metrics = scene.gateway.admin("/metrics").await.expect("metrics");
    secrets::absent("metrics", &metrics.body, &found);
    for entry in std::fs::read_dir(scene.gateway.plan().folder()).expect("folder") {
        let path = entry.expect("entry").path();
        if path.to_string_lossy().contains(".db") {
            secrets::absent("database", &std::fs::read(&path).expect("file"), &found);
        }
    }
}

#[tokio::test]
async fn sec_log_02_access_log_tells_the_path_only() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    let headers = [("referer", "http://app.localhost/from?secret=referer-0001")];
    ann.fetch(
        "GET",
        &scene.gateway.url("/told?token=in-the-query-0001"),
        &headers,
    )
    .await;
    crate::harness::until::holds("the access log has it", || {
        scene.gateway.log().contains("/told")
    })
    .await;
    let log = scene.gateway.log();
    for secret in ["in-the-query-0001", "referer-0001", "code=", "state="] {
        assert!(!log.contains(secret), "the log tells {secret}");
    }
}

#[tokio::test]
async fn sec_log_03_what_users_send_forges_no_record() {
    let scene = Scene::start().await;
    let agents = [
        "\u{1b}[2J",
        "quote\" and \\ slash",
        "\u{202e}over",
        &"u".repeat(20_000),
    ];
    for agent in agents {
        let text = format!(
            "GET /forged%0a%7B%22level%22%3A1%7D HTTP/1.1\r\nHost: {}\r\nUser-Agent: {agent}\r\nX-Request-Id: {agent}\r\nConnection: close\r\n\r\n",
            scene.gateway.authority()
        );
        wire::raw(
            scene.gateway.address(),
            text.as_bytes(),
            Duration::from_secs(5),
        )
        .await;
    }
    for line in scene
        .gateway
        .log()
        .lines()
        .filter(|line| line.starts_with('{'))
    {
        serde_json::from_str::<serde_json::Value>(line)
            .unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line.len() < 16 * 1024, "{} bytes in one record", line.len());
        assert!(!line.contains('\u{1b}'));
    }
}

#[tokio::test]
async fn sec_ses_22_redis_knows_nothing_in_clear() {
    if !part::have("sec_ses_22_redis_knows_nothing_in_clear", &[Part::Redis]) {
        return;
    }
    let redis = Redis::with_access_list().await;
    let scene = Scene::with("oidc-plain", |plan| {
        plan.redis(&redis.lines_of_access_list())
    })
    .await;
    let found = live(&scene).await;
    secrets::absent(
        "log",
        scene.gateway.log().as_bytes(),
        &[PASSWORD.to_owned()],
    );
    let disk = redis.bytes_on_disk();
    assert!(disk.len() > 1000, "nothing was written");
    secrets::absent("redis", &disk, &found);
    let text = String::from_utf8_lossy(&disk);
    for personal in ["ann@corp.test", "sub-ann", "Ann Example"] {
        assert!(!text.contains(personal), "redis tells {personal}");
    }
}
