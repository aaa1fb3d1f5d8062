//! How an answer is sent: whole, cut short, in drops or without end.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http::Response;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use tokio::time::sleep;

/// The connection is closed without an answer, or within it.
#[derive(Debug, thiserror::Error)]
#[error("hung up on order")]
pub(super) struct HungUp;

pub(super) type Body = BoxBody<Bytes, HungUp>;

pub(super) fn whole(response: Response<Bytes>) -> Response<Body> {
    response.map(|body| {
        Full::new(body)
            .map_err(|never: Infallible| match never {})
            .boxed()
    })
}

/// Announces the whole length, sends the first `sent` bytes and hangs up.
pub(super) fn truncated(response: Response<Bytes>, sent: usize) -> Response<Body> {
    let length = response.body().len();
    let response = response.map(|body| {
        let first = body.slice(..sent.min(body.len()));
        streamed(stream::iter([Ok(Frame::data(first)), Err(HungUp)]))
    });
    announced(response, length as u64)
}

/// Sends pieces of `piece` bytes, each after `pause`.
pub(super) fn dripping(response: Response<Bytes>, piece: usize, pause: Duration) -> Response<Body> {
    let length = response.body().len();
    let response = response.map(|body| {
        streamed(stream::unfold(body, move |mut rest| async move {
            if rest.is_empty() {
                return None;
            }
            sleep(pause).await;
            let now = rest.split_to(piece.clamp(1, rest.len()));
            Some((Ok(Frame::data(now)), rest))
        }))
    });
    announced(response, length as u64)
}

/// So many bytes of an object that does not end.
pub(super) fn flood(bytes: u64) -> Response<Body> {
    const CHUNK: usize = 64 * 1024;
    let chunk = Bytes::from(vec![b' '; CHUNK]);
    let chunks = stream::unfold(bytes, move |left| {
        let chunk = chunk.clone();
        async move {
            let length = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
            let frame = Frame::data(chunk.slice(..length));
            (length > 0).then_some((Ok(frame), left - length as u64))
        }
    });
    let body = stream::StreamExt::chain(
        stream::iter([Ok(Frame::data(Bytes::from_static(b"{")))]),
        chunks,
    );
    Response::builder()
        .header("content-type", "application/json")
        .body(streamed(body))
        .expect("response")
}

fn streamed(
    frames: impl Stream<Item = Result<Frame<Bytes>, HungUp>> + Send + Sync + 'static,
) -> Body {
    StreamBody::new(frames).boxed()
}

fn announced(mut response: Response<Body>, length: u64) -> Response<Body> {
    response
        .headers_mut()
        .insert("content-length", length.into());
    response
}
