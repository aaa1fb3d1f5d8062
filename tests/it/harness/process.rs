//! A child process whose output is kept and which never outlives its test.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::until;

pub struct Process {
    name: String,
    child: Child,
    /// Not a pipe: what it has written can be read at once.
    log: File,
}

impl Process {
    /// Starts `command`; both of its output streams go into one log.
    pub fn spawn(name: &str, command: &mut Command) -> Self {
        let log = tempfile::tempfile().expect("a file for its log");
        // Both share one place in the file, so neither writes over the other.
        let stream = || Stdio::from(log.try_clone().expect("the file of its log"));
        let child = command
            .stdin(Stdio::null())
            .stdout(stream())
            .stderr(stream())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self {
            name: name.to_owned(),
            child,
            log,
        }
    }

    /// All that it has printed so far.
    pub fn log(&self) -> String {
        let length = self.log.metadata().expect("its log").len();
        let mut bytes = vec![0; usize::try_from(length).expect("a small log")];
        // What is there stays there: nothing is ever cut off.
        self.log.read_exact_at(&mut bytes, 0).expect("its log");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits for a line that contains `needle` and gives that line.
    pub async fn line(&mut self, needle: &str) -> String {
        let end = Instant::now() + until::PATIENCE;
        loop {
            let log = self.log();
            if let Some(line) = log.lines().find(|line| line.contains(needle)) {
                return line.to_owned();
            }
            if let Some(status) = self.status() {
                panic!(
                    "{} ended ({status}) before {needle:?}:\n{}",
                    self.name,
                    self.log()
                );
            }
            assert!(
                Instant::now() < end,
                "{} never printed {needle:?}:\n{log}",
                self.name
            );
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// How it ended, if it has.
    pub fn status(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("child can be asked")
    }

    /// Sends a signal by name: TERM, STOP, CONT, INT, HUP.
    pub fn signal(&self, name: &str) {
        // The shell's own kill: the program is missing on small systems.
        let status = Command::new("sh")
            .args(["-c", &format!("kill -{name} {}", self.child.id())])
            .status()
            .expect("sh runs");
        assert!(status.success(), "kill -{name} of {} failed", self.name);
    }

    /// The most memory that it ever had in use, in bytes (Linux).
    pub fn peak_memory(&self) -> usize {
        self.memory_as("VmHWM:")
    }

    /// The memory that it asked for and has in use, in bytes (Linux). The
    /// pages of its own program, which come as they are needed, are not in it.
    pub fn memory(&self) -> usize {
        self.memory_as("RssAnon:")
    }

    fn memory_as(&self, word: &str) -> usize {
        let path = format!("/proc/{}/status", self.child.id());
        let text = std::fs::read_to_string(path).expect("its status");
        let line = text.lines().find_map(|line| line.strip_prefix(word));
        let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
        kibibytes.expect("a number of kB") * 1024
    }

    /// How many files and sockets it has open (Linux).
    pub fn open_files(&self) -> usize {
        let path = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(path).expect("its files").count()
    }

    /// The processor time of its threads whose name begins so (Linux).
    pub fn cpu_of(&self, name: &str) -> Duration {
        let folder = format!("/proc/{}/task", self.child.id());
        let threads = std::fs::read_dir(folder).expect("its threads");
        let nanoseconds = threads.flatten().filter_map(|thread| {
            let read = |file: &str| std::fs::read_to_string(thread.path().join(file)).ok();
            let used = read("comm")?
                .starts_with(name)
                .then(|| read("schedstat"))??;
            used.split_whitespace().next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    /// `kill -9`, and waits until the system has buried it.
    pub fn kill(&mut self) {
        if self.status().is_none() {
            self.child.kill().expect("child can be killed");
            self.child.wait().expect("child can be awaited");
        }
    }

    /// Waits for it to end by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        let end = Instant::now() + until::PATIENCE;
        loop {
            if let Some(status) = self.status() {
                return status;
            }
            assert!(
                Instant::now() < end,
                "{} does not end:\n{}",
                self.name,
                self.log()
            );
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let from = log.len().saturating_sub(16 * 1024);
            let from = (from..log.len())
                .find(|at| log.is_char_boundary(*at))
                .unwrap_or(0);
            println!("---- {} said ----\n{}", self.name, &log[from..]);
        }
    }
}
