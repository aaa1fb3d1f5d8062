//! The same answer, read by hyper's client and by ours: where both take it,
//! they tell the same, and where only one does, it is hyper.

use std::cell::Cell;
use std::pin::Pin;

use http::Method;
use http::uri::PathAndQuery;
use http_body::Body as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::yield_now;

use super::*;
use crate::proxy::http1::RequestBytes;
use crate::proxy::response;
use crate::proxy::sender::RESPONSE_HEAD;
use crate::proxy::streams::Answering;
use crate::proxy::survey::Survey;

/// What we refuse and hyper does not, by the words we refuse it with.
const STRICTER: [&str; 4] = [
    // Lists ("5, 5"): hyper takes the length that they agree on.
    "Content-Length is not a number",
    // Sizes of more than 15 digits, zeros in front counted.
    "malformed chunk: size",
    // A lone CR in an extension: hyper says so only at the byte behind it,
    // and never of one that it did not wait for.
    "malformed chunk: line end",
    // A lone LF as a line end. hyper looks for the last one by CRLF, and then
    // reads what it found up to an empty line, however that ends.
    "malformed chunk: trailers",
];

#[derive(Clone)]
struct Case {
    method: Method,
    bytes: Vec<u8>,
    /// How the bytes are cut.
    pieces: Vec<usize>,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            method,
            bytes,
            pieces,
        } = self;
        write!(f, "{method} b\"{}\" cut {pieces:?}", bytes.escape_ascii())
    }
}

/// What a client would be told.
#[derive(Debug)]
struct Told {
    status: u16,
    reason: Option<Vec<u8>>,
    fields: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    trailers: Vec<(String, Vec<u8>)>,
    /// Why the body is not whole.
    broken: Option<String>,
    /// Whether the connection serves again.
    again: bool,
}

fn fields(headers: &http::HeaderMap) -> Vec<(String, Vec<u8>)> {
    let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.to_string(), value.as_bytes().to_vec())
    };
    headers.iter().map(field).collect()
}

async fn told(response: Response<Body>) -> Told {
    let (parts, mut body) = response.into_parts();
    let reason = parts.extensions.get::<hyper::ext::ReasonPhrase>();
    let mut told = Told {
        status: parts.status.as_u16(),
        reason: reason.map(|reason| reason.as_bytes().to_vec()),
        fields: fields(&parts.headers),
        body: Vec::new(),
        trailers: Vec::new(),
        broken: None,
        again: false,
    };
    loop {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        match frame {
            None => return told,
            Some(Err(error)) => {
                told.broken = Some(error.to_string());
                return told;
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => told.body.extend_from_slice(&data),
                Err(frame) => told.trailers = fields(frame.trailers_ref().unwrap()),
            },
        }
    }
}

/// How far the two ends are.
#[derive(Default)]
struct Progress {
    said: Cell<bool>,
    read: Cell<bool>,
}

/// Lets the runtime look at its sockets.
async fn settle() {
    for _ in 0..3 {
        yield_now().await;
    }
}

impl Case {
    async fn answer(&self, mut stream: UnixStream, progress: &Progress) {
        let mut request = [0; 1000];
        assert!(stream.read(&mut request).await.unwrap() > 0);
        let mut left = &self.bytes[..];
        let sizes = self.pieces.iter().copied().chain([usize::MAX]);
        for size in sizes {
            let (piece, rest) = left.split_at(size.min(left.len()));
            left = rest;
            if stream.write_all(piece).await.is_err() {
                break;
            }
            yield_now().await;
        }
        progress.said.set(true);
        // Whoever waits for more is told that there is none.
        for _ in 0..12 {
            if progress.read.get() {
                return;
            }
            yield_now().await;
        }
    }

    async fn read_by_us(&self, proxy: &Proxy, listener: &UnixListener) -> Result<Told, String> {
        let progress = Progress::default();
        let upstream = async {
            let (stream, _) = listener.accept().await.unwrap();
            self.answer(stream, &progress).await;
        };
        let gateway = async {
            let target = &proxy.targets()[0];
            let mut request = RequestBytes::begin(&self.method, &PathAndQuery::from_static("/"));
            request.end();
            let parts = Request::builder().method(&self.method).body(()).unwrap();
            let mut parts = parts.into_parts().0;
            let answer = proxy.directly(target, &request, &mut parts).await;
            let told = match answer {
                Ok(answer) => Ok(told(answer.unwrap()).await),
                Err(error) => Err(words(&error)),
            };
            while !progress.said.get() {
                yield_now().await;
            }
            settle().await;
            let again = target.pool.resting().is_some();
            progress.read.set(true);
            told.map(|told| Told { again, ..told })
        };
        tokio::join!(upstream, gateway).1
    }

