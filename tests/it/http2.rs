//! HTTP/2 on both sides: clients over TLS, applications in plain text (h2c),
//! streams with trailers as gRPC uses them.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Request, StatusCode};
use http_body_util::StreamBody;
use hyper::body::Frame;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;

use crate::harness::chromium::Chromium;
use crate::harness::gateway::{Gateway, Plan};
use crate::harness::h2_application::Application;
use crate::harness::h2_client::{Client, Told};
use crate::harness::part::{self, Part};
use crate::harness::provider::{Provider, User};
use crate::harness::tls;
use crate::harness::upstream::Upstream;

struct Stage {
    application: Application,
    gateway: Gateway,
    _provider: Provider,
}

impl Stage {
    async fn start(more: &str) -> Self {
        let application = Application::start().await;
        let provider = Provider::start("oidc-plain").await;
        let route = format!(
            "[route.app]\nupstream = \"{}\"\nresponse_timeout = \"2s\"\n\
             rules = [ {{ path = \"/*\", lane = \"public\" }} ]\n{more}",
            application.url()
        );
        let gateway = Plan::bare(&provider.issuer)
            .route(&route)
            .tls()
            .start()
            .await;
        Self {
            application,
            gateway,
            _provider: provider,
        }
    }
}

#[tokio::test]
async fn a_stream_with_trailers_goes_through_both_sides() {
    let stage = Stage::start("").await;
    let client = Client::of(&stage.gateway).await;
    let headers = [
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        ("grpc-timeout", "1S"),
        ("remote-user", "admin"),
        ("x-kept", "1"),
    ];
    let told = client
        .ask("/pkg.Service/Call?x=1", &headers, Bytes::from("hello"))
        .await
        .expect("an answer");
    assert_eq!(told.status, StatusCode::OK);
    assert_eq!(told.trailers["grpc-status"], "0");
    assert!(!told.trailers.contains_key("remote-user"));
    let seen = told.json();
    assert_eq!(seen["version"], "HTTP/2.0");
    let authority = stage.gateway.authority();
    assert_eq!(
        seen["target"],
        format!("http://{authority}/pkg.Service/Call?x=1")
    );
    assert_eq!(seen["headers"]["te"], "trailers");
    assert_eq!(seen["headers"]["grpc-timeout"], "1S");
    assert_eq!(seen["headers"]["x-kept"], "1");
    assert_eq!(seen["headers"]["remote-user"], Value::Null);
    assert_eq!(seen["headers"]["x-forwarded-proto"], "https");
    assert_eq!(seen["length"], 5);
}

#[tokio::test]
async fn many_streams_share_connections_and_one_that_is_late_ends_alone() {
    let stage = Stage::start("").await;
    let client = Client::of(&stage.gateway).await;
    let slow = (0..40).map(|_| client.ask("/slow", &[], Bytes::new()));
    let (slow, late) = tokio::join!(join_all(slow), client.ask("/never", &[], Bytes::new()));
    for told in slow {
        assert_eq!(told.expect("an answer").status, StatusCode::OK);
    }
    assert_eq!(late.expect("a page").status, StatusCode::GATEWAY_TIMEOUT);
    let state = &stage.application.state;
    assert!(state.most.load(Ordering::SeqCst) > 10, "beside one another");
    let connections = state.connections.load(Ordering::SeqCst);
    assert!(connections <= 4, "{connections} connections");
    let told = client.ask("/again", &[], Bytes::new()).await;
    assert_eq!(told.expect("an answer").status, StatusCode::OK);
}

#[tokio::test]
async fn an_application_that_closes_its_connections_fails_no_request() {
    let stage = Stage::start("").await;
    stage
        .application
        .state
        .hurried
        .store(true, Ordering::SeqCst);
    let client = Client::of(&stage.gateway).await;
    for number in 0..30 {
        let told = client.ask("/x", &[], Bytes::new()).await;
        let told = told.expect("an answer");
        let text = String::from_utf8_lossy(&told.body).into_owned();
        assert_eq!(told.status, StatusCode::OK, "{number}: {text}");
    }
}

#[tokio::test]
async fn a_large_body_passes_and_one_that_is_too_large_does_not() {
    let stage = Stage::start("max_body = \"2MiB\"\n").await;
    let client = Client::of(&stage.gateway).await;
    let body = Bytes::from(vec![b'a'; 1024 * 1024]);
    let told = client.ask("/up", &[], body).await.expect("an answer");
    assert_eq!(told.json()["length"], 1024 * 1024);
    let body = Bytes::from(vec![b'a'; 3 * 1024 * 1024]);
    if let Ok(told) = client.ask("/up", &[], body).await {
        assert_eq!(told.status, StatusCode::PAYLOAD_TOO_LARGE);
    }
    let told = client.ask("/x", &[], Bytes::new()).await;
    assert_eq!(told.expect("an answer").status, StatusCode::OK);
}

