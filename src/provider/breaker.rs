//! The circuit breaker of one provider: when it is unwell, calls to it fail
//! at once instead of one after the other running into their deadline.
//!
//! Counted is what says "unwell": no connection, no complete answer, 5xx, a
//! web page where JSON belongs. An answer that says no is a provider at work;
//! 429 says itself when to come again, and counts as neither.
//!
//! While it is open nobody's token or code is risked on finding out whether
//! the provider is back: that is asked by [`super::Provider::watch`] with
//! documents that everybody may read. Then calls are let through again, and
//! the first one that fails opens it anew.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::StatusCode;
use tokio::sync::watch;
use tokio::time::Instant;
use tower::{Layer, Service};

use super::client::{Answer, Outbound, TransportError};
use super::error::{Class, Sent};
use crate::base::body::BoxError;
use crate::base::clock::{Clock, Timestamp};
use crate::config::checked::Limits;
use crate::model::identity::ProviderId;

/// Calls this old are forgotten.
const WINDOW: Duration = Duration::from_secs(10);
/// With fewer calls in the window a share means nothing.
const SHARE_LEAST: u32 = 20;
/// However small the configured pause, the provider gets some peace.
const PAUSE_LEAST: Duration = Duration::from_millis(100);
/// A half-open breaker that nothing contradicts for this long closes.
pub const SETTLED: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    Closed,
    Open,
    /// The provider answers again; the next failure opens.
    HalfOpen,
}

/// Why a call was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The first failure of this outage.
    pub since: Timestamp,
    /// Until the provider is asked again.
    pub retry_after: Duration,
}

/// What a call says about the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Well,
    Unwell,
    Neither,
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Breaker(Arc<Inner>);

struct Inner {
    provider: ProviderId,
    clock: Clock,
    /// In a row; zero: it never opens.
    failures: u32,
    pause: Duration,
    state: Mutex<State>,
    stage: watch::Sender<Stage>,
}

struct State {
    /// Calls that were let through in an earlier stage prove nothing.
    round: u64,
    in_a_row: u32,
    since: Option<Timestamp>,
    /// Calls and how many of them failed, by second.
    window: VecDeque<(Instant, u32, u32)>,
    next_look: Instant,
    heard_at: Option<Instant>,
}

/// Leave to call once. Dropped without a word (the caller has gone), it
/// proves nothing.
struct Admission {
    round: u64,
    probe: bool,
}

impl Breaker {
    pub fn new(provider: ProviderId, limits: &Limits, clock: Clock) -> Self {
        Self(Arc::new(Inner {
            provider,
            clock,
            failures: limits.provider_failures,
            pause: limits.provider_pause.max(PAUSE_LEAST),
            state: Mutex::new(State {
                round: 0,
                in_a_row: 0,
                since: None,
                window: VecDeque::new(),
                next_look: Instant::now(),
                heard_at: None,
            }),
            stage: watch::Sender::new(Stage::Closed),
        }))
    }

    /// Follows the stages, beginning with the present one.
    pub fn stages(&self) -> watch::Receiver<Stage> {
        self.0.stage.subscribe()
    }

    /// `Some` while calls fail at once.
    pub fn refusal(&self) -> Option<Refusal> {
        self.refusal_at(Instant::now())
    }

    fn refusal_at(&self, now: Instant) -> Option<Refusal> {
        self.refusal_of(&self.state(), now)
    }

    /// Whether the provider gave a complete answer less than `length` ago.
    pub fn heard_within(&self, length: Duration) -> bool {
        let heard_at = self.state().heard_at;
        heard_at.is_some_and(|at| at.elapsed() < length)
    }

    /// When the provider is to be asked, while open.
    pub fn next_look(&self) -> Instant {
        self.state().next_look
    }

    /// The provider is about to be asked: the next time is a pause from now.
    pub fn looking(&self) {
        self.state().next_look = Instant::now() + self.0.pause;
    }

    /// Nothing failed since it became half-open.
    pub fn settle(&self) {
        let mut state = self.state();
        if *self.0.stage.borrow() == Stage::HalfOpen {
            self.close(&mut state);
        }
    }

    fn refusal_of(&self, state: &State, now: Instant) -> Option<Refusal> {
        (*self.0.stage.borrow() == Stage::Open).then(|| {
            let left = state.next_look.saturating_duration_since(now);
            Refusal {
                since: state.since.unwrap_or_else(|| self.0.clock.now()),
                retry_after: left.max(Duration::from_secs(1)),
            }
        })
    }

    fn admit(&self, probe: bool) -> Result<Admission, Refusal> {
        let state = self.state();
        match self.refusal_of(&state, Instant::now()) {
            Some(refusal) if !probe => Err(refusal),
            _ => Ok(Admission {
                round: state.round,
                probe,
            }),
        }
    }

