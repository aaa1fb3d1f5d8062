//! SEC-HDR.

use super::*;

fn fields(request: &str, name: &str) -> Vec<String> {
    request
        .split("\r\n")
        .filter_map(|line| line.split_once(": "))
        .filter(|(found, _)| found.to_ascii_lowercase().replace(['_', '.'], "-") == name)
        .map(|(_, value)| value.to_owned())
        .collect()
}

const CLAIMS: &str = "x-FORWARDED-user: mal\r\nX-Forwarded-User: mal, ann\r\nX_Forwarded_User: mal\r\n\
    x.forwarded.user: mal\r\nX-Forwarded-Email: mal@example.com\r\nX-Forwarded-Groups: admins\r\n\
    X-Forwarded-Preferred-Username: mal\r\nX-Forwarded-Access-Token: t\r\nX-Auth-Request-User: mal\r\n\
    Remote-User: mal\r\nRemote_Groups: admins\r\nX-WEBAUTH-USER: mal\r\nImpersonate-User: mal\r\n\
    X-Original-URL: /admin\r\nX-Rewrite-URL: /admin\r\nX-HTTP-Method-Override: DELETE\r\n\
    X-Forwarded-Prefix: /x\r\nX_Forwarded_For: 1.2.3.4\r\n";

#[test]
fn sec_hdr_01_client_identity_never_arrives() {
    let upstream = RawUpstream::answering(OK);
    let rig = Rig::in_front_of(&upstream);
    assert_status(&rig.get(&format!("{CLAIMS}Cookie: a=b\r\n{CLAIMS}")), 200);
    let request = upstream.only();
    assert_eq!(fields(&request, "x-forwarded-user"), ["ann"]);
    assert_eq!(fields(&request, "x-forwarded-email"), [""]);
    assert_eq!(fields(&request, "x-forwarded-groups"), ["staff"]);
    assert_eq!(fields(&request, "x-forwarded-for"), ["127.0.0.1"]);
    for gone in [
        "mal",
        "admin",
        "DELETE",
        "impersonate",
        "x-forwarded-prefix",
    ] {
        assert!(!request.contains(gone), "{gone}: {request}");
    }
}

#[test]
fn sec_hdr_01_public_lanes_carry_no_identity_at_all() {
    let upstream = RawUpstream::answering(OK);
    let mut setup = Setup::to(&upstream);
    setup.lane = Lane::Public;
    assert_status(&setup.start().get(CLAIMS), 200);
    let request = upstream.only();
    for gone in [
        "mal",
        "admin",
        "x-forwarded-user",
        "x-forwarded-groups",
        "remote",
    ] {
        assert!(!request.contains(gone), "{gone}: {request}");
    }
}

#[test]
fn sec_hdr_05_connection_cannot_nominate_our_headers() {
    for nominated in [
        "Connection: close, X-Forwarded-User\r\n",
        "Connection: x-forwarded-user ,x-forwarded-for\r\n",
        "Connection: keep-alive\r\nConnection: X-FORWARDED-USER\r\n",
    ] {
        let upstream = RawUpstream::answering(OK);
        let rig = Rig::in_front_of(&upstream);
        assert_status(&rig.get(nominated), 200);
        let request = upstream.only();
        assert_eq!(fields(&request, "x-forwarded-user"), ["ann"]);
        assert_eq!(fields(&request, "x-forwarded-for"), ["127.0.0.1"]);
        assert!(fields(&request, "connection").is_empty(), "{request}");
    }
}

#[test]
fn sec_hdr_08_nominated_security_inputs_stay() {
    let upstream = RawUpstream::answering(OK);
    let rig = Rig::in_front_of(&upstream);
    let answer = rig.say(
        "POST /a HTTP/1.1\r\nHost: app.example.com\r\n\
         Connection: close, Cookie, Authorization, Host, Content-Length, Transfer-Encoding, X-App\r\n\
         X-App: 1\r\nCookie: a=b\r\nAuthorization: Basic eA==\r\nContent-Length: 3\r\n\r\nabc",
    );
    assert_status(&answer, 200);
    let request = upstream.only();
    assert_eq!(fields(&request, "cookie"), ["a=b"]);
    assert_eq!(fields(&request, "authorization"), ["Basic eA=="]);
    assert_eq!(fields(&request, "host"), ["app.example.com"]);
    assert_eq!(fields(&request, "content-length"), ["3"]);
    assert!(fields(&request, "x-app").is_empty());
    assert!(request.ends_with("\r\n\r\nabc"));
}

#[test]
fn sec_hdr_11_an_upstream_cannot_speak_for_us() {
    let upstream = RawUpstream::answering(
        b"HTTP/1.1 200 OK\r\nX-Auth-Request-User: ann\r\nRemote-User: ann\r\n\
          Set-Cookie: app=1\r\nSet-Cookie: __Host-vestibule=evil; Path=/\r\nSet-Cookie: b=2\r\n\
          Clear-Site-Data: \"cookies\", \"cache\"\r\nKeep-Alive: timeout=5\r\n\
          Connection: X-Secret\r\nX-Secret: 1\r\nContent-Length: 0\r\n\r\n",
    );
    let answer = Rig::in_front_of(&upstream).get("");
    assert_status(&answer, 200);
    for gone in [
        "evil",
        "auth-request",
        "remote-user",
        "cookies",
        "x-secret",
        "keep-alive",
    ] {
        assert!(!answer.contains(gone), "{gone}: {answer}");
    }
    assert_eq!(fields(&answer, "set-cookie"), ["app=1", "b=2"]);
    assert_eq!(fields(&answer, "clear-site-data"), ["\"cache\""]);
}

