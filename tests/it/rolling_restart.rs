//! Two gateways behind a load balancer are restarted one after the other, as
//! at every upgrade: out of the rotation, drained, started, back in.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::harness::browser::Browser;
use crate::harness::gateway::Gateway;
use crate::harness::part::{self, Part};
use crate::harness::provider::User;
use crate::harness::redis::Redis;
use crate::harness::scene::Scene;
use crate::harness::{until, wire};

const PIECE: usize = 64 * 1024;
const PIECES: usize = 16;
const PEOPLE: usize = 6;

/// Gives each new connection to the next server that is in the rotation.
/// Connections that are open stay where they are.
struct Balancer {
    address: SocketAddr,
    rotation: Arc<Mutex<Vec<SocketAddr>>>,
    server: JoinHandle<()>,
}

impl Balancer {
    async fn before(servers: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("address");
        let rotation = Arc::new(Mutex::new(servers));
        let shared = Arc::clone(&rotation);
        let server = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((mut client, _)) = listener.accept().await {
                let next = {
                    let mut rotation = shared.lock().expect("rotation");
                    rotation.rotate_left(1);
                    rotation[0]
                };
                connections.spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(next).await {
                        // Whoever looks at the answers sees a broken one.
                        drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
                    }
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self {
            address,
            rotation,
            server,
        }
    }

    fn only(&self, servers: &[SocketAddr]) {
        *self.rotation.lock().expect("rotation") = servers.to_vec();
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// An upload of which the first piece has reached the application.
struct Upload {
    stream: TcpStream,
    sent: usize,
}

impl Upload {
    async fn begin(scene: &Scene, through: SocketAddr, browser: &Browser) -> Self {
        let mut stream = TcpStream::connect(through).await.expect("connects");
        let head = format!(
            "POST /upload HTTP/1.1\r\nhost: {}\r\ncookie: {}\r\nsec-fetch-site: same-origin\r\n\
             content-length: {}\r\n\r\n",
            scene.gateway.authority(),
            browser.cookie_header(&scene.gateway.url("/upload")),
            PIECE * PIECES,
        );
        stream.write_all(head.as_bytes()).await.expect("sent");
        let before = scene.upstream.received();
        let mut upload = Self { stream, sent: 0 };
        upload.go_on().await;
        until::holds("the upload is under way", || {
            scene.upstream.received() > before
        })
        .await;
        upload
    }

    async fn go_on(&mut self) {
        let piece = vec![b'u'; PIECE];
        self.stream.write_all(&piece).await.expect("taken");
        self.sent += 1;
    }

    /// Sends the rest slowly and reads the answer.
    async fn end(mut self) {
        while self.sent < PIECES {
            self.go_on().await;
            sleep(Duration::from_millis(40)).await;
        }
        let mut answer = Vec::new();
        let mut chunk = [0; 4096];
        let whole = format!("\"body_length\":{}", PIECE * PIECES);
        let end = Instant::now() + until::PATIENCE;
        while !String::from_utf8_lossy(&answer).contains(&whole) {
            assert!(Instant::now() < end, "{}", String::from_utf8_lossy(&answer));
            let read = self.stream.read(&mut chunk).await.expect("an answer");
            assert!(read > 0, "cut: {}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&chunk[..read]);
        }
        assert_eq!(wire::status_of(&answer), 200);
    }
}

#[tokio::test]
async fn row_1_10_a_rolling_restart_under_load_fails_no_request() {
    let name = "row_1_10_a_rolling_restart_under_load_fails_no_request";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let redis = Redis::start().await;
    let mut scene = Scene::with("oidc-plain", |plan| plan.redis(&redis.lines())).await;
    let mut second = scene.gateway.plan().replica().start().await;
    let both = [scene.gateway.address(), second.address()];
    let balancer = Balancer::before(both.to_vec()).await;
    // Tokens end all the time, so that restarts meet refreshes.
    scene.provider.set(|script| script.access_lifetime = 4);
    let authority = scene.gateway.authority();
    let over = Arc::new(AtomicBool::new(false));
    let (served, failed) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(vec![])));
    let mut people = Vec::new();
    let mut uploader = None;
    for number in 0..=PEOPLE {
        let browser = scene.signed_in(User::ann()).await;
        browser.detour(&authority, balancer.address);
        if number == PEOPLE {
            uploader = Some(browser);
            break;
        }
        let url = scene.gateway.url("/x");
        let over = Arc::clone(&over);
        let (served, failed) = (Arc::clone(&served), Arc::clone(&failed));
        people.push(tokio::spawn(async move {
            while !over.load(Ordering::SeqCst) {
                let answer = browser.try_fetch("GET", &url, &[], Bytes::new()).await;
                match answer {
                    Ok(answer) if answer.status == 200 => {
                        served.fetch_add(1, Ordering::SeqCst);
                    }
                    Ok(answer) => {
                        let text = format!("{}: {}", answer.status, answer.text());
                        failed.lock().expect("failed").push(text);
                    }
                    Err(error) => failed.lock().expect("failed").push(error),
                }
            }
        }));
    }
    let uploader = uploader.expect("the last one");
    let logins = scene.logins();
    for round in 0..4 {
        let index = round % 2;
        balancer.only(&[both[index]]);
        let upload = Upload::begin(&scene, balancer.address, &uploader).await;
        balancer.only(&[both[1 - index]]);
        // As long as a balancer takes to notice.
        sleep(Duration::from_millis(500)).await;
        let gateway: &mut Gateway = match index {
            0 => &mut scene.gateway,
            _ => &mut second,
        };
        gateway.signal("TERM");
        gateway.admin_answers("/readyz", 503).await;
        upload.end().await;
        assert!(gateway.ended().await.success(), "{}", gateway.log());
        gateway.restart().await;
        balancer.only(&both);
        sleep(Duration::from_millis(300)).await;
    }
    over.store(true, Ordering::SeqCst);
    for person in people {
        person.await.expect("a person");
    }
    let failed = failed.lock().expect("failed").clone();
    let served = served.load(Ordering::SeqCst);
    assert!(
        failed.is_empty(),
        "{} of {served}: {failed:?}",
        failed.len()
    );
    assert_eq!(scene.logins(), logins, "zero log-outs");
    assert_eq!(scene.provider.reuse(), 0, "no token was spent twice");
    assert!(served > 100, "{served}");
    println!(
        "rolling restart, four restarts of two gateways: {served} requests and 4 uploads, none failed, \
         {} refreshes, no log-out",
        scene.provider.rotations()
    );
}
