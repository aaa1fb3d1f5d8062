//! A connection that takes requests: HTTP/1.1, one at a time, or HTTP/2, many
//! beside one another. Requests arrive in either form and leave in the one
//! that the connection speaks.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::Either;
use http::header::{self, HeaderMap, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{Request, Response, Version};
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioTimer};

use super::request_body::BodyWatch;
use super::streams::{Answering, MOST_STREAMS, Streams};
use crate::base::body::Body;

/// Head of a response; larger ones are refused with 502.
pub(super) const RESPONSE_HEAD: usize = 256 * 1024;
const STREAM_WINDOW: u32 = 128 * 1024;
/// Room for every stream, so that answers that nobody reads hold up no others
/// on their connection. It takes up memory only where nobody reads.
const CONNECTION_WINDOW: u32 = MOST_STREAMS * STREAM_WINDOW;
const SEND_BUFFER: usize = 64 * 1024;
/// Streams may be silent for long; that the other end is there is asked.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_WAIT: Duration = Duration::from_secs(10);

/// No answer came.
pub(super) enum Unanswered {
    /// The error, and the request if nothing of it was written.
    Failed(Box<TrySendError<Request<Body>>>),
    /// A stream took too long; its connection goes on.
    TimedOut,
}

impl Unanswered {
    fn failed(error: TrySendError<Request<Body>>) -> Self {
        Self::Failed(Box::new(error))
    }

    pub(super) fn take_request(&mut self) -> Option<Request<Body>> {
        match self {
            Self::Failed(error) => error.take_message(),
            Self::TimedOut => None,
        }
    }
}

pub(super) type Answer = Result<Response<Answering>, Unanswered>;

pub(super) enum Sender {
    One(http1::SendRequest<Body>),
    Many {
        sender: http2::SendRequest<Body>,
        scheme: Scheme,
        streams: Arc<Streams>,
    },
}

/// The settings of an HTTP/2 connection to an upstream.
pub(super) fn many() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(u32::try_from(RESPONSE_HEAD).unwrap_or(u32::MAX))
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_WAIT);
    builder
}

impl Sender {
    /// Whether it would take a request now.
    pub(super) fn takes_more(&self) -> bool {
        match self {
            Self::One(sender) => sender.is_ready() && !sender.is_closed(),
            Self::Many {
                sender, streams, ..
            } => streams.has_room() && sender.is_ready() && !sender.is_closed(),
        }
    }

    /// Whether nobody waits for anything on it.
    pub(super) fn is_unused(&self) -> bool {
        match self {
            Self::One(sender) => sender.is_ready() && !sender.is_closed(),
            Self::Many { streams, .. } => streams.none_under_way(),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::One(sender) => sender.is_closed(),
            Self::Many { sender, .. } => sender.is_closed(),
        }
    }

    pub(super) const fn is_multiplexed(&self) -> bool {
        matches!(self, Self::Many { .. })
    }

    /// Hands the request over. `patience`: how long a stream may wait for its
    /// answer's head once `body` is over, or rests; of a connection with one
    /// request the sweep knows that.
    pub(super) fn send(
        &mut self,
        mut request: Request<Body>,
        patience: Duration,
        body: Option<Arc<BodyWatch>>,
    ) -> impl Future<Output = Answer> + Send + use<> {
        match self {
            Self::One(sender) => {
                into_one(&mut request);
                let answer = sender.try_send_request(request);
                Either::Left(async move {
                    let answer = answer.await.map_err(Unanswered::failed)?;
                    Ok(answer.map(Answering::from))
                })
            }
            Self::Many {
                sender,
                scheme,
                streams,
            } => {
                into_stream(&mut request, scheme);
                let answer = sender.try_send_request(request);
                let stream = streams.begin();
                Either::Right(async move {
                    let mut answer = pin!(answer);
                    loop {
                        let sending = body.as_ref().filter(|body| !body.ended());
                        match tokio::time::timeout(patience, answer.as_mut()).await {
                            Ok(answer) => {
                                let answer = answer.map_err(Unanswered::failed)?;
                                stream.answered();
                                let stream = Some(stream);
                                return Ok(answer.map(|body| Answering { body, stream }));
                            }
                            Err(_) if sending.is_some_and(|body| body.moved(patience)) => {}
                            Err(_) => return Err(Unanswered::TimedOut),
                        }
                    }
                })
            }
        }
    }
}

/// RFC 9113 section 8.3: the authority is a part of the target, and nothing
/// in the head is about the connection.
fn into_stream(request: &mut Request<Body>, scheme: &Scheme) {
    *request.version_mut() = Version::HTTP_2;
    let headers = request.headers_mut();
    for name in [
        header::CONNECTION,
        header::TRANSFER_ENCODING,
        header::EXPECT,
    ] {
        headers.remove(name);
    }
    let Some(host) = headers.remove(header::HOST) else {
        return;
    };
    if let Ok(authority) = Authority::try_from(host.as_bytes()) {
        let mut parts = request.uri().clone().into_parts();
        parts.scheme = Some(scheme.clone());
        parts.authority = Some(authority);
        parts
            .path_and_query
            .get_or_insert(PathAndQuery::from_static("/"));
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
}

/// Back again, for a request that a stream gave back.
fn into_one(request: &mut Request<Body>) {
    let Some(authority) = request.uri().authority().cloned() else {
        return;
    };
    *request.version_mut() = Version::HTTP_11;
    let path = request.uri().path_and_query().cloned();
    *request.uri_mut() = Uri::from(path.unwrap_or(PathAndQuery::from_static("/")));
    let headers: &mut HeaderMap = request.headers_mut();
    if let Ok(host) = HeaderValue::from_str(authority.as_str()) {
        headers.insert(header::HOST, host);
    }
    if headers.contains_key(header::TE) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_goes_to_a_stream_and_back_unchanged() {
        let request = || {
            Request::builder()
                .uri("/a?b=c")
                .header("host", "app.test:8080")
                .header("te", "trailers")
                .header("connection", "te")
                .header("x-kept", "1")
                .body(Body::Empty)
                .unwrap()
        };
        let mut changed = request();
        into_stream(&mut changed, &Scheme::HTTPS);
        assert_eq!(changed.uri(), "https://app.test:8080/a?b=c");
        assert_eq!(changed.version(), Version::HTTP_2);
        let mut names: Vec<&str> = changed.headers().keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["te", "x-kept"]);
        into_one(&mut changed);
        assert_eq!(changed.uri(), request().uri());
        assert_eq!(changed.version(), Version::HTTP_11);
        assert_eq!(changed.headers(), request().headers());
    }
}
