//! Websockets and other upgrades.

use super::*;

/// RFC 6455 section 1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn asking(lines: &str) -> String {
    format!("GET /ws HTTP/1.1\r\nHost: app.example.com\r\n{lines}\r\n")
}

fn websocket() -> String {
    asking(&format!(
        "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\nX-Forwarded-User: mal\r\n"
    ))
}

fn echoing() -> RawUpstream {
    RawUpstream::scripted(|_, stream| {
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).unwrap();
        let mut bytes = [0; 100];
        while let Ok(read) = stream.read(&mut bytes) {
            if read == 0 || stream.write_all(&bytes[..read]).is_err() {
                break;
            }
        }
        false
    })
}

fn opened(rig: &Rig) -> TcpStream {
    let mut stream = rig.connect();
    stream.write_all(websocket().as_bytes()).unwrap();
    let head = read_message(&mut stream, &mut Vec::new()).unwrap();
    assert_status(&head, 101);
    stream.write_all(b"ping").unwrap();
    let mut echoed = [0; 4];
    stream.read_exact(&mut echoed).unwrap();
    assert_eq!(&echoed, b"ping");
    stream
}

#[test]
fn a_websocket_goes_through_with_identity() {
    let upstream = echoing();
    for runtime in [Runtime::PerCore, Runtime::Shared] {
        let mut setup = Setup::to(&upstream);
        setup.runtime = runtime;
        drop(opened(&setup.start()));
        let request = upstream.requests().pop().unwrap();
        assert!(request.contains("x-forwarded-user: ann\r\n"), "{request}");
        assert!(!request.contains("mal"), "{request}");
        assert!(request.contains("connection: upgrade\r\n"), "{request}");
    }
}

/// One that served before may be closing, and there is no second try.
#[test]
fn a_websocket_gets_a_connection_of_its_own_however_few_there_are() {
    let upstream = RawUpstream::scripted(|request, stream| {
        if request.starts_with("GET /ws ") {
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                 Upgrade: websocket\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\nping"
            );
            let _ = stream.write_all(answer.as_bytes());
            return false;
        }
        stream.write_all(OK).is_ok()
    });
    let mut setup = Setup::to(&upstream);
    setup.limits.upstream_connections = 1;
    let rig = setup.start();
    for connections in [2, 4, 6] {
        // With a body, and so over a connection that stays among the others.
        let posted = rig.say(
            "POST / HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: 2\r\n\
             Connection: close\r\n\r\nhi",
        );
        assert_status(&posted, 200);
        let mut stream = rig.connect();
        stream.write_all(websocket().as_bytes()).unwrap();
        let head = read_message(&mut stream, &mut Vec::new()).unwrap();
        assert_status(&head, 101);
        assert_eq!(upstream.connections(), connections);
    }
}

#[test]
fn sec_smg_13_cleartext_http2_upgrades_are_dropped() {
    let upstream = RawUpstream::answering(OK);
    let rig = Rig::in_front_of(&upstream);
    let answer = rig.say(asking(
        "Connection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    ));
    assert_status(&answer, 200);
    let request = upstream.only().to_ascii_lowercase();
    for gone in ["upgrade", "http2-settings", "h2c"] {
        assert!(!request.contains(gone), "{request}");
    }
}

#[test]
fn sec_smg_14_malformed_websocket_requests_are_400() {
    let key = format!("Sec-WebSocket-Key: {KEY}\r\n");
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let version = "Sec-WebSocket-Version: 13\r\n";
    for request in [
        asking(&format!("{upgrade}{key}")),
        asking(&format!("{upgrade}{key}Sec-WebSocket-Version: 8\r\n")),
        asking(&format!("{upgrade}{version}")),
        asking(&format!("{upgrade}{version}Sec-WebSocket-Key: short\r\n")),
        asking(&format!("{upgrade}{version}{key}{key}")),
        asking(&format!("{upgrade}{version}{key}Content-Length: 2\r\n")) + "hi",
        asking(&format!(
            "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n{version}{key}"
        )),
        websocket().replace("GET ", "POST "),
    ] {
        let upstream = echoing();
        let rig = Rig::in_front_of(&upstream);
        let mut stream = rig.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let answer = read_message(&mut stream, &mut Vec::new()).unwrap();
        assert_status(&answer, 400);
        assert!(upstream.requests().is_empty(), "{request}");
    }
}

#[test]
fn sec_smg_14_a_false_101_is_502() {
    for answer in [
        &b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"[..],
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: wrong\r\n\r\n",
    ] {
        let upstream = RawUpstream::answering(answer);
        let rig = Rig::in_front_of(&upstream);
        let mut stream = rig.connect();
        stream.write_all(websocket().as_bytes()).unwrap();
        let answer = read_message(&mut stream, &mut Vec::new()).unwrap();
        assert_status(&answer, 502);
    }
}

#[test]
fn upgrades_need_a_lane_that_allows_them() {
    let upstream = echoing();
    let mut setup = Setup::to(&upstream);
    setup.lane = Lane::Public;
    let rig = setup.start();
    let mut stream = rig.connect();
    stream.write_all(websocket().as_bytes()).unwrap();
    let answer = read_message(&mut stream, &mut Vec::new()).unwrap();
    assert_status(&answer, 403);
    assert!(upstream.requests().is_empty());
}

#[test]
fn a_refused_upgrade_is_an_ordinary_answer() {
    let upstream = RawUpstream::answering(OK);
    let rig = Rig::in_front_of(&upstream);
    let mut stream = rig.connect();
    stream.write_all(websocket().as_bytes()).unwrap();
    let answer = read_message(&mut stream, &mut Vec::new()).unwrap();
    assert_status(&answer, 200);
}

#[test]
fn an_idle_tunnel_ends() {
    let upstream = echoing();
    let mut setup = Setup::to(&upstream);
    setup.limits.websocket_idle = Duration::from_secs(1);
    setup.limits.keep_alive = Duration::from_secs(1);
    let rig = setup.start();
    let start = std::time::Instant::now();
    let mut stream = opened(&rig);
    assert_eq!(read_to_end(&mut stream), "");
    assert!(start.elapsed() >= Duration::from_millis(900));
}

#[test]
fn a_drain_ends_tunnels_last() {
    let upstream = echoing();
    let mut rig = Rig::in_front_of(&upstream);
    let mut stream = opened(&rig);
    let running = rig.running.take().unwrap();
    assert_eq!(running.tunnels().count(), 1);
    let start = std::time::Instant::now();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(running.drain());
    assert!(start.elapsed() >= Duration::from_millis(900));
    assert_eq!(read_to_end(&mut stream), "");
}
