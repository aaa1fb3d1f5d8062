//! An application that speaks HTTP/2 and nothing else: in plain text, or over
//! TLS where ALPN agrees on it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Either, Empty, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinHandle};
use tokio_rustls::TlsAcceptor;

type Streamed =
    StreamBody<futures_util::stream::BoxStream<'static, Result<Frame<Bytes>, Infallible>>>;

/// The name in its certificate.
const NAME: &str = "app.internal";

pub struct Application {
    address: SocketAddr,
    pub state: Arc<State>,
    /// Of its own certificate (PEM), if it speaks TLS.
    certificate: Option<String>,
    server: JoinHandle<()>,
}

#[derive(Default)]
pub struct State {
    pub connections: AtomicUsize,
    pub under_way: AtomicUsize,
    /// Requests beside one another, at most.
    pub most: AtomicUsize,
    /// Pieces of answers without an end.
    pub sent: Arc<AtomicUsize>,
    /// Streams of a connection at a time, if not as many as hyper allows.
    pub streams: AtomicU32,
    /// Ends each connection after one answer.
    pub hurried: AtomicBool,
    /// Connections end with a reset, those that are made from now on.
    pub resets: AtomicBool,
    /// Connections end before their first answer.
    pub refuses: AtomicBool,
    /// How often each path was asked for.
    seen: Mutex<BTreeMap<String, usize>>,
    open: Mutex<Vec<AbortHandle>>,
}

impl State {
    /// How often this path was asked for.
    pub fn asked(&self, path: &str) -> usize {
        let seen = self.seen.lock().expect("seen");
        seen.get(path).copied().unwrap_or_default()
    }

    fn note(&self, path: &str) -> usize {
        let mut seen = self.seen.lock().expect("seen");
        let count = seen.entry(path.to_owned()).or_default();
        *count += 1;
        *count
    }
}

impl Application {
    /// In plain text.
    pub async fn start() -> Self {
        Self::serve(None).await
    }

    /// Over TLS, with HTTP/2 by ALPN alone.
    pub async fn over_tls() -> Self {
        let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(crypto)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .expect("certificate");
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self::serve(Some((TlsAcceptor::from(Arc::new(config)), made.cert.pem()))).await
    }

    async fn serve(tls: Option<(TlsAcceptor, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("address");
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let (acceptor, certificate) = tls.unzip();
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                shared.connections.fetch_add(1, Ordering::SeqCst);
                if shared.resets.load(Ordering::SeqCst) {
                    stream.set_zero_linger().expect("a socket");
                }
                let task = tokio::spawn(connected(stream, acceptor.clone(), shared.clone()));
                let mut open = shared.open.lock().expect("open");
                open.retain(|task| !task.is_finished());
                open.push(task.abort_handle());
            }
        });
        Self {
            address,
            state,
            certificate,
            server,
        }
    }

    /// As a route says it: `upstream` and how its certificate is judged, a
    /// file in `folder`.
    pub fn lines(&self, folder: &std::path::Path) -> String {
        let Some(certificate) = &self.certificate else {
            return format!("upstream = \"h2c://{}\"", self.address);
        };
        let path = folder.join("application.pem");
        std::fs::write(&path, certificate).expect("writes");
        format!(
            "upstream = \"https://{}\"\n\
             upstream_tls = {{ ca_file = \"{}\", server_name = \"{NAME}\" }}",
            self.address,
            path.display()
        )
    }

    pub fn url(&self) -> String {
        format!("h2c://{}", self.address)
    }

    /// How many connections there are.
    pub fn open(&self) -> usize {
        let open = self.state.open.lock().expect("open");
        open.iter().filter(|task| !task.is_finished()).count()
    }

    /// Ends every connection without a word. How many there were.
    pub fn kill(&self) -> usize {
        let mut open = self.state.open.lock().expect("open");
        open.retain(|task| !task.is_finished());
        let killed = open.drain(..).map(|task| task.abort());
        killed.count()
    }
}

impl Drop for Application {
    fn drop(&mut self) {
        self.server.abort();
        self.kill();
    }
}

