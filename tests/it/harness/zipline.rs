//! Zipline v4 as its callers see it: own tokens and own sessions, uploads
//! whole and in parts, shared files with ranges, and its first-time setup.
//!
//! Where the gateway could do harm it answers as Zipline does, byte for byte:
//! a token in Authorization beats a good cookie, a range that cannot be
//! satisfied is 416 with the whole file, and addresses are built from Host.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};

/// `files.maxFileSize`.
const LARGEST: u64 = 100 * 1024 * 1024;

/// Kate's upload token: long, without a scheme, never expiring.
pub const TOKEN: &str = concat!(
    "MTcyOTcwMjE0MTAwMA==.OGE0ZTk5YzFiZjYxMmQ3ZTBjM2FmMWE1ZDkyYjY0Nzg6",
    "NmY4ZDQ3YTJjMWU5M2IwNWQ4ZjI2NDcxYWU5MGMzYjVkN2YxOGU0NmEyYzk1MGJkM2Y3",
    "MWU4NjRhMmM5MDViZDNmN2U4MTY0YWMyOTViMGQzN2ZlODE2NGFjMjk1YjBkMzdmZTgx",
    "NjRhYzI5NWIwZDM3ZmU4MTY0YWMyOTViMGQzN2ZlODE2NGFjMjk1YjBkMzdmZTgxNjQ+/w=="
);

pub struct Zipline {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

/// One request that reached it.
#[derive(Debug, Clone)]
pub struct Seen {
    pub headers: HeaderMap,
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    files: HashMap<String, Stored>,
    /// Sessions that were opened with a password, by cookie value.
    sessions: HashMap<String, String>,
    partials: HashMap<String, Partial>,
    /// Whether the first caller of the setup would become its super admin.
    fresh: bool,
    /// GET requests of stored files.
    views: usize,
    counter: usize,
}

#[derive(Clone)]
struct Stored {
    kind: String,
    /// Only the digest and length of a large one are kept.
    bytes: Option<Bytes>,
    length: u64,
    sha256: String,
}

struct Partial {
    length: u64,
    hash: Context,
}

type Answered = Response<Full<Bytes>>;

impl Zipline {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("address");
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    continue;
                };
                let state = Arc::clone(&shared);
                connections.spawn(async move {
                    let service = hyper::service::service_fn(move |request| {
                        let state = Arc::clone(&state);
                        async move { Ok::<_, Infallible>(answer(&state, request).await) }
                    });
                    // A client that goes away is nobody's fault.
                    drop(
                        hyper::server::conn::http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .await,
                    );
                });
            }
        });
        Self {
            address,
            state,
            server,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("state")
    }

    /// Every request so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// The last request; panics where none came.
    pub fn last(&self) -> Seen {
        self.seen().last().expect("a request").clone()
    }

    /// As if it had been installed a moment ago.
    pub fn make_fresh(&self) {
        self.state().fresh = true;
    }

    pub fn is_fresh(&self) -> bool {
        self.state().fresh
    }

    pub fn views(&self) -> usize {
        self.state().views
    }

    pub fn keep(&self, name: &str, kind: &str, bytes: &[u8]) {
        let stored = Stored {
            kind: kind.to_owned(),
            bytes: Some(Bytes::copy_from_slice(bytes)),
            length: bytes.len() as u64,
            sha256: hex(Context::new(&SHA256), bytes),
        };
        self.state().files.insert(name.to_owned(), stored);
    }

    /// Length and SHA-256 of a file that was uploaded.
    pub fn stored(&self, name: &str) -> Option<(u64, String)> {
        let stored = self.state().files.get(name).cloned()?;
        Some((stored.length, stored.sha256))
    }
}

impl Drop for Zipline {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(state: &Mutex<State>, request: Request<Incoming>) -> Answered {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    lock(state).seen.push(Seen {
        headers: parts.headers.clone(),
    });
    let (method, headers) = (&parts.method, &parts.headers);
    let mut answered = match (method.as_str(), path.as_str()) {
        ("POST", "/api/upload" | "/api/upload/partial") => upload(state, headers, body).await,
        ("POST", "/api/auth/login") => login(state, body).await,
        ("POST", "/api/setup") => setup(state),
        ("GET", "/api/setup") if lock(state).fresh => whole(200, json!({ "firstSetup": true })),
        ("GET", "/api/setup") => error(403, "setup already done"),
        ("GET", "/api/healthcheck") => whole(200, json!({ "pass": true })),
        ("GET", "/") => redirect("/dashboard"),
        ("GET", "/dashboard" | "/auth/login" | "/setup") => page(),
        ("GET", "/api/user") => match who(state, headers) {
            Ok(user) => whole(200, json!({ "user": { "username": user } })),
            Err(refused) => *refused,
        },
        ("GET" | "HEAD", _) => match path.strip_prefix("/raw/") {
            Some(name) => file(state, method, headers, name, true),
            None => match path.strip_prefix("/u/") {
                Some(name) => file(state, method, headers, name, false),
                None => error(404, "not found"),
            },
        },
        _ => error(404, "not found"),
    };
    // On everything.
    let any = http::HeaderValue::from_static("*");
    answered
        .headers_mut()
        .insert("access-control-allow-origin", any);
    answered
}

/// The token counts before the cookie: a wrong one is refused whatever the
/// cookie says.
fn who(state: &Mutex<State>, headers: &HeaderMap) -> Result<String, Box<Answered>> {
    if let Some(token) = headers.get("authorization") {
        return if token.as_bytes() == TOKEN.as_bytes() {
            Ok("kate".to_owned())
        } else {
            Err(Box::new(error(401, "could not decrypt token")))
        };
    }
    let cookies = headers.get_all("cookie").iter();
    let session = cookies
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split("; "))
        .find_map(|pair| pair.strip_prefix("zipline_session="))
        .and_then(|value| lock(state).sessions.get(value).cloned());
    session.ok_or_else(|| Box::new(error(401, "not logged in")))
}

