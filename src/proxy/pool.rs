//! Connections to one upstream. Each thread has a stack of its own, behind a
//! lock that nobody else takes on the request path: the busiest connections
//! stay on top, those at the bottom fall idle and are closed before the
//! upstream would close them.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{HeaderMap, Method, Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};

use super::connect::Dialer;
use super::error::ProxyError;
use super::health::Health;
use super::line::{Line, SWEEP, UpstreamIo, sweeps};
use super::request_body::BodyWatch;
use crate::base::body::Body;
use crate::config::checked::Limits;

/// More threads than this share stacks.
const SHARDS: usize = 64;
/// How long a request may wait when every connection is in use.
const BUSY_WAIT: Duration = Duration::from_secs(1);
const BUSY_LOOK: Duration = Duration::from_millis(10);
/// Head of a response; larger ones are refused with 502.
const RESPONSE_HEAD: usize = 256 * 1024;

thread_local! {
    static SHARD: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS
    };
}

pub(super) struct Pool {
    dialer: Dialer,
    health: Health,
    connect_timeout: Duration,
    limit: usize,
    idle: u32,
    body_idle: u32,
    /// Connections of all threads. Changes when one is dialled or ends.
    open: AtomicUsize,
    shards: Box<[Shard]>,
}

/// Alone on its cache lines, so that threads do not slow each other down.
#[derive(Default)]
#[repr(align(128))]
struct Shard(Mutex<Stack>);

#[derive(Default)]
struct Stack {
    entries: Vec<Entry>,
    /// Event streams, out of the way of those who look for a free entry.
    aside: Vec<Entry>,
    sweeping: bool,
}

struct Entry {
    sender: SendRequest<Body>,
    line: Arc<Line>,
}

/// The answer to a request that was handed to a connection.
pub(super) type Answer = Result<Response<Incoming>, TrySendError<Request<Body>>>;

/// A request that was handed to a connection.
pub(super) struct Sent<F> {
    pub(super) line: Arc<Line>,
    pub(super) answer: F,
    /// The upstream may be closing the connection just now, and hyper gives
    /// a request back only if nothing of it was written.
    pub(super) copy: Option<Duplicate>,
}

/// The parts of a request that may be sent a second time.
pub(super) struct Duplicate {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl Duplicate {
    fn of(request: &Request<Body>) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            headers: request.headers().clone(),
        }
    }
}

impl From<Duplicate> for Request<Body> {
    fn from(copy: Duplicate) -> Self {
        let mut request = Self::new(Body::Empty);
        *request.method_mut() = copy.method;
        *request.uri_mut() = copy.uri;
        *request.headers_mut() = copy.headers;
        request
    }
}

/// A place among the open connections.
struct Place(Arc<Pool>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How an exchange is watched.
#[derive(Clone, Copy)]
pub(super) struct Watch<'a> {
    /// How long the head of the response may take, in sweeps.
    pub(super) patience: u32,
    pub(super) body: Option<&'a Arc<BodyWatch>>,
    /// Has no body and no effect.
    pub(super) repeatable: bool,
}

impl Pool {
    pub(super) fn new(dialer: Dialer, health: Health, limits: &Limits) -> Self {
        Self {
            dialer,
            health,
            connect_timeout: limits.connect_timeout,
            limit: limits.upstream_connections,
            idle: sweeps(limits.upstream_idle),
            body_idle: sweeps(limits.body_idle),
            open: AtomicUsize::new(0),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
        }
    }

    /// Hands the request to a free connection of this thread, or gives it
    /// back.
    #[expect(clippy::result_large_err, reason = "the error is the request itself")]
    pub(super) fn send_pooled(
        &self,
        request: Request<Body>,
        watch: Watch<'_>,
    ) -> Result<Sent<impl Future<Output = Answer> + Send + use<>>, Request<Body>> {
        let shard = SHARD.with(|shard| *shard);
        self.send_on(shard, request, watch)
    }

