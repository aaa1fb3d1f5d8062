//! What is judged is what is sent: generated requests through the real
//! gateway, and an upstream that says which bytes reached it.

use std::net::SocketAddr;
use std::path::PathBuf;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use vestibule::config::{self, Sources};
use vestibule::model::target::Target;
use vestibule::policy::Decision;
use vestibule::route::{Found, RouteTable};

use crate::harness::gateway::Plan;
use crate::harness::keep_alive::KeepAlive;
use crate::harness::part;
use crate::harness::provider::Provider;
use crate::harness::scene::Scene;

const ORDINARY: u64 = 20_000;
const LONG: u64 = 1_000_000;

/// Everything is public but what is named: the widest door, so that every
/// misreading shows.
const OPEN: &str = r#"
rules = [
  { path = "/setup/*", lane = "deny" },
  { path = "/setup", lane = "deny" },
  { path = "/admin/*", lane = "session" },
  { path = "/admin", lane = "session" },
  { methods = ["POST"], path = "/token/*", header = { name = "authorization", matches = "[a-z]{8,}" }, lane = "backend-token" },
  { path = "/token/*", lane = "session" },
  { path = "/*", lane = "public" },
]
"#;

/// Nothing is public but one folder.
const CLOSED: &str = "rules = [{ methods = [\"GET\", \"HEAD\"], path = \"/public/*\", lane = \"public\" }]\nencoded_slash = true\n";

/// Deterministic (xorshift64*), so that a failure can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let mixed = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(mixed).expect("31 bits") % sides
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len())]
    }
}

#[rustfmt::skip]
const PIECES: &[&str] = &[
    "public", "admin", "setup", "token", "u", "a", "Admin", "ADMIN", "Public", "SETUP", "adm%69n", "%61dmin",
    "%2561dmin", "%252561dmin", "s%65tup", "pub%6cic", "admin;x=1", "admin%3bx", "public;", ";", ";a=/admin/",
    "..", ".", "...", "..;", "..;x", ".%2e", "%2e%2e", "%2E.", "%252e%252e", "%2e", "..%00", "",
    "%2f", "%2F", "%252f", "%25252f", "%5c", "%255c", "\\", "%00", "%c0%af", "%e0%80%af", "%u002f", "%zz", "%",
    "%2", "%3f", "%23", "%20", "%09", "%0d%0a", "%ff", "%E6%96%87", "~", "*", "@", ":", "http:", "a.b", "index.php",
    "{x}", "\"", "<", "|", "^", "`", "x%2fadmin", "%2fadmin%2f", "admin%2fx", "setup%252fx", "public%2f..%2fadmin",
];

/// Spellings that are no reason to refuse a request at once.
#[rustfmt::skip]
const MILD: &[&str] = &[
    "public", "admin", "setup", "token", "u", "a", "Admin", "ADMIN", "Public", "SETUP", "adm%69n", "%61dmin",
    "%2561dmin", "s%65tup", "pub%6cic", "admin;x=1", "public;", ";a=/admin", "...", ".well-known", "%20", "%E6%96%87",
    "~", "*", "@", ":", "a.b", "index.php", "|", "^", "%7cadmin", "admin.", "admin%20", "%20admin", "ad%20min", "",
];

fn path(dice: &mut Dice) -> String {
    if dice.roll(2) == 0 {
        let mut text = dice.one(&["", "", "/public", "/public/"]).to_owned();
        for _ in 0..=dice.roll(3) {
            text.push('/');
            text.push_str(dice.one(MILD));
        }
        text.push_str(dice.one(&["", "", "/", "?a=/admin/", "?_method=DELETE", "?a#b", "?"]));
        return text;
    }
    let mut text = dice
        .one(&["/", "/", "/", "/", "//", "/./", "/%2f", "/;/", "/\\"])
        .to_owned();
    for _ in 0..=dice.roll(5) {
        text.push_str(dice.one(PIECES));
        text.push_str(dice.one(&["/", "/", "/", "/", "//", "", "%2f", "\\", ";"]));
    }
    text.push_str(dice.one(&[
        "",
        "",
        "",
        "x",
        "?",
        "?a=/admin/",
        "?_method=DELETE",
        "?/../admin",
        "?%5Fmethod=PUT",
        "?x=1;_method=PUT",
        "?a#b",
    ]));
    text
}

