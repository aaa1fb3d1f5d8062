//! One connection to an upstream, which carries one exchange at a time.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::BytesMut;
use http::{HeaderMap, StatusCode};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::message::RequestBytes;
use super::response_head::ResponseHead;
use crate::base::body::BoxError;
use crate::proxy::connect::Stream;
use crate::proxy::line::Line;
use crate::proxy::pool::Place;

/// The head of an answer, and small ones whole.
const FIRST_READ: usize = 8 * 1024;
/// With less room than this at hand new room is made.
const LEAST_ROOM: usize = 4 * 1024;

/// No answer came.
#[derive(Debug)]
pub(in crate::proxy) enum Lost {
    /// The sweep ended it.
    TimedOut,
    /// Nothing of the request was written.
    Unsent(io::Error),
    /// The connection ended before the first byte of an answer.
    Closed(io::Error),
    /// What came was no answer.
    Broken(BoxError),
}

/// Closed when dropped.
pub(in crate::proxy) struct Wire {
    stream: Stream,
    /// What was read and not yet used.
    pub(super) read: BytesMut,
    line: Arc<Line>,
    has_served: bool,
    _place: Place,
}

impl Wire {
    pub(in crate::proxy) fn new(stream: Stream, line: Arc<Line>, place: Place) -> Self {
        Self {
            stream,
            read: BytesMut::new(),
            line,
            has_served: false,
            _place: place,
        }
    }

    pub(in crate::proxy) fn line(&self) -> &Arc<Line> {
        &self.line
    }

    /// Whether an answer came on it before: an upstream closes such a one when
    /// it likes to.
    pub(in crate::proxy) const fn has_served(&self) -> bool {
        self.has_served
    }

    /// Whether a resting connection can carry another exchange. One that the
    /// upstream has closed, or on which it said something that nobody asked
    /// for, cannot. Asks the kernel only if something arrived.
    pub(in crate::proxy) fn is_quiet(&mut self) -> bool {
        if !self.read.is_empty() || self.line.timed_out() {
            return false;
        }
        let mut byte = [0];
        let mut byte = ReadBuf::new(&mut byte);
        let read = poll_fn(|cx| Pin::new(&mut self.stream).poll_read(cx, &mut byte));
        // A task that has done much is told that nothing is there, so that
        // others have a turn: here that would be a lie.
        let read = std::pin::pin!(tokio::task::unconstrained(read));
        read.poll(&mut Context::from_waker(Waker::noop()))
            .is_pending()
    }

    /// Gives back the room for reading, of a connection that rests for long.
    pub(in crate::proxy) fn shrink(&mut self) {
        self.read = BytesMut::new();
    }

    /// Sends a request and waits for the head of its final answer. Interim
    /// answers are passed over. `room`: a map whose room is used again.
    pub(in crate::proxy) async fn exchange(
        &mut self,
        request: &RequestBytes,
        room: &mut HeaderMap,
        longest_head: usize,
    ) -> Result<ResponseHead, Lost> {
        self.send(request.as_slice()).await?;
        let mut silent = true;
        loop {
            if !self.read.is_empty() {
                let head = ResponseHead::take(&mut self.read, longest_head, room);
                match head.map_err(|error| Lost::Broken(error.into()))? {
                    Some(head) if is_interim(head.status) => {
                        *room = head.headers;
                        continue;
                    }
                    Some(head) => {
                        self.has_served = true;
                        return Ok(head);
                    }
                    None => {}
                }
            }
            match poll_fn(|cx| self.poll_fill(cx, FIRST_READ)).await {
                Ok(0) if silent => return Err(Lost::Closed(io::ErrorKind::UnexpectedEof.into())),
                Ok(0) => {
                    let error = io::Error::from(io::ErrorKind::UnexpectedEof);
                    return Err(Lost::Broken(error.into()));
                }
                Ok(_) => silent = false,
                Err(_) if self.line.timed_out() => return Err(Lost::TimedOut),
                Err(error) if silent => return Err(Lost::Closed(error)),
                Err(error) => return Err(Lost::Broken(error.into())),
            }
        }
    }

    async fn send(&mut self, request: &[u8]) -> Result<(), Lost> {
        let mut left = request;
        let sent = poll_fn(|cx| {
            while !left.is_empty() {
                match Pin::new(&mut self.stream).poll_write(cx, left) {
                    Poll::Ready(Ok(0)) => {
                        return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                    }
                    Poll::Ready(Ok(written)) => left = &left[written..],
                    Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                    Poll::Pending => return self.line.poll_wait(cx),
                }
            }
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Pending => self.line.poll_wait(cx),
                flushed => flushed,
            }
        });
        match sent.await {
            Ok(()) => Ok(()),
            Err(_) if self.line.timed_out() => Err(Lost::TimedOut),
            Err(error) if left.len() == request.len() => Err(Lost::Unsent(error)),
            Err(error) => Err(Lost::Closed(error)),
        }
    }

    /// Reads what is there; 0 at the end. `room`: how much is made where
    /// there is none. What small reads leave of it serves the next ones: each
    /// piece that is on its way keeps the whole of its room alive.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        room: usize,
    ) -> Poll<io::Result<usize>> {
        if self.line.timed_out() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        if self.read.capacity() - self.read.len() < LEAST_ROOM {
            self.read.reserve(room);
        }
        let filled = {
            let read = tokio::io::AsyncReadExt::read_buf(&mut self.stream, &mut self.read);
            let read = std::pin::pin!(read);
            read.poll(cx)
        };
        match filled {
            Poll::Pending => self.line.poll_wait(cx),
            Poll::Ready(result) => {
                self.line.moved();
                Poll::Ready(result)
            }
        }
    }
}

/// 101 is none: after it the connection speaks something else.
fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}