    fn record(&self, admission: &Admission, verdict: Verdict, why: Why<'_>, now: Instant) {
        let mut state = self.state();
        if verdict != Verdict::Unwell {
            state.heard_at = Some(now);
        }
        if state.round != admission.round {
            return;
        }
        let stage = *self.0.stage.borrow();
        match (stage, verdict) {
            (Stage::Open, Verdict::Well | Verdict::Neither) if admission.probe => {
                state.round += 1;
                self.0.stage.send_replace(Stage::HalfOpen);
                tracing::debug!(provider.id = %self.0.provider, "provider answers again");
            }
            (Stage::Open, _) | (Stage::Closed, Verdict::Neither) => {}
            // What a probe finds is no more than that it answers.
            (Stage::HalfOpen, Verdict::Well) if !admission.probe => self.close(&mut state),
            (Stage::HalfOpen, Verdict::Well | Verdict::Neither) => {}
            (Stage::HalfOpen, Verdict::Unwell) => {
                state.round += 1;
                state.next_look = now + self.0.pause;
                self.0.stage.send_replace(Stage::Open);
                tracing::debug!(
                    provider.id = %self.0.provider,
                    reason = why.reason,
                    "provider failed again"
                );
            }
            (Stage::Closed, Verdict::Well) => {
                state.count(now, false);
                state.in_a_row = 0;
                state.since = None;
            }
            (Stage::Closed, Verdict::Unwell) => {
                state.count(now, true);
                state.in_a_row = state.in_a_row.saturating_add(1);
                if state.since.is_none() {
                    state.since = Some(self.0.clock.now());
                }
                let in_a_row = state.in_a_row >= self.0.failures;
                if self.0.failures > 0 && (in_a_row || state.half_failed()) {
                    self.open(&mut state, now, why);
                }
            }
        }
    }

    fn open(&self, state: &mut State, now: Instant, why: Why<'_>) {
        state.round += 1;
        state.next_look = now + self.0.pause;
        self.0.stage.send_replace(Stage::Open);
        tracing::warn!(
            provider.id = %self.0.provider,
            reason = why.reason,
            detail = why.detail,
            "provider counts as unreachable: sign-ins get a page at once, \
             sessions go on as long as their tokens live, and it is asked again every few seconds"
        );
    }

    fn close(&self, state: &mut State) {
        let since = state.since.take();
        state.round += 1;
        state.in_a_row = 0;
        state.window.clear();
        self.0.stage.send_replace(Stage::Closed);
        tracing::info!(
            provider.id = %self.0.provider,
            outage.seconds = since.map(|since| self.0.clock.now().since(since).as_secs()),
            "provider is back"
        );
    }

    /// The state is valid after every single step, so a panic of another
    /// holder does no harm.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&mut self, now: Instant, failed: bool) {
        while self
            .window
            .front()
            .is_some_and(|(from, ..)| now.duration_since(*from) >= WINDOW)
        {
            self.window.pop_front();
        }
        let failed = u32::from(failed);
        match self.window.back_mut() {
            Some((from, calls, failures)) if now.duration_since(*from).as_secs() == 0 => {
                *calls = calls.saturating_add(1);
                *failures = failures.saturating_add(failed);
            }
            _ => self.window.push_back((now, 1, failed)),
        }
    }

    fn half_failed(&self) -> bool {
        let sum = |total: (u32, u32), second: &(Instant, u32, u32)| {
            (
                total.0.saturating_add(second.1),
                total.1.saturating_add(second.2),
            )
        };
        let (calls, failed) = self.window.iter().fold((0, 0), sum);
        calls >= SHARE_LEAST && failed >= calls.div_ceil(2)
    }
}

/// For the log line of an outage.
#[derive(Clone, Copy)]
struct Why<'a> {
    reason: &'static str,
    detail: Option<&'a str>,
}

fn verdict(outcome: &Result<Answer, BoxError>) -> Verdict {
    match outcome {
        Ok(answer) => {
            let page = answer.media_type == "text/html";
            let status = answer.status;
            let asks_for_time = status == StatusCode::TOO_MANY_REQUESTS
                || (status == StatusCode::FORBIDDEN && answer.retry_after.is_some());
            if asks_for_time || status.is_redirection() {
                Verdict::Neither
            } else if status.is_server_error() || (status.is_success() && page) {
                Verdict::Unwell
            } else {
                Verdict::Well
            }
        }
        Err(error) => match error.downcast_ref::<TransportError>() {
            Some(error) if error.sent != Sent::Answered => Verdict::Unwell,
            // An answer that is too large or compressed is odd, not absent.
            _ => Verdict::Neither,
        },
    }
}

fn why(outcome: &Result<Answer, BoxError>) -> Why<'_> {
    match outcome {
        Ok(_) => Why {
            reason: Class::ProviderError.reason(),
            detail: None,
        },
        Err(error) => match error.downcast_ref::<TransportError>() {
            Some(error) => Why {
                reason: error.class.reason(),
                detail: error.detail.as_deref(),
            },
            None => Why {
                reason: Class::NetworkUnreachable.reason(),
                detail: None,
            },
        },
    }
}

/// Puts a breaker around the calls of one provider.
pub struct BreakerLayer(pub Breaker);

impl<S> Layer<S> for BreakerLayer {
    type Service = Guarded<S>;

    fn layer(&self, inner: S) -> Guarded<S> {
        Guarded {
            inner,
            breaker: self.0.clone(),
        }
    }
}

#[derive(Clone)]
pub struct Guarded<S> {
    inner: S,
    breaker: Breaker,
}

impl<S> Service<Outbound> for Guarded<S>
where
    S: Service<Outbound, Response = Answer, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = Answer;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Answer, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, outbound: Outbound) -> Self::Future {
        let breaker = self.breaker.clone();
        match breaker.admit(outbound.probe) {
            Err(refusal) => {
                let error = TransportError::refused(refusal);
                Box::pin(async move { Err(error.into()) })
            }
            Ok(admission) => {
                let calling = self.inner.call(outbound);
                Box::pin(async move {
                    let outcome = calling.await;
                    breaker.record(&admission, verdict(&outcome), why(&outcome), Instant::now());
                    outcome
                })
            }
        }
    }
}

#[cfg(test)]
mod tests;
