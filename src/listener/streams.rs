//! The streams of HTTP/2 connections: a task each, and none of them waits
//! longer for its client to read than a connection of HTTP/1.1 may.
//!
//! The sweep looks at whole connections, and one stream without a window may
//! stand beside others that are lively: so each keeps its own time, but only
//! while it waits.
//! Limit: the last piece of a body, once handed over, waits inside `h2` for
//! as long as its connection lasts.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use hyper::rt::Executor;
use tokio::time::{Sleep, sleep};

tokio::task_local! {
    static READER: Arc<Reader>;
}

/// What is known of the one who reads a response.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// A piece was handed over and the next one is not asked for.
    holds_up: AtomicBool,
    pieces: AtomicU32,
}

impl Reader {
    /// The one of the stream whose task this is.
    pub(super) fn of_this_stream() -> Option<Arc<Self>> {
        READER.try_with(Arc::clone).ok()
    }

    pub(super) fn was_handed_a_piece(&self) {
        self.pieces.fetch_add(1, Relaxed);
        self.holds_up.store(true, Relaxed);
    }

    /// There is nothing to read at the moment.
    pub(super) fn waits(&self) {
        self.holds_up.store(false, Relaxed);
    }
}

/// Runs streams. `patience`: how long one waits for its client.
#[derive(Debug, Clone, Copy)]
pub(super) struct Streams {
    pub(super) patience: Duration,
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        let reader = Arc::new(Reader::default());
        let stream = READER.scope(reader.clone(), stream);
        tokio::spawn(until_stalled(stream, reader, self.patience));
    }
}

/// To its end, or until its client lets it wait for too long: what is dropped
/// then is reset.
async fn until_stalled(stream: impl Future<Output = ()>, reader: Arc<Reader>, patience: Duration) {
    let mut stream = pin!(stream);
    let mut wait: Option<(u32, Pin<Box<Sleep>>)> = None;
    poll_fn(|cx| {
        if stream.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        if !reader.holds_up.load(Relaxed) {
            wait = None;
            return Poll::Pending;
        }
        let pieces = reader.pieces.load(Relaxed);
        if wait.as_ref().is_none_or(|(since, _)| *since != pieces) {
            wait = Some((pieces, Box::pin(sleep(patience))));
        }
        match &mut wait {
            Some((_, sleep)) => sleep.as_mut().poll(cx),
            None => Poll::Pending,
        }
    })
    .await;
}
