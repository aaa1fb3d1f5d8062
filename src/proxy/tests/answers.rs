//! Answers that come early, late, in pieces, or to nobody.

use http::StatusCode;

use super::*;
use crate::proxy::{Survey, response};

#[test]
fn an_early_answer_to_a_large_upload_arrives() {
    let upstream = RawUpstream::scripted(|_, _| false);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert!(stream.read(&mut [0; 1000]).unwrap() > 0);
        stream
            .write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
            .unwrap();
        // Reads nothing more, but stays until the gateway gives up.
        std::thread::sleep(Duration::from_secs(2));
    });
    let mut setup = Setup::to(&upstream);
    setup.route = route(address);
    let rig = setup.start();
    let mut stream = rig.connect();
    stream
        .write_all(
            b"POST /a HTTP/1.1\r\nHost: app.example.com\r\nContent-Length: 100000000\r\n\r\n",
        )
        .unwrap();
    let mut writer = stream.try_clone().unwrap();
    let writing = std::thread::spawn(move || {
        let piece = [b'x'; 10_000];
        while writer.write_all(&piece).is_ok() {}
    });
    let answer = read_message(&mut stream, &mut Vec::new()).unwrap();
    assert_status(&answer, 403);
    assert!(answer.ends_with("\r\n\r\nno"), "{answer}");
    writing.join().unwrap();
}

/// Who gets nothing at all asks again, whatever he asked.
#[test]
fn an_answer_that_breaks_at_once_is_told_as_far_as_it_came() {
    for broken in [
        &b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nxyz\r\n"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
    ] {
        let upstream = RawUpstream::answering(broken);
        let rig = Rig::in_front_of(&upstream);
        let answer = rig.say("DELETE /a HTTP/1.1\r\nHost: app.example.com\r\n\r\n");
        assert_status(&answer, 200);
        assert!(
            !answer.ends_with("0\r\n\r\n"),
            "as if it were whole: {answer}"
        );
    }
}

/// hyper leaves it out of HTTP/1.1, and HTTP/2 clients wait for the bytes.
#[test]
fn no_content_has_no_length() {
    let scrub = ScrubList::compile(&[]);
    for (status, length) in [(StatusCode::NO_CONTENT, None), (StatusCode::OK, Some("7"))] {
        let mut headers = http::HeaderMap::new();
        headers.insert("content-length", "7".parse().unwrap());
        let there = Survey::of(&headers, &scrub);
        let cookies = CookieFilter { strip, is_own };
        response::clean(status, &mut headers, there, &scrub, cookies);
        let left = headers.get("content-length");
        assert_eq!(left.map(|left| left.to_str().unwrap()), length);
    }
}

#[test]
fn early_hints_are_dropped() {
    let upstream = RawUpstream::answering(
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    );
    let answer = Rig::in_front_of(&upstream).get("");
    assert_status(&answer, 200);
    assert!(!answer.contains("103"), "{answer}");
}

#[test]
fn a_client_that_leaves_frees_the_upstream() {
    let left = Arc::new(Mutex::new(false));
    let seen = left.clone();
    let upstream = RawUpstream::scripted(move |_, stream| {
        // Nothing is answered; what is read is the end.
        *seen.lock().unwrap() = stream.read(&mut [0]).is_ok_and(|read| read == 0);
        false
    });
    let rig = Rig::in_front_of(&upstream);
    let mut stream = rig.connect();
    stream
        .write_all(b"GET /a HTTP/1.1\r\nHost: app.example.com\r\n\r\n")
        .unwrap();
    until("the request is there", || upstream.requests().len() == 1);
    drop(stream);
    until("the upstream connection ends", || *left.lock().unwrap());
}

#[test]
fn an_answer_without_length_ends_with_its_connection() {
    let upstream = RawUpstream::scripted(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nuntil the end");
        false
    });
    let answer = Rig::in_front_of(&upstream).get("");
    assert_status(&answer, 200);
    assert!(
        answer.contains("transfer-encoding: chunked\r\n"),
        "{answer}"
    );
    assert!(answer.ends_with("until the end\r\n0\r\n\r\n"), "{answer}");
}

#[test]
fn events_arrive_one_by_one() {
    let upstream = RawUpstream::scripted(|_, stream| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n6\r\ndata: \r\n")
            .unwrap();
        // The next event comes only after the client has had the first.
        let _ = stream.read(&mut [0]);
        false
    });
    let rig = Rig::in_front_of(&upstream);
    let mut stream = rig.connect();
    stream
        .write_all(b"GET /events HTTP/1.1\r\nHost: app.example.com\r\n\r\n")
        .unwrap();
    let mut all = String::new();
    let mut some = [0; 1000];
    while !all.contains("data: ") {
        let read = stream.read(&mut some).unwrap();
        all.push_str(std::str::from_utf8(&some[..read]).unwrap());
    }
}
