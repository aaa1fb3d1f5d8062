//! Two people's exchanges on one upstream connection, and upstreams that do
//! what they should not between them.

use std::time::Instant;

use super::*;

const HEAD: &str = "Host: app.example.com\r\n";

/// Says back what was asked for.
fn echoing() -> RawUpstream {
    RawUpstream::scripted(|request, stream| {
        let path = request.split(' ').nth(1).unwrap();
        let length = path.len();
        let answer = match path.len() % 3 {
            0 => format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{path}"),
            1 => format!(
                "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{path}"
            ),
            _ => format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{path}\r\n0\r\n\r\n"
            ),
        };
        // In two pieces.
        let (first, second) = answer.as_bytes().split_at(answer.len() - 3);
        stream.write_all(first).is_ok() && stream.write_all(second).is_ok()
    })
}

fn request(path: &str, with_body: bool) -> String {
    match with_body {
        true => format!("POST {path} HTTP/1.1\r\n{HEAD}Content-Length: 3\r\n\r\nabc"),
        false => format!("GET {path} HTTP/1.1\r\n{HEAD}\r\n"),
    }
}

fn answer(stream: &mut TcpStream) -> String {
    read_message(stream, &mut Vec::new()).expect("an answer")
}

/// With and without a body, more clients than connections, on both runtimes.
#[test]
fn sec_smg_17_everybody_gets_their_own_answer_however_few_connections_there_are() {
    for (runtime, limit) in [(Runtime::PerCore, 1), (Runtime::Shared, 3)] {
        let upstream = echoing();
        let mut setup = Setup::to(&upstream);
        setup.runtime = runtime;
        setup.limits.upstream_connections = limit;
        setup.limits.connections_per_address = 100;
        let rig = setup.start();
        let clients = 6;
        let counted: Vec<(usize, usize)> = std::thread::scope(|scope| {
            let rig = &rig;
            let client = |client: usize| {
                scope.spawn(move || {
                    let (mut served, mut busy) = (0, 0);
                    let mut stream = rig.connect();
                    for number in 0..15 {
                        let path = format!("/{client}-{}", "x".repeat(number));
                        let with_body = (client + number).is_multiple_of(3);
                        stream
                            .write_all(request(&path, with_body).as_bytes())
                            .unwrap();
                        let answer = whole_answer(&mut stream);
                        if answer.starts_with("HTTP/1.1 200 ") {
                            assert!(answer.contains(&path), "{path}: {answer}");
                            served += 1;
                        } else {
                            assert!(answer.contains("upstream_busy"), "{answer}");
                            busy += 1;
                        }
                    }
                    (served, busy)
                })
            };
            let threads: Vec<_> = (0..clients).map(client).collect();
            let ended = threads.into_iter().map(|thread| thread.join().unwrap());
            ended.collect()
        });
        let served: usize = counted.iter().map(|(served, _)| served).sum();
        assert!(served >= clients * 15 * 9 / 10, "{limit}: {counted:?}");
    }
}

/// Chunked answers as they are, others by their length.
fn whole_answer(stream: &mut TcpStream) -> String {
    let (mut all, mut some) = (Vec::new(), [0; 1000]);
    loop {
        let text = String::from_utf8_lossy(&all).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map(|length| length.parse::<usize>().unwrap());
            if length.map_or(body.ends_with("0\r\n\r\n"), |length| body.len() == length) {
                return text;
            }
        }
        let read = stream.read(&mut some).unwrap();
        assert!(read > 0, "{text}");
        all.extend_from_slice(&some[..read]);
    }
}

