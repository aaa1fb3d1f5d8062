//! Bodies, streams and upgrades pass through, with back-pressure and limits.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::browser::Browser;
use crate::harness::echo::Echo;
use crate::harness::provider::User;
use crate::harness::scene::{Scene, session_cookie};
use crate::harness::{until, wire};

const QUIET: Duration = Duration::from_secs(5);

/// A request head with `browser`'s cookie, without the empty line at its end.
fn head(scene: &Scene, browser: &Browser, line: &str) -> String {
    format!(
        "{line} HTTP/1.1\r\nHost: {}\r\nCookie: vestibule={}\r\n",
        scene.gateway.authority(),
        session_cookie(browser)
    )
}

async fn connect(scene: &Scene) -> TcpStream {
    TcpStream::connect(scene.gateway.address())
        .await
        .expect("connects")
}

/// Waits until `count` has not moved for half a second; gives where it stopped.
async fn settled(count: impl Fn() -> usize) -> usize {
    let mut last = count();
    loop {
        sleep(Duration::from_millis(500)).await;
        let now = count();
        if now == last && now > 0 {
            return now;
        }
        last = now;
    }
}

#[tokio::test]
async fn method_target_headers_and_body_arrive_as_they_were() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    let body = Bytes::from(vec![7_u8; 300_000]);
    let url = scene.gateway.url("/a/b?x=%2F&y=1&y=2");
    for method in ["POST", "PUT", "PATCH", "DELETE", "PROPFIND", "REPORT"] {
        let headers = [("x-one", "1"), ("content-type", "text/plain")];
        let answer = ann.fetch_with(method, &url, &headers, body.clone()).await;
        let echo = Echo::of(&answer);
        assert_eq!(echo.method, method);
        assert_eq!(echo.target, "/a/b?x=%2F&y=1&y=2");
        assert_eq!(echo.body_length, body.len());
        assert_eq!(echo.one("x-one"), Some("1"));
        assert_eq!(echo.one("host"), Some(scene.gateway.authority().as_str()));
    }
    let answer = ann.fetch("HEAD", &url, &[]).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body.is_empty());
    let answer = ann.fetch("GET", &scene.gateway.url("/redirect"), &[]).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("location")),
        (302, "/elsewhere")
    );
}

#[tokio::test]
async fn a_reader_that_stops_stops_the_upstream() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    let length = 128 * 1024 * 1024;
    let mut stream = connect(&scene).await;
    let request =
        head(&scene, &ann, &format!("GET /stream/{length}")) + "Connection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("writes");
    let stopped = settled(|| scene.upstream.streamed()).await;
    assert!(
        stopped < length / 4,
        "{stopped} bytes were taken from the upstream unread"
    );
    let mut rest = Vec::new();
    timeout(until::PATIENCE * 2, stream.read_to_end(&mut rest))
        .await
        .expect("in time")
        .expect("reads");
    assert!(rest.len() > length, "the rest comes when it is read");
}

#[tokio::test]
async fn an_upstream_that_stops_reading_stops_the_client() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    let length = 128 * 1024 * 1024;
    let mut stream = connect(&scene).await;
    let request = head(&scene, &ann, "POST /sink")
        + &format!("Content-Length: {length}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("writes");
    let (mut reader, mut writer) = stream.into_split();
    let written = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = std::sync::Arc::clone(&written);
    let upload = tokio::spawn(async move {
        let piece = vec![0; 64 * 1024];
        for _ in 0..length / piece.len() {
            writer.write_all(&piece).await.expect("writes");
            counter.fetch_add(piece.len(), std::sync::atomic::Ordering::SeqCst);
        }
        writer
    });
    let stopped = settled(|| written.load(std::sync::atomic::Ordering::SeqCst)).await;
    assert!(
        stopped < length / 4,
        "{stopped} bytes were taken while the upstream read nothing"
    );
    scene.upstream.release();
    let mut answer = Vec::new();
    timeout(until::PATIENCE * 3, reader.read_to_end(&mut answer))
        .await
        .expect("in time")
        .expect("reads");
    assert_eq!(wire::status_of(&answer), 200);
    assert_eq!(scene.upstream.received(), length);
    upload.await.expect("upload ends");
}

