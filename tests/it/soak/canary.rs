//! The application of the walk.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// The application: answers with the name that the gateway told it.
pub(super) struct Canary {
    pub(super) address: SocketAddr,
    /// Requests that came without a name.
    pub(super) nameless: Arc<AtomicUsize>,
}

impl Canary {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("address");
        let nameless = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&nameless);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let counter = Arc::clone(&counter);
                let service = hyper::service::service_fn(move |request: http::Request<_>| {
                    let name = name_in(&request);
                    if name.is_empty() {
                        counter.fetch_add(1, Ordering::SeqCst);
                    }
                    let answer = http::Response::new(Full::new(Bytes::from(name)));
                    std::future::ready(Ok::<_, std::convert::Infallible>(answer))
                });
                let connection = hyper::server::conn::http1::Builder::new();
                let connection = connection.serve_connection(TokioIo::new(stream), service);
                // A gateway that dies breaks its connections.
                tokio::spawn(async move { drop(connection.await) });
            }
        });
        Self { address, nameless }
    }
}

fn name_in(request: &http::Request<hyper::body::Incoming>) -> String {
    let name = request.headers().get("remote-user");
    let text = name.and_then(|name| name.to_str().ok());
    text.unwrap_or_default().to_owned()
}