    async fn read_by_hyper(&self, proxy: &Proxy) -> Result<Told, String> {
        let progress = Progress::default();
        let (near, far) = UnixStream::pair().unwrap();
        let gateway = async {
            let mut builder = http1::Builder::new();
            builder.max_header_size(RESPONSE_HEAD);
            let (mut sender, connection) = builder.handshake(TokioIo::new(near)).await.unwrap();
            let connection = tokio::spawn(connection);
            let request = Request::builder().method(&self.method).uri("/");
            let request = request.body(Body::Empty).unwrap();
            let told = match sender.send_request(request).await {
                Err(error) => Err(words(&error)),
                Ok(response) => {
                    let there = Survey::of(response.headers(), &proxy.scrub);
                    match response::judge(response.status(), response.headers(), there) {
                        Err(error) => Err(words(&error)),
                        Ok(_) => {
                            let (scrub, cookies) = (&proxy.scrub, proxy.cookies);
                            Ok(told(response::rewrite(
                                response.map(Answering::from),
                                there,
                                scrub,
                                cookies,
                                WAIT,
                            ))
                            .await)
                        }
                    }
                }
            };
            while !progress.said.get() {
                yield_now().await;
            }
            settle().await;
            let again = sender.is_ready() && !sender.is_closed();
            progress.read.set(true);
            connection.abort();
            told.map(|told| Told { again, ..told })
        };
        tokio::join!(self.answer(far, &progress), gateway).1
    }
}

/// An error with what it comes from.
fn words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words = format!("{words}: {error}");
        source = error.source();
    }
    words
}

/// `None`: nothing to say against it.
fn difference(ours: &Result<Told, String>, hypers: &Result<Told, String>) -> Option<String> {
    let stricter = |words: &str| {
        let known = STRICTER.iter().any(|reason| words.contains(reason));
        (!known).then(|| format!("refused by us alone: {words}"))
    };
    let (ours, hypers) = match (ours, hypers) {
        (Ok(ours), Ok(hypers)) => (ours, hypers),
        (Ok(_), Err(words)) => return Some(format!("refused by hyper alone: {words}")),
        (Err(words), Ok(_)) => return stricter(words),
        (Err(_), Err(_)) => return None,
    };
    let same_head = ours.status == hypers.status
        && ours.reason == hypers.reason
        && ours.fields == hypers.fields;
    if !same_head {
        return Some("another head".into());
    }
    match (&ours.broken, &hypers.broken) {
        (None, Some(words)) => return Some(format!("broken for hyper alone: {words}")),
        (None, None) if ours.body != hypers.body || ours.trailers != hypers.trailers => {
            return Some("another body".into());
        }
        (None, None) => {}
        (Some(_), _)
            if !ours.body.starts_with(&hypers.body) && !hypers.body.starts_with(&ours.body) =>
        {
            return Some("another body before it breaks".into());
        }
        (Some(words), None) => return stricter(words),
        (Some(_), Some(_)) => {}
    }
    (ours.again && !hypers.again).then(|| "used again by us alone".into())
}

fn heads() -> impl Strategy<Value = String> {
    let version = prop_oneof![
        8 => Just("HTTP/1.1"),
        2 => Just("HTTP/1.0"),
        1 => select(vec!["HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.1 "]),
    ];
    let status = prop_oneof![
        8 => Just("200"),
        4 => select(vec!["204", "304", "404", "205", "206", "999"]),
        1 => select(vec!["100", "103", "101", "099", "20", "2000", "+20"]),
    ];
    let reason = select(vec![" OK", " OK", "", " ", " Gone Fishing", "  x", "\tOK"]);
    (version, status, reason)
        .prop_map(|(version, status, reason)| format!("{version} {status}{reason}\r\n"))
}

fn extra_fields() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        6 => select(vec![
            "Content-Type: text/plain\r\n",
            "X-A:1\r\n",
            "x-a:  2 \t\r\n",
            "X-Empty:\r\n",
            "Set-Cookie: a=b\r\n",
            "Set-Cookie: __Host-vestibule=evil\r\n",
            "Remote-User: mal\r\n",
            "Trailer: X-A, Content-Length\r\n",
            "Clear-Site-Data: \"*\"\r\n",
            "Connection: keep-alive\r\n",
            "Connection: close\r\n",
            "Connection: X-A\r\n",
            "Connection: keep-alive\r\nConnection: close\r\n",
        ]),
        1 => select(vec![
            "Content-Length: 5\r\n",
            "Content-Length: 5, 5\r\n",
            "Content-Length: +5\r\n",
            "Content-Length: 005\r\n",
            "Content-Length:\r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Transfer-Encoding: chunked\r\n",
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: chunked,\r\n",
            "Transfer-Encoding:\tChunked\r\n",
            "X-B : 1\r\n",
            "X-C: 1\r\n folded\r\n",
            "X-D: 1\n",
            "No-Colon\r\n",
            "Upgrade: x\r\nConnection: upgrade\r\n",
        ]),
    ];
    vec(line, 0..4).prop_map(|lines| lines.concat())
}

