//! What a request asks for, parsed once at the edge. Nobody later looks at the
//! raw URI, the Host header or the bytes of the path again.

use std::borrow::Cow;

use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Uri};

use super::origin::{Authority, MalformedAuthority};
use super::path_text::{self, Judged, PathFault};
use crate::base::fault::{Blame, Fault};

/// Method, authority and path of a request, all of them judged well-formed.
/// Only [`Target::parse`] makes one.
#[derive(Debug, Clone)]
pub struct Target {
    pub method: Method,
    pub authority: Authority,
    /// Path and query byte for byte as received, beginning with "/".
    pub path_and_query: PathAndQuery,
    judged: Judged,
}

/// Why a request line or Host is refused: 400, and 405 for TRACE.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("no Host")]
    NoHost,
    #[error("more than one Host")]
    SeveralHosts,
    #[error("malformed Host")]
    MalformedHost,
    #[error("request target is not a path")]
    NotAPath,
    #[error("TRACE would show credentials")]
    Trace,
    #[error("path has a dot segment")]
    DotSegment,
    #[error("path has an encoded slash")]
    EncodedSlash,
    #[error("path has a backslash")]
    Backslash,
    #[error("path has a NUL")]
    Nul,
    #[error("path has a malformed percent escape")]
    BadEscape,
    #[error("path has a byte that must be percent-encoded")]
    RawByte,
}

impl Fault for TargetError {
    fn blame(&self) -> Blame {
        Blame::Client
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::NoHost => "host_missing",
            Self::SeveralHosts => "host_repeated",
            Self::MalformedHost => "host_malformed",
            Self::NotAPath => "target_not_a_path",
            Self::Trace => "method_trace",
            Self::DotSegment => "path_dot_segment",
            Self::EncodedSlash => "path_encoded_slash",
            Self::Backslash => "path_backslash",
            Self::Nul => "path_nul",
            Self::BadEscape => "path_bad_escape",
            Self::RawByte => "path_raw_byte",
        }
    }
}

impl From<PathFault> for TargetError {
    fn from(fault: PathFault) -> Self {
        match fault {
            PathFault::DotSegment => Self::DotSegment,
            PathFault::Backslash => Self::Backslash,
            PathFault::Nul => Self::Nul,
            PathFault::BadEscape => Self::BadEscape,
            PathFault::RawByte => Self::RawByte,
        }
    }
}

impl Target {
    /// `uri` and `headers` as hyper hands them over (it checks neither).
    ///
    /// The authority of an absolute-form target wins over Host (RFC 9112
    /// section 3.2.2); only there may Host be absent, which is how HTTP/2
    /// arrives. CONNECT and `OPTIONS *` are refused: there is no path to
    /// judge. An encoded slash is let through here and refused by every route
    /// that does not ask for it.
    ///
    /// A fragment (`#…`) in a request line is cut off by the `http` crate
    /// before this sees it. It is part of nothing that is judged or sent on.
    pub fn parse(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Self, TargetError> {
        method_with_path(method)?;
        let mut hosts = headers.get_all(HOST).iter();
        let host = hosts.next();
        if hosts.next().is_some() {
            return Err(TargetError::SeveralHosts);
        }
        Self::read(method, uri, host.map(HeaderValue::as_bytes), |text| {
            let text = std::str::from_utf8(text).map_err(|_| MalformedAuthority)?;
            Authority::parse(text)
        })
    }

    /// [`Target::parse`] for those who found the only Host field themselves.
    /// `authority` does what [`Authority::parse`] does.
    pub fn read(
        method: &Method,
        uri: &Uri,
        host: Option<&[u8]>,
        authority: impl Fn(&[u8]) -> Result<Authority, MalformedAuthority>,
    ) -> Result<Self, TargetError> {
        method_with_path(method)?;
        let authority = authority_of(uri, host, authority)?;
        let path_and_query = path_and_query(uri)?;
        if let Some(query) = path_and_query.query()
            && query.bytes().any(|byte| byte.is_ascii_control())
        {
            return Err(TargetError::RawByte);
        }
        let judged = path_text::judge(path_and_query.path())?;
        Ok(Self {
            method: method.clone(),
            authority,
            path_and_query,
            judged,
        })
    }

    /// The same request with another path, which is judged as at the edge.
    pub(super) fn with_path(&self, path: &str) -> Result<Self, TargetError> {
        let judged = path_text::judge(path)?;
        let text = match self.query() {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        };
        let path_and_query =
            PathAndQuery::from_maybe_shared(text).map_err(|_| TargetError::NotAPath)?;
        Ok(Self {
            path_and_query,
            judged,
            ..self.clone()
        })
    }

    pub fn path(&self) -> &str {
        self.path_and_query.path()
    }

    pub fn query(&self) -> Option<&str> {
        self.path_and_query.query()
    }

    /// The path is in the one spelling that granting rules accept: no `;`, no
    /// `//`, nothing encoded that need not be, no encoded separator or
    /// percent, and UTF-8 once decoded. Dot segments never get this far.
    pub fn is_canonical(&self) -> bool {
        self.judged.canonical
    }

    /// The path holds `%2f`. It must not pass anywhere but on a route with
    /// `encoded_slash`; see `RoutePolicy::takes`.
    pub const fn has_encoded_slash(&self) -> bool {
        self.judged.encoded_slash
    }

    /// The path as the most lenient upstream could read it: decoded until
    /// nothing changes, backslashes as slashes, path parameters (`;…`) cut
    /// off, slashes merged, lower case. Deny and session rules match this too.
    pub fn lenient_reading(&self) -> Cow<'_, str> {
        path_text::lenient_reading(self.path())
    }
}

fn method_with_path(method: &Method) -> Result<(), TargetError> {
    if method == Method::TRACE {
        return Err(TargetError::Trace);
    }
    if method == Method::CONNECT {
        return Err(TargetError::NotAPath);
    }
    Ok(())
}

fn authority_of(
    uri: &Uri,
    host: Option<&[u8]>,
    parse: impl Fn(&[u8]) -> Result<Authority, MalformedAuthority>,
) -> Result<Authority, TargetError> {
    let parse = |text: &[u8]| parse(text).map_err(|_| TargetError::MalformedHost);
    let host = host.map(parse).transpose()?;
    match (uri.scheme_str(), uri.authority()) {
        (None, None) => host.ok_or(TargetError::NoHost),
        (Some("http" | "https"), Some(written)) => parse(written.as_str().as_bytes()),
        _ => Err(TargetError::NotAPath),
    }
}

fn path_and_query(uri: &Uri) -> Result<PathAndQuery, TargetError> {
    let written = uri.path_and_query().ok_or(TargetError::NotAPath)?;
    let text = written.as_str();
    if text.starts_with('/') {
        return Ok(written.clone());
    }
    if uri.scheme().is_some() && (text.is_empty() || text.starts_with('?')) {
        // `http://host?query` asks for the root (RFC 9112 section 3.2.1).
        let rooted = format!("/{text}");
        return PathAndQuery::from_maybe_shared(rooted).map_err(|_| TargetError::NotAPath);
    }
    Err(TargetError::NotAPath)
}

#[cfg(test)]
impl Target {
    /// A target as a client would ask for it: `("GET", "http://host/path")`.
    pub fn for_tests(method: &str, url: &str) -> Self {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        Self::parse(&method, &url.parse().unwrap(), &HeaderMap::new()).unwrap()
    }
}

#[cfg(test)]
mod tests {
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
}
