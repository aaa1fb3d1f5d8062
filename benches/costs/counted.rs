//! A gateway under callgrind.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::Failure;
use crate::callgrind::{self, Costs};
use crate::harness::gateway::Plan;
use crate::harness::process::Process;

pub struct Counted {
    process: Process,
    plan: Plan,
    /// Holds the file that callgrind writes.
    _folder: TempDir,
    out: PathBuf,
}

impl Counted {
    /// Starts and waits until it serves.
    pub async fn start(gateway: &Path, plan: Plan) -> Result<Self, Failure> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let out = folder.path().join("callgrind.out");
        let words = callgrind::before(&out);
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .arg(std::path::absolute(gateway).map_err(|error| error.to_string())?)
            .args(["serve", "--config"])
            .arg(plan.written())
            .current_dir(plan.folder());
        let mut process = Process::spawn("gateway", &mut command);
        process.line("\"serving\"").await;
        Ok(Self {
            process,
            plan,
            _folder: folder,
            out,
        })
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.plan.origin())
    }

    /// `host:port` as browsers say it.
    pub fn authority(&self) -> String {
        format!("app.localhost:{}", self.plan.port())
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.plan.port()))
    }

    /// Ends it in order and reads what it has cost, its whole life long.
    pub async fn end(mut self) -> Result<Costs, Failure> {
        self.process.signal("TERM");
        let status = self.process.ended().await;
        if !status.success() {
            let log = self.process.log();
            return Err(format!("gateway ended ({status}):\n{log}"));
        }
        callgrind::read(&self.out)
    }
}
