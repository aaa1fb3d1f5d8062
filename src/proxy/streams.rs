//! How many requests are under way on a connection that takes many, and how
//! many more it may have.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use futures_util::task::AtomicWaker;
use hyper::body::Incoming;
use hyper::client::conn::http2::Connection;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::line::UpstreamIo;
use crate::base::body::Body;

/// Requests on one connection at a time, where the upstream allows so many.
/// Most allow 100 or more; what is lost on a connection that breaks, and what
/// its window lets unread answers take up, stays bounded.
pub(super) const MOST_STREAMS: u32 = 64;

#[derive(Debug)]
pub(super) struct Streams {
    under_way: AtomicUsize,
    most: AtomicUsize,
    /// What the upstream allows has been read.
    settled: AtomicBool,
    driver: AtomicWaker,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            under_way: AtomicUsize::new(0),
            most: AtomicUsize::new(MOST_STREAMS as usize),
            settled: AtomicBool::new(false),
            driver: AtomicWaker::new(),
        }
    }
}

impl Streams {
    pub(super) fn has_room(&self) -> bool {
        self.under_way.load(Relaxed) < self.most.load(Relaxed)
    }

    pub(super) fn none_under_way(&self) -> bool {
        self.under_way.load(Relaxed) == 0
    }

    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.under_way.fetch_add(1, Relaxed);
        UnderWay(self.clone())
    }

    /// Drives the connection to its end, and keeps in mind how many streams
    /// the upstream allows. Only the connection can be asked, and it is not
    /// polled when it learns of a new number: each request asks, and so does
    /// the first answer, before which the upstream has to say it (RFC 9113
    /// section 3.4).
    pub(super) async fn drive(
        self: Arc<Self>,
        mut connection: Connection<TokioIo<UpstreamIo>, Body, TokioExecutor>,
    ) {
        std::future::poll_fn(|cx| {
            if !self.settled.load(Relaxed) {
                self.driver.register(cx.waker());
            }
            // Whoever waits for an answer is told of the error.
            let polled = Pin::new(&mut connection).poll(cx).map(drop);
            let allowed = connection.current_max_send_streams();
            self.most.store(allowed.min(MOST_STREAMS as usize), Relaxed);
            polled
        })
        .await;
    }
}

/// A request, until its answer is over: the body, too.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Streams>);

impl UnderWay {
    pub(super) fn answered(&self) {
        if !self.0.settled.swap(true, Relaxed) {
            self.0.driver.wake();
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Relaxed);
    }
}

/// The body of an answer, and its place among the streams of a connection
/// that has many.
#[derive(Debug)]
pub(super) struct Answering {
    pub(super) body: Incoming,
    pub(super) stream: Option<UnderWay>,
}

impl From<Incoming> for Answering {
    fn from(body: Incoming) -> Self {
        Self { body, stream: None }
    }
}
