//! The application behind the gateway for tests of many requests: says whom it
//! was told, and remembers nothing.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub struct Mirror {
    pub address: SocketAddr,
    server: JoinHandle<()>,
}

impl Mirror {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("address");
        let server = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    continue;
                };
                drop(stream.set_nodelay(true));
                let service = hyper::service::service_fn(|request: http::Request<_>| {
                    let answer = http::Response::new(Full::new(Bytes::from(told(&request))));
                    std::future::ready(Ok::<_, std::convert::Infallible>(answer))
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                // A gateway that dies breaks its connections.
                connections.spawn(async move { drop(connection.await) });
            }
        });
        Self { address, server }
    }

    /// As a route's `upstream` says it.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Whom the gateway named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub user: String,
    pub groups: String,
    pub access_token: String,
}

impl Told {
    /// `None` where the text is no answer of the mirror's.
    pub fn of(text: &str) -> Option<Self> {
        let mut lines = text.split('\n').map(str::to_owned);
        let told = Self {
            user: lines.next()?,
            groups: lines.next()?,
            access_token: lines.next()?,
        };
        lines.next().is_none().then_some(told)
    }
}

fn told(request: &http::Request<hyper::body::Incoming>) -> String {
    [
        "x-forwarded-user",
        "x-forwarded-groups",
        "x-forwarded-access-token",
    ]
    .map(|name| {
        let value = request.headers().get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    })
    .join("\n")
}
