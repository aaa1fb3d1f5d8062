//! A primary, a replica, and three sentinels that watch them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use ::redis::Value;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::process::Process;
use super::redis::{self, Redis, command_as};
use super::{port, until};

/// The name that the sentinels know the primary by.
pub const NAME: &str = "sessions";
/// Of the sentinels; the servers that they watch have another.
pub const PASSWORD: &str = "sentinel-tests-only-secret";

pub struct Sentinels {
    pub primary: Redis,
    pub replica: Redis,
    sentinels: Vec<Process>,
    ports: Vec<u16>,
    folder: TempDir,
}

impl Sentinels {
    /// A primary is given up after a second without a sign of life.
    pub async fn start() -> Self {
        let primary = Redis::start_locked().await;
        let replica = Redis::replica_of(&primary).await;
        primary.replicas(1).await;
        let folder = tempfile::Builder::new()
            .prefix("vestibule-sentinel-")
            .tempdir()
            .expect("folder");
        let ports: Vec<u16> = (0..3).map(|_| port::free()).collect();
        let sentinels = ports
            .iter()
            .map(|port| {
                let own = folder.path().join(port.to_string());
                std::fs::create_dir(&own).expect("folder");
                let file = own.join("sentinel.conf");
                let lines = format!(
                    "port {port}\nbind 127.0.0.1\ndir {}\nrequirepass {PASSWORD}\n\
                     sentinel sentinel-pass {PASSWORD}\n\
                     sentinel monitor {NAME} 127.0.0.1 {} 2\n\
                     sentinel auth-pass {NAME} {}\n\
                     sentinel down-after-milliseconds {NAME} 1000\n\
                     sentinel failover-timeout {NAME} 5000\n",
                    own.display(),
                    primary.address().port(),
                    redis::PASSWORD,
                );
                std::fs::write(&file, lines).expect("file");
                Process::spawn(
                    "sentinel",
                    Command::new("redis-server").arg(file).arg("--sentinel"),
                )
            })
            .collect();
        let all = Self {
            primary,
            replica,
            sentinels,
            ports,
            folder,
        };
        all.settled().await;
        all
    }

    /// Waits until every sentinel knows the others, the primary and a
    /// replica that it could promote.
    async fn settled(&self) {
        until::some("the sentinels know each other and both servers", || {
            self.agreed(self.primary.address().port())
        })
        .await;
    }

    /// Whether they do, with the primary at this port.
    async fn agreed(&self, primary: u16) -> Option<()> {
        for port in &self.ports {
            let facts = self.facts(*port, "MASTER").await?;
            if facts.get("num-other-sentinels")? != "2"
                || facts.get("port")? != &primary.to_string()
                || facts.get("flags")? != "master"
            {
                return None;
            }
            let replica = self.facts(*port, "REPLICAS").await?;
            if replica.get("master-link-status")? != "ok" || replica.get("flags")? != "slave" {
                return None;
            }
        }
        Some(())
    }

    /// Of the primary, or of its one replica.
    async fn facts(&self, port: u16, of: &str) -> Option<HashMap<String, String>> {
        let facts = self.ask(port, &["SENTINEL", of, NAME]).await?;
        if of == "MASTER" {
            return ::redis::from_redis_value(facts).ok();
        }
        let mut replicas: Vec<HashMap<String, String>> = ::redis::from_redis_value(facts).ok()?;
        let replica = replicas.pop()?;
        replicas.is_empty().then_some(replica)
    }

    async fn ask(&self, port: u16, words: &[&str]) -> Option<Value> {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        tokio::net::TcpStream::connect(address).await.ok()?;
        Some(command_as(address, ("", PASSWORD), words).await)
    }

    pub fn url(&self) -> String {
        let hosts: Vec<String> = self
            .ports
            .iter()
            .map(|port| format!("127.0.0.1:{port}"))
            .collect();
        format!("redis-sentinel://{}/{NAME}/0", hosts.join(","))
    }

    /// Of the servers.
    pub fn password_file(&self) -> PathBuf {
        self.written("password", redis::PASSWORD)
    }

    /// Of the sentinels.
    pub fn sentinel_password_file(&self) -> PathBuf {
        self.written("sentinel-password", PASSWORD)
    }

    fn written(&self, name: &str, secret: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, secret).expect("file");
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .expect("mode");
        path
    }

    /// Lines for `[redis]`.
    pub fn lines(&self) -> String {
        format!(
            "url = \"{}\"\npassword_file = \"{}\"\nsentinel_password_file = \"{}\"\n",
            self.url(),
            self.password_file().display(),
            self.sentinel_password_file().display()
        )
    }

    /// Kills one of the three.
    pub fn kill_a_sentinel(&mut self) {
        self.sentinels[0].kill();
    }

    /// Makes them give the primary's place to the replica now.
    pub async fn fail_over(&self) {
        let port = self.ports[2];
        self.ask(port, &["SENTINEL", "FAILOVER", NAME]).await;
    }

    /// Makes both servers refuse writes while they have no replica.
    pub async fn insist_on_a_replica(&mut self) {
        for server in [&mut self.primary, &mut self.replica] {
            server.settle_on(&["--min-replicas-to-write", "1"]).await;
        }
    }

    /// Takes the primary away, brings it back when the other has its place,
    /// and waits until one of them copies the other, whichever it is: the
    /// sentinels may have moved the primary again, for a machine under load
    /// lets a second pass without an answer.
    pub async fn trade_places(&mut self) {
        self.primary.kill();
        self.promoted().await;
        self.primary.restart().await;
        // Three times what one change of the primary may take.
        let end = Instant::now() + until::PATIENCE * 3;
        let swapped = loop {
            if let Some(swapped) = self.swapped().await {
                break swapped;
            }
            assert!(Instant::now() < end, "neither copies the other");
            sleep(Duration::from_millis(50)).await;
        };
        if swapped {
            std::mem::swap(&mut self.primary, &mut self.replica);
        }
    }

    /// Whether the servers have each other's place; `None` while one of them
    /// does not copy the other, or the sentinels do not all know of it.
    async fn swapped(&self) -> Option<bool> {
        let now = self.address_of_the_primary().await?;
        let swapped = self.replica.address().port() == now;
        let (primary, replica) = if swapped {
            (&self.replica, &self.primary)
        } else {
            (&self.primary, &self.replica)
        };
        let copies = primary.has_its_replica().await && replica.follows(now).await;
        copies.then_some(())?;
        self.agreed(now).await?;
        Some(swapped)
    }

    /// The port that most of the sentinels name.
    async fn address_of_the_primary(&self) -> Option<u16> {
        let mut named = Vec::new();
        for port in &self.ports {
            let facts = self.facts(*port, "MASTER").await?;
            named.push(facts.get("port")?.parse().ok()?);
        }
        named.sort_unstable();
        Some(named[named.len() / 2])
    }

    /// How often the primary was another one since the start.
    pub async fn failovers(&self) -> u64 {
        let mut most = 0;
        for port in &self.ports {
            let facts = self.facts(*port, "MASTER").await.expect("a sentinel");
            let epoch = facts.get("config-epoch").and_then(|text| text.parse().ok());
            most = most.max(epoch.expect("a number"));
        }
        most
    }

    /// Waits until the replica is the primary.
    pub async fn promoted(&self) {
        until::some("the replica is promoted", || async {
            let role = self.replica.role().await?;
            (role.first() == Some(&Value::BulkString(b"master".to_vec()))).then_some(())
        })
        .await;
    }
}
