//! Connections of hyper: requests with a body, tunnels, HTTP/2. They stay in
//! their stack, in use or not.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use http::Request;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::stacks::{BUSY_LOOK, BUSY_WAIT, Entry, Place, Pool, SHARD, SHARDS};
use crate::base::body::Body;
use crate::proxy::connect::{Protocol, Stream};
use crate::proxy::error::ProxyError;
use crate::proxy::line::{Line, SWEEP, Turn, UpstreamIo};
use crate::proxy::request_body::BodyWatch;
use crate::proxy::sender::{self, Answer, RESPONSE_HEAD, Sender};
use crate::proxy::streams::Streams;

/// A request that was handed to a connection.
pub(in crate::proxy) struct Sent<F> {
    pub(in crate::proxy) line: Arc<Line>,
    pub(in crate::proxy) turn: Turn,
    pub(in crate::proxy) answer: F,
    /// The upstream may be closing the connection just now, and hyper gives
    /// a request back only if nothing of it was written.
    pub(in crate::proxy) copy: Option<Request<Body>>,
    /// Nobody used the connection before.
    pub(in crate::proxy) fresh: bool,
}

impl<F: Future<Output = Answer>> Sent<F> {
    async fn answered(self) -> Sent<Answer> {
        Sent {
            line: self.line,
            turn: self.turn,
            answer: self.answer.await,
            copy: self.copy,
            fresh: self.fresh,
        }
    }
}

/// How an exchange is watched.
#[derive(Clone, Copy)]
pub(in crate::proxy) struct Watch<'a> {
    /// How long the head of the response may take, in sweeps.
    pub(in crate::proxy) patience: u32,
    pub(in crate::proxy) body: Option<&'a Arc<BodyWatch>>,
    /// Has no body, and a second time has no further effect.
    pub(in crate::proxy) repeatable: bool,
    /// The connection becomes a tunnel: never one that others share.
    pub(in crate::proxy) alone: bool,
    /// Only on a connection that was made after this: what ended one may
    /// have ended the others, and it does not show at all of them at once.
    pub(in crate::proxy) since: Option<Instant>,
}

impl Entry {
    fn may_take(&self, watch: Watch<'_>) -> bool {
        self.sender.takes_more()
            && !self.line.has_ended()
            && watch.since.is_none_or(|since| self.made >= since)
    }

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

impl Pool {
    /// Hands the request to a free connection of this thread, or gives it
    /// back.
    #[expect(clippy::result_large_err, reason = "the error is the request itself")]
    pub(in crate::proxy) fn send_pooled(
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
            .rposition(|entry| entry.may_take(watch));
        let Some(free) = free else {
            return Err(request);
        };
        let entry = &mut stack.entries[free];
        let copy = watch.repeatable.then(|| copy(&request));
        Ok(Sent {
            answer: entry.send(request, watch),
            line: entry.line.clone(),
            turn: entry.line.turn(),
            copy,
            fresh: false,
        })
    }

    /// On a connection of whichever thread has one.
    #[expect(clippy::result_large_err, reason = "the error is the request itself")]
    fn send_on_any(
        &self,
        mut request: Request<Body>,
        watch: Watch<'_>,
    ) -> Result<Sent<impl Future<Output = Answer> + Send + use<>>, Request<Body>> {
        for shard in 0..SHARDS {
            match self.send_on(shard, request, watch) {
                Ok(sent) => return Ok(sent),
                Err(back) => request = back,
            }
        }
        Err(request)
    }

    /// Hands the request to a new connection, or, when there may be no more,
    /// to whichever falls free first. One that goes alone waits for a place.
    pub(in crate::proxy) async fn send_fresh(
        self: &Arc<Self>,
        mut request: Request<Body>,
        watch: Watch<'_>,
    ) -> Result<Sent<Answer>, ProxyError> {
        if self.multiplexed.load(Ordering::Relaxed) && !watch.alone {
            return self.send_shared(request, watch).await;
        }
        let Some(place) = self.place_of_a_sender() else {
            let deadline = Instant::now() + BUSY_WAIT;
            loop {
                if watch.alone {
                    self.close_a_free_sender(true);
                } else {
                    match self.send_on_any(request, watch) {
                        Ok(sent) => return Ok(sent.answered().await),
                        Err(back) => request = back,
                    }
                }
                if Instant::now() >= deadline {
                    return Err(ProxyError::Busy);
                }
                tokio::time::sleep(BUSY_LOOK).await;
                if let Some(place) = self.place_of_a_sender() {
                    let sent = self.dial_and_send(place, request, watch).await?;
                    return Ok(sent.answered().await);
                }
            }
        };
        let sent = self.dial_and_send(place, request, watch).await?;
        Ok(sent.answered().await)
    }

    /// A burst that finds no connection waits for one, and shares it. Where
    /// there may be no more, it shares one of another thread.
    async fn send_shared(
        self: &Arc<Self>,
        mut request: Request<Body>,
        watch: Watch<'_>,
    ) -> Result<Sent<Answer>, ProxyError> {
        let shard = SHARD.with(|shard| *shard);
        let deadline = Instant::now() + BUSY_WAIT;
        loop {
            let turn = self.shards[shard].dial.acquire().await;
            match self.send_on(shard, request, watch) {
                Ok(sent) => {
                    drop(turn);
                    return Ok(sent.answered().await);
                }
                Err(back) => request = back,
            }
            if let Some(place) = self.place_of_a_sender() {
                let sent = self.dial_and_send(place, request, watch).await?;
                drop(turn);
                return Ok(sent.answered().await);
            }
            drop(turn);
            match self.send_on_any(request, watch) {
                Ok(sent) => return Ok(sent.answered().await),
                Err(back) => request = back,
            }
            if Instant::now() >= deadline {
                return Err(ProxyError::Busy);
            }
            tokio::time::sleep(BUSY_LOOK).await;
        }
    }

    async fn dial_and_send(
        self: &Arc<Self>,
        place: Place,
        request: Request<Body>,
        watch: Watch<'_>,
    ) -> Result<Sent<impl Future<Output = Answer> + Send + use<>>, ProxyError> {
        let mut entry = self.dial(place, watch.alone).await?;
        let sent = Sent {
            answer: entry.send(request, watch),
            line: entry.line.clone(),
            turn: entry.line.turn(),
            copy: None,
            fresh: true,
        };
        self.keep(entry);
        Ok(sent)
    }

    async fn dial(&self, place: Place, alone: bool) -> Result<Entry, ProxyError> {
        let (stream, protocol) = self.connect(alone).await?;
        self.entry(stream, protocol, place, alone).await
    }

    pub(super) async fn entry(
        &self,
        stream: Stream,
        protocol: Protocol,
        place: Place,
        alone: bool,
    ) -> Result<Entry, ProxyError> {
        let line = Arc::new(Line::default());
        let io = TokioIo::new(UpstreamIo::new(stream, line.clone()));
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
                let streams = Arc::new(Streams::default());
                let driven = streams.clone().drive(connection);
                let task = tokio::spawn(async move {
                    driven.await;
                    drop(place);
                });
                let sender = Sender::Many {
                    sender,
                    scheme,
                    streams,
                };
                (sender, task)
            }
        };
        line.started(task.abort_handle());
        let made = Instant::now();
        Ok(Entry { sender, line, made })
    }
}

/// A request that has no body, once more.
fn copy(request: &Request<Body>) -> Request<Body> {
    let mut copy = Request::new(Body::Empty);
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}
