//! SEC-SMG.

use super::*;

const HEAD: &str = "Host: app.example.com\r\n";

#[test]
fn sec_smg_01_length_and_chunked_together() {
    for both in [
        "Content-Length: 35\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 35\r\n",
    ] {
        let upstream = RawUpstream::answering(OK);
        let rig = Rig::in_front_of(&upstream);
        let answer = rig.say(format!(
            "POST /a HTTP/1.1\r\n{HEAD}{both}\r\n0\r\n\r\nGET /admin HTTP/1.1\r\n{HEAD}\r\n"
        ));
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
        for request in upstream.requests() {
            assert!(!request.contains("/admin"), "{request}");
            assert!(!request.contains("35"), "{request}");
        }
    }
}

#[test]
fn sec_smg_03_length_shapes() {
    for length in ["+2", "2, 3", "0x2", "18446744073709551616", "-1", "2a", ""] {
        let upstream = RawUpstream::answering(OK);
        let rig = Rig::in_front_of(&upstream);
        let answer = rig.say(format!(
            "POST /a HTTP/1.1\r\n{HEAD}Content-Length: {length}\r\n\r\nhi"
        ));
        assert_status(&answer, 400);
        assert!(upstream.requests().is_empty(), "{length}");
    }
    let upstream = RawUpstream::answering(OK);
    let rig = Rig::in_front_of(&upstream);
    rig.say(format!(
        "POST /a HTTP/1.1\r\n{HEAD}Connection: close\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi"
    ));
    let request = upstream.only();
    assert_eq!(
        request.matches("content-length: 2\r\n").count(),
        1,
        "{request}"
    );
}

#[test]
fn sec_smg_04_chunk_syntax() {
    for body in [
        "2;a\nhi\r\n0\r\n\r\n",
        "0x2\r\nhi\r\n0\r\n\r\n",
        " 2\r\nhi\r\n0\r\n\r\n",
        "2\r\nhiX0\r\n\r\n",
        "2;a\rb\r\nhi\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nhi\r\n0\r\n\r\n",
    ] {
        let upstream = RawUpstream::answering(OK);
        let rig = Rig::in_front_of(&upstream);
        let answer = rig.say(format!(
            "POST /a HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n{body}"
        ));
        assert!(!answer.contains("200 OK"), "{body:?}: {answer}");
        assert!(upstream.requests().is_empty(), "{body:?}");
        assert_status(&rig.get(""), 200);
        assert_eq!(upstream.requests().len(), 1);
    }
}

#[test]
fn sec_smg_05_line_syntax() {
    for start in [
        "GET /a HTTP/1.1\r\nHost: app.example.com\r\nX: a\r\n b\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost : app.example.com\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: app.example.com\r\nX: a\rb\r\n\r\n",
        "GET /a HTTP/1.1\r\nHost: app.example.com\r\nX: a\0b\r\n\r\n",
        "GET /a HTTP/1.2\r\nHost: app.example.com\r\n\r\n",
        "GET\t/a HTTP/1.1\r\nHost: app.example.com\r\n\r\n",
        "GET /a\r\n\r\n",
    ] {
        let upstream = RawUpstream::answering(OK);
        let answer = Rig::in_front_of(&upstream).say(start);
        assert!(!answer.contains("200 OK"), "{start:?}: {answer}");
        assert!(upstream.requests().is_empty(), "{start:?}");
    }
    let upstream = RawUpstream::answering(OK);
    let answer = Rig::in_front_of(&upstream)
        .say("GET /a HTTP/1.1\nHost: app.example.com\nConnection: close\n\n");
    assert_status(&answer, 200);
    assert!(!upstream.only().replace("\r\n", "").contains('\n'));
}

#[test]
fn sec_smg_06_http_1_0() {
    let upstream = RawUpstream::answering(OK);
    let rig = Rig::in_front_of(&upstream);
    let answer = rig.say(format!(
        "POST /a HTTP/1.0\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
    ));
    assert!(answer.contains(" 400 "), "{answer}");
    assert!(upstream.requests().is_empty());
    let answer = rig.say(format!("GET /a HTTP/1.0\r\n{HEAD}\r\n"));
    assert!(answer.contains(" 200 OK"), "{answer}");
    assert!(upstream.only().starts_with("GET /a HTTP/1.1\r\n"));
}