#[test]
fn sec_hdr_12_our_cookies_stay_here() {
    let upstream = RawUpstream::answering(OK);
    let rig = Rig::in_front_of(&upstream);
    assert_status(
        &rig.get(
            "Cookie: z=\"1 2\"; __Host-vestibule=ann; a=b=c\r\nCookie: __Host-vestibule-t-1=x\r\n",
        ),
        200,
    );
    let request = upstream.only();
    assert_eq!(fields(&request, "cookie"), ["z=\"1 2\"; a=b=c"]);
}

#[test]
fn sec_hdr_10_the_clients_authorization_passes_unless_we_inject_one() {
    let upstream = RawUpstream::answering(OK);
    assert_status(
        &Rig::in_front_of(&upstream).get("Authorization: Bearer mal\r\n"),
        200,
    );
    assert_eq!(fields(&upstream.only(), "authorization"), ["Bearer mal"]);

    let upstream = RawUpstream::answering(OK);
    let mut setup = Setup::to(&upstream);
    setup
        .route
        .headers
        .push(crate::config::checked::CustomHeader {
            name: http::header::AUTHORIZATION,
            value: crate::config::checked::HeaderSource::Subject,
        });
    assert_status(&setup.start().get("Authorization: Bearer mal\r\n"), 200);
    assert_eq!(fields(&upstream.only(), "authorization"), ["ann"]);
}

#[test]
fn sec_hdr_16_forwarding_headers_are_replaced_or_continued() {
    const SENT: &str = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 7.7.7.7\r\nForwarded: for=6.6.6.6\r\n\
        X-Real-IP: 6.6.6.6\r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: gopher\r\nX-Forwarded-Port: 1\r\n";
    for trusted in [false, true] {
        let upstream = RawUpstream::answering(OK);
        let mut setup = Setup::to(&upstream);
        setup.trusted = trusted;
        assert_status(&setup.start().get(SENT), 200);
        let request = upstream.only();
        let (list, forwarded, real) = if trusted {
            (
                "6.6.6.6, 7.7.7.7, 127.0.0.1",
                vec!["for=6.6.6.6, for=127.0.0.1;proto=https"],
                "192.0.2.7",
            )
        } else {
            ("127.0.0.1", vec![], "127.0.0.1")
        };
        assert_eq!(fields(&request, "x-forwarded-for"), [list]);
        assert_eq!(fields(&request, "forwarded"), forwarded);
        assert_eq!(fields(&request, "x-real-ip"), [real]);
        assert_eq!(fields(&request, "x-forwarded-host"), ["app.example.com"]);
        assert_eq!(fields(&request, "x-forwarded-proto"), ["https"]);
        assert_eq!(fields(&request, "x-forwarded-port"), ["443"]);
    }
}

#[test]
fn the_upstream_gets_its_own_host_when_asked_for() {
    let upstream = RawUpstream::answering(OK);
    let mut setup = Setup::to(&upstream);
    setup.route.preserve_host = false;
    assert_status(&setup.start().get("X-Forwarded-Host: evil\r\n"), 200);
    let request = upstream.only();
    assert_eq!(fields(&request, "host"), [upstream.address.to_string()]);
    assert_eq!(fields(&request, "x-forwarded-host"), ["app.example.com"]);
}

#[test]
fn trailers_lose_identity_names_both_ways() {
    let upstream = RawUpstream::answering(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Remote-User\r\n\r\n\
          2\r\nhi\r\n0\r\nX-Sum: 7\r\nRemote-User: mal\r\n\r\n",
    );
    let answer = Rig::in_front_of(&upstream).say(
        "POST /a HTTP/1.1\r\nHost: app.example.com\r\nConnection: close, TE\r\nTE: trailers\r\n\
         Transfer-Encoding: chunked\r\nTrailer: X-Sum, X-Forwarded-User, Content-Length\r\n\r\n\
         2\r\nok\r\n0\r\nX-Sum: 9\r\nX-Forwarded-User: mal\r\nContent-Length: 5\r\n\r\n",
    );
    assert_status(&answer, 200);
    let request = upstream.only();
    assert_eq!(fields(&request, "x-sum"), ["9"]);
    assert_eq!(fields(&request, "x-forwarded-user"), ["ann"]);
    assert!(fields(&request, "content-length").is_empty(), "{request}");
    assert_eq!(fields(&request, "te"), ["trailers"]);
    assert_eq!(fields(&answer, "x-sum"), ["7"]);
    assert!(
        !answer.to_ascii_lowercase().contains("remote-user"),
        "{answer}"
    );
}
