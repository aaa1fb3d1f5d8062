//! SEC-DOS, and what happens when an upstream fails.

use super::*;

#[test]
fn sec_dos_01_oversize_heads() {
    let upstream = RawUpstream::answering(OK);
    let rig = Rig::in_front_of(&upstream);
    let many: String = (0..101).map(|n| format!("X-{n}: 1\r\n")).collect();
    assert_status(&rig.get(&many), 431);
    assert_status(&rig.get(&format!("X: {}\r\n", "a".repeat(40_000))), 431);
    let answer = rig.say(format!("GET /{} HTTP/1.1\r\n", "a".repeat(1 << 20)));
    assert!(
        answer.contains(" 414 ") || answer.contains(" 431 "),
        "{answer}"
    );
    assert!(upstream.requests().is_empty());
    assert_status(&rig.get(""), 200);
}

#[test]
fn sec_dos_02_a_slow_head_is_cut_off_and_an_idle_connection_too() {
    let upstream = RawUpstream::answering(OK);
    let mut setup = Setup::to(&upstream);
    setup.limits.head_timeout = Duration::from_secs(1);
    setup.limits.keep_alive = Duration::from_secs(4);
    let rig = setup.start();
    let start = std::time::Instant::now();
    let mut slow = rig.connect();
    slow.write_all(b"GET /a HTTP/1.1\r\nHost: app.exa").unwrap();
    let mut used = rig.connect();
    used.write_all(b"GET /a HTTP/1.1\r\nHost: app.example.com\r\n\r\n")
        .unwrap();
    assert_eq!(read_to_end(&mut slow), "");
    let cut_off = start.elapsed();
    assert!(cut_off < Duration::from_millis(3500), "{cut_off:?}");
    assert!(read_to_end(&mut used).contains("200 OK"));
    let idled_out = start.elapsed();
    assert!(idled_out > Duration::from_secs(3), "{idled_out:?}");
}

#[test]
fn the_number_of_connections_per_address_is_bounded() {
    let upstream = RawUpstream::answering(OK);
    let mut setup = Setup::to(&upstream);
    setup.limits.connections_per_address = 2;
    let rig = setup.start();
    let mut kept: Vec<TcpStream> = (0..2)
        .map(|_| {
            let mut stream = rig.connect();
            stream
                .write_all(b"GET /a HTTP/1.1\r\nHost: app.example.com\r\n\r\n")
                .unwrap();
            read_message(&mut stream, &mut Vec::new()).unwrap();
            stream
        })
        .collect();
    assert_eq!(rig.get(""), "");
    kept.pop();
    until("a place is free again", || rig.get("").contains("200 OK"));
}

#[test]
fn a_dead_upstream_is_502() {
    let upstream = RawUpstream::answering(OK);
    let mut setup = Setup::to(&upstream);
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    setup.route = route(free);
    let answer = setup.start().get("");
    assert_status(&answer, 502);
    assert!(answer.ends_with("upstream_unreachable"), "{answer}");
}

#[test]
fn sec_dos_11_a_silent_upstream_is_504_also_when_it_floods_interim_answers() {
    for flood in [false, true] {
        let upstream = RawUpstream::scripted(move |_, stream| {
            while flood
                && stream
                    .write_all(b"HTTP/1.1 103 Early Hints\r\n\r\n")
                    .is_ok()
            {
                std::thread::sleep(Duration::from_millis(20));
            }
            stream.read(&mut [0]).is_ok_and(|read| read > 0)
        });
        let mut setup = Setup::to(&upstream);
        setup.route.response_timeout = Duration::from_secs(1);
        let answer = setup.start().get("");
        assert_status(&answer, 504);
        assert!(answer.ends_with("upstream_timeout"), "{answer}");
    }
}