struct Case {
    method: &'static str,
    line: String,
    /// The request target in origin form.
    target: String,
    headers: Vec<(&'static str, String)>,
}

impl Case {
    fn new(dice: &mut Dice, authority: &str) -> Self {
        let method = dice.one(&[
            "GET", "GET", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "get", "Get",
            "PROPFIND", "FOO",
        ]);
        let target = path(dice);
        let line = match dice.roll(12) {
            0 => format!("http://{authority}{target}"),
            1 => format!("HTTP://{}{target}", authority.to_uppercase()),
            _ => target.clone(),
        };
        let port = authority.rsplit(':').next().expect("port");
        let host = match dice.roll(12) {
            0 => authority.to_uppercase(),
            1 => format!("app.localhost.:{port}"),
            2 => format!("other.localhost:{port}"),
            3 => format!("app.localhost:{port}/admin"),
            _ => authority.to_owned(),
        };
        let mut headers = vec![("host", host)];
        if method != "GET" && method != "HEAD" {
            headers.push(("content-length", "0".to_owned()));
        }
        for (name, value) in [
            ("x-original-url", "/public/a"),
            ("x-rewrite-url", "/admin/a"),
            ("x-original_uri", "/admin/a"),
            ("x-forwarded-prefix", "/admin"),
            ("x-forwarded-host", "evil.test"),
            ("x-http-method-override", "DELETE"),
            ("x-method-override", "PUT"),
            ("authorization", "abcdefghij"),
            ("cookie", "a=1; vestibule=forged"),
            ("origin", "http://evil.test"),
            ("access-control-request-method", "PUT"),
        ] {
            if dice.roll(5) == 0 {
                headers.push((name, value.to_owned()));
            }
        }
        Self {
            method,
            line,
            target,
            headers,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.line);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        (text + "\r\n").into_bytes()
    }

    /// What the gateway's own code says of it for somebody who is not signed
    /// in: the target if it passes.
    fn judged(&self, routes: &RouteTable) -> Option<String> {
        let uri: Uri = self.line.parse().ok()?;
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let value = HeaderValue::from_str(value).expect("header");
            headers.append(HeaderName::from_static(name), value);
        }
        let method = Method::from_bytes(self.method.as_bytes()).expect("method");
        let target = Target::parse(&method, &uri, &headers).ok()?;
        let Found::Route(route) = routes.find(&target) else {
            return None;
        };
        let client = SocketAddr::from(([127, 0, 0, 1], 1)).ip();
        match route.policy.lane(&target, &headers).decide(None, client) {
            Decision::Permit(_) => Some(target.path_and_query.as_str().to_owned()),
            Decision::SignIn { .. } | Decision::Deny(_) => None,
        }
    }
}

/// Answers every request with what it was: `X-Seen: METHOD target`, and
/// `X-Fields` with the names and hosts that arrived.
async fn upstream() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = listener.local_addr().expect("address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                while let Some(head) = read_head(&mut stream).await {
                    let mut lines = head.lines();
                    let line = lines.next().unwrap_or_default();
                    let seen = line.strip_suffix(" HTTP/1.1").unwrap_or("(odd)");
                    let fields: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
                    let fields = fields.join(" | ");
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-seen: {seen}\r\nx-fields: {fields}\r\n\r\n"
                    );
                    if stream.write_all(answer.as_bytes()).await.is_err() {
                        break;
                    }
                }
            });
        }
    });
    address
}

/// Up to the empty line; `None` at the end of the connection. Bodies are
/// empty here or come after a Content-Length that the client knows.
async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// A client that keeps its connection as long as the gateway does.
struct Client {
    address: SocketAddr,
    stream: Option<tokio::io::BufStream<TcpStream>>,
}

impl Client {
    async fn ask(&mut self, case: &Case) -> String {
        for _ in 0..2 {
            if let Some(head) = self.attempt(case).await {
                return head;
            }
            // The gateway had closed it after the answer before.
            self.stream = None;
        }
        panic!("no answer to {:?}", case.line);
    }

    async fn attempt(&mut self, case: &Case) -> Option<String> {
        if self.stream.is_none() {
            let stream = TcpStream::connect(self.address).await.expect("connects");
            stream.set_nodelay(true).expect("nodelay");
            self.stream = Some(tokio::io::BufStream::new(stream));
        }
        let stream = self.stream.as_mut()?;
        stream.write_all(&case.bytes()).await.ok()?;
        stream.flush().await.ok()?;
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8_lossy(&head).to_lowercase_names();
        if case.method != "HEAD" {
            let length = field(&head, "content-length").and_then(|text| text.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            stream.read_exact(&mut body).await.ok()?;
        }
        if field(&head, "connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            self.stream = None;
        }
        Some(head)
    }
}

trait LowercaseNames {
    fn to_lowercase_names(&self) -> String;
}

impl LowercaseNames for std::borrow::Cow<'_, str> {
    fn to_lowercase_names(&self) -> String {
        let line = |line: &str| match line.split_once(": ") {
            Some((name, value)) => format!("{}: {value}", name.to_lowercase()),
            None => line.to_owned(),
        };
        self.lines().map(line).collect::<Vec<_>>().join("\n")
    }
}

fn field<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// How upstreams of the world read a path, written without a look at the
/// gateway's own reading: decoded 0 to 3 times, with or without backslashes
/// as slashes, parameters cut, case folded, and dots walked before or after.
fn readings(target: &str) -> Vec<String> {
    let mut text = target
        .split('?')
        .next()
        .unwrap_or_default()
        .as_bytes()
        .to_vec();
    let mut out = Vec::new();
    for _ in 0..4 {
        for backslashes in [false, true] {
            for parameters in [false, true] {
                out.push(walk(&text, backslashes, parameters));
            }
        }
        text = percent_encoding::percent_decode(&text).collect();
    }
    out
}

