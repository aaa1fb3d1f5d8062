//! A primary, a replica, and three sentinels that watch them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;

use ::redis::Value;
use tempfile::TempDir;

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
        until::some("the sentinels know each other and both servers", || async {
            for port in &self.ports {
                let facts = self.facts(*port, "MASTER").await?;
                let primary = self.primary.address().port().to_string();
                if facts.get("num-other-sentinels")? != "2"
                    || facts.get("port")? != &primary
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
        })
        .await;
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

    /// Takes the primary away, waits until the replica is the primary, brings
    /// the other back and waits until it copies.
    pub async fn trade_places(&mut self) {
        self.primary.kill();
        self.promoted().await;
        self.primary.restart().await;
        std::mem::swap(&mut self.primary, &mut self.replica);
        self.primary.replicas(1).await;
        self.settled().await;
    }

    /// Waits until the replica is the primary.
    pub async fn promoted(&self) {
        until::some("the replica is promoted", || async {
            let Value::Array(role) = self.replica.command(&["ROLE"]).await else {
                return None;
            };
            (role.first() == Some(&Value::BulkString(b"master".to_vec()))).then_some(())
        })
        .await;
    }
}
