//! Connections under load: those that an upstream kills, those whose client
//! does not read, and those that come and go by the thousand.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use vestibule::base::random;

use crate::harness::gateway::{Gateway, Plan};
use crate::harness::provider::Provider;
use crate::harness::upstream::Upstream;
use crate::harness::{part, until, wire};

const IN_TIME: Duration = Duration::from_secs(20);

/// An application that answers the first request of each connection, and then
/// ends the connection when dice say so: right after an answer, a moment
/// later, or when the next request has already come.
struct Moody {
    address: SocketAddr,
    /// How often each request came.
    seen: Arc<Mutex<BTreeMap<String, usize>>>,
    /// Requests that it read and left without an answer.
    killed: Arc<Mutex<usize>>,
    server: JoinHandle<()>,
}

impl Moody {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("address");
        let seen = Arc::<Mutex<BTreeMap<String, usize>>>::default();
        let killed = Arc::<Mutex<usize>>::default();
        let (all, dead) = (seen.clone(), killed.clone());
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(Self::serve(stream, all.clone(), dead.clone()));
            }
        });
        Self {
            address,
            seen,
            killed,
            server,
        }
    }

    async fn serve(
        stream: TcpStream,
        seen: Arc<Mutex<BTreeMap<String, usize>>>,
        killed: Arc<Mutex<usize>>,
    ) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        for turn in 0.. {
            let mut first = String::new();
            let mut line = String::new();
            while line != "\r\n" {
                line.clear();
                if stream.read_line(&mut line).await? == 0 {
                    return Ok(());
                }
                if first.is_empty() {
                    first.clone_from(&line);
                }
            }
            let target = first.split(' ').take(2).collect::<Vec<_>>().join(" ");
            *seen.lock().expect("seen").entry(target).or_default() += 1;
            let mood = random::bytes::<1>()[0] % 8;
            if turn > 0 && mood < 2 {
                *killed.lock().expect("killed") += 1;
                if mood == 0 {
                    // With a reset instead of an end.
                    stream.get_ref().set_zero_linger()?;
                }
                return Ok(());
            }
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
            stream.write_all(answer).await?;
            match mood {
                2 => return Ok(()),
                3 => {
                    sleep(Duration::from_micros(200)).await;
                    return Ok(());
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl Drop for Moody {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// A gateway with one open route; the provider is never asked.
async fn open_gateway(upstream: &str, change: impl FnOnce(Plan) -> Plan) -> (Provider, Gateway) {
    let provider = Provider::start("oidc-plain").await;
    let route = format!(
        "[route.app]\nupstream = \"{upstream}\"\n\
         rules = [ {{ path = \"/*\", lane = \"public\" }} ]\n"
    );
    let plan = Plan::bare(&provider.issuer)
        .route(&route)
        .log_level("info")
        .limits("open_requests_per_minute = 1000000000\nconnections_per_address = 20000");
    let gateway = change(plan).start().await;
    (provider, gateway)
}

fn head(gateway: &Gateway, line: &str, more: &str) -> String {
    format!(
        "{line} HTTP/1.1\r\nHost: {}\r\n{more}\r\n",
        gateway.authority()
    )
}

async fn connect(gateway: &Gateway) -> TcpStream {
    TcpStream::connect(gateway.address())
        .await
        .expect("connects")
}

/// The status of one answer on a connection that goes on; its body is read.
async fn status(stream: &mut BufReader<TcpStream>) -> u16 {
    let mut first = String::new();
    let mut length = 0;
    let mut line = String::new();
    while line != "\r\n" {
        line.clear();
        let read = stream.read_line(&mut line).await.expect("reads");
        assert!(read > 0, "the gateway ended the connection after {first:?}");
        if first.is_empty() {
            first.clone_from(&line);
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.expect("the body");
    first
        .split(' ')
        .nth(1)
        .and_then(|word| word.parse().ok())
        .unwrap_or_else(|| panic!("no status: {first}"))
}

#[tokio::test]
async fn a_killed_upstream_connection_fails_no_idempotent_request_and_repeats_no_other() {
    let upstream = Moody::start().await;
    for runtime in ["per-core", "shared"] {
        let (_provider, gateway) = open_gateway(&format!("http://{}", upstream.address), |plan| {
            plan.server(&format!("runtime = \"{runtime}\"\nworkers = 2"))
        })
        .await;
        let gateway = Arc::new(gateway);
        let rounds = if part::long() { 2_000 } else { 200 };
        let mut clients = JoinSet::new();
        for client in 0..8 {
            let gateway = gateway.clone();
            clients.spawn(async move {
                let mut stream = BufReader::new(connect(&gateway).await);
                for round in 0..rounds {
                    let method = ["GET", "PATCH", "DELETE", "OPTIONS", "PUT", "POST"][round % 6];
                    let line = format!("{method} /{runtime}-{client}-{round}");
                    let more = match method {
                        "POST" | "PUT" => "Content-Length: 0\r\n",
                        _ => "",
                    };
                    let request = head(&gateway, &line, more);
                    stream.write_all(request.as_bytes()).await.expect("writes");
                    let status = timeout(IN_TIME, status(&mut stream)).await;
                    let status = status.unwrap_or_else(|_| panic!("no answer to {line}"));
                    match method {
                        "POST" | "PATCH" => {
                            assert!([200, 502].contains(&status), "{line}: {status}");
                        }
                        _ => assert_eq!(status, 200, "{line}"),
                    }
                }
            });
        }
        while let Some(ended) = clients.join_next().await {
            ended.expect("a client");
        }
    }
    assert!(*upstream.killed.lock().expect("killed") > 100);
    let seen = upstream.seen.lock().expect("seen");
    for (request, times) in seen.iter() {
        let most = match request.split(' ').next() {
            Some("POST" | "PATCH") => 1,
            _ => 2,
        };
        assert!(*times <= most, "{request} came {times} times");
    }
}

#[tokio::test]
async fn slow_readers_hold_memory_flat() {
    const READERS: usize = 24;
    const LENGTH: usize = 64 * 1024 * 1024;
    /// Buffers of the gateway for one connection, both sides.
    const EACH: usize = 1024 * 1024;
    let upstream = Upstream::start().await;
    let (_provider, gateway) = open_gateway(&upstream.url(), |plan| plan).await;
    let before = gateway.memory();
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let mut stream = connect(&gateway).await;
        let request = head(&gateway, &format!("GET /stream/{LENGTH}"), "");
        stream.write_all(request.as_bytes()).await.expect("writes");
        readers.push(stream);
    }
    let mut last = 0;
    until::some("the upstream is held up", || {
        let now = upstream.streamed();
        let settled = now > READERS * 64 * 1024 && now == last;
        last = now;
        async move {
            sleep(Duration::from_millis(300)).await;
            settled.then_some(())
        }
    })
    .await;
    let kept = gateway.memory().saturating_sub(before);
    assert!(
        kept < READERS * EACH,
        "{READERS} readers that do not read cost {kept} bytes"
    );
    // And they are not forgotten: the rest comes when it is read.
    let mut first = readers.swap_remove(0);
    let mut piece = vec![0; 1024 * 1024];
    let mut read = 0;
    while read < LENGTH {
        let now = timeout(IN_TIME, first.read(&mut piece))
            .await
            .expect("in time")
            .expect("reads");
        assert!(now > 0, "the answer ends after {read} bytes");
        read += now;
    }
}

/// What a client does before it goes away.
#[derive(Debug, Clone, Copy)]
enum Leaving {
    Silent,
    HalfHead,
    Answered,
    Unanswered,
    HalfBody,
}

async fn come_and_go(gateway: &Gateway, leaving: Leaving) {
    let mut stream = connect(gateway).await;
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
    stream.write_all(text.as_bytes()).await.expect("writes");
    if waits {
        let mut stream = BufReader::new(stream);
        assert_eq!(
            timeout(IN_TIME, status(&mut stream))
                .await
                .expect("in time"),
            200
        );
    }
}

#[tokio::test]
async fn connections_that_come_and_go_leave_nothing_behind() {
    const AT_ONCE: usize = 250;
    let upstream = Upstream::start().await;
    // Room for few more than are open at once: a place that is not given back
    // would be missed.
    let (_provider, gateway) = open_gateway(&upstream.url(), |plan| {
        plan.limits("connections = 600\nupstream_idle = \"1s\"\nhead_timeout = \"5s\"")
    })
    .await;
    let gateway = Arc::new(gateway);
    let ways = [
        Leaving::Silent,
        Leaving::HalfHead,
        Leaving::Answered,
        Leaving::Unanswered,
        Leaving::HalfBody,
    ];
    let turns = if part::long() { 40 } else { 8 };
    let at_rest = gateway.open_files();
    let mut after_half = 0;
    for turn in 0..turns {
        if turn == turns / 2 {
            after_half = rested(&gateway, at_rest).await;
        }
        let mut clients = JoinSet::new();
        for number in 0..AT_ONCE {
            let gateway = gateway.clone();
            clients.spawn(async move { come_and_go(&gateway, ways[number % ways.len()]).await });
        }
        while let Some(ended) = clients.join_next().await {
            ended.expect("a client");
        }
    }
    let after_all = rested(&gateway, at_rest).await;
    // The allocator keeps what the first half needed; the second half needs no more.
    let more = after_all.saturating_sub(after_half);
    assert!(
        more < 4 * 1024 * 1024,
        "{} connections more left {more} bytes",
        turns / 2 * AT_ONCE
    );
    let answer = wire::get(&gateway.url("/x")).await;
    assert_eq!(answer.status, 200);
}

/// The memory of the gateway once as few files are open as `at_rest`.
async fn rested(gateway: &Gateway, at_rest: usize) -> usize {
    until::holds("the gateway closes what was left", || {
        gateway.open_files() <= at_rest
    })
    .await;
    gateway.memory()
}
