//! Connections for requests without a body, one by one.

use http::Method;
use http::uri::PathAndQuery;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{coop, yield_now};

use super::*;
use crate::proxy::http1::{Lost, RequestBytes, Wire};
use crate::proxy::target::{self, UpstreamTarget};

/// An upstream that does nothing by itself, with room for one connection.
struct Idle {
    listener: UnixListener,
    target: UpstreamTarget,
    _folder: tempfile::TempDir,
}

impl Idle {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let route = Route {
            upstream: Upstream::Unix(path),
            ..route("127.0.0.1:1".parse().unwrap())
        };
        let limits = Limits {
            upstream_connections: 1,
            ..Limits::default()
        };
        let targets = target::compile(&[route], &limits, &Telemetry::new(None)).unwrap();
        Self {
            listener,
            target: targets.into_iter().next().unwrap(),
            _folder: folder,
        }
    }

    /// A connection, and its other end.
    async fn wire(&self) -> (Wire, UnixStream) {
        let wire = self.target.pool.dial_wire().await.unwrap().unwrap();
        let (far, _) = self.listener.accept().await.unwrap();
        (wire, far)
    }
}

fn request() -> RequestBytes {
    let mut bytes = RequestBytes::begin(&Method::GET, &PathAndQuery::from_static("/"));
    bytes.end();
    bytes
}

#[tokio::test]
async fn a_request_that_nobody_takes_is_given_up_and_does_not_spin() {
    let upstream = Idle::new();
    let (mut wire, _far) = upstream.wire().await;
    let mut large = RequestBytes::begin(&Method::GET, &PathAndQuery::from_static("/"));
    let value = "x".repeat(1 << 20).parse().unwrap();
    for _ in 0..16 {
        large.field(&http::header::ACCEPT, &value);
    }
    large.end();
    wire.line().request_began(2, None);
    let mut room = http::HeaderMap::new();
    let mut turns = 0_u32;
    let lost = {
        let exchange = wire.exchange(&large, &mut room, 1000);
        let mut exchange = std::pin::pin!(exchange);
        let counted = std::future::poll_fn(|cx| {
            turns += 1;
            exchange.as_mut().poll(cx)
        });
        tokio::time::timeout(WAIT, counted).await.unwrap()
    };
    assert!(matches!(lost, Err(Lost::TimedOut)), "{lost:?}");
    assert!(turns < 100, "{turns}");
}

/// As it is for a task that has just streamed a large body.
async fn spend_the_budget() {
    while coop::has_budget_remaining() {
        coop::consume_budget().await;
    }
}

#[tokio::test]
async fn sec_smg_10_what_was_said_while_it_rested_is_seen_by_a_busy_task_too() {
    for said in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"[..],
        b"",
    ] {
        let upstream = Idle::new();
        let pool = &upstream.target.pool;
        let (wire, far) = upstream.wire().await;
        pool.rest(wire);
        yield_now().await;
        spend_the_budget().await;
        let mut wire = pool.resting().expect("nothing was said");
        assert!(wire.is_quiet());
        if said.is_empty() {
            drop(far);
        } else {
            assert_eq!(far.try_write(said).unwrap(), said.len());
        }
        // The runtime looks at its sockets.
        for _ in 0..3 {
            yield_now().await;
        }
        pool.rest(wire);
        spend_the_budget().await;
        assert!(pool.resting().is_none(), "{said:?}");
    }
}

#[tokio::test]
async fn the_place_of_a_connection_falls_free_when_an_exchange_is_given_up() {
    let upstream = Idle::new();
    for _ in 0..3 {
        let (mut wire, far) = upstream.wire().await;
        let (request, mut room) = (request(), http::HeaderMap::new());
        let mut seen = [0; 100];
        tokio::select! {
            biased;
            lost = wire.exchange(&request, &mut room, 1000) => panic!("{lost:?}"),
            _ = far.readable() => assert!(far.try_read(&mut seen).unwrap() > 0),
        }
        drop(wire);
        far.readable().await.unwrap();
        assert_eq!(far.try_read(&mut seen).unwrap(), 0, "closed");
    }
}
