//! The head of a response as the client sees it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep};

use super::clear_site_data;
use super::error::ProxyError;
use super::forward::CookieFilter;
use super::hop_by_hop;
use super::http1::{Framing, ResponseHead};
use super::streams::{Answering, UnderWay};
use super::survey::{Field, Survey};
use crate::base::body::{Body, BoxError};
use crate::identity_headers::ScrubList;

/// Whether the upstream sends an event stream, which may be silent for long.
pub(super) fn is_event_stream(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"))
}

/// Streams of RPCs are silent while nothing happens, as event streams are.
fn may_be_silent(headers: &HeaderMap) -> bool {
    let is_rpc = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    is_rpc || is_event_stream(headers)
}

/// A response that two readers could frame differently is refused, also where
/// the request was HEAD: the client reads its fields, too. The length that it
/// says.
pub(super) fn judge(
    status: StatusCode,
    headers: &HeaderMap,
    there: Survey,
) -> Result<Option<u64>, ProxyError> {
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(ProxyError::Ambiguous("101 that nobody asked for"));
    }
    if there.has(Field::TRANSFER_ENCODING) {
        if there.has(Field::CONTENT_LENGTH) {
            return Err(ProxyError::Ambiguous(
                "Content-Length beside Transfer-Encoding",
            ));
        }
        // Not as a list: who splits "chunked," may find that its last member
        // is none.
        let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
        let chunked = codings
            .next()
            .is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"));
        if !chunked || codings.next().is_some() {
            return Err(ProxyError::Ambiguous("Transfer-Encoding beyond chunked"));
        }
    }
    if !there.has(Field::CONTENT_LENGTH) {
        return Ok(None);
    }
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let first = lengths.next();
    if lengths.any(|other| Some(other) != first) {
        return Err(ProxyError::Ambiguous("several Content-Length"));
    }
    first
        .and_then(|length| length.to_str().ok())
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .map(Some)
        .ok_or(ProxyError::Ambiguous("Content-Length is not a number"))
}

/// Takes out what belongs to the other connection, what only we may say to
/// browsers, and what would touch our cookies. `silence`: how long a stream
/// may send nothing; of an HTTP/1.1 connection the sweep knows that.
pub(super) fn rewrite(
    response: Response<Answering>,
    there: Survey,
    scrub: &Arc<ScrubList>,
    cookies: CookieFilter,
    silence: Duration,
) -> Response<Body> {
    let (mut parts, Answering { body, stream }) = response.into_parts();
    let multiplexed = parts.version == Version::HTTP_2;
    parts.version = Version::HTTP_11;
    let headers = &mut parts.headers;
    clean(parts.status, headers, there, scrub, cookies);
    // Announced or not: a client that speaks HTTP/2 gets them all.
    let chunked = there.has(Field::TRANSFER_ENCODING);
    let trailers = (multiplexed || chunked) && !body.is_end_stream();
    let silence = (multiplexed && !may_be_silent(headers)).then_some(silence);
    let body = if trailers {
        Body::watched(WatchedBody {
            inner: body,
            scrub: scrub.clone(),
            silence,
            wait: None,
            _stream: stream,
        })
    } else {
        Body::Streamed(body)
    };
    Response::from_parts(parts, body)
}

/// Of trailers, what may pass to the client.
pub(super) fn clean_trailers(trailers: &mut HeaderMap, scrub: &ScrubList) {
    hop_by_hop::clean_trailers(trailers);
    scrub.scrub_trailers(trailers);
}

/// How the body of a judged answer ends (RFC 9112 section 6.3). `length`: as
/// judged; `to_head`: the request was HEAD.
pub(super) fn framing(
    head: &ResponseHead,
    there: Survey,
    length: Option<u64>,
    to_head: bool,
) -> Result<Framing, ProxyError> {
    let none = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED];
    if to_head || none.contains(&head.status) {
        return Ok(Framing::Length(0));
    }
    if there.has(Field::TRANSFER_ENCODING) {
        // Of 1.0 it was never a part, and whoever added it may not know it.
        return match head.version {
            Version::HTTP_10 => Err(ProxyError::Ambiguous("Transfer-Encoding in HTTP/1.0")),
            _ => Ok(Framing::chunked()),
        };
    }
    Ok(length.map_or(Framing::Close, Framing::Length))
}