#[test]
fn sec_smg_07_bodies_on_methods_that_have_none() {
    for method in ["GET", "DELETE", "OPTIONS"] {
        let upstream = RawUpstream::answering(OK);
        let rig = Rig::in_front_of(&upstream);
        let mut stream = rig.connect();
        let requests = format!(
            "{method} /a HTTP/1.1\r\n{HEAD}Content-Length: 3\r\n\r\nabc\
             {method} /b HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n0\r\n\r\n\
             {method} /c HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n"
        );
        stream.write_all(requests.as_bytes()).unwrap();
        let answer = read_to_end(&mut stream);
        assert_eq!(answer.matches("200 OK").count(), 3, "{answer}");
        let seen = upstream.requests();
        assert_eq!(seen.len(), 3, "{seen:?}");
        assert!(seen[0].ends_with("\r\n\r\nabc"), "{seen:?}");
        assert!(
            seen[1].ends_with("\r\n\r\n3\r\nxyz\r\n0\r\n\r\n"),
            "{seen:?}"
        );
        assert!(seen[2].ends_with("\r\n\r\n") && !seen[2].contains("length"));
    }
}

#[test]
fn sec_smg_09_ambiguous_answers_are_502_and_the_connection_goes() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked,\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: , chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX\r\n\r\n",
        b"garbage\r\n\r\n",
    ] {
        let upstream = RawUpstream::answering(answer);
        let rig = Rig::in_front_of(&upstream);
        for _ in 0..2 {
            let answer = rig.get("");
            assert_status(&answer, 502);
            assert!(answer.ends_with("upstream_broken"), "{answer}");
        }
        assert_eq!(upstream.connections(), 2, "{:?}", std::str::from_utf8(answer));
    }
}

#[test]
fn sec_smg_09_a_huge_response_head_is_refused() {
    let upstream = RawUpstream::scripted(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nX: ");
        let _ = stream.write_all(&vec![b'a'; 2 << 20]);
        false
    });
    assert_status(&Rig::in_front_of(&upstream).get(""), 502);
}

#[test]
fn sec_smg_09_bytes_after_a_bodiless_answer_reach_nobody() {
    let upstream = RawUpstream::answering(
        b"HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    );
    let rig = Rig::in_front_of(&upstream);
    for _ in 0..5 {
        let answer = rig.get("");
        assert!(!answer.contains("evil"), "{answer}");
    }
}

#[test]
fn sec_smg_10_an_aborted_response_does_not_poison_the_pool() {
    let upstream = RawUpstream::scripted(|request, stream| {
        if request.starts_with("GET /long ") {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n");
            for _ in 0..300 {
                if stream.write_all(&[b'x'; 10_000]).is_err() {
                    return false;
                }
            }
            return true;
        }
        stream.write_all(OK).is_ok()
    });
    let rig = Rig::in_front_of(&upstream);
    for _ in 0..20 {
        let mut stream = rig.connect();
        stream
            .write_all(format!("GET /long HTTP/1.1\r\n{HEAD}\r\n").as_bytes())
            .unwrap();
        let mut some = [0; 100];
        assert!(stream.read(&mut some).unwrap() > 0);
        drop(stream);
        let answer = rig.get("");
        assert_status(&answer, 200);
        assert!(answer.ends_with("\r\n\r\nhi"), "{answer}");
    }
}

#[test]
fn a_broken_body_is_never_complete() {
    for answer in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort"[..],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nzz\r\n",
    ] {
        let upstream = RawUpstream::scripted(move |_, stream| {
            let _ = stream.write_all(answer);
            false
        });
        let got = Rig::in_front_of(&upstream).get("");
        assert!(!got.ends_with("0\r\n\r\n"), "{got}");
        assert!(!got.contains("content-length: 5\r\n"), "{got}");
    }
}

#[test]
fn sec_smg_15_a_body_is_asked_for_once() {
    let upstream = RawUpstream::scripted(|request, stream| {
        if request.starts_with("POST /no ") {
            return stream
                .write_all(
                    b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                )
                .is_ok_and(|()| false);
        }
        let _ = stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
        let mut body = [0; 3];
        stream.read_exact(&mut body).is_ok() && stream.write_all(OK).is_ok()
    });
    let rig = Rig::in_front_of(&upstream);
    let mut stream = rig.connect();
    stream
        .write_all(
            format!("POST /a HTTP/1.1\r\n{HEAD}Connection: close\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
                .as_bytes(),
        )
        .unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"abc").unwrap();
    assert_status(&read_to_end(&mut stream), 200);
    // Refused before the body was asked for.
    let answer = rig.say(format!(
        "POST /no HTTP/1.1\r\n{HEAD}Expect: 100-continue\r\nContent-Length: 3\r\n\r\n"
    ));
    assert_status(&answer, 401);
}

