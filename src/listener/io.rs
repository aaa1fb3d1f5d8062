//! The socket of a client, seen by its [`Pulse`]. Holds the seat of the
//! connection, also after an upgrade.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;

use super::admission::Seat;
use super::pulse::Pulse;

/// Up to this length a copy costs less than what the kernel takes more for
/// pieces than for one (0.2 µs).
const ONE_PIECE: usize = 4096;

thread_local! {
    static PIECE: RefCell<Vec<u8>> = RefCell::new(Vec::with_capacity(ONE_PIECE));
}

pub(super) struct ClientIo<S> {
    inner: TokioIo<S>,
    /// Read before, and not used.
    ahead: Bytes,
    pulse: Arc<Pulse>,
    _seat: Seat,
}

impl<S> ClientIo<S> {
    pub(super) fn new(stream: S, pulse: Arc<Pulse>, seat: Seat) -> Self {
        Self {
            inner: TokioIo::new(stream),
            ahead: Bytes::new(),
            pulse,
            _seat: seat,
        }
    }

    /// The next bytes to be read.
    pub(super) fn put_back(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return; // Still it would keep the whole buffer that it was cut from.
        }
        self.ahead = if self.ahead.is_empty() {
            bytes
        } else {
            [bytes, std::mem::take(&mut self.ahead)].concat().into()
        };
    }

    fn noted(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match result {
            Poll::Pending => self.pulse.write_blocked(),
            Poll::Ready(_) => self.pulse.wrote(),
        }
        result
    }
}

impl<S> Read for ClientIo<S>
where
    TokioIo<S>: Read + Unpin,
    S: Unpin,
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.ahead.is_empty() {
            let now = self.ahead.len().min(buffer.remaining());
            buffer.put_slice(&self.ahead.split_to(now));
            self.pulse.bytes_read();
            return Poll::Ready(Ok(()));
        }
        let result = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if result.is_ready() {
            self.pulse.bytes_read();
        }
        result
    }
}

impl<S> Write for ClientIo<S>
where
    TokioIo<S>: Write + Unpin,
    S: Unpin,
{
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.noted(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pulse.ending();
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length: usize = slices.iter().map(|slice| slice.len()).sum();
        let inner = Pin::new(&mut self.inner);
        let result = if length > ONE_PIECE {
            inner.poll_write_vectored(cx, slices)
        } else {
            PIECE.with_borrow_mut(|piece| {
                piece.clear();
                for slice in slices {
                    piece.extend_from_slice(slice);
                }
                inner.poll_write(cx, piece)
            })
        };
        self.noted(result)
    }
}
