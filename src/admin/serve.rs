//! The admin listener: a few short answers over HTTP/1.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::readiness::AdminState;
use crate::base::clock::Timestamp;

/// More wait in the kernel's queue.
const CONNECTIONS: usize = 64;
/// Also the idle time of a connection that is kept alive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Ends a connection whatever it does, so that nobody holds all places. A
/// scraper that keeps its connection connects anew.
const LONGEST: Duration = Duration::from_secs(120);
const HEAD: usize = 16 * 1024;

/// Answers until `shutdown` is ready; connections then finish by themselves.
/// Callers let it run through the drain, so that `/readyz` can tell.
pub async fn serve(
    listener: TcpListener,
    state: Arc<AdminState>,
    shutdown: impl Future<Output = ()> + Send,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = &mut shutdown => return,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                let state = Arc::clone(&state);
                tokio::spawn(async move {
                    let _place = place;
                    connection(stream, state).await;
                });
            }
            Err(error) => {
                // Out of descriptors, or a peer that left already. A pause
                // keeps the first from becoming a busy loop.
                tracing::warn!(%error, "admin listener cannot accept");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn connection(stream: TcpStream, state: Arc<AdminState>) {
    let service = service_fn(move |request| {
        let response = answer(&request, &state);
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD)
        .serve_connection(TokioIo::new(stream), service);
    // Running out of time is the limit at work, not a fault.
    if let Ok(Err(error)) = tokio::time::timeout(LONGEST, connection).await {
        tracing::debug!(%error, "admin connection ended");
    }
}

fn answer<B>(request: &Request<B>, state: &AdminState) -> Response<Full<Bytes>> {
    let (status, media_type, body) = match request.uri().path() {
        "/livez" => (StatusCode::OK, "text/plain", "ok\n".to_owned()),
        "/readyz" => {
            let reasons = state.unready_reasons();
            let ready = reasons.is_empty();
            let status = if ready {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
            let states = state.states();
            let mut body =
                serde_json::json!({ "ready": ready, "reasons": reasons, "states": states });
            let unreachable = state.unreachable_providers();
            if !unreachable.is_empty() {
                let since = |(id, at): (String, Timestamp)| (id, at.as_secs().into());
                let unreachable: serde_json::Map<_, _> =
                    unreachable.into_iter().map(since).collect();
                body["providers_unreachable_since"] = unreachable.into();
            }
            (status, "application/json", body.to_string())
        }
        "/metrics" => (
            StatusCode::OK,
            "text/plain; version=0.0.4; charset=utf-8",
            state.metrics(),
        ),
        _ => (
            StatusCode::NOT_FOUND,
            "text/plain",
            "not found\n".to_owned(),
        ),
    };
    let reads = [Method::GET, Method::HEAD].contains(request.method());
    if !reads && status != StatusCode::NOT_FOUND {
        let mut response = response(
            StatusCode::METHOD_NOT_ALLOWED,
            "text/plain",
            "only GET and HEAD\n".to_owned(),
        );
        let allowed = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allowed);
        return response;
    }
    response(status, media_type, body)
}

fn response(status: StatusCode, media_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;

    use super::*;
    use crate::telemetry::Telemetry;

    async fn started(
        requires_store: bool,
    ) -> (
        SocketAddr,
        Arc<AdminState>,
        oneshot::Sender<()>,
        tokio::task::JoinHandle<()>,
    ) {
        let state = Arc::new(AdminState::new(Telemetry::new(None), requires_store));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(serve(listener, Arc::clone(&state), async {
            let _ = stopped.await;
        }));
        (address, state, stop, task)
    }

    async fn ask(address: SocketAddr, method: &str, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    #[tokio::test]
    async fn ready_follows_store_and_drain() {
        for requires_store in [false, true] {
            let (address, state, stop, task) = started(requires_store).await;
            assert_eq!(
                ask(address, "GET", "/livez").await,
                (200, "ok\n".to_owned())
            );

            state.store_lost();
            let (status, body) = ask(address, "GET", "/readyz").await;
            assert_eq!(status, 503);
            assert_eq!(
                body,
                r#"{"ready":false,"reasons":["store_not_reached_yet"],"states":["store_degraded"]}"#
            );

            state.store_reached();
            let ready = r#"{"ready":true,"reasons":[],"states":[]}"#;
            let ready = (200, ready.to_owned());
            assert_eq!(ask(address, "GET", "/readyz").await, ready);

            state.provider("main", Some(Timestamp::from_secs(1_795_215_633)));
            let (status, body) = ask(address, "GET", "/readyz").await;
            assert_eq!(status, 200);
            assert!(
                body.contains(r#""providers_unreachable_since":{"main":1795215633}"#),
                "{body}"
            );
            assert!(body.contains(r#""states":["provider_degraded"]"#), "{body}");
            state.provider("main", None);
            assert_eq!(ask(address, "GET", "/readyz").await, ready);

            state.store_lost();
            let (status, body) = ask(address, "GET", "/readyz").await;
            assert_eq!(status, if requires_store { 503 } else { 200 });
            assert!(body.contains(r#""states":["store_degraded"]"#), "{body}");
            let (_, metrics) = ask(address, "GET", "/metrics").await;
            for line in ["{state=\"store_degraded\"} 1", "{state=\"healthy\"} 0"] {
                assert!(metrics.contains(line), "{line}");
            }
            state.store_reached();

            state.drain();
            let (status, body) = ask(address, "GET", "/readyz").await;
            assert_eq!(status, 503);
            assert!(body.contains("draining"), "{body}");
            assert_eq!(ask(address, "GET", "/livez").await.0, 200);

            stop.send(()).unwrap();
            task.await.unwrap();
        }
    }

    #[tokio::test]
    async fn nothing_else_is_served() {
        let (address, _state, _stop, _task) = started(false).await;
        let (status, metrics) = ask(address, "GET", "/metrics").await;
        assert_eq!(status, 200);
        assert!(metrics.contains("vestibule_build_info"));
        assert_eq!(ask(address, "HEAD", "/metrics").await, (200, String::new()));
        for (method, path, expected) in [
            ("POST", "/metrics", 405),
            ("get", "/livez", 405),
            ("GET", "/", 404),
            ("POST", "/", 404),
            ("GET", "/metrics/", 404),
            ("GET", "/Livez", 404),
            ("GET", "/debug/pprof", 404),
            ("GET", "/oauth2/callback", 404),
        ] {
            let (status, _) = ask(address, method, path).await;
            assert_eq!(status, expected, "{method} {path}");
        }
    }
}
