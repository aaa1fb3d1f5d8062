//! The body of an answer as it comes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::chunks::{Chunks, Piece};
use super::wire::Wire;
use crate::base::body::{Body, BoxError};
use crate::proxy::pool::Pool;

/// Room for one read: so much at first, twice as much after a read that fills
/// it, and never more than what a client that does not read may make the
/// gateway keep.
const FIRST_ROOM: usize = 8 * 1024;
const MOST_ROOM: usize = 128 * 1024;
/// Where the length is known, the rest of the body up to this.
const KNOWN_ROOM: usize = 64 * 1024;

/// How the end of a body is told (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) enum Framing {
    /// So many bytes are still to come.
    Length(u64),
    Chunked(Chunks),
    /// By the end of the connection.
    Close,
}

impl Framing {
    pub(in crate::proxy) const fn chunked() -> Self {
        Self::Chunked(Chunks::Size)
    }
}

/// A body that holds its connection until it is over.
pub(in crate::proxy) struct Received<T> {
    /// Gone once the body is over or broken.
    wire: Option<Wire>,
    framing: Framing,
    /// Where the connection goes afterwards, if it can serve again.
    pool: Option<Arc<Pool>>,
    /// What of its trailers may pass.
    trailers: T,
    room: usize,
    /// Told when asked again: what came before is on its way by then.
    broken: Option<BoxError>,
}

impl<T: Fn(&mut HeaderMap) + Send + Unpin + 'static> Received<T> {
    /// The body that follows a head on this connection. A short one that is
    /// here already is whole at once, and the connection free again.
    pub(in crate::proxy) fn body(
        mut wire: Wire,
        framing: Framing,
        pool: Option<Arc<Pool>>,
        trailers: T,
    ) -> Body {
        if let Framing::Length(length) = framing
            && let Ok(length) = usize::try_from(length)
            && length <= wire.read.len()
        {
            let whole = match length {
                0 => Body::Empty,
                length => Body::Full(wire.read.split_to(length).freeze()),
            };
            release(wire, pool);
            return whole;
        }
        let room = match framing {
            Framing::Length(length) => usize::try_from(length)
                .map_or(KNOWN_ROOM, |length| length.clamp(FIRST_ROOM, KNOWN_ROOM)),
            Framing::Chunked(_) | Framing::Close => FIRST_ROOM,
        };
        Body::watched(Self {
            wire: Some(wire),
            framing,
            pool,
            trailers,
            room,
            broken: None,
        })
    }
}

/// Bytes that nobody asked for are no answer to the next request.
fn release(wire: Wire, pool: Option<Arc<Pool>>) {
    if let Some(pool) = pool
        && wire.read.is_empty()
    {
        pool.rest(wire);
    }
}

impl<T: Fn(&mut HeaderMap) + Send + Unpin> Received<T> {
    fn over(&mut self) {
        if let Some(wire) = self.wire.take() {
            release(wire, self.pool.take());
        }
    }

    /// Waits for more bytes; false at the end of the connection.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let Some(wire) = &mut self.wire else {
            return Poll::Ready(Ok(false));
        };
        let read = ready!(wire.poll_fill(cx, self.room))?;
        if wire.read.len() == wire.read.capacity() {
            self.room = (2 * self.room).min(MOST_ROOM);
        }
        Poll::Ready(Ok(read > 0))
    }

    /// What the bytes at hand give; `None`: they give nothing.
    fn next(&mut self) -> Result<Option<Piece>, BoxError> {
        let Some(wire) = &mut self.wire else {
            return Ok(Some(Piece::Over));
        };
        Ok(match &mut self.framing {
            Framing::Length(0) => Some(Piece::Over),
            _ if wire.read.is_empty() => None,
            Framing::Length(left) => {
                let here = usize::try_from(*left)
                    .map_or(wire.read.len(), |left| left.min(wire.read.len()));
                *left -= here as u64;
                Some(Piece::Data(wire.read.split_to(here).freeze()))
            }
            Framing::Close => Some(Piece::Data(wire.read.split().freeze())),
            Framing::Chunked(chunks) => match chunks.next(&mut wire.read)? {
                Piece::More => None,
                piece => Some(piece),
            },
        })
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, BoxError>> {
        loop {
            if let Some(piece) = self.next()? {
                return Poll::Ready(Ok(piece));
            }
            if !ready!(self.poll_more(cx))? {
                let over = self.framing == Framing::Close;
                return Poll::Ready(if over {
                    Ok(Piece::Over)
                } else {
                    Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())
                });
            }
        }
    }
}

impl<T: Fn(&mut HeaderMap) + Send + Unpin> HttpBody for Received<T> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        if self.wire.is_none() {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(self.poll_piece(cx)) {
            Ok(Piece::Data(data)) => {
                // Nobody asks again after the last byte of a known length.
                if self.framing == Framing::Length(0) {
                    self.over();
                }
                Some(Ok(Frame::data(data)))
            }
            Ok(Piece::Trailers(mut trailers)) => {
                self.over();
                (self.trailers)(&mut trailers);
                Some(Ok(Frame::trailers(trailers)))
            }
            Ok(Piece::Over | Piece::More) => {
                self.over();
                None
            }
            Err(error) => {
                // hyper drops what it has not written when a body fails, and
                // who gets nothing at all asks again, whatever he asked.
                self.wire = None;
                self.broken = Some(error);
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.wire.is_none() && self.broken.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.framing {
            Framing::Length(left) => SizeHint::with_exact(left),
            _ => SizeHint::default(),
        }
    }
}