/// Who answers without reading would take it for the next request.
#[test]
fn sec_smg_15_a_body_that_nobody_asked_for_is_never_sent() {
    for answer in [
        &b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"[..],
        b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno",
        b"HTTP/1.1 401 Unauthorized\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
    ] {
        let upstream = RawUpstream::answering(answer);
        let rig = Rig::in_front_of(&upstream);
        let body = "GET /admin HTTP/1.1\r\nHost: app\r\nRemote-User: root\r\n\r\n";
        let mut stream = rig.connect();
        let head = format!(
            "POST /a HTTP/1.1\r\n{HEAD}Expect: 100-continue\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 401");
        // The gateway may have closed by now.
        let _ = stream.write_all(body.as_bytes());
        read_to_end(&mut stream);
        // An upstream that said nothing would have got it after a second.
        std::thread::sleep(Duration::from_millis(1500));
        assert_eq!(upstream.requests().len(), 1, "{:?}", upstream.requests());
        assert_status(&rig.get(""), 401);
        assert_eq!(upstream.connections(), 2, "nothing may follow it");
    }
}

#[test]
fn sec_smg_16_pipelined_requests_are_answered_in_order() {
    let upstream = RawUpstream::scripted(|request, stream| {
        let path = request.split(' ').nth(1).unwrap();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}",
            path.len()
        );
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let rig = Rig::in_front_of(&upstream);
    let answer = rig.say(format!(
        "GET /1 HTTP/1.1\r\n{HEAD}Cookie: __Host-vestibule=ann\r\n\r\n\
         GET /2 HTTP/1.1\r\n{HEAD}Cookie: __Host-vestibule=ben\r\n\r\n\
         GET /3 HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n"
    ));
    let order: Vec<usize> = ["/1", "/2", "/3"]
        .iter()
        .map(|path| answer.find(path).unwrap())
        .collect();
    assert!(order.is_sorted(), "{answer}");
    let seen = upstream.requests();
    for (request, person) in seen.iter().zip(["ann", "ben", "ann"]) {
        assert!(
            request.contains(&format!("x-forwarded-user: {person}\r\n")),
            "{request}"
        );
    }
}

#[test]
fn sec_smg_17_identity_belongs_to_the_request_not_the_connection() {
    let upstream = RawUpstream::answering(OK);
    let rig = Rig::in_front_of(&upstream);
    let mut stream = rig.connect();
    let mut buffer = Vec::new();
    for person in ["ann", "ben", "ann", "ben"] {
        let request =
            format!("GET /{person} HTTP/1.1\r\n{HEAD}Cookie: __Host-vestibule={person}\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        assert!(read_message(&mut stream, &mut buffer).is_some());
    }
    for request in upstream.requests() {
        let person = &request[5..8];
        assert!(
            request.contains(&format!("x-forwarded-user: {person}\r\n")),
            "{request}"
        );
    }
    assert_eq!(
        upstream.connections(),
        1,
        "the upstream connection is reused"
    );
}

#[test]
fn connect_and_trace_are_no_way_to_an_application() {
    let upstream = RawUpstream::answering(OK);
    let rig = Rig::in_front_of(&upstream);
    let answer = rig.say(format!(
        "TRACE /a HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n"
    ));
    assert_status(&answer, 405);
    assert!(upstream.requests().is_empty());
}

#[test]
fn sec_smg_10_an_aborted_upload_does_not_poison_the_pool() {
    let upstream = RawUpstream::answering(OK);
    let rig = Rig::in_front_of(&upstream);
    for framing in ["Content-Length: 50", "Transfer-Encoding: chunked"] {
        for _ in 0..20 {
            let mut stream = rig.connect();
            let head = format!("POST /part HTTP/1.1\r\n{HEAD}{framing}\r\n\r\n5\r\nhello\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            drop(stream);
            let answer = rig.get("");
            assert_status(&answer, 200);
            assert!(answer.ends_with("\r\n\r\nhi"), "{answer}");
        }
    }
    for request in upstream.requests() {
        assert!(request.starts_with("GET /a HTTP/1.1\r\n"), "{request}");
    }
}

#[test]
fn the_answer_to_head_keeps_its_length() {
    let upstream = RawUpstream::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n");
    let rig = Rig::in_front_of(&upstream);
    let answer = rig.say(format!(
        "HEAD /a HTTP/1.1\r\n{HEAD}\r\nHEAD /b HTTP/1.1\r\n{HEAD}Connection: close\r\n\r\n"
    ));
    assert_eq!(
        answer.matches("content-length: 7\r\n").count(),
        2,
        "{answer}"
    );
    assert_eq!(upstream.connections(), 1);
}
