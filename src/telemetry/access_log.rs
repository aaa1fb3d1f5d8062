//! One line per request, collected in memory and written by a thread.
//!
//! A worker never waits for the disk or the pipe: lines that do not fit into
//! its buffer are dropped and counted.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use super::handle::RequestLine;
use super::line::Pen;
use super::shard::Sharded;

/// Bytes that one thread may have waiting.
const BUFFER: usize = 1024 * 1024;
/// Bytes after which the writer is woken early.
const WAKE: usize = 128 * 1024;
const INTERVAL: Duration = Duration::from_millis(200);

/// Dropping it writes what is left.
#[derive(Debug)]
pub struct AccessLog {
    json: bool,
    shared: Arc<Shared>,
    writer: Thread,
    joined: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    buffers: Sharded<Buffer>,
    dropped: AtomicU64,
    stop: AtomicBool,
}

/// Lines of one thread that wait for the writer.
#[derive(Debug, Default)]
struct Buffer {
    lines: Vec<u8>,
    pen: Pen,
}

impl AccessLog {
    /// `json` chooses the format: one object per line, or `key=value`.
    ///
    /// # Errors
    /// The writer thread cannot be started.
    pub fn start(json: bool, mut out: impl Write + Send + 'static) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let joined = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || of_thread.write_until_stopped(&mut out))?;
        Ok(Self {
            json,
            shared,
            writer: joined.thread().clone(),
            joined: Some(joined),
        })
    }

    pub fn write(&self, line: &RequestLine<'_>) {
        let mut buffer = self.shared.buffers.own();
        let Buffer { lines, pen } = &mut *buffer;
        let before = lines.len();
        if before >= BUFFER {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if lines.capacity() == 0 {
            // Enough for as long as the writer keeps up; memory that is not
            // written to is not taken.
            lines.reserve(2 * WAKE);
        }
        pen.write(lines, line, self.json);
        let wake = before < WAKE && lines.len() >= WAKE;
        drop(buffer);
        if wake {
            self.writer.unpark();
        }
    }

    /// Lines that were lost because the writer was too slow or failed.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.writer.unpark();
        if let Some(joined) = self.joined.take() {
            // The thread has nothing to report but a panic of the writer.
            let _ = joined.join();
        }
    }
}

impl Shared {
    fn write_until_stopped(&self, out: &mut impl Write) {
        let mut lines = Vec::new();
        loop {
            let stopping = self.stop.load(Ordering::Acquire);
            for mut buffer in self.buffers.each() {
                std::mem::swap(&mut buffer.lines, &mut lines);
                drop(buffer);
                if lines.is_empty() {
                    continue;
                }
                if out.write_all(&lines).is_err() {
                    let lost = memchr::memchr_iter(b'\n', &lines).count() as u64;
                    self.dropped.fetch_add(lost, Ordering::Relaxed);
                }
                lines.clear();
            }
            // A failure shows at the next write.
            let _ = out.flush();
            if stopping {
                return;
            }
            std::thread::park_timeout(INTERVAL);
        }
    }
}

#[cfg(test)]
mod tests;
