//! Wire tests: raw bytes in, raw bytes at the upstream.

mod answers;
mod encrypted;
mod exchanges;
mod framing;
mod headers;
mod heads;
mod limits;
mod readers;
mod upgrades;
mod wires;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;

use super::{CookieField, CookieFilter, Outbound, Proxy, ProxyError};
use crate::base::body::Body;
use crate::base::clock::Timestamp;
use crate::base::fault::Fault;
use crate::config::checked::{IdentityRules, Limits, ListenAddr, Route, Runtime, Upstream};
use crate::identity_headers::{Injection, ReadyHeaders, ScrubList};
use crate::listener::{Connection, Handler, Listener, LocalAddr, PeerAddr, Running, ServeSettings};
use crate::model::access::Lane;
use crate::model::context::{Audience, RequestContext, RequestRef};
use crate::model::identity::{Groups, Identity, ProviderId};
use crate::model::origin::{Authority, Scheme};
use crate::model::pattern::PathPattern;
use crate::model::target::Target;
use crate::policy::Permit;
use crate::telemetry::Telemetry;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
const WAIT: Duration = Duration::from_secs(10);

/// An upstream that logs the raw bytes of each request.
struct RawUpstream {
    address: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
    connections: Arc<Mutex<usize>>,
}

impl RawUpstream {
    /// Answers every request with the same bytes, and keeps the connection.
    fn answering(answer: &'static [u8]) -> Self {
        Self::scripted(move |_, stream| stream.write_all(answer).is_ok())
    }

    /// `script` gets each request and says whether the connection goes on.
    fn scripted(
        script: impl Fn(&str, &mut TcpStream) -> bool + Send + Sync + Clone + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let upstream = Self {
            address: listener.local_addr().unwrap(),
            requests: Arc::default(),
            connections: Arc::default(),
        };
        let (requests, connections) = (upstream.requests.clone(), upstream.connections.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                *connections.lock().unwrap() += 1;
                let (script, requests) = (script.clone(), requests.clone());
                std::thread::spawn(move || {
                    let mut buffer = Vec::new();
                    while let Some(request) = read_message(&mut stream, &mut buffer) {
                        requests.lock().unwrap().push(request.clone());
                        if !script(&request, &mut stream) {
                            return;
                        }
                    }
                });
            }
        });
        upstream
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }

    fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }

    fn only(&self) -> String {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests[0].clone()
    }
}

/// One message by its framing, or what came before the end.
fn read_message(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<String> {
    let mut chunk = [0_u8; 16 * 1024];
    loop {
        if let Some(length) = message_length(buffer) {
            let message: Vec<u8> = buffer.drain(..length).collect();
            return Some(String::from_utf8_lossy(&message).into_owned());
        }
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return None,
            Ok(read) => buffer.extend_from_slice(&chunk[..read]),
        }
    }
}

fn message_length(buffer: &[u8]) -> Option<usize> {
    let head = memchr::memmem::find(buffer, b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
    if text.contains("transfer-encoding: chunked") {
        let end = memchr::memmem::find(&buffer[head..], b"0\r\n")?;
        let rest = memchr::memmem::find(&buffer[head + end..], b"\r\n\r\n")?;
        return Some(head + end + rest + 4);
    }
    // A request that expects 100-continue is answered before its body.
    if text.contains("expect: 100-continue") {
        return Some(head);
    }
    let length: usize = text
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.split("\r\n").next())
        .map_or(0, |length| length.parse().unwrap());
    (buffer.len() >= head + length).then_some(head + length)
}

fn strip(field: &[u8]) -> CookieField {
    let text = std::str::from_utf8(field).unwrap();
    if !text.contains("__Host-vestibule") {
        return CookieField::Unchanged;
    }
    let kept: Vec<&str> = text
        .split("; ")
        .filter(|pair| !pair.starts_with("__Host-vestibule"))
        .collect();
    if kept.is_empty() {
        CookieField::Nothing
    } else {
        CookieField::Kept(kept.join("; ").parse().unwrap())
    }
}

fn is_own(value: &[u8]) -> bool {
    value.starts_with(b"__Host-vestibule")
}

pub(super) fn route(upstream: SocketAddr) -> Route {
    Route {
        id: "app".into(),
        hosts: Vec::new(),
        path: PathPattern::parse("/*").unwrap(),
        upstream: Upstream::Http(Authority::parse(&upstream.to_string()).unwrap()),
        upstream_tls: Default::default(),
        prefix: Default::default(),
        preserve_host: true,
        access: None,
        deny: Vec::new(),
        rules: Vec::new(),
        encoded_slash: false,
        preflight: Default::default(),
        identity: IdentityRules::default(),
        headers: Vec::new(),
        pass_access_token: false,
        response_timeout: Duration::from_secs(60),
        max_body: None,
    }
}

fn identity(subject: &str) -> Identity {
    Identity {
        provider: ProviderId("main".into()),
        issuer: "https://id.example.com".into(),
        subject: subject.into(),
        username: None,
        name: None,
        email: None,
        email_verified: false,
        groups: Groups::Known(vec!["staff".into()]),
        claims: Default::default(),
        provider_session: None,
        read_at: Timestamp::default(),
    }
}

/// Takes the person from a cookie, per request.
struct Gate {
    proxy: Proxy,
    lane: Lane,
    trusted: bool,
    ann: ReadyHeaders,
    ben: ReadyHeaders,
}

