//! What the sweep of a pool knows of one upstream connection.
//!
//! The request path stores flags; time is counted in sweeps, so a request
//! sets no timer and asks nobody for the time.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::AbortHandle;

use super::connect::Stream;
use super::request_body::BodyWatch;

/// How often a pool looks at its connections.
pub(super) const SWEEP: Duration = Duration::from_millis(500);

/// The request is on its way; its body may not be over.
const SENDING: u64 = 0;
/// The request is sent, the head of the response is awaited.
const AWAITING: u64 = 1;
/// The body of the response is coming.
const STREAMING: u64 = 2;
/// An event stream: silence is normal.
const OPEN: u64 = 3;
/// Between two exchanges, where the connection itself cannot be asked.
const RESTING: u64 = 4;

/// Below the number of the exchange.
const PHASE: u64 = 0xff;
const NEXT: u64 = PHASE + 1;

/// At least two sweeps: the first is partial.
pub(super) fn sweeps(length: Duration) -> u32 {
    let whole = length.as_millis().div_ceil(SWEEP.as_millis());
    u32::try_from(whole).unwrap_or(u32::MAX).max(2)
}

/// Which exchange of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Turn(u64);

#[derive(Debug, Default)]
pub(super) struct Line {
    /// The phase, and above it the number of the exchange: one that is over
    /// may be told of late, when its connection serves another.
    state: AtomicU64,
    age: AtomicU32,
    moved: AtomicBool,
    /// How long the head of the response may take, in sweeps.
    patience: AtomicU32,
    timed_out: AtomicBool,
    /// Its socket has said so; whoever drives it may not have heard yet.
    ended: AtomicBool,
    /// The request body of the exchange under way, if it has one.
    body: Mutex<Option<Arc<BodyWatch>>>,
    /// Who ends it: the task that drives it, if it has one of its own; else
    /// whoever waits on it, once woken.
    abort: OnceLock<AbortHandle>,
    waiting: AtomicWaker,
}

impl Line {
    /// Told by whoever holds the connection. Who waits for the answer before
    /// may not have seen it yet.
    pub(super) fn request_began(&self, patience: u32, body: Option<&Arc<BodyWatch>>) {
        self.age.store(0, Relaxed);
        self.patience.store(patience, Relaxed);
        let mut phase = AWAITING;
        if let Some(body) = body {
            *self.body.lock().unwrap_or_else(PoisonError::into_inner) = Some(body.clone());
            phase = SENDING;
        }
        let turn = (self.state.load(Relaxed) & !PHASE).wrapping_add(NEXT);
        self.state.store(turn | phase, Relaxed);
    }

    /// Nothing happens if another exchange has begun.
    pub(super) fn response_began(&self, turn: Turn, event_stream: bool) {
        let phase = if event_stream { OPEN } else { STREAMING };
        let begun = self.state.fetch_update(Relaxed, Relaxed, |state| {
            (state & !PHASE == turn.0).then_some(turn.0 | phase)
        });
        if begun.is_ok() {
            self.age.store(0, Relaxed);
        }
    }

    /// The exchange under way, for whoever holds the connection.
    pub(super) fn turn(&self) -> Turn {
        Turn(self.state.load(Relaxed) & !PHASE)
    }

    fn phase(&self) -> u64 {
        self.state.load(Relaxed) & PHASE
    }

    pub(super) fn rests(&self) {
        self.state.store(self.turn().0 | RESTING, Relaxed);
    }

    /// Bytes came or went.
    pub(super) fn moved(&self) {
        // Most often it is true already, and a look costs less than a store.
        if !self.moved.load(Relaxed) {
            self.moved.store(true, Relaxed);
        }
    }

    /// Waits for the connection; fails if the sweep ended it.
    pub(super) fn poll_wait<T>(&self, cx: &Context<'_>) -> Poll<io::Result<T>> {
        self.waiting.register(cx.waker());
        if self.timed_out() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }

    pub(super) fn is_event_stream(&self) -> bool {
        self.phase() == OPEN
    }

    /// Whether the sweep ended it because the response did not come.
    pub(super) fn timed_out(&self) -> bool {
        self.timed_out.load(Relaxed)
    }

    /// Whether the other end is gone, as far as the socket knows.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }

    fn ended(&self) {
        self.ended.store(true, Relaxed);
    }

    pub(super) fn started(&self, abort: AbortHandle) {
        if self.abort.set(abort).is_err() {
            unreachable!("a connection is started once");
        }
    }

