//! One connection to a gateway, used for one request after another: what an
//! application's traffic looks like, and cheap enough for many thousands.

use std::net::SocketAddr;

use bytes::Bytes;
use http::header::HOST;
use http::uri::{Authority, Scheme, Uri};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use vestibule::base::bounded_body;

use super::gateway::Gateway;
use super::{tls, until};

/// Far above what is asked for here.
const BODY_LIMIT: usize = 1024 * 1024;

type Answer = Response<Incoming>;

pub struct KeepAlive {
    address: SocketAddr,
    authority: String,
    tls: Option<TlsConnector>,
    sender: Option<Sender>,
    /// Connections made so far.
    pub made: usize,
}

enum Sender {
    One(http1::SendRequest<Full<Bytes>>),
    /// HTTP/2; here, too, one request after another.
    Many(http2::SendRequest<Full<Bytes>>),
}

impl Sender {
    fn is_closed(&self) -> bool {
        match self {
            Self::One(sender) => sender.is_closed(),
            Self::Many(sender) => sender.is_closed(),
        }
    }

    async fn send(&mut self, mut request: Request<Full<Bytes>>) -> hyper::Result<Answer> {
        match self {
            Self::One(sender) => {
                sender.ready().await?;
                sender.send_request(request).await
            }
            Self::Many(sender) => {
                let host = request.headers_mut().remove(HOST).expect("a host");
                let mut uri = request.uri().clone().into_parts();
                uri.scheme = Some(Scheme::HTTPS);
                uri.authority = Some(Authority::try_from(host.as_bytes()).expect("a host"));
                *request.uri_mut() = Uri::from_parts(uri).expect("an address");
                sender.ready().await?;
                sender.send_request(request).await
            }
        }
    }
}

impl KeepAlive {
    /// Connects with the first request.
    pub fn to(gateway: &Gateway) -> Self {
        Self::to_host(gateway, &gateway.authority())
    }

    /// The same over TLS, with HTTP/1.1 (`http/1.1`) or HTTP/2 (`h2`).
    pub fn over_tls(gateway: &Gateway, protocol: &str) -> Self {
        let mut line = Self::to(gateway);
        line.tls = Some(tls::connector(gateway, protocol));
        line
    }

    /// The same for another host of the gateway, `name:port`.
    pub fn to_host(gateway: &Gateway, authority: &str) -> Self {
        Self {
            address: gateway.address(),
            authority: authority.to_owned(),
            tls: None,
            sender: None,
            made: 0,
        }
    }

    /// What a script with this session cookie gets: status and body.
    pub async fn get(&mut self, path: &str, cookie: &str) -> Result<(u16, String), String> {
        let request = Request::builder()
            .uri(path)
            .header("host", &self.authority)
            .header("accept", "application/json")
            .header("cookie", self.cookie(cookie))
            .body(Full::default());
        self.ask(request.expect("request")).await
    }

    /// What somebody without a session gets who goes there: status and body.
    pub async fn navigate(&mut self, path: &str) -> Result<(u16, String), String> {
        let request = Request::builder()
            .uri(path)
            .header("host", &self.authority)
            .header("accept", "text/html")
            .header("sec-fetch-mode", "navigate")
            .body(Full::default());
        self.ask(request.expect("request")).await
    }

    /// Presses the button of our own sign-out form.
    pub async fn sign_out(&mut self, origin: &str, cookie: &str) -> Result<(u16, String), String> {
        let request = Request::builder()
            .method("POST")
            .uri("/oauth2/sign_out")
            .header("host", &self.authority)
            .header("accept", "text/html")
            .header("origin", origin)
            .header("sec-fetch-site", "same-origin")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("cookie", self.cookie(cookie))
            .body(Full::default());
        self.ask(request.expect("request")).await
    }

    fn cookie(&self, value: &str) -> String {
        let host = if self.tls.is_some() { "__Host-" } else { "" };
        format!("{host}vestibule={value}")
    }

    async fn ask(&mut self, request: Request<Full<Bytes>>) -> Result<(u16, String), String> {
        let work = async {
            let mut sender = match self.sender.take() {
                Some(sender) if !sender.is_closed() => sender,
                _ => self.connected().await?,
            };
            let answer = sender.send(request).await;
            let (head, body) = answer.map_err(|error| error.to_string())?.into_parts();
            let body = bounded_body::read(body, BODY_LIMIT).await;
            let body = body.map_err(|error| format!("{error:?}"))?;
            self.sender = Some(sender);
            let text = String::from_utf8_lossy(&body).into_owned();
            Ok((StatusCode::as_u16(&head.status), text))
        };
        timeout(until::PATIENCE, work)
            .await
            .map_err(|_| "no answer in time".to_owned())?
    }

    async fn connected(&mut self) -> Result<Sender, String> {
        let stream = TcpStream::connect(self.address).await;
        let stream = stream.map_err(|error| format!("connect: {error}"))?;
        drop(stream.set_nodelay(true));
        let sender = match &self.tls {
            None => one(stream).await?,
            Some(connector) => {
                let stream = tls::shake_hands(connector, stream).await;
                let stream = stream.map_err(|error| format!("TLS: {error}"))?;
                match stream.get_ref().1.alpn_protocol() {
                    Some(b"h2") => many(stream).await?,
                    _ => one(stream).await?,
                }
            }
        };
        self.made += 1;
        Ok(sender)
    }
}

async fn one(stream: impl Socket) -> Result<Sender, String> {
    let made = http1::handshake(TokioIo::new(stream)).await;
    let (sender, connection) = made.map_err(|error| format!("handshake: {error}"))?;
    tokio::spawn(connection);
    Ok(Sender::One(sender))
}

async fn many(stream: impl Socket) -> Result<Sender, String> {
    let made = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (sender, connection) = made.map_err(|error| format!("handshake: {error}"))?;
    tokio::spawn(connection);
    Ok(Sender::Many(sender))
}

trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Socket for S {}
