//! SIGTERM: no new connections, running answers go on for a while.

use std::time::Duration;

use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::harness::provider::User;
use crate::harness::scene::Scene;
use crate::harness::{until, wire};

const SOON: Duration = Duration::from_secs(5);

/// An event stream whose first event has come.
async fn stream(scene: &Scene) -> http::Response<hyper::body::Incoming> {
    let ann = scene.signed_in(User::ann()).await;
    let url = url::Url::parse(&scene.gateway.url("/sse")).expect("url");
    let request = wire::request_for(&url, "GET")
        .header("accept", "text/event-stream")
        .header("cookie", ann.cookie_header(url.as_str()))
        .body(Default::default())
        .expect("request");
    let mut response = wire::send(scene.gateway.address(), request)
        .await
        .expect("answer");
    assert_eq!(event(&mut response).await.as_deref(), Some("data: one\n\n"));
    response
}

/// The next piece of the body; `None` at its end, however it ends.
async fn event(response: &mut http::Response<hyper::body::Incoming>) -> Option<String> {
    let frame = timeout(SOON * 2, response.body_mut().frame())
        .await
        .expect("in time");
    let data = frame?.ok()?.into_data().ok()?;
    Some(String::from_utf8_lossy(&data).into_owned())
}

async fn refuses_connections(scene: &Scene) {
    until::some("no new connections", || async {
        let refused = tokio::net::TcpStream::connect(scene.gateway.address()).await;
        refused.is_err().then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_event_stream_goes_on_to_its_end_while_draining() {
    let mut scene = Scene::with("oidc-plain", |plan| plan.limits("drain = \"60s\"")).await;
    let mut response = stream(&scene).await;
    scene.gateway.signal("TERM");
    refuses_connections(&scene).await;
    scene.gateway.admin_answers("/readyz", 503).await;
    scene.gateway.admin_answers("/livez", 200).await;
    scene.upstream.release();
    let second = event(&mut response).await;
    assert_eq!(second.as_deref(), Some("data: two\n\n"));
    scene.upstream.release();
    assert_eq!(event(&mut response).await, None);
    // The last answer is over, so it need not wait any longer.
    assert!(scene.gateway.ended().await.success());
}

#[tokio::test]
async fn an_event_stream_without_end_is_cut_when_the_drain_is_over() {
    let mut scene = Scene::with("oidc-plain", |plan| plan.limits("drain = \"1s\"")).await;
    let mut response = stream(&scene).await;
    scene.gateway.signal("TERM");
    assert_eq!(event(&mut response).await, None);
    assert!(scene.gateway.ended().await.success());
}