    pub(super) fn end(&self) {
        match self.abort.get() {
            Some(abort) => abort.abort(),
            None => self.waiting.wake(),
        }
    }

    /// Takes no more requests; ends now, unless another exchange has begun.
    pub(super) fn refuse(&self, turn: Turn) {
        self.ended();
        if self.turn() == turn {
            self.end();
        }
    }

    /// One sweep of a connection that is in use.
    pub(super) fn sweep_busy(&self, body_idle: u32) {
        let state = self.state.load(Relaxed);
        let phase = state & PHASE;
        if phase == RESTING {
            return;
        }
        let moved = self.moved.swap(false, Relaxed);
        if phase == SENDING {
            let mut body = self.body.lock().unwrap_or_else(PoisonError::into_inner);
            if body.take_if(|body| body.ended()).is_some() {
                self.age.store(0, Relaxed);
                let awaits = (state & !PHASE) | AWAITING;
                // Unless its answer has begun meanwhile.
                let _ = self.state.compare_exchange(state, awaits, Relaxed, Relaxed);
                return;
            }
            if body.as_ref().is_some_and(|body| body.sweep(SWEEP)) {
                self.give_up();
                return;
            }
        }
        // Interim responses must not keep a request waiting for ever.
        if moved && phase != AWAITING {
            self.age.store(0, Relaxed);
            return;
        }
        let age = self.age.fetch_add(1, Relaxed) + 1;
        let bound = match phase {
            AWAITING => self.patience.load(Relaxed),
            OPEN => return,
            _ => body_idle,
        };
        if age > bound {
            self.give_up();
        }
    }

    fn give_up(&self) {
        self.timed_out.store(true, Relaxed);
        self.end();
    }

    /// One sweep of a connection that nobody uses; its idle age.
    pub(super) fn sweep_idle(&self) -> u32 {
        if self.moved.swap(false, Relaxed) {
            self.age.store(0, Relaxed);
            return 0;
        }
        self.age.fetch_add(1, Relaxed) + 1
    }
}

/// The socket of an upstream, seen by its [`Line`].
pub(super) struct UpstreamIo {
    inner: Stream,
    line: Arc<Line>,
}

impl UpstreamIo {
    pub(super) fn new(inner: Stream, line: Arc<Line>) -> Self {
        Self { inner, line }
    }

    fn noted<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &result {
            Poll::Pending => {}
            Poll::Ready(Ok(_)) => self.line.moved(),
            Poll::Ready(Err(_)) => self.line.ended(),
        }
        result
    }
}

impl AsyncRead for UpstreamIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let result = Pin::new(&mut self.inner).poll_read(cx, buffer);
        let nothing = buffer.filled().len() == before && buffer.remaining() > 0;
        if result.is_ready() && nothing {
            self.line.ended();
        }
        self.noted(result)
    }
}

impl AsyncWrite for UpstreamIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.noted(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(cx);
        if matches!(result, Poll::Ready(Err(_))) {
            self.line.ended();
        }
        result
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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
        let result = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.noted(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_seen_late_is_not_that_of_the_next_request() {
        let line = Line::default();
        let body = Arc::new(BodyWatch::new(None));
        for next_body in [None, Some(&body)] {
            line.request_began(2, None);
            let first = line.turn();
            line.request_began(2, next_body);
            let phase = line.phase();
            for event_stream in [false, true] {
                line.response_began(first, event_stream);
                assert_eq!(line.phase(), phase);
            }
            line.response_began(line.turn(), true);
            assert!(line.is_event_stream());
        }
        line.request_began(2, None);
        let first = line.turn();
        line.request_began(2, None);
        line.response_began(first, true);
        for sweep in 0..3 {
            assert!(!line.timed_out(), "{sweep}");
            line.sweep_busy(1000);
        }
        assert!(line.timed_out(), "the next one waits for its own answer");
    }

    #[tokio::test]
    async fn an_answer_refused_late_ends_no_other_and_lets_none_follow() {
        let line = Line::default();
        let driver = tokio::spawn(std::future::pending::<()>());
        line.started(driver.abort_handle());
        line.request_began(2, None);
        let first = line.turn();
        line.request_began(2, None);
        line.refuse(first);
        tokio::task::yield_now().await;
        assert!(!driver.is_finished());
        assert!(line.has_ended(), "takes no more");
        line.refuse(line.turn());
        assert!(driver.await.unwrap_err().is_cancelled());
    }
}