impl Handler for Gate {
    async fn handle(&self, connection: &Connection, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let host = parts
            .headers
            .get("host")
            .map_or("app.example.com", |host| host.to_str().unwrap());
        let PeerAddr::Tcp(peer) = connection.peer else {
            unreachable!("tests speak TCP");
        };
        let context = RequestContext {
            // The real edge refuses some methods before this.
            target: Target::for_tests(
                "GET",
                &format!("http://{host}{}", parts.uri.path_and_query().unwrap()),
            ),
            client_addr: if self.trusted {
                "192.0.2.7".parse().unwrap()
            } else {
                peer.ip()
            },
            peer_addr: peer.ip(),
            peer_trusted: self.trusted,
            scheme: Scheme::Https,
            audience: Audience::Api,
            reference: RequestRef(1),
            received_at: Timestamp::default(),
        };
        let is_ben = parts
            .headers
            .get_all("cookie")
            .iter()
            .any(|field| field.to_str().unwrap().contains("__Host-vestibule=ben"));
        let person = if is_ben { &self.ben } else { &self.ann };
        let outbound = Outbound {
            target: &self.proxy.targets()[0],
            context: &context,
            judged: &context.target,
            connection,
            parts,
            body,
            identity: (self.lane == Lane::Session).then_some(person),
            cookies: None,
        };
        let permit = Permit::for_tests(self.lane);
        match self.proxy.forward(permit, outbound).await {
            Ok(response) => response,
            Err(error) => Response::builder()
                .status(error.status())
                .body(Body::full(error.reason()))
                .unwrap(),
        }
    }
}

/// The gateway under test; ends when dropped.
struct Rig {
    address: SocketAddr,
    running: Option<Running>,
}

struct Setup {
    lane: Lane,
    trusted: bool,
    runtime: Runtime,
    limits: Limits,
    route: Route,
}

impl Setup {
    fn to(upstream: &RawUpstream) -> Self {
        Self {
            lane: Lane::Session,
            trusted: false,
            runtime: Runtime::PerCore,
            limits: Limits {
                drain: Duration::from_secs(1),
                ..Limits::default()
            },
            route: route(upstream.address),
        }
    }

    fn start(self) -> Rig {
        let routes = [self.route];
        let scrub = ScrubList::compile(&routes);
        let cookies = CookieFilter { strip, is_own };
        let injection = Injection::compile(&routes[0], false);
        let told = |name: &str| injection.render(&identity(name), None).unwrap();
        let gate = Gate {
            lane: self.lane,
            trusted: self.trusted,
            ann: told("ann"),
            ben: told("ben"),
            proxy: Proxy::new(&routes, &self.limits, scrub, cookies, &Telemetry::new(None))
                .unwrap(),
        };
        let bound = Listener::bind(&[ListenAddr::Tcp("127.0.0.1:0".parse().unwrap())]).unwrap();
        let LocalAddr::Tcp(address) = bound.local_addrs()[0].clone() else {
            unreachable!("bound to TCP");
        };
        let settings = ServeSettings {
            workers: 2,
            runtime: self.runtime,
            limits: self.limits,
            tls: None,
            trusted: Vec::new(),
        };
        Rig {
            address,
            running: Some(bound.serve(Arc::new(gate), &settings).unwrap()),
        }
    }
}

impl Rig {
    fn in_front_of(upstream: &RawUpstream) -> Self {
        Setup::to(upstream).start()
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(WAIT)).unwrap();
        stream
    }

    /// Everything that comes back until the gateway closes.
    fn say(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut stream = self.connect();
        // The gateway may answer and close before it has read everything.
        let _ = stream.write_all(bytes.as_ref());
        read_to_end(&mut stream)
    }

    /// One GET with extra header lines.
    fn get(&self, lines: &str) -> String {
        self.say(format!(
            "GET /a HTTP/1.1\r\nHost: app.example.com\r\nConnection: close\r\n{lines}\r\n"
        ))
    }
}

fn read_to_end(stream: &mut TcpStream) -> String {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => {
            panic!("{error}: {}", String::from_utf8_lossy(&all))
        }
        _ => String::from_utf8_lossy(&all).into_owned(),
    }
}

#[track_caller]
fn assert_status(answer: &str, status: u16) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "wanted {status}: {answer}"
    );
}

/// How many generated cases a test tries.
fn cases() -> u32 {
    let long = std::env::var_os("VESTIBULE_TEST_LONG").is_some_and(|value| !value.is_empty());
    if long { 50_000 } else { 2_000 }
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let start = std::time::Instant::now();
    while !condition() {
        assert!(start.elapsed() < WAIT, "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_request_goes_through_on_both_runtimes() {
    for runtime in [Runtime::PerCore, Runtime::Shared] {
        let upstream = RawUpstream::answering(OK);
        let mut setup = Setup::to(&upstream);
        setup.runtime = runtime;
        let rig = setup.start();
        let answer = rig.get("Accept: */*\r\n");
        assert_status(&answer, 200);
        assert!(answer.ends_with("\r\n\r\nhi"), "{answer}");
        let request = upstream.only();
        assert!(request.starts_with("GET /a HTTP/1.1\r\n"), "{request}");
        assert!(request.contains("host: app.example.com\r\n"), "{request}");
        assert!(request.contains("x-forwarded-user: ann\r\n"), "{request}");
    }
}

#[test]
fn request_path_futures_are_send() {
    fn is_send<T: Send>(_: &T) {}
    fn check(proxy: &Proxy, permit: Permit, outbound: Outbound<'_>) {
        is_send(&proxy.forward(permit, outbound));
    }
    let _ = check;
    assert_eq!(ProxyError::Busy.reason(), "upstream_busy");
}
