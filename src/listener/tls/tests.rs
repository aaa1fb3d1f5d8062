//! Real handshakes, in front of a handler that tells what it was asked.

use std::net::SocketAddr;
use std::path::Path;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Version, header};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::RootCertStore;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Handle;
use tokio_rustls::TlsConnector;

use super::*;
use crate::base::body::Body;
use crate::base::bounded_body;
use crate::config::checked::{ListenAddr, Runtime};
use crate::listener::{Connection, Handler, Listener, LocalAddr, Running, ServeSettings};

struct Teller;

impl Handler for Teller {
    async fn handle(&self, _: &Connection, request: Request<Incoming>) -> Response<Body> {
        if request.uri().path() == "/slow" {
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        assert_ne!(request.uri().path(), "/panic", "asked to panic");
        let mut told = format!("{:?} {}", request.version(), request.uri());
        for cookie in request.headers().get_all(header::COOKIE) {
            told.push_str(&format!(" [{}]", cookie.to_str().unwrap()));
        }
        Response::new(Body::full(told))
    }
}

struct Rig {
    _folder: tempfile::TempDir,
    files: ServerTls,
    address: SocketAddr,
    running: Running,
    roots: RootCertStore,
}

/// A fresh certificate for `localhost` that signs itself.
fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

fn write(path: &Path, text: &str) {
    // As tools for certificates do it: beside, then over it.
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, path).unwrap();
}

fn trusting(roots: &mut RootCertStore, pem: &str) {
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
}

impl Rig {
    fn start(change: impl FnOnce(&mut Limits)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = ServerTls {
            certificate_file: folder.path().join("chain.pem"),
            private_key_file: folder.path().join("key.pem"),
        };
        let (chain, key) = certificate();
        write(&files.certificate_file, &chain);
        write(&files.private_key_file, &key);
        let mut roots = RootCertStore::empty();
        trusting(&mut roots, &chain);
        let mut limits = Limits {
            drain: Duration::from_secs(4),
            ..Limits::default()
        };
        change(&mut limits);
        let tls = Tls::load(&files, &limits, Offload::to(Handle::current())).unwrap();
        tokio::spawn(tls.clone().follow());
        let any = ListenAddr::Tcp("127.0.0.1:0".parse().unwrap());
        let bound = Listener::bind(&[any]).unwrap();
        let LocalAddr::Tcp(address) = bound.local_addrs()[0] else {
            unreachable!("bound to TCP")
        };
        let settings = ServeSettings {
            workers: 1,
            runtime: Runtime::PerCore,
            limits,
            tls: Some(tls),
            trusted: Vec::new(),
        };
        Self {
            _folder: folder,
            files,
            address,
            running: bound.serve(Arc::new(Teller), &settings).unwrap(),
            roots,
        }
    }

    async fn connect(
        &self,
        protocol: &[u8],
    ) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }

    async fn multiplexed(&self) -> Multiplexed {
        let stream = self.connect(b"h2").await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(H2));
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        Multiplexed {
            sender,
            connection: tokio::spawn(connection),
        }
    }
}

struct Multiplexed {
    sender: hyper::client::conn::http2::SendRequest<Empty<Bytes>>,
    connection: tokio::task::JoinHandle<hyper::Result<()>>,
}

impl Multiplexed {
    async fn ask(&self, path: &str, headers: HeaderMap) -> hyper::Result<(StatusCode, String)> {
        let mut request = Request::new(Empty::new());
        *request.version_mut() = Version::HTTP_2;
        *request.uri_mut() = format!("https://localhost{path}").parse().unwrap();
        *request.headers_mut() = headers;
        let answer = self.sender.clone().send_request(request).await?;
        let status = answer.status();
        assert!(!answer.headers().contains_key(header::CONNECTION));
        let body = bounded_body::read(answer.into_body(), 64 * 1024).await;
        let body = body.unwrap().to_vec();
        Ok((status, String::from_utf8(body).unwrap()))
    }
}

