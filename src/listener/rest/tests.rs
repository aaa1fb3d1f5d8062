use std::time::Duration;

use http::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::super::admission::{Admission, Seat};
use super::super::connection::{self, Connection, Handler, PeerAddr};
use super::super::pulse::{Bounds, REST_AFTER};
use super::super::tunnels::Tunnels;
use super::super::worker::Post;
use super::*;
use crate::base::body::Body;
use crate::config::checked::Limits;

const PATIENCE: Duration = Duration::from_secs(10);
const BOUNDS: Bounds = Bounds {
    head: 1000,
    keep_alive: 1000,
    stalled: 1000,
};

/// Says which path was asked for, and which one before if asked for that.
struct Parrot;

impl Handler for Parrot {
    async fn handle(&self, from: &Connection, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let last = from.remember(|last: &mut String| std::mem::replace(last, path.clone()));
        let said = if path.starts_with("/last") {
            format!("{path}{last}")
        } else {
            path
        };
        Response::new(Body::full(said))
    }
}

struct Rig {
    client: DuplexStream,
    pulse: Arc<Pulse>,
    served: JoinHandle<()>,
}

impl Rig {
    fn start() -> Self {
        let (client, stream) = duplex(64 * 1024);
        let pulse = Arc::new(Pulse::default());
        let post = Post {
            live: Default::default(),
            empty: Default::default(),
            mailbox: tokio::sync::mpsc::unbounded_channel().0,
        };
        let entry = Arc::new(Admission::new(1, 1, Vec::new())).enter(None);
        let served = tokio::spawn(connection::serve(
            &Arc::new(Protocols::new(&Limits::default())),
            Arc::new(Parrot),
            Connection::new(PeerAddr::Unix, Tunnels::default()),
            stream,
            pulse.clone(),
            Seat::new(entry.unwrap(), Arc::new(post)),
        ));
        Self {
            client,
            pulse,
            served,
        }
    }

    async fn say(&mut self, text: &str) {
        self.client.write_all(text.as_bytes()).await.unwrap();
    }

    async fn hears(&mut self, path: &str) {
        let mut answer = String::new();
        while !answer.ends_with(path) {
            let mut piece = [0; 1024];
            let read = tokio::time::timeout(PATIENCE, self.client.read(&mut piece));
            let read = read.await.unwrap_or_else(|_| panic!("only {answer:?}"));
            let read = read.unwrap();
            assert!(read > 0, "the end after {answer:?}");
            answer += std::str::from_utf8(&piece[..read]).unwrap();
        }
        assert!(answer.contains(" 200 OK"), "{answer}");
    }

    /// Idle for long enough. Whether it rests now.
    async fn time_passes(&self) -> bool {
        for _ in 0..=REST_AFTER {
            self.pulse.sweep(BOUNDS);
        }
        let was_tired = self.pulse.is_tired();
        let rests = async {
            while self.pulse.is_tired() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, rests).await.unwrap();
        was_tired
    }
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n")
}

#[tokio::test]
async fn a_connection_that_rests_goes_on_where_it_was() {
    let mut rig = Rig::start();
    assert!(rig.time_passes().await, "before its first request, too");
    for path in ["/1", "/2", "/3"] {
        rig.say(&get(path)).await;
        rig.hears(path).await;
        assert!(rig.time_passes().await);
    }
    // A head that comes in pieces, and is longer than the first look.
    let long = format!("GET /4 HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(9000));
    for piece in ["G", long[1..].trim_end_matches("xx"), "xx\r\n", "\r\n"] {
        rig.say(piece).await;
        tokio::task::yield_now().await;
    }
    rig.hears("/4").await;
}

#[tokio::test]
async fn what_a_connection_said_is_forgotten_when_it_rests() {
    let mut rig = Rig::start();
    for (path, answer) in [("/1", "/1"), ("/last", "/last/1"), ("/last", "/last/last")] {
        rig.say(&get(path)).await;
        rig.hears(answer).await;
    }
    assert!(rig.time_passes().await);
    rig.say(&get("/last")).await;
    rig.hears("\n/last").await;
}

#[tokio::test]
async fn what_was_read_beyond_a_request_is_kept() {
    let mut rig = Rig::start();
    let second = get("/2");
    let (first, rest) = second.split_at(9);
    rig.say(&(get("/1") + first)).await;
    rig.hears("/1").await;
    rig.time_passes().await;
    rig.say(rest).await;
    rig.hears("/2").await;
    rig.say(&(get("/3") + &get("/4"))).await;
    rig.hears("/4").await;
}

#[tokio::test]
async fn nothing_rests_after_a_body_or_while_a_head_comes() {
    let mut rig = Rig::start();
    rig.say("POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n")
        .await;
    rig.hears("/1").await;
    assert!(!rig.time_passes().await);
    let mut rig = Rig::start();
    rig.say("GET /1 HTTP/1.1\r\n").await;
    tokio::task::yield_now().await;
    assert!(!rig.time_passes().await);
}

#[tokio::test]
async fn a_resting_connection_ends_with_its_client_and_with_the_drain() {
    let rig = Rig::start();
    assert!(rig.time_passes().await);
    drop(rig.client);
    tokio::time::timeout(PATIENCE, rig.served)
        .await
        .unwrap()
        .unwrap();
    let mut rig = Rig::start();
    assert!(rig.time_passes().await);
    rig.pulse.set_stage(Stage::Closing);
    rig.say(&get("/1")).await;
    rig.hears("/1").await;
    let rig = Rig::start();
    assert!(rig.time_passes().await);
    rig.pulse.set_stage(Stage::Graceful);
    tokio::time::timeout(PATIENCE, rig.served)
        .await
        .unwrap()
        .unwrap();
}
