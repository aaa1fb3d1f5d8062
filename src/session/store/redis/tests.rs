//! Against a real server, one per test, on a socket in a temporary folder.

mod access;
mod outages;
mod records;
mod rules;
mod tracking;

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use secrecy::SecretString;

use super::*;
use crate::base::clock::Clock;
use crate::base::key_ring::KeyRing;
use crate::base::random;
use crate::base::secret_file::LiveSecret;
use crate::session::record::{Fingerprint, HEADER_LENGTH, Owner, TokenHeader};
use crate::session::sessions::tests::{leave_traces, secrets};
use crate::session::sessions::{Sessions, Settings};
use crate::session::store::conformance::{self, Subject};

const TIMEOUT: Duration = Duration::from_millis(500);
/// Recovery is promised within a second of the server's return; machines
/// that run tests are slow.
const SOON: Duration = Duration::from_secs(3);

struct Server {
    folder: tempfile::TempDir,
    arguments: Vec<&'static str>,
    process: Option<Child>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `None`, with a message, where no server is installed and none is required.
fn server(arguments: &[&'static str]) -> Option<Server> {
    let mut server = Server {
        folder: tempfile::tempdir().unwrap(),
        arguments: arguments.to_vec(),
        process: None,
    };
    if server.start() {
        return Some(server);
    }
    let required = std::env::var_os("VESTIBULE_TEST_REQUIRE").unwrap_or_default();
    let required = required.to_string_lossy().contains("redis");
    assert!(!required, "redis-server is required");
    println!("skipped: redis-server is not installed");
    None
}

impl Server {
    fn start(&mut self) -> bool {
        let folder = self.folder.path();
        let process = Command::new("redis-server")
            .args([
                "--port",
                "0",
                "--appendonly",
                "yes",
                "--rdbcompression",
                "no",
            ])
            .arg("--dir")
            .arg(folder)
            .arg("--unixsocket")
            .arg(folder.join("s"))
            .args(&self.arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.process = process.ok();
        self.process.is_some()
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    fn signal(&self, name: &str) {
        let id = self.process.as_ref().unwrap().id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    fn url(&self) -> String {
        format!("redis+unix://{}", self.folder.path().join("s").display())
    }

    fn settings(&self) -> checked::Redis {
        checked::Redis {
            url: self.url().parse().unwrap(),
            username: None,
            password: None,
            sentinel_username: None,
            sentinel_password: None,
            ca_file: None,
            key_prefix: "vestibule".into(),
        }
    }

    async fn store(&self) -> RedisStore {
        let store = RedisStore::new(&self.settings(), TIMEOUT).unwrap();
        back(&store).await;
        store
    }

    async fn command(&self, words: &[&str]) -> Value {
        let client = ::redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut command = ::redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut connection).await.unwrap()
    }
}

/// Waits until the store answers; tells how long that took.
async fn back(store: &RedisStore) -> Duration {
    let begin = Instant::now();
    loop {
        match store.probe().await {
            Ok(()) => return begin.elapsed(),
            Err(error) => assert!(begin.elapsed() < SOON * 3, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn until_error(store: &RedisStore) -> StoreError {
    let begin = Instant::now();
    loop {
        if let Err(error) = store.probe().await {
            return error;
        }
        assert!(begin.elapsed() < SOON * 3, "goes on working");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn records(length: usize) -> NewRecords {
    let now = Clock::system().now();
    NewRecords {
        identity: vec![1; length],
        header: TokenHeader::new(Fingerprint([1; 16]), now, now),
        tokens: vec![2; length],
        listing: vec![3; 100],
        expires_at: now.plus(Duration::from_secs(600)),
    }
}

fn fresh_id() -> SessionId {
    SessionId(random::bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn passes_conformance() {
    let Some(server) = server(&[]) else { return };
    let store = Arc::new(server.store().await);
    let failures = conformance::run(&Subject::in_real_time(store)).await;
    assert!(failures.is_empty(), "{failures:#?}");
}

/// A cluster refuses a script or a read whose keys lie in several slots.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_takes_every_operation() {
    let [port, bus] = [(), ()].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let number = |listener: std::net::TcpListener| {
        let port = listener.local_addr().unwrap().port();
        port.to_string().leak() as &'static str
    };
    let Some(server) = server(&[
        "--cluster-enabled",
        "yes",
        "--bind",
        "127.0.0.1",
        "--port",
        number(port),
        "--cluster-port",
        number(bus),
    ]) else {
        return;
    };
    let store = RedisStore::new(&server.settings(), TIMEOUT).unwrap();
    let begin = Instant::now();
    loop {
        let error = until_error(&store).await.to_string();
        if error.contains("slot not served") {
            break;
        }
        assert!(begin.elapsed() < SOON * 3, "{error}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server
        .command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"])
        .await;
    back(&store).await;
    let failures = conformance::run(&Subject::in_real_time(Arc::new(store))).await;
    assert!(failures.is_empty(), "{failures:#?}");
}