#[tokio::test]
async fn an_upload_may_take_longer_than_its_answer() {
    let stage = Stage::start("").await;
    let stream = tls::connect(&stage.gateway, "h2").await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("HTTP/2");
    tokio::spawn(connection);
    let pieces = futures_util::stream::unfold(0, |sent| async move {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let piece = Frame::data(Bytes::from_static(&[b'a'; 8 * 1024]));
        (sent < 8).then_some((Ok::<_, std::convert::Infallible>(piece), sent + 1))
    });
    let request = Request::post(format!("{}/up", stage.gateway.plan().origin()))
        .body(StreamBody::new(Box::pin(pieces)))
        .expect("request");
    let answer = sender.send_request(request).await.expect("an answer");
    assert_eq!(
        answer.status(),
        StatusCode::OK,
        "4 s, with response_timeout = 2 s"
    );
}

#[tokio::test]
async fn sec_dos_11_an_application_that_rests_in_its_answer_ends_its_stream_alone() {
    let application = Application::start().await;
    let provider = Provider::start("oidc-plain").await;
    let route = format!(
        "[route.app]\nupstream = \"{}\"\n\
         rules = [ {{ path = \"/*\", lane = \"public\" }} ]\n",
        application.url()
    );
    let plan = Plan::bare(&provider.issuer).route(&route).tls();
    let gateway = plan.limits("body_idle = \"1s\"\n").start().await;
    let client = Client::of(&gateway).await;
    let ask =
        |path| tokio::time::timeout(Duration::from_secs(6), client.ask(path, &[], Bytes::new()));
    let (plain, rpc) = tokio::join!(ask("/rests"), ask("/rests/rpc"));
    assert!(plain.expect("never ended").is_err());
    assert!(rpc.is_err(), "a stream of RPCs may be silent");
    let told = client.ask("/x", &[], Bytes::new()).await;
    assert_eq!(told.expect("an answer").status, StatusCode::OK);
}

/// In HTTP/2 a body needs no field that announces it.
#[tokio::test]
async fn sec_hdr_22_a_preflight_with_a_body_is_none() {
    let application = Application::start().await;
    let provider = Provider::start("oidc-plain").await;
    let route = format!(
        "[route.app]\nupstream = \"{}\"\naccess = \"signed-in\"\npreflight = \"pass\"\n",
        application.url()
    );
    let plan = Plan::bare(&provider.issuer).route(&route).tls();
    let gateway = plan.start().await;
    let stream = tls::connect(&gateway, "h2").await;
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .expect("HTTP/2");
    tokio::spawn(connection);
    for (body, status) in [
        ("", StatusCode::OK),
        ("delete everything", StatusCode::UNAUTHORIZED),
    ] {
        let frames = (!body.is_empty()).then(|| {
            let data = Frame::data(Bytes::from(body));
            Ok::<_, std::convert::Infallible>(data)
        });
        let frames = futures_util::stream::iter(frames);
        let body: http_body_util::Either<_, _> = match body.is_empty() {
            true => http_body_util::Either::Left(http_body_util::Empty::<Bytes>::new()),
            false => http_body_util::Either::Right(StreamBody::new(frames)),
        };
        let request = Request::options(format!("{}/admin", gateway.plan().origin()))
            .header("origin", "https://spa.test")
            .header("access-control-request-method", "PUT")
            .body(body)
            .expect("request");
        let answer = sender.send_request(request).await.expect("an answer");
        assert_eq!(answer.status(), status);
        let told = Told::read(answer).await;
        assert!(told.is_ok());
    }
    assert_eq!(application.state.asked("/admin"), 1);
}

#[tokio::test]
async fn nobody_opens_a_websocket_to_an_application_that_has_none() {
    let application = Application::start().await;
    let provider = Provider::start("oidc-plain").await;
    let route = format!(
        "[route.app]\nupstream = \"{}\"\n\
         rules = [ {{ path = \"/*\", lane = \"public\" }} ]\n",
        application.url()
    );
    let gateway = Plan::bare(&provider.issuer).route(&route).start().await;
    let headers = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let browser = crate::harness::browser::Browser::new();
    let answer = browser.fetch("GET", &gateway.url("/ws"), &headers).await;
    assert!(answer.status.is_client_error(), "{}", answer.status);
    let answer = browser.fetch("GET", &gateway.url("/x"), &[]).await;
    assert_eq!(answer.status, 200, "HTTP/1.1 clients reach it too");
    assert_eq!(answer.json()["version"], "HTTP/2.0");
}

#[tokio::test]
async fn a_browser_signs_in_over_http2_with_host_cookies() {
    let name = "a_browser_signs_in_over_http2_with_host_cookies";
    if !part::have(name, &[Part::Browser]) {
        return;
    }
    let provider = Provider::start("oidc-plain").await;
    provider.set(|script| script.user = User::ann());
    let upstream = Upstream::start().await;
    let gateway = Plan::new(&provider.issuer, &upstream.url())
        .tls()
        .start()
        .await;
    let chromium = Chromium::start().await;
    chromium.open(&gateway.url("/hello")).await;
    chromium.shows("sub-ann").await;
    let protocol = chromium
        .script("return performance.getEntriesByType('navigation')[0].nextHopProtocol")
        .await;
    assert_eq!(protocol, "h2");
    let names: Vec<String> = chromium
        .cookies()
        .await
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert!(
        names.iter().all(|name| name.starts_with("__Host-")),
        "{names:?}"
    );
    assert!(
        names.iter().any(|name| name == "__Host-vestibule"),
        "{names:?}"
    );
    chromium.quit().await;
}