#[tokio::test]
async fn both_protocols_are_agreed_and_told_alike() {
    let rig = Rig::start(|_| {});
    let mut stream = rig.connect(b"http/1.1").await.unwrap();
    stream
        .write_all(b"GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("HTTP/1.1 /x"), "{answer}");

    let client = rig.multiplexed().await;
    let mut headers = HeaderMap::new();
    for crumb in ["a=1", "b=2; c=3", "d=4"] {
        headers.append(header::COOKIE, crumb.parse().unwrap());
    }
    let (status, told) = client.ask("/y?z=1", headers).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    assert_eq!(
        told,
        "HTTP/1.1 https://localhost/y?z=1 [a=1; b=2; c=3; d=4]"
    );
    rig.running.join();
}

#[tokio::test]
async fn a_replaced_certificate_is_shown_and_a_pair_that_does_not_fit_is_not() {
    let mut rig = Rig::start(|_| {});
    let kept = rig.multiplexed().await;
    let (chain, key) = certificate();
    write(&rig.files.certificate_file, &chain);
    // Half a renewal: the old pair goes on.
    tokio::time::sleep(LOOK_EVERY + Duration::from_millis(500)).await;
    drop(rig.connect(b"h2").await.unwrap());
    write(&rig.files.private_key_file, &key);
    trusting(&mut rig.roots, &chain);
    let old = std::mem::replace(&mut rig.roots, RootCertStore::empty());
    trusting(&mut rig.roots, &chain);
    let began = tokio::time::Instant::now();
    while rig.connect(b"h2").await.is_err() {
        assert!(began.elapsed() < Duration::from_secs(5), "not yet replaced");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    rig.roots = old;
    let (status, _) = kept.ask("/", HeaderMap::new()).await.unwrap();
    assert_eq!(status, StatusCode::OK, "who is connected stays connected");
    rig.running.join();
}

#[tokio::test]
async fn sec_dos_a_handshake_that_never_ends_gives_its_place_back() {
    let rig = Rig::start(|limits| {
        limits.tls_handshakes = 2;
        limits.tls_handshake_timeout = Duration::from_secs(1);
    });
    let mut silent = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(rig.address).await.unwrap();
        // The beginning of a hello.
        stream.write_all(b"\x16\x03").await.unwrap();
        silent.push(stream);
    }
    let began = tokio::time::Instant::now();
    while rig.connect(b"http/1.1").await.is_err() {
        assert!(
            began.elapsed() < Duration::from_secs(10),
            "shut out for good"
        );
    }
    for mut stream in silent {
        let ended = stream.read(&mut [0; 8]).await;
        assert!(matches!(ended, Ok(0) | Err(_)), "{ended:?}");
    }
    rig.running.join();
}

#[tokio::test]
async fn sec_dos_who_says_nothing_takes_no_place_of_a_handshake() {
    let rig = Rig::start(|limits| {
        limits.tls_handshakes = 2;
        limits.tls_handshake_timeout = Duration::from_secs(60);
    });
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(TcpStream::connect(rig.address).await.unwrap());
    }
    let connects = tokio::time::timeout(Duration::from_secs(20), rig.connect(b"http/1.1"));
    let stream = connects.await.expect("in time");
    assert!(stream.is_ok());
    drop((silent, stream));
    rig.running.join();
}

#[tokio::test]
async fn cookies_of_a_stream_count_as_one_field() {
    let rig = Rig::start(|limits| limits.header_count = 10);
    let client = rig.multiplexed().await;
    let mut cookies = HeaderMap::new();
    for number in 0..120 {
        let cookie = format!("c{number}=1").parse().unwrap();
        cookies.append(header::COOKIE, cookie);
    }
    let (status, told) = client.ask("/", cookies).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    assert!(told.ends_with("; c118=1; c119=1]"), "{told}");
    rig.running.join();
}

#[tokio::test]
async fn sec_dos_heads_of_streams_are_bounded() {
    let rig = Rig::start(|limits| limits.header_count = 10);
    let client = rig.multiplexed().await;
    let mut many = HeaderMap::new();
    for number in 0..20 {
        let name = format!("x-{number}").parse::<http::HeaderName>().unwrap();
        many.insert(name, "1".parse().unwrap());
    }
    let (status, _) = client.ask("/", many).await.unwrap();
    assert_eq!(status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    let mut long = HeaderMap::new();
    long.insert("x-long", "a".repeat(40 * 1024).parse().unwrap());
    assert!(
        !matches!(client.ask("/", long).await, Ok((StatusCode::OK, _))),
        "a head beyond limits.request_head"
    );
    rig.running.join();
}

#[tokio::test]
async fn sec_dos_02_a_stream_whose_client_never_reads_ends_alone() {
    let rig = Rig::start(|limits| limits.body_idle = Duration::from_secs(1));
    let stream = rig.connect(b"h2").await.unwrap();
    let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(0)
        .handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let ask = |path: &str| {
        let mut request = Request::new(Empty::<Bytes>::new());
        *request.uri_mut() = format!("https://localhost{path}").parse().unwrap();
        sender.clone().send_request(request)
    };
    let (held, busy) = tokio::join!(ask("/x"), ask("/slow"));
    assert_eq!(busy.unwrap().status(), StatusCode::OK, "nobody's fault");
    let body = bounded_body::read(held.unwrap().into_body(), 1024);
    let ended = tokio::time::timeout(Duration::from_secs(8), body).await;
    assert!(ended.expect("held for ever").is_err());
    assert_eq!(ask("/y").await.unwrap().status(), StatusCode::OK);
    rig.running.join();
}

#[tokio::test]
async fn sec_dos_16_a_panic_ends_its_own_stream_only() {
    let rig = Rig::start(|_| {});
    let client = rig.multiplexed().await;
    assert!(client.ask("/panic", HeaderMap::new()).await.is_err());
    let (status, _) = client.ask("/", HeaderMap::new()).await.unwrap();
    assert_eq!(status, StatusCode::OK);
    rig.running.join();
}

#[tokio::test]
async fn a_drain_lets_streams_finish_and_takes_no_new_ones() {
    let rig = Rig::start(|_| {});
    let client = rig.multiplexed().await;
    let idle = rig.multiplexed().await;
    let (answer, ()) = tokio::join!(client.ask("/slow", HeaderMap::new()), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        rig.running.drain().await;
    });
    assert_eq!(answer.unwrap().0, StatusCode::OK);
    assert!(idle.ask("/", HeaderMap::new()).await.is_err());
    assert!(
        client.connection.await.unwrap().is_ok(),
        "GOAWAY, not a reset"
    );
}

#[tokio::test]
async fn an_idle_connection_ends_and_a_busy_one_does_not() {
    let rig = Rig::start(|limits| limits.keep_alive = Duration::from_secs(1));
    let client = rig.multiplexed().await;
    let (status, _) = client.ask("/slow", HeaderMap::new()).await.unwrap();
    assert_eq!(status, StatusCode::OK, "busy for longer than it may idle");
    let ended = tokio::time::timeout(Duration::from_secs(6), client.connection).await;
    assert!(ended.is_ok(), "idle for too long");
    rig.running.join();
}