/// Opens a session for whatever name is given; passwords are not the subject.
async fn login(state: &Mutex<State>, body: Incoming) -> Answered {
    let body = vestibule::base::bounded_body::read(body, 1 << 20)
        .await
        .expect("body");
    let form: Value = serde_json::from_slice(&body).unwrap_or_default();
    let Some(name) = form["username"].as_str() else {
        return error(400, "username is required");
    };
    let mut state = lock(state);
    state.counter += 1;
    let value = format!("Fe26.2*sealed*{}*{name}", state.counter);
    state.sessions.insert(value.clone(), name.to_owned());
    let mut answered = whole(200, json!({ "user": { "username": name } }));
    let cookie = format!("zipline_session={value}; Max-Age=604800; Path=/; SameSite=Lax");
    let cookie = cookie.parse().expect("a header value");
    answered.headers_mut().insert("set-cookie", cookie);
    answered
}

/// Asks nobody who he is: whoever comes first owns the place.
fn setup(state: &Mutex<State>) -> Answered {
    if !std::mem::take(&mut lock(state).fresh) {
        return error(403, "setup already done");
    }
    whole(
        200,
        json!({ "firstSetup": false, "user": { "role": "SUPERADMIN" } }),
    )
}

async fn upload(state: &Mutex<State>, headers: &HeaderMap, body: Incoming) -> Answered {
    if let Err(refused) = who(state, headers) {
        return *refused;
    }
    let partial = match range(headers) {
        None if headers.contains_key("content-range") => return error(400, "invalid range"),
        range => range,
    };
    let known = text(headers, "x-zipline-p-identifier");
    let begun = match (partial, known) {
        (Some((0, ..)) | None, _) => Partial {
            length: 0,
            hash: Context::new(&SHA256),
        },
        (Some(_), known) => {
            let begun = known.and_then(|id| lock(state).partials.remove(id));
            match begun {
                Some(begun) => begun,
                None => return error(400, "no such upload"),
            }
        }
    };
    let before = begun.length;
    let Some(form) = Form::read(headers, body, begun, partial.is_none()).await else {
        return error(400, "not a form");
    };
    if form.content.length > LARGEST || partial.is_some_and(|(_, _, total)| total > LARGEST) {
        return error(413, "file is too large");
    }
    let Some((start, end, total)) = partial else {
        return finish(
            state,
            headers,
            form.content,
            &form.kind,
            Some(form.small.into()),
        );
    };
    if start != before || end - start != form.content.length - before {
        return error(400, "invalid range");
    }
    if text(headers, "x-zipline-p-lastchunk") == Some("true") {
        if form.content.length != total {
            return error(400, "invalid range");
        }
        let kind = text(headers, "x-zipline-p-content-type").unwrap_or_default();
        return finish(state, headers, form.content, kind, None);
    }
    let mut state = lock(state);
    state.counter += 1;
    let identifier = match known {
        Some(known) if start > 0 => known.to_owned(),
        _ => format!("part{:04}", state.counter),
    };
    let mut told = json!({ "files": [], "partialSuccess": true });
    if start == 0 {
        told["partialIdentifier"] = identifier.clone().into();
    }
    state.partials.insert(identifier, form.content);
    whole(200, told)
}

fn finish(
    state: &Mutex<State>,
    headers: &HeaderMap,
    content: Partial,
    kind: &str,
    bytes: Option<Bytes>,
) -> Answered {
    let mut state = lock(state);
    state.counter += 1;
    let name = format!("up{:04}.bin", state.counter);
    let host = text(headers, "host").unwrap_or_default();
    let stored = Stored {
        kind: kind.to_owned(),
        bytes,
        length: content.length,
        sha256: hex(content.hash, b""),
    };
    state.files.insert(name.clone(), stored);
    // CORE_RETURN_HTTPS_URLS is off here; X-Forwarded-Proto is never read.
    let url = format!("http://{host}/u/{name}");
    whole(
        200,
        json!({ "files": [{ "name": name, "type": kind, "url": url }] }),
    )
}