#[test]
fn a_full_pool_of_the_other_kind_makes_room() {
    let upstream = RawUpstream::answering(OK);
    let mut setup = Setup::to(&upstream);
    setup.limits.upstream_connections = 1;
    let rig = setup.start();
    let mut stream = rig.connect();
    let start = Instant::now();
    for number in 0..10 {
        let path = format!("/{number}");
        stream
            .write_all(request(&path, number % 2 == 0).as_bytes())
            .unwrap();
        assert_status(&answer(&mut stream), 200);
    }
    assert_eq!(upstream.connections(), 10);
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[test]
fn sec_smg_10_late_bytes_behind_an_answer_reach_nobody() {
    const EVIL: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let late = Arc::new(Mutex::new(0));
    let said = late.clone();
    let upstream = RawUpstream::scripted(move |_, stream| {
        stream.write_all(OK).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        let _ = stream.write_all(EVIL);
        *said.lock().unwrap() += 1;
        true
    });
    let rig = Rig::in_front_of(&upstream);
    let mut stream = rig.connect();
    for number in 1..=5 {
        stream.write_all(request("/a", false).as_bytes()).unwrap();
        let answer = answer(&mut stream);
        assert!(answer.ends_with("\r\n\r\nhi"), "{answer}");
        until("the late bytes are sent", || {
            *late.lock().unwrap() == number
        });
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(upstream.connections(), 5);
}

#[test]
fn sec_smg_09_lengths_are_judged_whatever_the_method() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\n",
        b"HTTP/1.1 304 Not Modified\r\nContent-Length:\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 2a\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi!",
    ] {
        let upstream = RawUpstream::answering(answer);
        let rig = Rig::in_front_of(&upstream);
        for method in ["HEAD", "GET"] {
            let head = format!("{method} /a HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n");
            let text = String::from_utf8_lossy(answer);
            let told = rig.say(head);
            // A fault of the framing, or a length that frames nothing.
            assert!(told.starts_with("HTTP/1.1 502 "), "{method} {text}: {told}");
        }
    }
}

#[test]
fn an_answer_that_has_no_body_says_none() {
    let upstream = RawUpstream::answering(b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n");
    let rig = Rig::in_front_of(&upstream);
    let mut stream = rig.connect();
    for _ in 0..2 {
        stream.write_all(request("/a", false).as_bytes()).unwrap();
        let mut some = [0; 1000];
        let read = stream.read(&mut some).unwrap();
        let answer = String::from_utf8_lossy(&some[..read]).into_owned();
        assert_status(&answer, 204);
        assert!(!answer.contains("content-length"), "{answer}");
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn trailers_of_an_answer_lose_identity_names() {
    let upstream = RawUpstream::answering(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Remote-User\r\n\r\n\
          2\r\nhi\r\n0\r\nX-Sum: 7\r\nRemote-User: mal\r\nContent-Length: 3\r\n\r\n",
    );
    let rig = Rig::in_front_of(&upstream);
    for _ in 0..2 {
        let answer = rig
            .get("TE: trailers\r\nConnection: TE\r\n")
            .to_ascii_lowercase();
        assert!(answer.ends_with("\r\n0\r\nx-sum: 7\r\n\r\n"), "{answer}");
        assert!(!answer.contains("remote-user"), "{answer}");
    }
}

#[test]
fn sec_dos_11_a_flood_of_interim_answers_keeps_nobody_else_waiting() {
    let upstream = RawUpstream::scripted(|request, stream| {
        let flood = b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000);
        while request.starts_with("GET /flood ") {
            if stream.write_all(&flood).is_err() {
                return false;
            }
        }
        stream.write_all(OK).is_ok()
    });
    let mut setup = Setup::to(&upstream);
    setup.route.response_timeout = Duration::from_secs(2);
    let rig = setup.start();
    let mut flooded: Vec<TcpStream> = (0..2)
        .map(|_| {
            let mut stream = rig.connect();
            stream
                .write_all(request("/flood", false).as_bytes())
                .unwrap();
            stream
        })
        .collect();
    until("both are there", || upstream.requests().len() == 2);
    let start = Instant::now();
    assert_status(&rig.get(""), 200);
    assert!(start.elapsed() < Duration::from_secs(2));
    for stream in &mut flooded {
        assert_status(&answer(stream), 504);
    }
}

#[test]
fn a_request_is_sent_again_once_and_never_when_an_answer_has_begun() {
    for (part, sent) in [(&b""[..], 2), (b"H", 1), (b"HTTP/1.1 103 x\r\n\r\n", 1)] {
        let upstream = RawUpstream::scripted(move |request, stream| {
            if request.starts_with("GET /last ") {
                let _ = stream.write_all(part);
                return false;
            }
            stream.write_all(OK).is_ok()
        });
        let rig = Rig::in_front_of(&upstream);
        let mut stream = rig.connect();
        stream
            .write_all(request("/first", false).as_bytes())
            .unwrap();
        assert_status(&answer(&mut stream), 200);
        stream
            .write_all(request("/last", false).as_bytes())
            .unwrap();
        assert_status(&answer(&mut stream), 502);
        assert_eq!(upstream.requests().len(), 1 + sent, "{part:?}");
    }
}

#[test]
fn a_body_that_ends_with_its_connection_leaves_none_behind() {
    let upstream = RawUpstream::scripted(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nall");
        false
    });
    let mut setup = Setup::to(&upstream);
    setup.limits.upstream_connections = 1;
    let rig = setup.start();
    for _ in 0..20 {
        let answer = rig.get("");
        assert!(answer.contains("\r\n\r\n3\r\nall\r\n0\r\n\r\n"), "{answer}");
    }
}

#[test]
fn a_connection_that_another_worker_left_may_be_closed_too() {
    thread_local! {
        static SEEN: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }
    // Each connection has a thread of its own: one answer per connection.
    let upstream = RawUpstream::scripted(|_, stream| {
        SEEN.set(SEEN.get() + 1);
        SEEN.get() == 1 && stream.write_all(OK).is_ok()
    });
    let mut setup = Setup::to(&upstream);
    setup.limits.upstream_connections = 1;
    let rig = setup.start();
    let mut clients: Vec<TcpStream> = (0..6).map(|_| rig.connect()).collect();
    for stream in &mut clients {
        stream.write_all(request("/a", false).as_bytes()).unwrap();
        assert_status(&answer(stream), 200);
    }
}

/// What an upstream does with a request, by the end of its path.
fn whim(path: &str, stream: &mut TcpStream) -> bool {
    let length = path.len();
    let plain = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{path}");
    let (answer, goes_on) = match path.rsplit('-').next().unwrap() {
        "plain" => (plain, true),
        "ends" => (plain, false),
        "closes" => (
            plain.replace("OK\r\n", "OK\r\nConnection: close\r\n"),
            false,
        ),
        "chunked" => (
            format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{path}\r\n0\r\n\r\n"
            ),
            true,
        ),
        "open" => (format!("HTTP/1.1 200 OK\r\n\r\n{path}"), false),
        "behind" => (
            format!("{plain}HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"),
            true,
        ),
        "half" => (plain[..plain.len() - 2].to_owned(), false),
        "head" => (plain[..20].to_owned(), false),
        "nothing" => (String::new(), false),
        "slowly" => {
            let mut bytes = plain.bytes();
            return bytes.all(|byte| stream.write_all(&[byte]).is_ok());
        }
        other => unreachable!("{other}"),
    };
    stream.write_all(answer.as_bytes()).is_ok() && goes_on
}

