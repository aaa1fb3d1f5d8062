//! One line per request, collected in memory and written by a thread.
//!
//! A worker never waits for the disk or the pipe: lines that do not fit into
//! its buffer are dropped and counted.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, Thread};
use std::time::Duration;

use super::escape::push_quoted;
use super::handle::RequestLine;
use super::shard::Sharded;

/// The longest line that is written stays below 4 KiB: the sum of the limits
/// of its fields.
const LONGEST_PATH: usize = 2048;
const LONGEST_HOST: usize = 256;
const LONGEST_WORD: usize = 64;
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
    buffers: Sharded<Vec<u8>>,
    dropped: AtomicU64,
    stop: AtomicBool,
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
        if buffer.len() >= BUFFER {
            self.shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let before = buffer.len();
        append(&mut buffer, line, self.json);
        let wake = before < WAKE && buffer.len() >= WAKE;
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
                std::mem::swap(&mut *buffer, &mut lines);
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

struct Fields<'a> {
    out: &'a mut Vec<u8>,
    json: bool,
    first: bool,
}

impl Fields<'_> {
    fn key(&mut self, key: &str) {
        if !self.first {
            self.out.push(if self.json { b',' } else { b' ' });
        }
        self.first = false;
        if self.json {
            self.out.push(b'"');
            self.out.extend_from_slice(key.as_bytes());
            self.out.extend_from_slice(b"\":");
        } else {
            self.out.extend_from_slice(key.as_bytes());
            self.out.push(b'=');
        }
    }

    fn text(&mut self, key: &str, text: &str, limit: usize) {
        self.key(key);
        push_quoted(self.out, text, limit);
    }

    fn number(&mut self, key: &str, number: u64) {
        self.key(key);
        let mut digits = itoa::Buffer::new();
        self.out.extend_from_slice(digits.format(number).as_bytes());
    }

    /// What prints as plain ASCII without quotes: times, addresses, ids.
    fn plain(&mut self, key: &str, value: impl std::fmt::Display) {
        self.key(key);
        self.out.push(b'"');
        write!(self.out, "{value}").expect("memory takes every write");
        self.out.push(b'"');
    }
}

fn append(out: &mut Vec<u8>, line: &RequestLine<'_>, json: bool) {
    if json {
        out.push(b'{');
    }
    let mut fields = Fields {
        out,
        json,
        first: true,
    };
    fields.plain("time", Rfc3339(line.time.as_millis()));
    fields.plain("ref", line.reference);
    fields.text("method", line.method, LONGEST_WORD);
    fields.text("host", line.host, LONGEST_HOST);
    // A query may carry a code or a ticket; callers hand over the path, and
    // here it is made sure.
    let path = line.path.split(['?', '#']).next().unwrap_or_default();
    fields.text("path", path, LONGEST_PATH);
    fields.number("status", line.status.into());
    if let Some(bytes) = line.bytes {
        fields.number("bytes", bytes);
    }
    let micros = u64::try_from(line.duration.as_micros()).unwrap_or(u64::MAX);
    fields.number("duration_us", micros);
    fields.plain("client", line.client);
    for (key, word) in [
        ("route", line.route),
        ("rule", line.rule),
        ("lane", line.lane),
        ("decision", line.decision),
        ("reason", line.reason),
        ("session", line.session),
    ] {
        if let Some(word) = word {
            fields.text(key, word, LONGEST_WORD);
        }
    }
    if json {
        out.push(b'}');
    }
    out.push(b'\n');
}

/// Milliseconds since 1970, shown as UTC with milliseconds: the times of both
/// logs.
pub struct Rfc3339(pub u64);

impl std::fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (days, in_day) = (self.0 / 86_400_000, self.0 % 86_400_000);
        // Days since 0000-03-01, so that the leap day is the last of a year;
        // 146097 days are 400 years of the Gregorian calendar.
        let days = days + 719_468;
        let (era, in_era) = (days / 146_097, days % 146_097);
        let year_of_era = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
        let in_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * in_year + 2) / 153;
        let day = in_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 {
            shifted + 3
        } else {
            shifted - 9
        };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        let (seconds, millis) = (in_day / 1000, in_day % 1000);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{millis:03}Z",
            seconds / 3600,
            seconds / 60 % 60,
            seconds % 60,
        )
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
            reference: &"0000000000abc",
            method: "GET",
            host,
            path,
            status: 200,
            bytes: Some(5),
            duration: Duration::from_micros(1234),
            client: [192, 0, 2, 1].into(),
            route: Some("files"),
            rule: None,
            lane: Some("session"),
            decision: Some("permit"),
            reason: None,
            session: Some("a1b2c3d4e5"),
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
                line.session = Some(path);
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

    #[test]
    fn calendar() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_164_799_999, "2024-02-28T23:59:59.999Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(Rfc3339(millis).to_string(), text);
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
