//! Clients by the thousand that come, and go at any point of what they began.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{GIVES_BACK, IN_TIME, connect, head, open_gateway, status};
use crate::harness::gateway::{Gateway, Plan};
use crate::harness::http2_frames::{
    DATA, END_HEADERS, END_STREAM, HEADERS, PREFACE, RST_STREAM, SETTINGS, fields, frame,
};
use crate::harness::provider::Provider;
use crate::harness::upstream::Upstream;
use crate::harness::{part, tls, until, wire};

/// Open at the same time.
const AT_ONCE: usize = 250;
/// The same at first, when the allocator gets what it will keep.
const HIGHEST: usize = 500;

/// How far the lowest of three readings of the memory may lie above the lowest
/// of the three before; 720 KiB were seen. Over HTTP/1.1 in plain text 12 000
/// connections lie between them, so that 180 bytes left behind by each show;
/// over TLS 4 500, and 470 bytes.
const SLACK: usize = 2 * 1024 * 1024;

/// What a client does before it goes away.
#[derive(Debug, Clone, Copy)]
enum Leaving {
    Silent,
    HalfHead,
    Answered,
    Unanswered,
    HalfBody,
}

/// The same for a handshake that is never finished.
#[derive(Debug, Clone, Copy)]
enum Breaking {
    Silent,
    HalfHello,
    /// Says hello and does not wait.
    Hello,
    /// Goes once the gateway has begun to answer.
    Answered,
    /// Does not speak TLS at all.
    Plain,
}

#[derive(Debug, Clone, Copy)]
enum Way {
    Plain(Leaving),
    Tls(Leaving),
    Http2(Leaving),
    Handshake(Breaking),
}

const LEAVING: [Leaving; 5] = [
    Leaving::Silent,
    Leaving::HalfHead,
    Leaving::Answered,
    Leaving::Unanswered,
    Leaving::HalfBody,
];
const BREAKING: [Breaking; 5] = [
    Breaking::Silent,
    Breaking::HalfHello,
    Breaking::Hello,
    Breaking::Answered,
    Breaking::Plain,
];

async fn come_and_go(gateway: &Gateway, way: Way) {
    match way {
        Way::Plain(leaving) => leave(connect(gateway).await, gateway, leaving).await,
        Way::Tls(leaving) => leave(tls::connect(gateway, "http/1.1").await, gateway, leaving).await,
        Way::Http2(leaving) => leave_streams(gateway, leaving).await,
        Way::Handshake(breaking) => break_off(gateway, breaking).await,
    }
}

async fn leave(stream: impl AsyncRead + AsyncWrite + Unpin, gateway: &Gateway, leaving: Leaving) {
    let (text, waits) = match leaving {
        Leaving::Silent => return,
        Leaving::HalfHead => (
            format!("GET /x HTTP/1.1\r\nHost: {}", gateway.authority()),
            false,
        ),
        Leaving::Answered => (head(gateway, "GET /x", ""), true),
        Leaving::Unanswered => (head(gateway, "GET /slow", ""), false),
        Leaving::HalfBody => (
            head(gateway, "POST /x", "Content-Length: 100000\r\n") + "the beginning",
            false,
        ),
    };
    let mut stream = BufReader::new(stream);
    stream.write_all(text.as_bytes()).await.expect("writes");
    stream.flush().await.expect("writes");
    if waits {
        let status = timeout(IN_TIME, status(&mut stream)).await;
        assert_eq!(status.expect("in time"), 200);
    }
}

async fn leave_streams(gateway: &Gateway, leaving: Leaving) {
    let mut stream = tls::connect(gateway, "h2").await;
    let authority = gateway.authority();
    let request = |method: &str, path: &str, flags: u8| {
        let block = fields(&[
            (":method", method),
            (":scheme", "https"),
            (":authority", &authority),
            (":path", path),
        ]);
        frame(HEADERS, END_HEADERS | flags, 1, &block)
    };
    let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[])].concat();
    match leaving {
        Leaving::Silent => return,
        Leaving::HalfHead => {
            let whole = request("GET", "/x", END_STREAM);
            bytes.extend(&whole[..whole.len() / 2]);
        }
        Leaving::Answered => bytes.extend(request("GET", "/x", END_STREAM)),
        Leaving::Unanswered => bytes.extend(request("GET", "/slow", END_STREAM)),
        Leaving::HalfBody => {
            bytes.extend(request("POST", "/x", 0));
            bytes.extend(frame(DATA, 0, 1, b"the beginning"));
        }
    }
    stream.write_all(&bytes).await.expect("writes");
    stream.flush().await.expect("writes");
    if matches!(leaving, Leaving::Answered) {
        timeout(IN_TIME, one_answer(&mut stream))
            .await
            .expect("in time");
    }
}