    #[expect(clippy::result_large_err, reason = "the error is the request itself")]
    fn send_on(
        &self,
        shard: usize,
        request: Request<Body>,
        watch: Watch<'_>,
    ) -> Result<Sent<impl Future<Output = Answer> + Send + use<>>, Request<Body>> {
        let mut stack = self.stack(shard);
        let free = stack
            .entries
            .iter()
            .rposition(|entry| entry.sender.is_ready() && !entry.sender.is_closed());
        let Some(free) = free else {
            return Err(request);
        };
        let entry = &mut stack.entries[free];
        let copy = watch.repeatable.then(|| Duplicate::of(&request));
        entry.line.request_began(watch.patience, watch.body);
        Ok(Sent {
            line: entry.line.clone(),
            answer: entry.sender.try_send_request(request),
            copy,
        })
    }

    /// Hands the request to a new connection, or, when there may be no more,
    /// to whichever falls free first.
    pub(super) async fn send_fresh(
        self: &Arc<Self>,
        mut request: Request<Body>,
        watch: Watch<'_>,
    ) -> Result<(Arc<Line>, Answer), ProxyError> {
        let Some(place) = self.place() else {
            let deadline = tokio::time::Instant::now() + BUSY_WAIT;
            loop {
                for shard in 0..SHARDS {
                    match self.send_on(shard, request, watch) {
                        Ok(sent) => return Ok((sent.line, sent.answer.await)),
                        Err(back) => request = back,
                    }
                }
                if tokio::time::Instant::now() >= deadline {
                    return Err(ProxyError::Busy);
                }
                tokio::time::sleep(BUSY_LOOK).await;
                if let Some(place) = self.place() {
                    return self.dial_and_send(place, request, watch).await;
                }
            }
        };
        self.dial_and_send(place, request, watch).await
    }

    async fn dial_and_send(
        self: &Arc<Self>,
        place: Place,
        request: Request<Body>,
        watch: Watch<'_>,
    ) -> Result<(Arc<Line>, Answer), ProxyError> {
        let (mut sender, line) = self.dial(place).await?;
        line.request_began(watch.patience, watch.body);
        let answer = sender.try_send_request(request);
        self.keep(Entry {
            sender,
            line: line.clone(),
        });
        Ok((line, answer.await))
    }

    fn place(self: &Arc<Self>) -> Option<Place> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.limit {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Place(self.clone()))
    }

    async fn dial(&self, place: Place) -> Result<(SendRequest<Body>, Arc<Line>), ProxyError> {
        let attempt = self.health.enter()?;
        let dialled = self.dialer.dial(self.connect_timeout).await;
        attempt.ended(&dialled);
        let stream = dialled?;
        let line = Arc::new(Line::default());
        let (sender, connection) = http1::Builder::new()
            .max_header_size(RESPONSE_HEAD)
            .handshake(UpstreamIo::new(stream, line.clone()))
            .await
            .map_err(|error| ProxyError::Broken(error.into()))?;
        let task = tokio::spawn(async move {
            // Whoever waits for the response is told of the error.
            let _ = connection.with_upgrades().await;
            drop(place);
        });
        line.started(task.abort_handle());
        Ok((sender, line))
    }

    fn keep(self: &Arc<Self>, entry: Entry) {
        let shard = SHARD.with(|shard| *shard);
        let mut stack = self.stack(shard);
        stack.entries.push(entry);
        if !stack.sweeping {
            stack.sweeping = true;
            tokio::spawn(self.clone().sweep(shard));
        }
    }

    /// Looks after one stack until it is empty.
    async fn sweep(self: Arc<Self>, shard: usize) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let mut stack = self.stack(shard);
            let Stack {
                entries,
                aside,
                sweeping,
            } = &mut *stack;
            entries.retain(|entry| self.stays(entry));
            aside.retain(|entry| self.stays(entry));
            aside.extend(entries.extract_if(.., |entry| entry.line.is_event_stream()));
            entries.splice(0..0, aside.extract_if(.., |entry| entry.sender.is_ready()));
            if entries.is_empty() && aside.is_empty() {
                *sweeping = false;
                return;
            }
        }
    }

    fn stays(&self, entry: &Entry) -> bool {
        if entry.sender.is_closed() {
            return false;
        }
        if entry.sender.is_ready() {
            return entry.line.sweep_idle() <= self.idle;
        }
        entry.line.sweep_busy(self.body_idle);
        true
    }

    fn stack(&self, shard: usize) -> MutexGuard<'_, Stack> {
        self.shards[shard]
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
