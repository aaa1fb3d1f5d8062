use proptest::prelude::*;

use super::*;

fn parse(method: &str, target: &str, hosts: &[&[u8]]) -> Result<Target, TargetError> {
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let mut headers = HeaderMap::new();
    for host in hosts {
        headers.append(HOST, HeaderValue::from_bytes(host).unwrap());
    }
    let Ok(uri) = target.parse::<Uri>() else {
        return Err(TargetError::NotAPath);
    };
    Target::parse(&method, &uri, &headers)
}

fn get(target: &str) -> Result<Target, TargetError> {
    parse("GET", target, &[b"app.gw.test"])
}

#[track_caller]
fn refused(paths: &[&str], error: TargetError) {
    for path in paths {
        assert_eq!(get(path).unwrap_err(), error, "{path}");
    }
}

#[test]
fn sec_path_01_host_count_and_shape() {
    assert_eq!(parse("GET", "/", &[]).unwrap_err(), TargetError::NoHost);
    let two: [&[&[u8]]; 2] = [&[b"a.test", b"a.test"], &[b"a.test", b"b.test"]];
    for hosts in two {
        assert_eq!(
            parse("GET", "/", hosts).unwrap_err(),
            TargetError::SeveralHosts
        );
    }
    for host in [
        &b"a/b@c"[..],
        b"a,b",
        b"a b",
        b"",
        b"user@a.test",
        b"a.test:",
        b"a.test:080",
        b"a.test:99999",
        b"a.test:+1",
        b"a..test",
        b".a.test",
        b"a.test#x",
        b"a.test?x",
        b"a%2etest",
        b"[::1",
        b"[::1]x",
        b"::1",
        b"\xffa.test",
        b"a.test\\b",
    ] {
        assert_eq!(
            parse("GET", "/", &[host]).unwrap_err(),
            TargetError::MalformedHost,
            "{}",
            host.escape_ascii()
        );
    }
    let good = parse("GET", "/", &[b"App.GW.test.:8443"]).unwrap();
    assert_eq!(good.authority.to_string(), "app.gw.test:8443");
}

#[test]
fn sec_path_02_absolute_form_authority_wins() {
    let target = get("http://evil.test/admin?x").unwrap();
    assert_eq!(target.authority.host, "evil.test");
    assert_eq!(target.path_and_query.as_str(), "/admin?x");
    assert_eq!(get("https://app.gw.test").unwrap().path(), "/");
    let bare_query = get("http://app.gw.test?a=1").unwrap();
    assert_eq!(bare_query.path_and_query.as_str(), "/?a=1");
    for userinfo in ["http://app.gw.test@evil.test/", "http://a:b@app.gw.test/"] {
        assert!(get(userinfo).is_err(), "{userinfo}");
    }
    let several: &[&[u8]] = &[b"a.test", b"b.test"];
    assert_eq!(
        parse("GET", "http://a.test/", several).unwrap_err(),
        TargetError::SeveralHosts
    );
    assert!(parse("GET", "http://a.test/", &[b"a/b@c"]).is_err());
}

#[test]
fn targets_that_are_no_path_are_refused() {
    for (method, target) in [
        ("OPTIONS", "*"),
        ("GET", "*"),
        ("CONNECT", "app.gw.test:443"),
        ("GET", "admin:80"),
        ("GET", "ftp://app.gw.test/"),
        ("CONNECT", "/"),
    ] {
        assert_eq!(
            parse(method, target, &[b"app.gw.test"]).unwrap_err(),
            TargetError::NotAPath,
            "{method} {target}"
        );
    }
    assert_eq!(
        parse("TRACE", "/", &[b"app.gw.test"]).unwrap_err(),
        TargetError::Trace
    );
}

#[test]
fn sec_path_06_dot_segments() {
    refused(
        &[
            "/public/../admin",
            "/public/./../admin",
            "/public/..",
            "/public/.",
            "/.",
            "/..",
            "/./",
            "/public/.%2e/admin",
            "/public/%2E%2E/admin",
            "/public/%2e",
            "/public/%252e%252e/admin",
            "/public/%25252e./admin",
            "/public/..//",
            "//..",
            "/oauth2/../admin",
        ],
        TargetError::DotSegment,
    );
    for fine in ["/public/...//", "/.well-known/x", "/a..b", "/..a", "/a."] {
        assert!(get(fine).is_ok(), "{fine}");
    }
}