/// Whether the connection may serve again (RFC 9112 section 9.3).
pub(super) fn stays_open(head: &ResponseHead, there: Survey, framing: Framing) -> bool {
    if framing == Framing::Close {
        return false;
    }
    let says = |word| {
        there.has(Field::CONNECTION)
            && hop_by_hop::has_token(&head.headers, &header::CONNECTION, word)
    };
    let stays = head.version == Version::HTTP_11 || says(b"keep-alive");
    stays && !says(b"close")
}

/// Several equal lengths become one.
fn one_length(headers: &mut HeaderMap) {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    if let (Some(length), Some(_)) = (lengths.next(), lengths.next()) {
        let length = length.clone();
        headers.insert(header::CONTENT_LENGTH, length);
    }
}

pub(super) fn clean(
    status: StatusCode,
    headers: &mut HeaderMap,
    there: Survey,
    scrub: &ScrubList,
    cookies: CookieFilter,
) {
    hop_by_hop::clean_response(headers, there);
    if there.has(Field::FOREIGN) {
        scrub.scrub(headers);
    }
    if there.has(Field::TRAILER) {
        let announced = hop_by_hop::announced(headers, |name| scrub.removes(name));
        headers.remove(header::TRAILER);
        if let Some(announced) = announced {
            headers.insert(header::TRAILER, announced);
        }
    }
    if there.has(Field::CLEAR_SITE_DATA) {
        clear_site_data::spare_cookies(headers);
    }
    if there.has(Field::SET_COOKIE) {
        spare_our_cookies(headers, cookies);
    }
    if there.has(Field::CONTENT_LENGTH) {
        match status {
            // It has none (RFC 9110 section 8.6), and HTTP/2 clients count.
            StatusCode::NO_CONTENT => drop(headers.remove(header::CONTENT_LENGTH)),
            _ => one_length(headers),
        }
    }
}

fn spare_our_cookies(headers: &mut HeaderMap, cookies: CookieFilter) {
    let plants = headers
        .get_all(header::SET_COOKIE)
        .iter()
        .any(|value| (cookies.is_own)(value.as_bytes()));
    if plants {
        let kept: Vec<HeaderValue> = headers
            .get_all(header::SET_COOKIE)
            .iter()
            .filter(|value| !(cookies.is_own)(value.as_bytes()))
            .cloned()
            .collect();
        headers.remove(header::SET_COOKIE);
        for value in kept {
            headers.append(header::SET_COOKIE, value);
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("upstream stopped in the middle of its answer")]
struct Silent;

/// A body whose trailers are cleaned, and that ends if it rests for too long.
struct WatchedBody {
    inner: Incoming,
    scrub: Arc<ScrubList>,
    silence: Option<Duration>,
    /// Since there was nothing to read.
    wait: Option<Pin<Box<Sleep>>>,
    /// Under way until this body is dropped.
    _stream: Option<UnderWay>,
}

impl WatchedBody {
    fn rested_too_long(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(silence) = self.silence else {
            return false;
        };
        let wait = self.wait.get_or_insert_with(|| Box::pin(sleep(silence)));
        wait.as_mut().poll(cx).is_ready()
    }
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        if frame.is_ready() {
            self.wait = None;
        } else if self.rested_too_long(cx) {
            return Poll::Ready(Some(Err(Silent.into())));
        }
        frame.map(|frame| {
            frame.map(|frame| {
                let mut frame = frame?;
                if let Some(trailers) = frame.trailers_mut() {
                    clean_trailers(trailers, &self.scrub);
                }
                Ok(frame)
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