async fn connected(stream: TcpStream, acceptor: Option<TlsAcceptor>, state: Arc<State>) {
    match acceptor {
        None => speak(stream, state).await,
        Some(acceptor) => {
            let stream = acceptor.accept(stream).await.expect("a handshake");
            let protocol = stream.get_ref().1.alpn_protocol();
            assert_eq!(protocol, Some(&b"h2"[..]), "agreed on");
            speak(stream, state).await;
        }
    }
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin, state: Arc<State>) {
    let hurried = state.hurried.load(Ordering::SeqCst);
    let refuses = state.refuses.load(Ordering::SeqCst);
    let streams = state.streams.load(Ordering::SeqCst);
    let (answered, asked) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let (done, begun) = (Arc::clone(&answered), Arc::clone(&asked));
    let service = hyper::service::service_fn(move |request| {
        let (state, answered) = (Arc::clone(&state), Arc::clone(&answered));
        asked.store(true, Ordering::SeqCst);
        async move {
            let answer = answer(request, &state).await;
            answered.store(true, Ordering::SeqCst);
            Ok::<_, Infallible>(answer)
        }
    });
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    if streams > 0 {
        builder.max_concurrent_streams(streams);
    }
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let mut told = false;
    // Ends where the gateway is killed at the end of a test.
    let _ended = std::future::poll_fn(|cx| {
        if hurried && !told && done.load(Ordering::SeqCst) {
            told = true;
            connection.as_mut().graceful_shutdown();
        }
        let polled = std::future::Future::poll(connection.as_mut(), cx);
        if refuses && begun.load(Ordering::SeqCst) {
            return std::task::Poll::Ready(Ok(()));
        }
        polled
    })
    .await;
}

/// What it was asked, as JSON; its trailers say how it went.
async fn answer(
    request: Request<Incoming>,
    state: &State,
) -> Response<Either<Streamed, Empty<Bytes>>> {
    let now = state.under_way.fetch_add(1, Ordering::SeqCst) + 1;
    state.most.fetch_max(now, Ordering::SeqCst);
    let (parts, mut body) = request.into_parts();
    let times = state.note(parts.uri.path());
    if parts.uri.path() == "/slow" {
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    // Until its connection is killed, the first time.
    let waits = parts.uri.path().starts_with("/once/") && times == 1;
    if waits || parts.uri.path() == "/never" {
        std::future::pending::<()>().await;
    }
    // A head that ends its stream is one frame: it is there or it is not.
    if parts.uri.path().starts_with("/head/") {
        state.under_way.fetch_sub(1, Ordering::SeqCst);
        return Response::new(Either::Right(Empty::new()));
    }
    if parts.uri.path() == "/endless" {
        state.under_way.fetch_sub(1, Ordering::SeqCst);
        let piece = Bytes::from_static(&[b'x'; 16 * 1024]);
        let sent = Arc::clone(&state.sent);
        let pieces = futures_util::stream::repeat_with(move || {
            sent.fetch_add(1, Ordering::SeqCst);
            Ok(Frame::data(piece.clone()))
        });
        return Response::new(Either::Left(StreamBody::new(pieces.boxed())));
    }
    let mut length = 0;
    let mut trailers = HeaderMap::new();
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => length += data.len(),
            Ok(Err(frame)) => trailers = frame.into_trailers().unwrap_or_default(),
            Err(_) => break,
        }
    }
    let told = |headers: &HeaderMap| -> Value {
        let pairs = headers.iter().map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.to_string(), Value::from(value))
        });
        Value::Object(pairs.collect())
    };
    let text = json!({
        "version": format!("{:?}", parts.version),
        "target": parts.uri.to_string(),
        "headers": told(&parts.headers),
        "trailers": told(&trailers),
        "length": length,
    });
    let mut end = HeaderMap::new();
    end.insert("grpc-status", "0".parse().expect("value"));
    // Nothing that a client would take for ours.
    end.insert("remote-user", "admin".parse().expect("value"));
    state.under_way.fetch_sub(1, Ordering::SeqCst);
    let frames = vec![
        Ok(Frame::data(Bytes::from(text.to_string()))),
        Ok(Frame::trailers(end)),
    ];
    let mut frames = futures_util::stream::iter(frames).boxed();
    if parts.uri.path().starts_with("/rests") {
        frames = frames
            .take(1)
            .chain(futures_util::stream::pending())
            .boxed();
    }
    let mut response = Response::new(Either::Left(StreamBody::new(frames)));
    let kind = match parts.uri.path() {
        "/rests" => "text/plain",
        _ => "application/grpc",
    };
    let kind = kind.parse().expect("value");
    response.headers_mut().insert("content-type", kind);
    response
}