#[tokio::test]
async fn events_come_one_by_one() {
    let scene = Scene::start().await;
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
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    for expected in ["data: one\n\n", "data: two\n\n"] {
        let frame = timeout(QUIET, response.body_mut().frame())
            .await
            .expect("event is not held back");
        let data = frame
            .expect("frame")
            .expect("read")
            .into_data()
            .expect("data");
        assert_eq!(data, expected);
        scene.upstream.release();
    }
}

async fn websocket(
    scene: &Scene,
    cookie: Option<&str>,
) -> Result<tokio_tungstenite::WebSocketStream<TcpStream>, u16> {
    let origin = scene.gateway.url("");
    crate::harness::websocket::open(&scene.gateway, cookie, Some(&origin)).await
}

#[tokio::test]
async fn sec_hdr_23_websocket_with_identity_and_not_without() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    assert_eq!(websocket(&scene, None).await.err(), Some(401));
    assert!(
        scene
            .upstream
            .requests()
            .iter()
            .all(|echo| echo.target != "/ws")
    );

    let cookie = ann.cookie_header(&scene.gateway.url("/ws"));
    let mut socket = websocket(&scene, Some(&cookie)).await.expect("upgrades");
    let big = "x".repeat(200_000);
    for text in ["hello", "again", big.as_str()] {
        socket.send(Message::text(text)).await.expect("sends");
        let back = timeout(QUIET, socket.next())
            .await
            .expect("in time")
            .expect("some")
            .expect("reads");
        assert_eq!(back.into_text().expect("text"), text);
    }
    socket.close(None).await.expect("closes");
    let echo = scene
        .upstream
        .requests()
        .into_iter()
        .find(|echo| echo.target == "/ws")
        .expect("seen");
    assert_eq!(echo.one("x-forwarded-user"), Some("sub-ann"));
}

#[tokio::test]
async fn sec_hdr_19_continue_is_said_only_after_the_session_is_known() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    let tail = "Expect: 100-continue\r\nContent-Length: 4\r\nConnection: close\r\n\r\n";
    let mut stream = connect(&scene).await;
    stream
        .write_all((head(&scene, &ann, "POST /up") + tail).as_bytes())
        .await
        .expect("writes");
    let mut buffer = vec![0; 1024];
    let read = timeout(QUIET, stream.read(&mut buffer))
        .await
        .expect("in time")
        .expect("reads");
    assert!(
        buffer[..read].starts_with(b"HTTP/1.1 100"),
        "{}",
        String::from_utf8_lossy(&buffer[..read])
    );
    stream.write_all(b"body").await.expect("writes");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).await.expect("reads");
    let all = [&buffer[..read], &rest].concat();
    assert!(String::from_utf8_lossy(&all).contains("HTTP/1.1 200"));

    let nobody = format!(
        "POST /up HTTP/1.1\r\nHost: {}\r\n{tail}",
        scene.gateway.authority()
    );
    let before = scene.upstream.requests().len();
    let answer = wire::raw(scene.gateway.address(), nobody.as_bytes(), QUIET).await;
    assert_eq!(
        wire::status_of(&answer),
        401,
        "{}",
        String::from_utf8_lossy(&answer)
    );
    assert_eq!(scene.upstream.requests().len(), before);
}

