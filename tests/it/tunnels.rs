//! Websockets live no longer than the session that opened them, and only
//! pages of ours open them.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::browser::Browser;
use crate::harness::provider::{Endpoint, User};
use crate::harness::scene::Scene;
use crate::harness::websocket;

async fn opened(scene: &Scene, browser: &Browser) -> WebSocketStream<TcpStream> {
    let cookie = browser.cookie_header(&scene.gateway.url("/ws"));
    let origin = scene.gateway.url("");
    websocket::open(&scene.gateway, Some(&cookie), Some(&origin))
        .await
        .expect("upgrades")
}

async fn echoes(socket: &mut WebSocketStream<TcpStream>) -> bool {
    if socket.send(Message::text("there?")).await.is_err() {
        return false;
    }
    let answer = timeout(Duration::from_secs(5), socket.next()).await;
    matches!(answer, Ok(Some(Ok(message))) if message.is_text())
}

/// Waits until the other side hangs up.
async fn closed_within(socket: &mut WebSocketStream<TcpStream>, limit: Duration) -> bool {
    let closed = async { while matches!(socket.next().await, Some(Ok(_))) {} };
    timeout(limit, closed).await.is_ok()
}

#[tokio::test]
async fn a_sign_out_closes_the_tunnels_of_its_session_within_five_seconds() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    let bob = scene.signed_in(User::bob()).await;
    let mut first = opened(&scene, &ann).await;
    let mut second = opened(&scene, &ann).await;
    let mut of_bob = opened(&scene, &bob).await;
    for socket in [&mut first, &mut second, &mut of_bob] {
        assert!(echoes(socket).await);
    }
    let page = scene.gateway.own("/");
    let sign_out = scene.gateway.own("/sign_out");
    ann.submit(&page, &sign_out, &[]).await;
    for socket in [&mut first, &mut second] {
        assert!(closed_within(socket, Duration::from_secs(5)).await);
    }
    assert!(echoes(&mut of_bob).await, "another person's tunnel goes on");
}

#[tokio::test]
async fn a_session_that_the_provider_ended_takes_its_tunnels_along() {
    let scene = Scene::with("oidc-plain", |plan| plan).await;
    scene.provider.set(|script| script.access_lifetime = 2);
    let ann = scene.signed_in(User::ann()).await;
    let mut socket = opened(&scene, &ann).await;
    assert!(echoes(&mut socket).await);
    scene.provider.revoke_everything();
    crate::harness::until::some("the provider's refusal ends the session", || async {
        let answer = ann.fetch("GET", &scene.gateway.url("/x"), &[]).await;
        (answer.status == 401).then_some(())
    })
    .await;
    assert!(scene.provider.count(Endpoint::Refresh) > 0);
    assert!(closed_within(&mut socket, Duration::from_secs(5)).await);
}

#[tokio::test]
async fn sec_hdr_23_pages_of_other_origins_open_no_websocket() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    let cookie = ann.cookie_header(&scene.gateway.url("/ws"));
    let port = scene.gateway.address().port();
    let foreign = [
        "https://evil.test".to_owned(),
        "null".to_owned(),
        // A sibling of the same site, which brings the cookie along.
        format!("http://other.app.localhost:{port}"),
        "http://app.localhost".to_owned(),
        format!("https://app.localhost:{port}"),
        "app.localhost".to_owned(),
        String::new(),
    ];
    for origin in foreign {
        let refused = websocket::open(&scene.gateway, Some(&cookie), Some(&origin)).await;
        assert_eq!(refused.err(), Some(403), "{origin:?}");
    }
    let requests = scene.upstream.requests();
    assert!(requests.iter().all(|echo| echo.target != "/ws"));
    crate::harness::until::some("the reason in the access log", || async {
        let log = scene.gateway.log();
        log.contains("upgrade_cross_site").then_some(())
    })
    .await;
    // What is no browser sends no Origin and no cookie by itself.
    let plain = websocket::open(&scene.gateway, Some(&cookie), None).await;
    assert!(echoes(&mut plain.expect("upgrades")).await);
}
