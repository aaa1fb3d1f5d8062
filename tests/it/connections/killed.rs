//! Connections to an upstream that it ends when it likes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use vestibule::base::random;

use super::{IN_TIME, connect, head, open_gateway, status};
use crate::harness::part;

/// An application that answers the first request of each connection, and then
/// ends the connection when dice say so: right after an answer, a moment
/// later, or when the next request has already come.
struct Moody {
    address: SocketAddr,
    /// How often each request came.
    seen: Arc<Mutex<BTreeMap<String, usize>>>,
    /// Requests that it read and left without an answer.
    killed: Arc<Mutex<usize>>,
    /// Ends every connection when its first request has come.
    grim: Arc<AtomicBool>,
    server: JoinHandle<()>,
}

impl Moody {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("address");
        let seen = Arc::<Mutex<BTreeMap<String, usize>>>::default();
        let killed = Arc::<Mutex<usize>>::default();
        let grim = Arc::<AtomicBool>::default();
        let (all, dead, grimly) = (seen.clone(), killed.clone(), grim.clone());
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let grim = grimly.clone();
                connections.spawn(Self::serve(stream, all.clone(), dead.clone(), grim));
            }
        });
        Self {
            address,
            seen,
            killed,
            grim,
            server,
        }
    }

    async fn serve(
        stream: TcpStream,
        seen: Arc<Mutex<BTreeMap<String, usize>>>,
        killed: Arc<Mutex<usize>>,
        grim: Arc<AtomicBool>,
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
            if turn > 0 && mood < 2 || grim.load(Ordering::SeqCst) {
                *killed.lock().expect("killed") += 1;
                if mood.is_multiple_of(2) {
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

/// Whoever kills what is new would be asked for ever.
#[tokio::test]
async fn a_request_whose_new_connection_is_killed_is_asked_once() {
    let upstream = Moody::start().await;
    let (_provider, gateway) =
        open_gateway(&format!("http://{}", upstream.address), |plan| plan).await;
    let times = |line: &str| upstream.seen.lock().expect("seen").get(line).copied();
    let mut stream = BufReader::new(connect(&gateway).await);
    upstream.grim.store(true, Ordering::SeqCst);
    for number in 0..20 {
        let method = ["GET", "DELETE", "POST"][number % 3];
        let line = format!("{method} /new-{number}");
        let request = head(&gateway, &line, "");
        stream.write_all(request.as_bytes()).await.expect("writes");
        assert_eq!(status(&mut stream).await, 502, "{line}");
        assert_eq!(times(&line), Some(1), "{line}");
    }
    // And in no case more than twice.
    upstream.grim.store(false, Ordering::SeqCst);
    let request = head(&gateway, "GET /served", "");
    stream.write_all(request.as_bytes()).await.expect("writes");
    assert_eq!(status(&mut stream).await, 200);
    upstream.grim.store(true, Ordering::SeqCst);
    let request = head(&gateway, "GET /last", "");
    stream.write_all(request.as_bytes()).await.expect("writes");
    assert_eq!(status(&mut stream).await, 502);
    let last = times("GET /last");
    assert!(matches!(last, Some(1 | 2)), "{last:?}");
}
