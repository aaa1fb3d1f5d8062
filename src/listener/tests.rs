//! Real sockets in front of a handler that tells who answers.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;

use super::*;
use crate::base::body::Body;
use crate::config::checked::{Limits, ListenAddr, Runtime};

struct Teller;

impl Handler for Teller {
    async fn handle(&self, connection: &Connection, request: Request<Incoming>) -> Response<Body> {
        assert_ne!(request.uri().path(), "/panic", "asked to panic");
        let thread = std::thread::current().name().unwrap_or("?").to_owned();
        Response::new(Body::full(format!("{thread} {}", connection.address())))
    }
}

fn start(addresses: &[ListenAddr], runtime: Runtime) -> (Vec<LocalAddr>, Running) {
    let bound = Listener::bind(addresses).unwrap();
    let settings = ServeSettings {
        workers: 2,
        runtime,
        limits: Limits {
            drain: Duration::from_secs(1),
            ..Limits::default()
        },
        tls: None,
        trusted: Vec::new(),
    };
    let addresses = bound.local_addrs();
    (addresses, bound.serve(Arc::new(Teller), &settings).unwrap())
}

fn loopback() -> ListenAddr {
    ListenAddr::Tcp("127.0.0.1:0".parse().unwrap())
}

fn tcp(address: &LocalAddr) -> SocketAddr {
    match address {
        LocalAddr::Tcp(address) => *address,
        LocalAddr::Unix(_) => unreachable!("bound to TCP"),
    }
}

/// One request on a connection that stays open; the body of the answer.
fn ask(stream: &mut (impl Read + Write), path: &str) -> Option<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = vec![0; 4096];
    let read = stream.read(&mut answer).ok().filter(|read| *read > 0)?;
    let answer = String::from_utf8(answer[..read].to_vec()).unwrap();
    answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned())
}

#[test]
fn connections_are_spread_over_the_workers() {
    let (addresses, running) = start(&[loopback()], Runtime::PerCore);
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut kept = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(tcp(&addresses[0])).unwrap();
        let answer = ask(&mut stream, "/").unwrap();
        assert_eq!(
            ask(&mut stream, "/").unwrap(),
            answer,
            "it stays where it is"
        );
        *counts.entry(answer).or_default() += 1;
        kept.push(stream);
    }
    assert_eq!(
        counts.values().copied().collect::<Vec<_>>(),
        [4, 4],
        "{counts:?}"
    );
    running.join();
}

#[test]
fn sec_dos_16_a_panic_ends_its_own_connection_only() {
    for runtime in [Runtime::PerCore, Runtime::Shared] {
        let (addresses, running) = start(&[loopback()], runtime);
        let mut other = TcpStream::connect(tcp(&addresses[0])).unwrap();
        assert!(ask(&mut other, "/").is_some());
        for _ in 0..4 {
            let mut stream = TcpStream::connect(tcp(&addresses[0])).unwrap();
            assert_eq!(ask(&mut stream, "/panic"), None);
        }
        assert!(ask(&mut other, "/").is_some());
        running.join();
    }
}

#[test]
fn a_unix_peer_counts_as_loopback() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gateway.sock");
    let listen = [ListenAddr::Unix(path.clone()), loopback()];
    let (addresses, running) = start(&listen, Runtime::PerCore);
    assert_eq!(addresses[0], LocalAddr::Unix(path.clone()));
    for _ in 0..4 {
        let mut stream = UnixStream::connect(&path).unwrap();
        assert!(ask(&mut stream, "/").unwrap().ends_with(" 127.0.0.1"));
    }
    let mut stream = TcpStream::connect(tcp(&addresses[1])).unwrap();
    assert!(ask(&mut stream, "/").is_some());
    running.join();
    assert!(!path.exists());
}

#[test]
fn idle_connections_do_not_hold_a_drain_up() {
    for runtime in [Runtime::PerCore, Runtime::Shared] {
        let (addresses, running) = start(&[loopback()], runtime);
        let mut idle = TcpStream::connect(tcp(&addresses[0])).unwrap();
        assert!(ask(&mut idle, "/").is_some());
        let start = std::time::Instant::now();
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(running.drain());
        assert!(start.elapsed() < Duration::from_millis(900));
        assert_eq!(ask(&mut idle, "/"), None);
    }
}
