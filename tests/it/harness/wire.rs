//! One request, one connection, no normalising: what a careful or a careless
//! client puts on the wire.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::Url;

use super::until;

/// Far above any answer of these tests.
const BODY_LIMIT: usize = 256 * 1024 * 1024;

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    pub url: Url,
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// One header as text; empty where it is missing.
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap_or("(not text)"))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("{} answered no JSON ({error}): {}", self.url, self.text())
        })
    }

    /// What a person can quote to an operator: the last word in the page's
    /// `reason · reference` line. Empty where there is none.
    pub fn reference(&self) -> String {
        let text = self.text();
        let line = text
            .split("class=\"trace\"")
            .nth(1)
            .and_then(|rest| rest.split("</code>").next());
        line.and_then(|line| line.rsplit("· ").next())
            .unwrap_or_default()
            .to_owned()
    }

    /// Every Set-Cookie line.
    pub fn set_cookies(&self) -> Vec<String> {
        self.headers
            .get_all("set-cookie")
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
            .collect()
    }

    /// `Location`, resolved the way a browser does.
    pub fn location(&self) -> Option<Url> {
        let value = self.headers.get("location")?.to_str().ok()?;
        self.url.join(value).ok()
    }
}

/// Opens a connection and sends `request`; the body of the answer is unread.
pub async fn send(
    address: SocketAddr,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, String> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| format!("connect: {error}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .preserve_header_case(true)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| format!("handshake: {error}"))?;
    tokio::spawn(connection.with_upgrades());
    sender
        .send_request(request)
        .await
        .map_err(|error| format!("request: {error}"))
}

/// Sends `request` and reads the answer whole.
pub async fn exchange(
    address: SocketAddr,
    url: Url,
    request: Request<Full<Bytes>>,
) -> Result<Answer, String> {
    let work = async {
        let response = send(address, request).await?;
        let (parts, body) = response.into_parts();
        let body = vestibule::base::bounded_body::read(body, BODY_LIMIT)
            .await
            .map_err(|error| format!("body: {error:?}"))?;
        Ok(Answer {
            url,
            status: parts.status,
            headers: parts.headers,
            body,
        })
    };
    timeout(until::PATIENCE * 2, work)
        .await
        .map_err(|_| "no answer in time".to_owned())?
}

/// A plain GET without cookies; panics where nothing answers.
pub async fn get(url: &str) -> Answer {
    let url = Url::parse(url).expect("url");
    let request = request_for(&url, "GET")
        .body(Full::default())
        .expect("request");
    exchange(address_of(&url), url.clone(), request)
        .await
        .unwrap_or_else(|error| panic!("GET {url}: {error}"))
}

/// A request head with Host and the target in origin form.
pub fn request_for(url: &Url, method: &str) -> http::request::Builder {
    Request::builder()
        .method(method)
        .uri(target_of(url))
        .header("host", authority_of(url))
}

/// Path and query.
pub fn target_of(url: &Url) -> String {
    url.query().map_or_else(
        || url.path().to_owned(),
        |query| format!("{}?{query}", url.path()),
    )
}

/// `host[:port]` as a Host header says it.
pub fn authority_of(url: &Url) -> String {
    let host = url.host_str().expect("host");
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Every name of these tests lives on this machine's loopback.
pub fn address_of(url: &Url) -> SocketAddr {
    let host = url.host_str().expect("host");
    assert!(
        host == "127.0.0.1" || host == "localhost" || host.ends_with(".localhost"),
        "the tests were led off this machine: {url}"
    );
    SocketAddr::from(([127, 0, 0, 1], url.port_or_known_default().expect("port")))
}

/// Writes `bytes` as they are and reads until the server closes or is silent
/// for `quiet`.
pub async fn raw(address: SocketAddr, bytes: &[u8], quiet: Duration) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.expect("connects");
    // A server that refuses early may reset while we still write.
    drop(stream.write_all(bytes).await);
    let mut answer = Vec::new();
    let mut chunk = [0; 16 * 1024];
    while let Ok(Ok(read)) = timeout(quiet, stream.read(&mut chunk)).await {
        if read == 0 {
            break;
        }
        answer.extend_from_slice(&chunk[..read]);
    }
    answer
}

/// The status code of a raw answer; zero where there is none.
pub fn status_of(answer: &[u8]) -> u16 {
    let text = String::from_utf8_lossy(answer);
    text.strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok())
        .unwrap_or(0)
}
