//! A client connection between its requests.
//!
//! What hyper keeps for one (buffers, the room of the request under way) is
//! more than ten times what is needed to wait. So a connection that has been
//! idle for a moment gives all of it back, and only its socket waits;
//! the next bytes wake it up again.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::rt::{Read, ReadBuf, Write};
use hyper::server::conn::http1::UpgradeableConnection;
use hyper::service::HttpService;

use super::connection::{Outgoing, Protocols};
use super::io::ClientIo;
use super::pulse::{Pulse, Stage};

/// More than the heads of most requests.
const FIRST_READ: usize = 4096;

/// A service of hyper that answers with our bodies.
pub(super) trait Answers:
    HttpService<Incoming, ResBody = Outgoing, Error = Infallible, Future: Send> + Unpin + Send
{
}

impl<T> Answers for T where
    T: HttpService<Incoming, ResBody = Outgoing, Error = Infallible, Future: Send> + Unpin + Send
{
}

/// Keeps an HTTP/1.1 connection to its end. `rests` is called each time that
/// it gives things back.
pub(super) async fn keep<S, A>(
    protocols: Arc<Protocols>,
    mut io: ClientIo<S>,
    mut answers: A,
    pulse: Arc<Pulse>,
    rests: impl Fn() + Send,
) where
    A: Answers,
    ClientIo<S>: Read + Write + Unpin + Send + 'static,
{
    loop {
        let connection = protocols.http1.serve_connection(io, answers);
        let mut connection = Box::new(connection.with_upgrades());
        if !until_idle(&mut connection, &pulse).await {
            return;
        }
        let Some(parts) = connection.into_parts() else {
            return; // upgraded
        };
        (io, answers) = (parts.io, parts.service);
        io.put_back(parts.read_buf);
        rests();
        if !until_bytes(&mut io, &pulse).await {
            // As hyper ends an idle connection. Whether the client hears it
            // is its own affair.
            let _ = poll_fn(|cx| Pin::new(&mut io).poll_shutdown(cx)).await;
            return;
        }
    }
}

/// Serves requests. Whether the connection goes on after it became idle.
async fn until_idle<S, A>(
    connection: &mut UpgradeableConnection<ClientIo<S>, A>,
    pulse: &Pulse,
) -> bool
where
    A: Answers,
    ClientIo<S>: Read + Write + Unpin + Send + 'static,
{
    let mut told = false;
    poll_fn(|cx| {
        pulse.watch(cx.waker());
        if !told && pulse.stage() >= Stage::Graceful as u8 {
            told = true;
            Pin::new(&mut *connection).graceful_shutdown();
        }
        // A connection that breaks is the client's affair; the request on it
        // was answered or is dropped.
        if Pin::new(&mut *connection).poll(cx).is_ready() {
            return Poll::Ready(false);
        }
        match pulse.takes_a_rest() {
            true => Poll::Ready(true),
            false => Poll::Pending,
        }
    })
    .await
}

/// Whether anything came; `false` at the end of the connection.
async fn until_bytes<S>(io: &mut ClientIo<S>, pulse: &Pulse) -> bool
where
    ClientIo<S>: Read + Write + Unpin,
{
    poll_fn(|cx| {
        pulse.watch(cx.waker());
        if pulse.stage() >= Stage::Graceful as u8 {
            return Poll::Ready(false);
        }
        // The end of the last answer may still stand inside TLS.
        if let Poll::Ready(Err(_)) = Pin::new(&mut *io).poll_flush(cx) {
            return Poll::Ready(false);
        }
        let mut room = [MaybeUninit::uninit(); FIRST_READ];
        let mut buffer = ReadBuf::uninit(&mut room);
        match Pin::new(&mut *io).poll_read(cx, buffer.unfilled()) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(_)) => Poll::Ready(false),
            Poll::Ready(Ok(())) => {
                let read = Bytes::copy_from_slice(buffer.filled());
                let came = !read.is_empty();
                io.put_back(read);
                Poll::Ready(came)
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests;
