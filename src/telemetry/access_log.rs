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
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::base::clock::Timestamp;

    #[derive(Clone, Default)]
    struct Memory(Arc<Mutex<Vec<u8>>>);

    impl Write for Memory {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn line<'a>(path: &'a str, host: &'a str) -> RequestLine<'a> {
        RequestLine {
            time: Timestamp(1_795_204_496_789),
            reference: b"0000000000abc",
            method: "GET",
            host,
            port: None,
            path,
            status: 200,
            bytes: Some(5),
            duration: Duration::from_micros(1234),
            client: b"192.0.2.1",
            route: Some("files"),
            rule: None,
            lane: Some("session"),
            decision: Some("permit"),
            reason: None,
            session: Some(b"a1b2c3d4e5"),
        }
    }

    fn written(json: bool, lines: &[RequestLine<'_>]) -> String {
        let memory = Memory::default();
        let log = AccessLog::start(json, memory.clone()).unwrap();
        for line in lines {
            log.write(line);
        }
        drop(log);
        let bytes = memory.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn one_line_in_both_formats() {
        assert_eq!(
            written(true, &[line("/a", "h.test")]),
            "{\"time\":\"2026-11-20T19:54:56.789Z\",\"ref\":\"0000000000abc\",\"method\":\"GET\",\
             \"host\":\"h.test\",\"path\":\"/a\",\"status\":200,\"bytes\":5,\"duration_us\":1234,\
             \"client\":\"192.0.2.1\",\"route\":\"files\",\"lane\":\"session\",\
             \"decision\":\"permit\",\"session\":\"a1b2c3d4e5\"}\n"
        );
        let text = written(false, &[line("/a", "h.test")]);
        assert!(
            text.starts_with("time=\"2026-11-20T19:54:56.789Z\" ref="),
            "{text}"
        );
        assert!(text.contains(" status=200 bytes=5 duration_us=1234 client=\"192.0.2.1\" "));
    }

    /// What lines share stands ready from the one before.
    #[test]
    fn a_line_says_the_same_whatever_came_before() {
        let plain = line("/a", "h.test");
        let changed = [
            RequestLine {
                method: "PO\"ST",
                ..plain
            },
            RequestLine {
                host: "other.test",
                ..plain
            },
            RequestLine {
                port: Some(8443),
                ..plain
            },
            RequestLine {
                route: None,
                ..plain
            },
            RequestLine {
                route: Some("other"),
                ..plain
            },
            RequestLine {
                rule: Some("3"),
                ..plain
            },
            RequestLine {
                lane: None,
                ..plain
            },
            RequestLine {
                decision: Some("deny"),
                ..plain
            },
            RequestLine {
                reason: Some("not_admitted"),
                ..plain
            },
            RequestLine {
                session: None,
                ..plain
            },
            RequestLine {
                bytes: None,
                status: 403,
                client: b"::1",
                ..plain
            },
        ];
        for json in [true, false] {
            let alone = |line| written(json, &[line]);
            for other in changed {
                for pair in [[plain, other], [other, plain]] {
                    let both = written(json, &pair);
                    assert_eq!(both, pair.map(alone).concat());
                }
            }
        }
    }

    #[test]
    fn sec_log_02_no_query_ever() {
        let text = written(
            true,
            &[line("/oauth2/callback?code=SECRET#SECRET", "h.test")],
        );
        assert!(!text.contains("SECRET"), "{text}");
    }

    #[test]
    fn sec_log_03_one_bounded_record_whatever_is_in_it() {
        let hostile = [
            "/a\r\nforged".to_owned(),
            "/\x1b[2J\x07\x7f".to_owned(),
            "/\u{202e}gpj.exe\u{2028}\u{85}".to_owned(),
            "/\",\"status\":500,\"x\":\"\\".to_owned(),
            "/a".repeat(50_000),
            "\u{1}".repeat(50_000),
            "\u{10ffff}".repeat(50_000),
        ];
        for path in &hostile {
            for host in &hostile {
                let mut line = line(path, host);
                line.method = host;
                line.route = Some(path);
                line.session = Some(path.as_bytes());
                let json = written(true, &[line]);
                assert!(json.len() <= 4096, "{}", json.len());
                let value: serde_json::Value = serde_json::from_str(&json).unwrap();
                assert_eq!(value["status"], 200);
                for text in [json, written(false, &[line])] {
                    assert_eq!(text.matches('\n').count(), 1);
                    let inner = text.trim_end_matches('\n');
                    assert!(!inner.chars().any(char::is_control), "{inner:?}");
                    assert!(!inner.contains(['\u{202e}', '\u{2028}']));
                }
            }
        }
    }

    /// Accepts nothing until it is let go.
    struct Stuck(std::sync::mpsc::Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            // Ends when the other side is dropped.
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_stuck_pipe_costs_lines_and_not_requests() {
        let (release, wait) = std::sync::mpsc::channel();
        let log = AccessLog::start(true, Stuck(wait)).unwrap();
        let long = "/a".repeat(1000);
        for _ in 0..3000 {
            log.write(&line(&long, "h.test"));
        }
        assert!(log.dropped() > 0);
        drop(release);
    }

    #[test]
    fn a_broken_pipe_is_counted() {
        struct Broken;
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
                Err(std::io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> std::io::Result<()> {
                Ok(())
            }
        }
        let log = AccessLog::start(true, Broken).unwrap();
        log.write(&line("/a", "h.test"));
        let shared = Arc::clone(&log.shared);
        drop(log);
        assert_eq!(shared.dropped.load(Ordering::Relaxed), 1);
    }
}
