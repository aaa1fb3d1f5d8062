//! The application behind the gateway: echoes what it got and keeps the raw
//! bytes of every connection.
//!
//! Written by hand on the socket, since a library would tidy up exactly what
//! the tests want to see.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{Context, SHA256};
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::echo::Echo;

pub struct Upstream {
    pub address: SocketAddr,
    seen: Arc<Seen>,
    server: JoinHandle<()>,
}

struct Seen {
    /// Raw bytes per connection, in the order of connecting.
    connections: Mutex<Vec<Vec<u8>>>,
    requests: Mutex<Vec<Echo>>,
    /// Bytes written by `/stream/N` so far.
    streamed: AtomicUsize,
    /// Bytes of bodies read so far.
    received: AtomicUsize,
    /// `/slow`, `/sse` and `/sink` wait for a permit.
    gate: Semaphore,
}

/// A broken connection ends the serving of it; nobody needs to hear why.
type Served = Result<(), std::io::Error>;

impl Upstream {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("address");
        let seen = Arc::new(Seen {
            connections: Mutex::default(),
            requests: Mutex::default(),
            streamed: AtomicUsize::new(0),
            received: AtomicUsize::new(0),
            gate: Semaphore::new(0),
        });
        let shared = Arc::clone(&seen);
        let server = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    continue;
                };
                let seen = Arc::clone(&shared);
                connections.spawn(async move { Connection::new(stream, seen).serve().await });
            }
        });
        Self {
            address,
            seen,
            server,
        }
    }

    /// As a route's `upstream` says it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request so far.
    pub fn requests(&self) -> Vec<Echo> {
        self.seen.requests.lock().expect("requests").clone()
    }

    /// The raw bytes of all connections, one after another.
    pub fn bytes(&self) -> Vec<u8> {
        self.seen.connections.lock().expect("connections").concat()
    }

    /// How many connections were opened.
    pub fn connections(&self) -> usize {
        self.seen.connections.lock().expect("connections").len()
    }

    pub fn streamed(&self) -> usize {
        self.seen.streamed.load(Ordering::SeqCst)
    }

    pub fn received(&self) -> usize {
        self.seen.received.load(Ordering::SeqCst)
    }

    /// Lets one waiting step of `/slow`, `/sse` or `/sink` go on.
    pub fn release(&self) {
        self.seen.gate.add_permits(1);
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

struct Connection {
    stream: TcpStream,
    seen: Arc<Seen>,
    index: usize,
    buffer: Vec<u8>,
}

struct Head {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
}

impl Head {
    fn header(&self, name: &str) -> Option<&str> {
        let found = self
            .headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

impl Connection {
    fn new(stream: TcpStream, seen: Arc<Seen>) -> Self {
        let mut connections = seen.connections.lock().expect("connections");
        connections.push(Vec::new());
        let index = connections.len() - 1;
        drop(connections);
        Self {
            stream,
            seen,
            index,
            buffer: Vec::new(),
        }
    }

    async fn serve(mut self) -> Served {
        while let Some(head) = self.head().await? {
            let path = head.target.split('?').next().unwrap_or_default().to_owned();
            match path.as_str() {
                "/close" => return Ok(()),
                "/ws" => return self.websocket(&head).await,
                "/refuse" => {
                    self.note(&head, Body::default());
                    let answer = "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                    return self.stream.write_all(answer.as_bytes()).await;
                }
                _ => {}
            }
            if path == "/sink" {
                self.wait().await;
            }
            if head
                .header("expect")
                .is_some_and(|value| value.eq_ignore_ascii_case("100-continue"))
            {
                self.stream
                    .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
                    .await?;
            }
            let body = self.body(&head).await?;
            let echo = self.note(&head, body);
            self.respond(&path, &head, &echo).await?;
            if head
                .header("connection")
                .is_some_and(|value| value.eq_ignore_ascii_case("close"))
            {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn respond(&mut self, path: &str, head: &Head, echo: &Echo) -> Served {
        let json = serde_json::to_string(echo).expect("json");
        let answer = match path {
            "/slow" => {
                self.wait().await;
                ok("", &json)
            }
            "/sse" => return self.events().await,
            "/cut" => {
                self.stream
                    .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nten bytes.")
                    .await?;
                return Err(std::io::ErrorKind::ConnectionAborted.into());
            }
            "/trailers" => {
                let text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Checksum, X-Forwarded-User\r\n\r\n4\r\nbody\r\n0\r\nX-Checksum: abc\r\nX-Forwarded-User: mal\r\n\r\n";
                return self.stream.write_all(text.as_bytes()).await;
            }
            "/takes-over" => ok(
                "Set-Cookie: vestibule=stolen; Path=/\r\nSet-Cookie: __Host-vestibule=stolen; Path=/; Secure\r\nSet-Cookie: app=1; Path=/\r\nX-Forwarded-User: mal\r\nX-Auth-Request-User: mal\r\nClear-Site-Data: \"cookies\"\r\n",
                &json,
            ),
            "/cacheable" => ok(
                "Cache-Control: public, max-age=600\r\nETag: \"1\"\r\n",
                &json,
            ),
            "/redirect" => {
                "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n".to_owned()
            }
            "/hop" => ok(
                "Keep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nX-Secret-Hop: 1\r\nConnection: keep-alive, X-Secret-Hop\r\n",
                &json,
            ),
            _ => match path
                .strip_prefix("/stream/")
                .and_then(|text| text.parse::<usize>().ok())
            {
                Some(length) => return self.flood(length).await,
                None if head.method == "HEAD" => {
                    format!(
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                        json.len()
                    )
                }
                None => ok("", &json),
            },
        };
        self.stream.write_all(answer.as_bytes()).await
    }

    async fn wait(&self) {
        self.seen
            .gate
            .acquire()
            .await
            .expect("gate is open")
            .forget();
    }

    fn note(&self, head: &Head, body: Body) -> Echo {
        let hash = body.hash.finish();
        let echo = Echo {
            method: head.method.clone(),
            target: head.target.clone(),
            headers: head.headers.clone(),
            trailers: body.trailers,
            body_length: body.length,
            body_sha256: hash
                .as_ref()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
        };
        self.seen
            .requests
            .lock()
            .expect("requests")
            .push(echo.clone());
        echo
    }

    async fn events(&mut self) -> Served {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        self.stream.write_all(head.as_bytes()).await?;
        for event in ["data: one\n\n", "data: two\n\n"] {
            self.stream
                .write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())
                .await?;
            self.wait().await;
        }
        self.stream.write_all(b"0\r\n\r\n").await
    }

    async fn flood(&mut self, length: usize) -> Served {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
        self.stream.write_all(head.as_bytes()).await?;
        let piece = vec![b'x'; 64 * 1024];
        let mut left = length;
        while left > 0 {
            let now = left.min(piece.len());
            self.stream.write_all(&piece[..now]).await?;
            self.seen.streamed.fetch_add(now, Ordering::SeqCst);
            left -= now;
        }
        Ok(())
    }

    async fn websocket(mut self, head: &Head) -> Served {
        self.note(head, Body::default());
        let Some(key) = head.header("sec-websocket-key") else {
            let answer = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
            return self.stream.write_all(answer.as_bytes()).await;
        };
        let accept = derive_accept_key(key.as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        self.stream.write_all(answer.as_bytes()).await?;
        let mut socket = WebSocketStream::from_raw_socket(self.stream, Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() || message.is_binary() {
                socket.send(message).await.map_err(std::io::Error::other)?;
            }
        }
        Ok(())
    }

    /// The next request head; `None` at the end of the connection.
    async fn head(&mut self) -> Result<Option<Head>, std::io::Error> {
        let mut lines = Vec::new();
        loop {
            let Some(line) = self.line().await? else {
                return Ok(None);
            };
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        let mut words = lines
            .first()
            .map(String::as_str)
            .unwrap_or_default()
            .split(' ');
        let method = words.next().unwrap_or_default().to_owned();
        let target = words.next().unwrap_or_default().to_owned();
        let headers = lines
            .iter()
            .skip(1)
            .filter_map(|line| field(line))
            .collect();
        Ok(Some(Head {
            method,
            target,
            headers,
        }))
    }

    async fn body(&mut self, head: &Head) -> Result<Body, std::io::Error> {
        let mut body = Body::default();
        if head
            .header("transfer-encoding")
            .is_some_and(|v| v.eq_ignore_ascii_case("chunked"))
        {
            loop {
                let line = self
                    .line()
                    .await?
                    .ok_or(std::io::ErrorKind::UnexpectedEof)?;
                let size =
                    usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)
                        .map_err(std::io::Error::other)?;
                if size == 0 {
                    break;
                }
                self.take(size, &mut body).await?;
                self.line().await?;
            }
            while let Some(line) = self.line().await?.filter(|line| !line.is_empty()) {
                body.trailers.extend(field(&line));
            }
        } else if let Some(length) = head.header("content-length") {
            self.take(length.parse().map_err(std::io::Error::other)?, &mut body)
                .await?;
        }
        Ok(body)
    }

    async fn take(&mut self, mut left: usize, body: &mut Body) -> Served {
        while left > 0 {
            if self.buffer.is_empty() && !self.more().await? {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let now = left.min(self.buffer.len());
            body.hash.update(&self.buffer[..now]);
            body.length += now;
            self.seen.received.fetch_add(now, Ordering::SeqCst);
            self.buffer.drain(..now);
            left -= now;
        }
        Ok(())
    }

    async fn line(&mut self) -> Result<Option<String>, std::io::Error> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
                self.buffer.drain(..end + 2);
                return Ok(Some(line));
            }
            if !self.more().await? {
                return Ok(None);
            }
        }
    }

    /// Reads on; `false` at the end.
    async fn more(&mut self) -> Result<bool, std::io::Error> {
        let mut chunk = vec![0; 64 * 1024];
        let read = self.stream.read(&mut chunk).await?;
        self.buffer.extend_from_slice(&chunk[..read]);
        self.seen.connections.lock().expect("connections")[self.index]
            .extend_from_slice(&chunk[..read]);
        Ok(read > 0)
    }
}

struct Body {
    hash: Context,
    length: usize,
    trailers: Vec<(String, String)>,
}

impl Default for Body {
    fn default() -> Self {
        Self {
            hash: Context::new(&SHA256),
            length: 0,
            trailers: Vec::new(),
        }
    }
}

fn field(line: &str) -> Option<(String, String)> {
    line.split_once(':')
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
}

fn ok(more: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{more}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
}
