//! The real gateway as a process: alone, or under callgrind.

use std::fs::File;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Failure;
use crate::callgrind::{self, Costs};
use crate::harness::gateway::Plan;
use crate::harness::until;

/// A machine that does other things too, and callgrind.
const LONGEST_START: Duration = Duration::from_secs(300);
/// Some gigabytes of sessions, and callgrind.
const LONGEST_LOOK: Duration = Duration::from_secs(1800);
/// The thread that looks through a large database after the start.
const LOOKING: &str = "store-check";

pub struct Running {
    child: Child,
    port: u16,
    /// Holds the log, and the file that callgrind writes.
    folder: TempDir,
    dumps: u32,
}

impl Running {
    /// Starts and waits until it serves.
    pub async fn alone(gateway: &Path, plan: &Plan) -> Result<Self, Failure> {
        Self::start(&[], gateway, plan, folder()?).await
    }

    /// The same under callgrind; [`Running::costs`] ends it.
    pub async fn counted(gateway: &Path, plan: &Plan) -> Result<Self, Failure> {
        let folder = folder()?;
        let before = callgrind::before(&out(&folder));
        Self::start(&before, gateway, plan, folder).await
    }

    async fn start(
        before: &[String],
        gateway: &Path,
        plan: &Plan,
        folder: TempDir,
    ) -> Result<Self, Failure> {
        let gateway = std::path::absolute(gateway).map_err(|error| error.to_string())?;
        let mut command = match before.split_first() {
            None => Command::new(gateway),
            Some((program, rest)) => {
                let mut command = Command::new(program);
                command.args(rest).arg(gateway);
                command
            }
        };
        let log = File::create(log(&folder)).map_err(|error| error.to_string())?;
        let errors = log.try_clone().map_err(|error| error.to_string())?;
        let child = command
            .args(["serve", "--config"])
            .arg(plan.written())
            .current_dir(plan.folder())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .map_err(|error| format!("the gateway does not start: {error}"))?;
        let mut running = Self {
            child,
            port: plan.port(),
            folder,
            dumps: 0,
        };
        let begun = Instant::now();
        while !running.log().contains("\"serving\"") {
            let ended = running.child.try_wait();
            let ended = ended.map_err(|error| error.to_string())?;
            if ended.is_some() || begun.elapsed() > LONGEST_START {
                return Err(format!("the gateway does not serve:\n{}", running.log()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(running)
    }

    pub fn log(&self) -> String {
        let bytes = std::fs::read(log(&self.folder)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Of each of its threads, what /proc says in this file.
    fn of_threads(&self, file: &str) -> Result<Vec<String>, Failure> {
        let path = format!("/proc/{}/task", self.child.id());
        let tasks = std::fs::read_dir(path).map_err(|error| error.to_string())?;
        // A thread may end meanwhile.
        let told = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join(file)).ok();
        Ok(tasks.flatten().filter_map(told).collect())
    }

    /// A large database is looked through while it serves already; what that
    /// costs is no request's.
    pub async fn store_is_looked_through(&self) -> Result<(), Failure> {
        let begun = Instant::now();
        while self
            .of_threads("comm")?
            .iter()
            .any(|name| name.trim() == LOOKING)
        {
            if begun.elapsed() > LONGEST_LOOK {
                return Err("the store is looked through without an end".to_owned());
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Time on a processor of all its threads so far.
    pub fn processor_time(&self) -> Result<Duration, Failure> {
        let mut nanos = 0;
        for text in self.of_threads("schedstat")? {
            let first = text
                .split(' ')
                .next()
                .and_then(|word| word.parse::<u64>().ok());
            nanos += first.unwrap_or_default();
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// Memory in use, in bytes.
    pub fn memory(&self) -> Result<u64, Failure> {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        Ok(kibibytes.ok_or("no VmRSS")? * 1024)
    }

    /// Ends it in order.
    pub async fn end(mut self) -> Result<TempDir, Failure> {
        let kill = format!("kill -TERM {}", self.child.id());
        Command::new("sh")
            .args(["-c", &kill])
            .status()
            .map_err(|error| error.to_string())?;
        let child = &mut self.child;
        let mut status: Option<ExitStatus> = None;
        until::holds("the gateway ends", || {
            status = child.try_wait().ok().flatten();
            status.is_some()
        })
        .await;
        if !status.is_some_and(|status| status.success()) {
            return Err(format!("the gateway failed:\n{}", self.log()));
        }
        let spare = folder()?;
        Ok(std::mem::replace(&mut self.folder, spare))
    }

    /// Instructions since the last time that this was asked.
    pub async fn spent(&mut self) -> Result<u64, Failure> {
        self.dumps += 1;
        let (process, out, number) = (self.child.id(), out(&self.folder), self.dumps);
        let dumped = tokio::task::spawn_blocking(move || callgrind::dump(process, &out, number));
        dumped.await.map_err(|error| error.to_string())?
    }

    /// Ends it and reads what it has cost, its whole life long.
    pub async fn costs(self) -> Result<Costs, Failure> {
        let folder = self.end().await?;
        callgrind::read(&out(&folder))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn folder() -> Result<TempDir, Failure> {
    tempfile::tempdir().map_err(|error| error.to_string())
}

fn out(folder: &TempDir) -> PathBuf {
    folder.path().join("callgrind.out")
}

fn log(folder: &TempDir) -> PathBuf {
    folder.path().join("gateway.log")
}
