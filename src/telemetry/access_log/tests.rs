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
