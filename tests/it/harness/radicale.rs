//! Radicale: a real calendar server that trusts a user header.

use std::process::Command;

use tempfile::TempDir;
use tokio::net::TcpStream;

use super::process::Process;
use super::{port, until};

pub struct Radicale {
    port: u16,
    _folder: TempDir,
    _process: Process,
}

impl Radicale {
    /// Takes the user from `X-Remote-User`; everybody reads and writes his own.
    pub async fn start() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("vestibule-radicale-")
            .tempdir()
            .expect("folder");
        let port = port::free();
        let config = folder.path().join("config");
        let text = format!(
            "[server]\nhosts = 127.0.0.1:{port}\nmax_connections = 64\n\
             [auth]\ntype = http_x_remote_user\n\
             [rights]\ntype = owner_only\n\
             [storage]\nfilesystem_folder = {}\n",
            folder.path().join("collections").display()
        );
        std::fs::write(&config, text).expect("file");
        let process = Process::spawn(
            "radicale",
            Command::new("radicale").arg("--config").arg(&config),
        );
        until::some("radicale listens", || async move {
            TcpStream::connect(("127.0.0.1", port)).await.ok()
        })
        .await;
        Self {
            port,
            _folder: folder,
            _process: process,
        }
    }

    /// As a route's `upstream` says it.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}