/// Reads until the first stream has ended.
async fn one_answer(stream: &mut (impl AsyncRead + Unpin)) {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.expect("a frame");
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).await.expect("its payload");
        let [.., kind, flags, _, _, _, number] = head;
        assert_ne!(kind, RST_STREAM);
        if number == 1 && kind == HEADERS {
            // 0x88 is the indexed field `:status: 200`.
            assert_eq!(payload[0], 0x88);
        }
        if number == 1 && flags & END_STREAM != 0 {
            return;
        }
    }
}

async fn break_off(gateway: &Gateway, breaking: Breaking) {
    let mut stream = connect(gateway).await;
    let mut bytes = match breaking {
        Breaking::Silent => return,
        Breaking::Plain => head(gateway, "GET /x", "").into_bytes(),
        _ => tls::hello(gateway, "h2"),
    };
    if matches!(breaking, Breaking::HalfHello) {
        bytes.truncate(bytes.len() / 2);
    }
    stream.write_all(&bytes).await.expect("writes");
    if matches!(breaking, Breaking::Answered) {
        let read = timeout(IN_TIME, stream.read_u8()).await;
        read.expect("in time").expect("an answer");
    }
}

struct Scene {
    gateway: Arc<Gateway>,
    upstream: Upstream,
    _provider: Provider,
    /// Files that the gateway had open at first.
    at_rest: usize,
    /// Requests that the upstream was allowed to answer.
    released: usize,
}

impl Scene {
    async fn start(change: impl FnOnce(Plan) -> Plan) -> Self {
        let upstream = Upstream::start().await;
        // Room for few more than are open at once: a place that is not given
        // back would be missed.
        let (provider, gateway) = open_gateway(&upstream.url(), |plan| {
            let limits = "connections = 600\nupstream_idle = \"1s\"\nhead_timeout = \"5s\"";
            let (name, value) = GIVES_BACK;
            change(plan.limits(limits).environment(name, value))
        })
        .await;
        Self {
            at_rest: gateway.open_files(),
            gateway: Arc::new(gateway),
            upstream,
            _provider: provider,
            released: 0,
        }
    }

    async fn waves(&self, ways: &[Way], waves: usize, at_once: usize) {
        for _ in 0..waves {
            let mut clients = JoinSet::new();
            for number in 0..at_once {
                let (gateway, way) = (self.gateway.clone(), ways[number % ways.len()]);
                clients.spawn(async move { come_and_go(&gateway, way).await });
            }
            while let Some(ended) = clients.join_next().await {
                ended.expect("a client");
            }
        }
    }

    /// The memory of the gateway once it holds no more files than at first.
    async fn rested(&mut self) -> usize {
        until::holds("the gateway closes what was left", || {
            self.gateway.open_files() <= self.at_rest
        })
        .await;
        // The upstream need not keep its ends of them either.
        let asked = self.upstream.requests();
        let slow = asked.iter().filter(|asked| asked.target == "/slow").count();
        for _ in self.released..slow {
            self.upstream.release();
        }
        self.released = slow;
        self.gateway.memory()
    }

    /// The first waves are the highest, and not counted: the allocator keeps
    /// what they needed. It is enough for those that come `after`.
    async fn leave_nothing_behind(
        &mut self,
        name: &str,
        ways: &[Way],
        before: usize,
        after: usize,
    ) {
        let after = if part::long() { after * 5 } else { after };
        let mut lowest = [0; 2];
        self.waves(ways, before, HIGHEST).await;
        self.rested().await;
        for low in &mut lowest {
            let mut readings = [0; 3];
            for reading in &mut readings {
                self.waves(ways, after / 6, AT_ONCE).await;
                *reading = self.rested().await;
            }
            println!("{name}: {:?} KiB", readings.map(|reading| reading / 1024));
            *low = readings.into_iter().min().unwrap_or_default();
        }
        let [early, late] = lowest;
        assert!(
            late < early + SLACK,
            "{} connections more left {} bytes",
            after / 2 * AT_ONCE,
            late - early
        );
    }
}

#[tokio::test]
async fn connections_that_come_and_go_leave_nothing_behind() {
    let name = "connections_that_come_and_go_leave_nothing_behind";
    let mut scene = Scene::start(|plan| plan).await;
    let ways = LEAVING.map(Way::Plain);
    scene.leave_nothing_behind(name, &ways, 48, 96).await;
    let answer = wire::get(&scene.gateway.url("/x")).await;
    assert_eq!(answer.status, 200);
}

/// As many over HTTP/1.1, over HTTP/2, and as end within their handshake.
/// Fewer than in plain text: two of three shake hands in full, which takes
/// longer than all the rest.
#[tokio::test]
async fn tls_connections_that_come_and_go_leave_nothing_behind() {
    let name = "tls_connections_that_come_and_go_leave_nothing_behind";
    let mut scene = Scene::start(Plan::tls).await;
    let ways = [
        LEAVING.map(Way::Tls),
        LEAVING.map(Way::Http2),
        BREAKING.map(Way::Handshake),
    ]
    .concat();
    scene.leave_nothing_behind(name, &ways, 10, 36).await;
    come_and_go(&scene.gateway, Way::Http2(Leaving::Answered)).await;
}