/// `bytes a-b/total`; here `b` is the first byte after the part.
fn range(headers: &HeaderMap) -> Option<(u64, u64, u64)> {
    let (range, total) = text(headers, "content-range")?
        .strip_prefix("bytes ")?
        .split_once('/')?;
    let (start, end) = range.split_once('-')?;
    let (start, end) = (start.parse().ok()?, end.parse().ok()?);
    (start <= end).then_some((start, end, total.parse().ok()?))
}

/// A multipart form with one file in it, hashed while it arrives.
struct Form {
    content: Partial,
    kind: String,
    small: Vec<u8>,
}

impl Form {
    async fn read(
        headers: &HeaderMap,
        mut body: Incoming,
        content: Partial,
        keep: bool,
    ) -> Option<Self> {
        let boundary =
            text(headers, "content-type")?.strip_prefix("multipart/form-data; boundary=")?;
        let end = format!("\r\n--{boundary}--\r\n").into_bytes();
        let mut form = Self {
            content,
            kind: String::new(),
            small: Vec::new(),
        };
        let mut held: Vec<u8> = Vec::new();
        let mut in_file = false;
        while let Some(frame) = body.frame().await {
            held.extend_from_slice(frame.ok()?.data_ref()?);
            if !in_file {
                let Some(at) = held.windows(4).position(|four| four == b"\r\n\r\n") else {
                    continue;
                };
                let head = String::from_utf8(held[..at].to_vec()).ok()?;
                let kind = head
                    .lines()
                    .find_map(|line| line.strip_prefix("Content-Type: "));
                form.kind = kind?.to_owned();
                in_file = head.starts_with(&format!("--{boundary}\r\n"));
                held.drain(..at + 4);
            }
            // What may be the end of the form is not yet the file's.
            let sure = held.len().saturating_sub(end.len());
            form.take(&held[..sure], keep);
            held.drain(..sure);
        }
        (in_file && held == end).then_some(form)
    }

    fn take(&mut self, bytes: &[u8], keep: bool) {
        self.content.hash.update(bytes);
        self.content.length += bytes.len() as u64;
        if keep {
            self.small.extend_from_slice(bytes);
        }
    }
}

fn file(
    state: &Mutex<State>,
    method: &Method,
    headers: &HeaderMap,
    name: &str,
    ranges: bool,
) -> Answered {
    let mut state = lock(state);
    let Some(stored) = state.files.get(name).cloned() else {
        return error(404, "not found");
    };
    state.views += usize::from(method == Method::GET);
    let bytes = stored.bytes.unwrap_or_default();
    let size = bytes.len();
    let answered = Response::builder().header("content-type", stored.kind);
    let wanted = text(headers, "range").filter(|_| ranges);
    let wanted = wanted.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let (answered, bytes) = match wanted {
        None => (answered.header("accept-ranges", "bytes"), bytes),
        Some((start, end)) => {
            let start = start.parse().unwrap_or(0);
            let end = end.parse().unwrap_or(size - 1);
            if start >= size || end >= size {
                (answered.status(StatusCode::RANGE_NOT_SATISFIABLE), bytes)
            } else {
                let range = format!("bytes {start}-{end}/{size}");
                let answered = answered
                    .status(StatusCode::PARTIAL_CONTENT)
                    .header("content-range", range)
                    .header("accept-ranges", "bytes");
                (answered, bytes.slice(start..=end))
            }
        }
    };
    let answered = answered.header("content-length", bytes.len());
    let bytes = if method == Method::HEAD {
        Bytes::new()
    } else {
        bytes
    };
    answered.body(Full::new(bytes)).expect("an answer")
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().expect("state")
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn hex(mut hash: Context, rest: &[u8]) -> String {
    hash.update(rest);
    let digest = hash.finish();
    digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn whole(status: u16, value: Value) -> Answered {
    Response::builder()
        .status(status)
        .header("content-type", "application/json; charset=utf-8")
        .body(Full::from(value.to_string()))
        .expect("an answer")
}

fn error(status: u16, message: &str) -> Answered {
    whole(status, json!({ "error": message }))
}

fn redirect(to: &str) -> Answered {
    Response::builder()
        .status(302)
        .header("location", to)
        .body(Full::default())
        .expect("an answer")
}

/// The shell of every page; what it shows comes from the API.
fn page() -> Answered {
    Response::builder()
        .header("content-type", "text/html; charset=utf-8")
        .body(Full::from("<!doctype html><title>Zipline</title>"))
        .expect("an answer")
}