const WHIMS: [&str; 10] = [
    "plain", "ends", "closes", "chunked", "open", "behind", "half", "head", "nothing", "slowly",
];

#[test]
fn sec_smg_10_whatever_an_upstream_does_nobody_gets_what_is_anothers() {
    for (runtime, limit) in [(Runtime::PerCore, 2), (Runtime::Shared, 100)] {
        let upstream = RawUpstream::scripted(|request, stream| {
            whim(request.split(' ').nth(1).unwrap(), stream)
        });
        let mut setup = Setup::to(&upstream);
        setup.runtime = runtime;
        setup.limits.upstream_connections = limit;
        let rig = setup.start();
        std::thread::scope(|scope| {
            for client in 0..6_usize {
                let rig = &rig;
                scope.spawn(move || {
                    for number in 0..40_usize {
                        let whim = WHIMS[(7 * client + 3 * number + number / 10) % WHIMS.len()];
                        let method = ["GET", "POST"][(client + number / 2) % 2];
                        let path = format!("/{method}-{client}-{number}-{whim}");
                        let told = rig.say(format!(
                            "{method} {path} HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n"
                        ));
                        let Some((head, body)) = told.split_once("\r\n\r\n") else {
                            // The head had not left when the body broke off.
                            assert!(whim == "half" && told.is_empty(), "{path}: {told}");
                            continue;
                        };
                        let fails = ["half", "head", "nothing"].contains(&whim);
                        if whim == "half" && head.starts_with("HTTP/1.1 200 ") {
                            assert!(path.starts_with(body), "{path}: {told}");
                        } else if head.starts_with("HTTP/1.1 200 ") {
                            assert!(body.contains(&path) && !fails, "{path}: {told}");
                        } else if told.ends_with("upstream_broken") {
                            assert!(fails || method == "POST", "{path}: {told}");
                        } else {
                            assert!(told.ends_with("upstream_busy"), "{path}: {told}");
                        }
                    }
                });
            }
        });
        let mut seen: Vec<String> = upstream
            .requests()
            .iter()
            .map(|request| request.split(' ').nth(1).unwrap().to_owned())
            .collect();
        seen.sort_unstable();
        for same in seen.chunk_by(|a, b| a == b) {
            let most = if same[0].starts_with("/GET") { 2 } else { 1 };
            assert!(same.len() <= most, "{same:?}");
        }
    }
}