#[tokio::test]
async fn trailers_pass_both_ways_without_identity() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    let request = head(&scene, &ann, "POST /x")
        + "TE: trailers\r\nTransfer-Encoding: chunked\r\nConnection: close, TE\r\n\r\n4\r\nbody\r\n0\r\nX-Checksum: abc\r\nX-Forwarded-User: ann\r\nX_Remote_User: ann\r\n\r\n";
    let answer = wire::raw(scene.gateway.address(), request.as_bytes(), QUIET).await;
    assert_eq!(wire::status_of(&answer), 200);
    let echo = scene.upstream.requests().pop().expect("seen");
    assert_eq!(echo.body_length, 4);
    assert_eq!(echo.folded("x-forwarded-user"), ["sub-ann"]);
    assert!(echo.folded("x-remote-user").is_empty());

    let request =
        head(&scene, &ann, "GET /trailers") + "TE: trailers\r\nConnection: close, TE\r\n\r\n";
    let answer = wire::raw(scene.gateway.address(), request.as_bytes(), QUIET).await;
    let text = String::from_utf8_lossy(&answer).to_lowercase();
    assert!(text.contains("x-checksum: abc"), "{text}");
    assert!(!text.contains("x-forwarded-user: mal"), "{text}");
}

#[tokio::test]
async fn sec_rp_86_hop_by_hop_fields_end_here() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    let lines = "Keep-Alive: timeout=9\r\nProxy-Connection: keep-alive\r\nProxy-Authorization: Basic eA==\r\nTE: gzip\r\nX-Mine: 1\r\nConnection: close, X-Mine\r\n\r\n";
    let request = head(&scene, &ann, "GET /hop") + lines;
    let answer = wire::raw(scene.gateway.address(), request.as_bytes(), QUIET).await;
    let echo = scene.upstream.requests().pop().expect("seen");
    for name in [
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "x-mine",
    ] {
        assert!(echo.folded(name).is_empty(), "{name}");
    }
    let text = String::from_utf8_lossy(&answer).to_lowercase();
    let head_end = text.find("\r\n\r\n").expect("head");
    for name in ["proxy-authenticate", "x-secret-hop"] {
        assert!(!text[..head_end].contains(name), "{name}: {text}");
    }
}

#[tokio::test]
async fn upstream_trouble_is_a_page_with_a_reference_and_never_a_hang() {
    let scene = Scene::with("oidc-plain", |plan| plan.route("response_timeout = \"1s\"")).await;
    let ann = scene.signed_in(User::ann()).await;
    let closed = ann.step(&scene.gateway.url("/close")).await;
    assert_eq!(closed.status, 502);
    assert!(closed.header("content-type").starts_with("text/html"));
    assert!(!closed.reference().is_empty(), "{}", closed.text());
    let slow = ann.fetch("GET", &scene.gateway.url("/slow"), &[]).await;
    assert_eq!(slow.status, 504);
    assert!(
        slow.header("content-type")
            .starts_with("application/problem+json")
    );
    assert!(
        ann.try_fetch("GET", &scene.gateway.url("/cut"), &[], Bytes::new())
            .await
            .is_err()
    );
    assert_eq!(
        ann.fetch("GET", &scene.gateway.url("/x"), &[]).await.status,
        200
    );
}

#[tokio::test]
async fn limits_of_head_and_body() {
    let scene = Scene::with("oidc-plain", |plan| plan.route("max_body = \"64KiB\"")).await;
    let ann = scene.signed_in(User::ann()).await;
    let url = scene.gateway.url("/x");
    let before = scene.upstream.requests().len();
    let long = "x".repeat(60_000);
    let answer = ann
        .try_fetch("GET", &url, &[("x-long", &long)], Bytes::new())
        .await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 431));
    let body = Bytes::from(vec![0; 65 * 1024]);
    let answer = ann.try_fetch("POST", &url, &[], body).await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status == 413));
    assert_eq!(scene.upstream.requests().len(), before);
    let body = Bytes::from(vec![0; 64 * 1024]);
    assert_eq!(ann.fetch_with("POST", &url, &[], body).await.status, 200);
    // The same without a length told beforehand.
    let text =
        head(&scene, &ann, "POST /x") + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
    let mut request = text.into_bytes();
    for _ in 0..20 {
        request.extend_from_slice(format!("2000\r\n{}\r\n", "y".repeat(0x2000)).as_bytes());
    }
    request.extend_from_slice(b"0\r\n\r\n");
    let seen = scene.upstream.requests().len();
    let answer = wire::raw(scene.gateway.address(), &request, QUIET).await;
    assert_ne!(wire::status_of(&answer), 200);
    assert_eq!(scene.upstream.requests().len(), seen);
}