fn walk(text: &[u8], backslashes: bool, parameters: bool) -> String {
    let text = String::from_utf8_lossy(text).to_lowercase();
    let text = if backslashes {
        text.replace('\\', "/")
    } else {
        text
    };
    let text = text.split('\0').next().unwrap_or_default();
    let mut kept: Vec<&str> = Vec::new();
    for segment in text.split('/') {
        let segment = if parameters {
            segment.split(';').next().unwrap_or_default()
        } else {
            segment
        };
        match segment {
            "" | "." => {}
            ".." => drop(kept.pop()),
            other => kept.push(other),
        }
    }
    format!("/{}", kept.join("/"))
}

fn is_at_or_below(path: &str, place: &str) -> bool {
    path.strip_prefix(place)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

async fn differential(rules: &str, seed: u64, reachable: fn(&Case, &str) -> bool) {
    let provider = Provider::start("oidc-plain").await;
    let upstream = upstream().await;
    let access = "access = \"signed-in\"\n";
    let plan = Plan::bare(&provider.issuer)
        .limits("open_requests_per_minute = 4000000000")
        .log_level("error")
        .environment("VESTIBULE__LOG__ACCESS", "false")
        .route(&format!(
            "[route.app]\nupstream = \"http://{upstream}\"\n{access}{rules}"
        ));
    let file: PathBuf = plan.written();
    let gateway = plan.start().await;
    let loaded = config::inspect(&Sources {
        file: Some(file),
        environment: Vec::new(),
    });
    let routes = RouteTable::compile(&loaded.expect("configuration").config);
    let cases = if part::long() { LONG } else { ORDINARY } / 2;
    let mut client = Client {
        address: gateway.address(),
        stream: None,
    };
    let mut dice = Dice(seed);
    let mut passed = 0;
    for number in 0..cases {
        let case = Case::new(&mut dice, &gateway.authority());
        let head = client.ask(&case).await;
        let shown = || {
            format!(
                "case {number}, seed {seed}: {} {} {:?}\n{head}",
                case.method, case.line, case.headers
            )
        };
        let judged = case.judged(&routes);
        let Some(seen) = field(&head, "x-seen") else {
            let own = case.target.starts_with("/oauth2");
            assert!(
                judged.is_none() || own,
                "judged open and not sent: {}",
                shown()
            );
            continue;
        };
        passed += 1;
        let (method, sent) = seen.split_once(' ').expect("method and target");
        assert_eq!(method, case.method, "{}", shown());
        let asked = case.target.split('#').next().unwrap_or_default();
        assert_eq!(sent, asked, "not the bytes of the client: {}", shown());
        assert_eq!(
            judged.as_deref(),
            Some(sent),
            "not what was judged: {}",
            shown()
        );
        for reading in readings(sent) {
            assert!(
                reachable(&case, &reading),
                "reads as {reading}: {}",
                shown()
            );
        }
        let fields = field(&head, "x-fields").unwrap_or_default().to_lowercase();
        for name in [
            "x-original",
            "x-rewrite",
            "override",
            "prefix",
            "x-forwarded-user",
        ] {
            assert!(!fields.contains(name), "{name} arrived: {}", shown());
        }
        assert!(
            !fields.contains("evil.test") || fields.contains("origin: http://evil.test"),
            "{}",
            shown()
        );
        assert!(
            !fields.contains("forged"),
            "our cookie arrived: {}",
            shown()
        );
    }
    // A generator that never gets through would prove nothing.
    assert!(passed > cases / 100, "{passed} of {cases} passed");
}

/// `tests/run --long` takes a million cases, half of them here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sec_path_14_no_spelling_opens_what_is_closed() {
    differential(OPEN, 0x5EED_0001, |case, reading| {
        let closed = ["/admin", "/setup"];
        let token = is_at_or_below(reading, "/token");
        let has_token = case
            .headers
            .iter()
            .any(|(name, _)| *name == "authorization");
        !closed.iter().any(|place| is_at_or_below(reading, place))
            && (!token || reading == "/token" || (has_token && case.method == "POST"))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sec_path_07_only_the_open_folder_opens() {
    differential(CLOSED, 0x5EED_0002, |case, reading| {
        is_at_or_below(reading, "/public") && matches!(case.method, "GET" | "HEAD")
    })
    .await;
}

#[tokio::test]
async fn a_damaged_link_is_a_page_for_people_and_json_for_scripts() {
    let scene = Scene::start().await;
    for (path, reason) in [
        ("/a%2Fb", "path_encoded_slash"),
        ("/a%00b", "path_nul"),
        ("/a%zzb", "path_bad_escape"),
    ] {
        let mut line = KeepAlive::to(&scene.gateway);
        let (status, page) = line.navigate(path).await.expect("an answer");
        assert_eq!(status, 400, "{page}");
        assert!(page.starts_with("<!doctype html>"), "{page}");
        assert!(page.contains(reason), "{page}");
        let (status, told) = line.get(path, "none").await.expect("an answer");
        assert_eq!(status, 400, "{told}");
        let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
        assert_eq!(told["reason"], reason);
    }
}