/// A field that frames, and the bytes that follow.
fn bodies() -> impl Strategy<Value = (String, String)> {
    let text = "[a-z\r\n0;]{0,30}";
    let exact = text.prop_map(|body| (format!("Content-Length: {}\r\n", body.len()), body));
    let wrong = (0..60_usize, text)
        .prop_map(|(length, body)| (format!("Content-Length: {length}\r\n"), body));
    let size = prop_oneof![
        8 => Just(""),
        1 => select(vec!["0", "00000000000000000", "+", " ", "0x"]),
    ];
    let extension = prop_oneof![
        6 => Just(""),
        2 => select(vec![";a", " ;x=\"y\"", " ", "\t;b", "  ", ";"]),
        1 => select(vec!["\r", ";a\rb", ";a\nb", "\x0c", "x", " 5"]),
    ];
    let chunk = (size, "[a-z\r\n]{1,20}", extension).prop_map(|(size, data, extension)| {
        format!("{size}{:x}{extension}\r\n{data}\r\n", data.len())
    });
    let trailer = prop_oneof![
        4 => select(vec!["X-Sum: 7\r\n", "Remote-User: mal\r\n", "Content-Length: 5\r\n", "a:\r\n"]),
        1 => select(vec!["a : 1\r\n", " folded\r\n", "a: 1\n", "no colon\r\n", "\n"]),
    ];
    let chunked = (
        vec(chunk, 0..4),
        select(vec!["0", "0", "000", "0;x", ""]),
        vec(trailer, 0..3),
    )
        .prop_map(|(chunks, last, trailers)| {
            let body = format!("{}{last}\r\n{}\r\n", chunks.concat(), trailers.concat());
            ("Transfer-Encoding: chunked\r\n".to_owned(), body)
        });
    let open = text.prop_map(|body| (String::new(), body));
    prop_oneof![4 => exact, 1 => wrong, 6 => chunked, 2 => open]
}

fn answers() -> impl Strategy<Value = Case> {
    let interim = select(vec![
        "",
        "",
        "",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nX-A: 9\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n",
        "\r\n",
    ]);
    let behind = select(vec![
        "",
        "",
        "",
        "",
        "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "\r\n",
        "x",
    ]);
    let whole = (interim, heads(), extra_fields(), bodies(), behind).prop_map(
        |(interim, head, extra, (framing, body), behind)| {
            format!("{interim}{head}{framing}{extra}\r\n{body}{behind}").into_bytes()
        },
    );
    // Where, what is done, and with which byte.
    let byte = select(b"\r\n\t\0 0:;,a\x0c\x7f\xff".to_vec());
    let change = (any::<prop::sample::Index>(), 0..4_u8, byte);
    let changes = prop_oneof![3 => Just(Vec::new()), 2 => vec(change, 1..3)];
    let method = prop_oneof![6 => Just(Method::GET), 1 => Just(Method::HEAD)];
    let pieces = prop_oneof![
        Just(Vec::new()),
        vec(1..40_usize, 1..10),
        Just(vec![1; 300])
    ];
    (method, whole, changes, pieces).prop_map(|(method, mut bytes, changes, pieces)| {
        for (place, change, byte) in changes {
            if bytes.is_empty() {
                break;
            }
            let at = place.index(bytes.len());
            match change {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => drop(bytes.remove(at)),
                _ => bytes.truncate(at),
            }
        }
        Case {
            method,
            bytes,
            pieces,
        }
    })
}

#[test]
fn sec_smg_09_answers_are_read_as_hyper_reads_them_or_refused() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = {
        let _inside = runtime.enter();
        UnixListener::bind(&path).unwrap()
    };
    let routes = [Route {
        upstream: Upstream::Unix(path),
        ..route("127.0.0.1:1".parse().unwrap())
    }];
    let scrub = ScrubList::compile(&routes);
    let filter = CookieFilter { strip, is_own };
    let telemetry = Telemetry::new(None);
    let proxy = Proxy::new(&routes, &Limits::default(), scrub, filter, &telemetry).unwrap();
    let (whole, again) = (Cell::new(0), Cell::new(0));
    let config = Config {
        cases: cases(),
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&answers(), |case| {
        let (ours, hypers) = runtime.block_on(async {
            let ours = case.read_by_us(&proxy, &listener).await;
            (ours, case.read_by_hyper(&proxy).await)
        });
        if let (Ok(ours), Ok(_)) = (&ours, &hypers) {
            whole.set(whole.get() + u32::from(ours.broken.is_none()));
            again.set(again.get() + u32::from(ours.again));
        }
        let difference = difference(&ours, &hypers);
        prop_assert!(
            difference.is_none(),
            "{}\n{:?}\nours: {:?}\nhyper's: {:?}",
            difference.unwrap_or_default(),
            case,
            ours,
            hypers
        );
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    // Else the cases would say little.
    println!("{} whole, {} used again", whole.get(), again.get());
    assert!(whole.get() > cases() / 4 && again.get() > cases() / 40);
}