#[test]
fn a_stalled_response_body_is_cut_off_but_an_event_stream_is_not() {
    for (kind, cut) in [("text/plain", true), ("text/event-stream", false)] {
        let upstream = RawUpstream::scripted(move |_, stream| {
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"
            );
            stream.write_all(head.as_bytes()).unwrap();
            std::thread::sleep(Duration::from_millis(3500));
            stream.write_all(b"3\r\nend\r\n0\r\n\r\n").is_ok()
        });
        let mut setup = Setup::to(&upstream);
        setup.limits.body_idle = Duration::from_secs(1);
        let answer = setup.start().get("");
        assert!(answer.contains("2\r\nhi\r\n"), "not buffered: {answer}");
        assert_eq!(answer.ends_with("0\r\n\r\n"), !cut, "{answer}");
    }
}

#[test]
fn bodies_beyond_the_routes_limit_are_413() {
    let upstream = RawUpstream::answering(OK);
    let mut setup = Setup::to(&upstream);
    setup.route.max_body = Some(4);
    let rig = setup.start();
    for body in [
        "Content-Length: 5\r\n\r\nhello",
        "Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
    ] {
        let answer = rig.say(format!(
            "POST /a HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\n{body}"
        ));
        assert_status(&answer, 413);
    }
    assert!(upstream.requests().is_empty());
    let answer = rig.say(
        "POST /a HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\nContent-Length: 4\r\n\r\nfour",
    );
    assert_status(&answer, 200);
}

#[test]
fn a_connection_that_the_upstream_closed_is_not_used_again() {
    let upstream = RawUpstream::scripted(|_, stream| {
        let _ = stream.write_all(OK);
        false
    });
    let rig = Rig::in_front_of(&upstream);
    for _ in 0..30 {
        assert_status(&rig.get(""), 200);
    }
    assert_eq!(upstream.connections(), 30);
}

#[test]
fn idle_upstream_connections_are_closed_in_the_background() {
    let closed = Arc::new(Mutex::new(false));
    let seen = closed.clone();
    let upstream = RawUpstream::scripted(move |_, stream| {
        stream.write_all(OK).unwrap();
        let ended = stream.read(&mut [0]).is_ok_and(|read| read == 0);
        *seen.lock().unwrap() = ended;
        false
    });
    let mut setup = Setup::to(&upstream);
    setup.limits.upstream_idle = Duration::from_secs(1);
    let rig = setup.start();
    assert_status(&rig.get(""), 200);
    until("the idle connection is closed", || *closed.lock().unwrap());
}

#[test]
fn a_pool_that_is_full_says_so() {
    let upstream = RawUpstream::scripted(|request, stream| {
        if request.starts_with("GET /slow ") {
            std::thread::sleep(Duration::from_secs(3));
        }
        stream.write_all(OK).is_ok()
    });
    let mut setup = Setup::to(&upstream);
    setup.limits.upstream_connections = 1;
    let rig = setup.start();
    let mut slow = rig.connect();
    slow.write_all(b"GET /slow HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\n\r\n")
        .unwrap();
    until("the slow one is there", || upstream.requests().len() == 1);
    let answer = rig.get("");
    assert_status(&answer, 503);
    assert!(answer.ends_with("upstream_busy"), "{answer}");
    assert_status(&read_to_end(&mut slow), 200);
}

#[test]
fn a_drain_lets_requests_finish_and_takes_no_new_ones() {
    let upstream = RawUpstream::scripted(|_, stream| {
        std::thread::sleep(Duration::from_millis(400));
        stream.write_all(OK).is_ok()
    });
    let mut setup = Setup::to(&upstream);
    setup.limits.drain = Duration::from_secs(8);
    let mut rig = setup.start();
    let mut under_way = rig.connect();
    under_way
        .write_all(b"GET /a HTTP/1.1\r\nHost: app.example.com\r\n\r\n")
        .unwrap();
    until("the request is there", || upstream.requests().len() == 1);
    let running = rig.running.take().unwrap();
    let drained = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(running.drain());
    });
    let answer = read_to_end(&mut under_way);
    assert_status(&answer, 200);
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    drained.join().unwrap();
    assert!(TcpStream::connect(rig.address).is_err());
}