#[tokio::test]
async fn sec_smg_doubtful_framing_never_reaches_the_upstream() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    let before = scene.upstream.requests().len();
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
    for lines in [
        format!("Content-Length: 4\r\nContent-Length: 5\r\n\r\n{smuggled}"),
        format!("Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{smuggled}"),
        format!("Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{smuggled}"),
        format!("Content-Length: +4\r\n\r\nbody{smuggled}"),
        format!("X: a\r\n folded: b\r\n\r\n{smuggled}"),
        format!("Host: evil.test\r\n\r\n{smuggled}"),
    ] {
        let request = head(&scene, &ann, "POST /x") + &lines;
        let answer = wire::raw(scene.gateway.address(), request.as_bytes(), QUIET / 10).await;
        assert_eq!(
            wire::status_of(&answer),
            400,
            "{lines:?}: {}",
            String::from_utf8_lossy(&answer)
        );
        assert_eq!(scene.upstream.requests().len(), before, "{lines:?}");
    }
    let request = head(&scene, &ann, "TRACE /x") + "Connection: close\r\n\r\n";
    let answer = wire::raw(scene.gateway.address(), request.as_bytes(), QUIET).await;
    assert_eq!(wire::status_of(&answer), 405);
    let unknown = "GET / HTTP/1.1\r\nHost: unknown.test\r\nConnection: close\r\n\r\n";
    let answer = wire::raw(scene.gateway.address(), unknown.as_bytes(), QUIET).await;
    assert_eq!(wire::status_of(&answer), 421);
}

#[tokio::test]
async fn connections_to_the_upstream_are_kept() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    for _ in 0..20 {
        assert_eq!(
            ann.fetch("GET", &scene.gateway.url("/x"), &[]).await.status,
            200
        );
    }
    // At most one per worker.
    assert!(
        scene.upstream.connections() <= 3,
        "{}",
        scene.upstream.connections()
    );
}

#[tokio::test]
async fn the_shared_runtime_does_the_same() {
    let scene = Scene::with("oidc-plain", |plan| plan.server("runtime = \"shared\"")).await;
    let ann = scene.signed_in(User::ann()).await;
    for _ in 0..20 {
        let echo = Echo::of(&ann.fetch("GET", &scene.gateway.url("/x"), &[]).await);
        assert_eq!(echo.one("x-forwarded-user"), Some("sub-ann"));
    }
    let cookie = ann.cookie_header(&scene.gateway.url("/ws"));
    let mut socket = websocket(&scene, Some(&cookie)).await.expect("upgrades");
    socket.send(Message::text("hello")).await.expect("sends");
    let back = timeout(QUIET, socket.next())
        .await
        .expect("in time")
        .expect("some")
        .expect("reads");
    assert_eq!(back.into_text().expect("text"), "hello");
}

#[tokio::test]
async fn sec_smg_a_head_that_trickles_is_closed() {
    let scene = Scene::with("oidc-plain", |plan| plan.limits("head_timeout = \"1s\"")).await;
    let mut stream = connect(&scene).await;
    stream
        .write_all(b"GET /x HTTP/1.1\r\nHost: x\r\n")
        .await
        .expect("writes");
    let closed = async {
        for _ in 0..200 {
            if stream.write_all(b"X: y\r\n").await.is_err() {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("the head may trickle for ever");
    };
    timeout(QUIET, closed).await.expect("closed in time");
}
