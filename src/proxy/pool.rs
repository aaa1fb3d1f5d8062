//! Connections to one upstream. Each thread has a stack of its own, behind a
//! lock that nobody else takes on the request path: the busiest connections
//! stay on top, those at the bottom fall idle and are closed before the
//! upstream would close them.

use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::Request;
use hyper::client::conn::http1;

use tokio::sync::Semaphore;

use super::connect::{Dialer, Protocol};
use super::duplicate::Duplicate;
use super::error::ProxyError;
use super::health::Health;
use super::line::{Line, SWEEP, UpstreamIo, sweeps};
use super::request_body::BodyWatch;
use super::sender::{self, Answer, RESPONSE_HEAD, Sender};
use crate::base::body::Body;
use crate::config::checked::Limits;

/// More threads than this share stacks.
const SHARDS: usize = 64;
/// How long a request may wait when every connection is in use.
const BUSY_WAIT: Duration = Duration::from_secs(1);
const BUSY_LOOK: Duration = Duration::from_millis(10);

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
    /// The upstream speaks HTTP/2, as far as is known.
    multiplexed: AtomicBool,
    shards: Box<[Shard]>,
}

/// Alone on its cache lines, so that threads do not slow each other down.
#[repr(align(128))]
struct Shard {
    stack: Mutex<Stack>,
    /// One dial at a time, where everybody will share its connection.
    dial: Semaphore,
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            stack: Mutex::default(),
            dial: Semaphore::new(1),
        }
    }
}

#[derive(Default)]
struct Stack {
    entries: Vec<Entry>,
    /// Event streams, out of the way of those who look for a free entry.
    aside: Vec<Entry>,
    sweeping: bool,
}

struct Entry {
    sender: Sender,
    line: Arc<Line>,
}

impl Entry {
    /// Hands the request over. The line of a connection with many requests
    /// keeps no time for any of them: each stream has a timer.
    fn send(
        &mut self,
        request: Request<Body>,
        watch: Watch<'_>,
    ) -> impl Future<Output = Answer> + Send + use<> {
        if self.sender.is_multiplexed() {
            // No interim answer is waited for.
            if let Some(body) = watch.body {
                body.go();
            }
        } else {
            self.line.request_began(watch.patience, watch.body);
        }
        let body = watch.body.cloned();
        self.sender.send(request, SWEEP * watch.patience, body)
    }
}

/// A request that was handed to a connection.
pub(super) struct Sent<F> {
    pub(super) line: Arc<Line>,
    pub(super) answer: F,
    /// The upstream may be closing the connection just now, and hyper gives
    /// a request back only if nothing of it was written.
    pub(super) copy: Option<Duplicate>,
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
    /// Has no body, and a second time has no further effect.
    pub(super) repeatable: bool,
    /// The connection becomes a tunnel: never one that others share.
    pub(super) alone: bool,
}

impl Pool {
    pub(super) fn new(dialer: Dialer, health: Health, limits: &Limits) -> Self {
        let multiplexed = AtomicBool::new(dialer.is_multiplexed());
        Self {
            dialer,
            multiplexed,
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
            .rposition(|entry| entry.sender.is_free());
        let Some(free) = free else {
            return Err(request);
        };
        let entry = &mut stack.entries[free];
        let copy = watch.repeatable.then(|| Duplicate::of(&request));
        Ok(Sent {
            line: entry.line.clone(),
            answer: entry.send(request, watch),
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
        if self.multiplexed.load(Ordering::Relaxed) && !watch.alone {
            return self.send_shared(request, watch).await;
        }
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

    /// A burst that finds no connection waits for one, and shares it.
    async fn send_shared(
        self: &Arc<Self>,
        request: Request<Body>,
        watch: Watch<'_>,
    ) -> Result<(Arc<Line>, Answer), ProxyError> {
        let shard = SHARD.with(|shard| *shard);
        let turn = self.shards[shard].dial.acquire().await;
        let sent = match self.send_on(shard, request, watch) {
            Ok(sent) => sent,
            Err(request) => {
                let place = self.place().ok_or(ProxyError::Busy)?;
                let mut entry = self.dial(place, false).await?;
                let line = entry.line.clone();
                let answer = entry.send(request, watch);
                self.keep(entry);
                drop(turn);
                return Ok((line, answer.await));
            }
        };
        drop(turn);
        Ok((sent.line, sent.answer.await))
    }

    async fn dial_and_send(
        self: &Arc<Self>,
        place: Place,
        request: Request<Body>,
        watch: Watch<'_>,
    ) -> Result<(Arc<Line>, Answer), ProxyError> {
        let mut entry = self.dial(place, watch.alone).await?;
        let answer = entry.send(request, watch);
        let line = entry.line.clone();
        self.keep(entry);
        Ok((line, answer.await))
    }

    fn place(self: &Arc<Self>) -> Option<Place> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.limit {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Place(self.clone()))
    }

    async fn dial(&self, place: Place, alone: bool) -> Result<Entry, ProxyError> {
        let attempt = self.health.enter()?;
        let dialled = self.dialer.dial(self.connect_timeout, alone).await;
        attempt.ended(&dialled);
        let (stream, protocol) = dialled?;
        let line = Arc::new(Line::default());
        let io = UpstreamIo::new(stream, line.clone());
        let broken = |error: hyper::Error| ProxyError::Broken(error.into());
        // Whoever waits for the response is told of the error.
        let (sender, task) = match protocol {
            Protocol::Http1 => {
                if !alone {
                    self.multiplexed.store(false, Ordering::Relaxed);
                }
                let mut builder = http1::Builder::new();
                builder.max_header_size(RESPONSE_HEAD);
                let (sender, connection) = builder.handshake(io).await.map_err(broken)?;
                let task = tokio::spawn(async move {
                    let _ = connection.with_upgrades().await;
                    drop(place);
                });
                (Sender::One(sender), task)
            }
            Protocol::Http2(scheme) => {
                self.multiplexed.store(true, Ordering::Relaxed);
                let (sender, connection) = sender::many().handshake(io).await.map_err(broken)?;
                let task = tokio::spawn(async move {
                    let _ = connection.await;
                    drop(place);
                });
                (Sender::Many { sender, scheme }, task)
            }
        };
        line.started(task.abort_handle());
        Ok(Entry { sender, line })
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
            entries.splice(0..0, aside.extract_if(.., |entry| entry.sender.is_free()));
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
        // Of a connection with many streams, silence of them all: who still
        // waits on one keeps the connection, which only takes no more.
        if entry.sender.is_free() {
            return entry.line.sweep_idle() <= self.idle;
        }
        entry.line.sweep_busy(self.body_idle);
        true
    }

    fn stack(&self, shard: usize) -> MutexGuard<'_, Stack> {
        self.shards[shard]
            .stack
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
