//! Two upgraded connections, tied together.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::listener::Tunnel;

/// How long both sides may take to hand over their sockets.
const HAND_OVER: Duration = Duration::from_secs(10);
/// Idle time is looked at this often while it passes.
const LOOKS: u32 = 4;

/// Carries bytes both ways until one side ends, nothing moved for `idle`, or
/// the gateway drains. No close frame is written then: it could fall into the
/// middle of a message.
pub(super) async fn run(
    client: OnUpgrade,
    upstream: OnUpgrade,
    mut tunnel: Tunnel,
    idle: Duration,
) {
    let both = async { tokio::try_join!(client, upstream) };
    let Ok(Ok((client, upstream))) = tokio::time::timeout(HAND_OVER, both).await else {
        return; // one side left before the tunnel began
    };
    let moved = Arc::new(AtomicBool::new(false));
    let mut client = Noted {
        inner: TokioIo::new(client),
        moved: moved.clone(),
    };
    let mut upstream = TokioIo::new(upstream);
    tokio::select! {
        // How a tunnel ended is known to those at its ends.
        _ = tokio::io::copy_bidirectional(&mut client, &mut upstream) => {}
        () = silence(&moved, idle) => {}
        () = tunnel.closing() => {}
    }
}

async fn silence(moved: &AtomicBool, idle: Duration) {
    let mut quiet = 0;
    while quiet < LOOKS {
        tokio::time::sleep(idle / LOOKS).await;
        quiet = if moved.swap(false, Relaxed) {
            0
        } else {
            quiet + 1
        };
    }
}

/// Every byte of a tunnel passes the client's side, so one side is watched.
struct Noted<S> {
    inner: S,
    moved: Arc<AtomicBool>,
}

impl<S> Noted<S> {
    fn note<T>(&self, result: Poll<T>) -> Poll<T> {
        if result.is_ready() {
            self.moved.store(true, Relaxed);
        }
        result
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Noted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_read(cx, buffer);
        self.note(result)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Noted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.note(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
