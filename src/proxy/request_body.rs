//! A request body on its way: counted, its trailers cleaned, held back until
//! the upstream asks for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;

use super::hop_by_hop;
use crate::base::body::BoxError;
use crate::identity_headers::ScrubList;

/// How long an upstream may stay silent to `Expect: 100-continue` before the
/// body is sent all the same (RFC 9110 section 10.1.1).
const CONTINUE_WAIT: Duration = Duration::from_secs(1);

/// A client that sends slower than this holds a connection for nothing.
const SLOWEST_PER_SECOND: u64 = 1024;
/// Over how much waiting for the client the rate is taken.
const RATE_WINDOW: Duration = Duration::from_secs(30);

/// Whether a body that was announced with an expectation may go.
const HELD: u8 = 0;
const GOES: u8 = 1;
/// The answer came first: it never goes.
const NEVER: u8 = 2;

const OPEN: u8 = 0;
const ENDED: u8 = 1;
const TOO_LARGE: u8 = 2;
const BROKEN: u8 = 3;

/// What became of a request body; outlives it.
#[derive(Debug)]
pub(super) struct BodyWatch {
    limit: u64,
    state: AtomicU8,
    /// Of a body that waits to be asked for.
    leave: AtomicU8,
    waker: AtomicWaker,
    /// The client has to send; not the upstream to read.
    waiting: AtomicBool,
    /// Sweeps of waiting, and bytes, in this window.
    waited: AtomicU32,
    bytes: AtomicU64,
}

impl BodyWatch {
    pub(super) fn new(limit: Option<u64>) -> Self {
        Self {
            limit: limit.unwrap_or(u64::MAX),
            state: AtomicU8::new(OPEN),
            leave: AtomicU8::new(HELD),
            waker: AtomicWaker::new(),
            waiting: AtomicBool::new(false),
            waited: AtomicU32::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// One sweep; says whether the client is too slow to go on.
    pub(super) fn sweep(&self, every: Duration) -> bool {
        if !self.waiting.load(Relaxed) {
            return false;
        }
        let waited = self.waited.fetch_add(1, Relaxed) + 1;
        if every * waited < RATE_WINDOW {
            return false;
        }
        self.waited.store(0, Relaxed);
        self.bytes.swap(0, Relaxed) < SLOWEST_PER_SECOND * RATE_WINDOW.as_secs()
    }

    /// Of a body that nothing sweeps: whether it ended `within` the time that
    /// just passed, or came along fast enough to go on.
    pub(super) fn moved(&self, within: Duration) -> bool {
        let bytes = self.bytes.swap(0, Relaxed);
        self.ended() || bytes >= SLOWEST_PER_SECOND * within.as_secs().max(1)
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Whole, or over in some other way.
    pub(super) fn ended(&self) -> bool {
        self.state.load(Relaxed) != OPEN
    }

    pub(super) fn too_large(&self) -> bool {
        self.state.load(Relaxed) == TOO_LARGE
    }

    pub(super) fn broken(&self) -> bool {
        self.state.load(Relaxed) == BROKEN
    }

    /// The upstream asks for the body.
    pub(super) fn go(&self) {
        if self.decide(GOES) {
            self.waker.wake();
        }
    }

    /// The upstream has answered. Says whether it did so without asking for
    /// the body, which is then never sent: who did not read it could take it
    /// for another request (RFC 9110 section 10.1.1).
    pub(super) fn answered(&self) -> bool {
        self.decide(NEVER)
    }

    /// The first decision counts.
    fn decide(&self, leave: u8) -> bool {
        let was = &self.leave;
        was.compare_exchange(HELD, leave, Relaxed, Relaxed).is_ok()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("request body is longer than the route allows")]
struct TooLarge;

pub(super) struct WatchedBody {
    inner: Incoming,
    watch: Arc<BodyWatch>,
    left: u64,
    scrub: Arc<ScrubList>,
    /// Present while the upstream has not asked for the body.
    hold: Option<Pin<Box<Sleep>>>,
}

impl WatchedBody {
    pub(super) fn new(
        inner: Incoming,
        watch: Arc<BodyWatch>,
        scrub: Arc<ScrubList>,
        expects_continue: bool,
    ) -> Self {
        Self {
            inner,
            left: watch.limit,
            watch,
            scrub,
            hold: expects_continue.then(|| Box::pin(tokio::time::sleep(CONTINUE_WAIT))),
        }
    }

    fn held(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(wait) = &mut self.hold else {
            return false;
        };
        self.watch.waker.register(cx.waker());
        if wait.as_mut().poll(cx).is_ready() {
            self.watch.decide(GOES);
        }
        let goes = self.watch.leave.load(Relaxed) == GOES;
        if goes {
            self.hold = None;
        }
        !goes
    }

    fn over(&self, state: u8) {
        self.watch.state.store(state, Relaxed);
    }
}

impl HttpBody for WatchedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.held(cx) {
            return Poll::Pending;
        }
        let frame = match Pin::new(&mut self.inner).poll_frame(cx) {
            Poll::Pending => {
                self.watch.waiting.store(true, Relaxed);
                return Poll::Pending;
            }
            Poll::Ready(frame) => frame,
        };
        self.watch.waiting.store(false, Relaxed);
        Poll::Ready(match frame {
            None => {
                self.over(ENDED);
                None
            }
            Some(Err(error)) => {
                self.over(BROKEN);
                Some(Err(error.into()))
            }
            Some(Ok(mut frame)) => {
                if let Some(data) = frame.data_ref() {
                    let length = data.len() as u64;
                    if length > self.left {
                        self.over(TOO_LARGE);
                        return Poll::Ready(Some(Err(TooLarge.into())));
                    }
                    self.left -= length;
                    self.watch.bytes.fetch_add(length, Relaxed);
                }
                if let Some(trailers) = frame.trailers_mut() {
                    hop_by_hop::clean_trailers(trailers);
                    self.scrub.scrub_trailers(trailers);
                }
                if self.inner.is_end_stream() {
                    self.over(ENDED);
                }
                Some(Ok(frame))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_dos_02_a_trickling_upload_is_too_slow() {
        let second = Duration::from_secs(1);
        for (per_sweep, waiting, slow) in [
            (100, true, true),
            (2048, true, false),
            // The upstream does not read: not the client's fault.
            (100, false, false),
        ] {
            let watch = BodyWatch::new(None);
            watch.waiting.store(waiting, Relaxed);
            let found = (0..90).any(|_| {
                watch.bytes.fetch_add(per_sweep, Relaxed);
                watch.sweep(second)
            });
            assert_eq!(found, slow, "{per_sweep} bytes, waiting: {waiting}");
        }
    }
}