#[test]
fn sec_dos_02_a_stalled_upload_is_408() {
    let upstream = RawUpstream::answering(OK);
    let mut setup = Setup::to(&upstream);
    setup.limits.body_idle = Duration::from_secs(1);
    let rig = setup.start();
    let answer = rig.say(
        "POST /a HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhe",
    );
    assert_status(&answer, 408);
    assert!(upstream.requests().is_empty());
}

#[test]
fn sec_dos_02_a_client_that_does_not_read_is_cut_off() {
    let ended = Arc::new(Mutex::new(false));
    let seen = ended.clone();
    let upstream = RawUpstream::scripted(move |_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n");
        let mut sent = 0_usize;
        while stream.write_all(&[b'x'; 10_000]).is_ok() {
            sent += 10_000;
        }
        // Back-pressure: most of it never left.
        *seen.lock().unwrap() = sent < 50_000_000;
        false
    });
    let mut setup = Setup::to(&upstream);
    setup.limits.body_idle = Duration::from_secs(1);
    let rig = setup.start();
    let mut stream = rig.connect();
    stream
        .write_all(b"GET /a HTTP/1.1\r\nHost: app.example.com\r\n\r\n")
        .unwrap();
    until("the upstream connection ends", || *ended.lock().unwrap());
}

#[test]
fn a_unix_upstream_and_one_that_should_speak_tls() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        stream.write_all(OK).unwrap();
    });
    let plain = RawUpstream::answering(OK);
    let mut setup = Setup::to(&plain);
    setup.route.upstream = Upstream::Unix(path);
    assert_status(&setup.start().get(""), 200);

    let mut setup = Setup::to(&plain);
    let authority = Authority::parse(&plain.address.to_string()).unwrap();
    setup.route.upstream = Upstream::Https(authority);
    setup.limits.connect_timeout = Duration::from_secs(1);
    let answer = setup.start().get("");
    assert!(
        answer.contains(" 502 ") || answer.contains(" 504 "),
        "{answer}"
    );
}

#[test]
fn a_connection_that_closes_under_a_request_is_tried_again_only_without_harm() {
    thread_local! {
        static SEEN: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }
    // Each connection has a thread of its own: one answer per connection.
    let upstream = RawUpstream::scripted(|_, stream| {
        SEEN.set(SEEN.get() + 1);
        SEEN.get() == 1 && stream.write_all(OK).is_ok()
    });
    let mut setup = Setup::to(&upstream);
    setup.limits.upstream_idle = Duration::from_secs(60);
    let rig = setup.start();
    // On one client connection, so that the same worker answers.
    let mut stream = rig.connect();
    let mut ask = |request: &str| {
        let request = request.replace("EOL", "Host: app.example.com\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        read_message(&mut stream, &mut Vec::new()).unwrap()
    };
    assert_status(&ask("GET /1 HTTP/1.1\r\nEOL\r\n"), 200);
    assert_status(&ask("GET /2 HTTP/1.1\r\nEOL\r\n"), 200);
    assert_eq!(upstream.requests().len(), 3, "sent twice");
    // With a body there is another connection, whose first answer comes.
    let post = "POST /3 HTTP/1.1\r\nEOLContent-Length: 2\r\n\r\nhi";
    assert_status(&ask(post), 200);
    for post in [post, "POST /3 HTTP/1.1\r\nEOLContent-Length: 0\r\n\r\n"] {
        let posts = || {
            let requests = upstream.requests();
            requests
                .iter()
                .filter(|request| request.starts_with("POST"))
                .count()
        };
        let before = posts();
        assert_status(&ask(post), 502);
        assert_eq!(posts() - before, 1, "never sent twice");
    }
}
