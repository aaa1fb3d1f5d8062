//! A client that speaks HTTP/2 over TLS: one connection, many streams.

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;

use super::gateway::Gateway;
use super::tls;

#[derive(Clone)]
pub struct Client {
    sender: hyper::client::conn::http2::SendRequest<Full<Bytes>>,
    origin: String,
}

pub struct Told {
    pub status: StatusCode,
    pub body: Bytes,
    pub trailers: HeaderMap,
}

impl Client {
    pub async fn of(gateway: &Gateway) -> Self {
        let stream = tls::connect(gateway, "h2").await;
        let (sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .expect("HTTP/2");
        tokio::spawn(connection);
        Self {
            sender,
            origin: gateway.plan().origin(),
        }
    }

    /// The head of an answer, whose body is left to the caller.
    pub async fn begin(&self, path: &str) -> hyper::Result<Response<Incoming>> {
        let request = Request::get(format!("{}{path}", self.origin))
            .version(Version::HTTP_2)
            .body(Full::default())
            .expect("request");
        self.sender.clone().send_request(request).await
    }

    /// A GET, or with a body a POST. Fails if no whole answer comes.
    pub async fn ask(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> hyper::Result<Told> {
        let method = if body.is_empty() { "GET" } else { "POST" };
        self.send(method, path, headers, body).await
    }

    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> hyper::Result<Told> {
        let mut request = Request::builder()
            .method(method)
            .version(Version::HTTP_2)
            .uri(format!("{}{path}", self.origin));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body)).expect("request");
        let answer = self.sender.clone().send_request(request).await?;
        Told::read(answer).await
    }
}

impl Told {
    /// The whole answer, trailers too.
    pub async fn read(answer: Response<Incoming>) -> hyper::Result<Self> {
        let status = answer.status();
        let mut body = answer.into_body();
        let mut told = Self {
            status,
            body: Bytes::new(),
            trailers: HeaderMap::new(),
        };
        let mut collected = Vec::new();
        while let Some(frame) = body.frame().await {
            match frame?.into_data() {
                Ok(data) => collected.extend_from_slice(&data),
                Err(frame) => told.trailers = frame.into_trailers().unwrap_or_default(),
            }
        }
        told.body = collected.into();
        Ok(told)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}
