//! The certified OpenID provider of npm as a process (`tests/e2e/provider.mjs`).

use std::process::Command;

use serde_json::Value;

use super::process::Process;
use super::provider::{CLIENT_ID, CLIENT_SECRET};
use super::{part, wire};

pub struct NodeProvider {
    port: u16,
    process: Process,
}

impl NodeProvider {
    /// Registers one client whose callback is at `origin`; its access tokens
    /// live `access_seconds`, its refresh tokens are good for one use.
    pub async fn start(port: u16, origin: &str, access_seconds: u32) -> Self {
        let mut command = Command::new("node");
        command
            .current_dir(part::e2e_folder())
            .arg("provider.mjs")
            .args([
                format!("--port={port}"),
                format!("--redirect={origin}/oauth2/callback"),
                format!("--post-logout={origin}/"),
                format!("--back-channel={origin}/oauth2/backchannel_logout"),
                format!("--access-ttl={access_seconds}"),
                format!("--client-id={CLIENT_ID}"),
                format!("--client-secret={CLIENT_SECRET}"),
            ]);
        let mut process = Process::spawn("oidc-provider", &mut command);
        process.line("ready http").await;
        Self { port, process }
    }

    pub fn issuer_on(port: u16) -> String {
        format!("http://127.0.0.1:{port}")
    }

    /// One of: logins, code, code_failed, refresh, refresh_failed, userinfo,
    /// `back_channel`, `back_channel_failed`.
    pub async fn count(&self, name: &str) -> u64 {
        let url = format!("{}/_counters", Self::issuer_on(self.port));
        let counters: Value = wire::get(&url).await.json();
        counters[name]
            .as_u64()
            .unwrap_or_else(|| panic!("no counter {name}"))
    }

    pub fn log(&self) -> String {
        self.process.log()
    }
}