#[test]
fn sec_path_07_encoded_separators() {
    for slash in [
        "/public%2fadmin",
        "/public%2Fadmin",
        "/oauth2%2fcallback",
        "/%2f",
    ] {
        let target = get(slash).unwrap();
        assert!(
            target.has_encoded_slash() && !target.is_canonical(),
            "{slash}"
        );
    }
    assert!(!get("/public/%252f").unwrap().has_encoded_slash());
    assert_eq!(
        get("/public%2fAdmin").unwrap().lenient_reading(),
        "/public/admin"
    );
    refused(&["/a%5cb", "/a%5Cb", "/a\\b"], TargetError::Backslash);
    refused(&["/a%00", "/public/%00/admin"], TargetError::Nul);
    refused(
        &["/%", "/%2", "/%zz", "/%u002f", "/a%2", "/%c0%af", "/%C1%9c"],
        TargetError::BadEscape,
    );
    refused(
        &["/%e0%80%af", "/%f0%80%80%af", "/%25c0%25af"],
        TargetError::BadEscape,
    );
    let nested = format!("/%{}2e", "25".repeat(20_000));
    refused(&[&nested], TargetError::BadEscape);
    for mixed in [
        "/public/..%2fadmin",
        "/public/..%5cadmin",
        "/public/%00/../a",
    ] {
        assert!(get(mixed).is_err(), "{mixed}");
    }
    let doubled = get("/public%252fadmin").unwrap();
    assert!(!doubled.is_canonical());
    assert_eq!(doubled.lenient_reading(), "/public/admin");
    let doubled = get("/public%255cAdmin").unwrap();
    assert!(!doubled.is_canonical());
    assert_eq!(doubled.lenient_reading(), "/public/admin");
}

#[test]
fn sec_path_08_path_parameters() {
    refused(
        &[
            "/public;x=/../admin",
            "/public/..;/admin",
            "/a/..;x=1",
            "/.;/a",
        ],
        TargetError::DotSegment,
    );
    refused(&["/public/..%3b/admin"], TargetError::DotSegment);
    for (path, reading) in [
        ("/;/admin", "/admin"),
        ("/admin;a=/public/", "/admin/public/"),
        ("/a;jsessionid=1", "/a"),
        ("/a%3bx/b", "/a/b"),
    ] {
        let target = get(path).unwrap();
        assert!(!target.is_canonical(), "{path}");
        assert_eq!(target.lenient_reading(), reading, "{path}");
    }
}

#[test]
fn sec_path_09_multiple_slashes() {
    for (path, reading) in [("//admin", "/admin"), ("///", "/"), ("/a//b/", "/a/b/")] {
        let target = get(path).unwrap();
        assert!(!target.is_canonical(), "{path}");
        assert_eq!(target.lenient_reading(), reading, "{path}");
    }
}

#[test]
fn sec_path_13_the_query_is_no_path() {
    let target = get("/admin?/../public/%2f\\").unwrap();
    assert_eq!(target.path(), "/admin");
    assert_eq!(target.query(), Some("/../public/%2f\\"));
    let target = get("/admin%3f/public/").unwrap();
    assert!(!target.is_canonical());
}

#[test]
fn raw_bytes_beyond_ascii_are_refused() {
    refused(&["/ü", "/a/文"], TargetError::RawByte);
}

#[test]
fn ordinary_paths_are_canonical() {
    for path in [
        "/",
        "/a/b/",
        "/A/b.html",
        "/a%20b",
        "/%E6%96%87",
        "/~x/@me/a+b,c=d",
        "/%5Bslug%5D.js",
        "/[slug].js",
    ] {
        let target = get(path).unwrap();
        assert!(target.is_canonical(), "{path}");
        assert_eq!(target.path(), path);
    }
    for path in ["/%61dmin", "/a%25b", "/%ff", "/a{b}", "/a%0ab", "/a%7f"] {
        assert!(!get(path).unwrap().is_canonical(), "{path}");
    }
    assert_eq!(get("/%41dmin").unwrap().lenient_reading(), "/admin");
    let plain = get("/a/b").unwrap();
    assert!(matches!(plain.lenient_reading(), Cow::Borrowed("/a/b")));
}

fn hostile_path() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/", "..", ".", "%2e", "%2E", "%252e", "%2f", "%5c", "\\", ";", "a", "B", "%", "%c0",
        "%ae", "%25", "2e", "%00", "?", "//", "ü", "*",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #[test]
    fn parse_never_panics(path in "\\PC{0,40}", method in "[A-Z]{1,7}") {
        let _ = parse(&method, &path, &[b"a.test"]);
    }

    #[test]
    fn a_parsed_path_has_no_dot_segment(path in hostile_path()) {
        if let Ok(target) = get(&path) {
            let reading = target.lenient_reading().into_owned();
            for segment in reading.split('/') {
                prop_assert!(segment != "." && segment != "..", "{} {}", path, reading);
            }
            let mut decoded = target.path().as_bytes().to_vec();
            for _ in 0..4 {
                for segment in decoded.split(|byte| matches!(byte, b'/' | b'\\')) {
                    let name = segment.split(|byte| *byte == b';').next().unwrap();
                    prop_assert!(name != b"." && name != b"..", "{}", path);
                }
                decoded = percent_encoding::percent_decode(&decoded).collect();
            }
            prop_assert!(reading.starts_with('/') && !reading.contains("//"));
        }
    }
}
