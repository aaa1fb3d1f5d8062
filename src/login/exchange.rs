//! What follows a callback that is ours, apart from the browser: single use,
//! the exchange, the identity, the session. It runs to its end and leaves its
//! outcome, whether or not anybody waits for the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use tracing::Instrument;

use super::Inner;
use super::attempt_log::{Attempt, Steps};
use super::error::{LoginError, Phase};
use super::single_use::{Outcome, Turn, told_again};
use super::transaction::{Course, Derived, Transaction};
use crate::base::kill_point;
use crate::model::identity::Identity;
use crate::model::tokens::TokenSet;
use crate::provider::{CodeExchange, Provider, ProviderError};
use crate::session::sessions::{Found, Session};
use crate::session::ticket::Ticket;

/// Pauses before a step is tried again that spends nothing. The tokens wait
/// in memory meanwhile.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(200),
    Duration::from_millis(800),
    Duration::from_secs(2),
];
/// No new try after this long.
const PATIENCE: Duration = Duration::from_secs(8);

/// What the provider sent the browser back with.
pub(super) enum Answer {
    Code(SecretString),
    /// Our reason code for its error.
    Refused(&'static str),
}

/// One callback, taken over from the request that brought it.
pub(super) struct Work {
    pub state: String,
    pub answer: Answer,
    pub transaction: Transaction,
    pub derived: Derived,
    pub user_agent: Option<String>,
}

pub(super) struct Finished {
    pub ticket: Ticket,
    pub session: Session,
}

/// Why there is no session, and what a new sign-in would do about it.
pub(super) struct Stopped {
    pub phase: Phase,
    pub error: LoginError,
    pub next: Option<Course>,
}

impl Stopped {
    pub(super) fn at(phase: Phase, error: LoginError) -> Self {
        Self {
            phase,
            error,
            next: None,
        }
    }

    #[must_use]
    pub(super) fn then(mut self, next: Option<Course>) -> Self {
        self.next = next;
        self
    }
}

impl Course {
    /// The code's fate is unknown: once more, with a new one.
    pub(super) fn after_doubt(self) -> Option<Self> {
        (!self.again).then_some(Self {
            again: true,
            silent: false,
            ..self
        })
    }
}

impl Inner {
    pub(super) async fn work(
        self: Arc<Self>,
        provider: Arc<Provider>,
        work: Work,
    ) -> Result<Finished, Stopped> {
        let attempt = work.transaction.attempt.clone();
        let provider_id = work.transaction.provider.clone();
        let steps = Steps::default();
        let began = Instant::now();
        let attempt = Attempt::new(&attempt, &provider_id).remembered(&steps);
        let result = self
            .work_of(&provider, work, attempt)
            .instrument(attempt.span())
            .await;
        if let Err(stopped) = &result {
            self.note_stopped(attempt, stopped, began.elapsed());
        }
        result
    }

    async fn work_of(
        &self,
        provider: &Arc<Provider>,
        work: Work,
        attempt: Attempt<'_>,
    ) -> Result<Finished, Stopped> {
        let course = work.transaction.course;
        let began = Instant::now();
        let turn = self.turn(&work.state).await;
        match turn.map_err(|error| Stopped::at(Phase::State, error))? {
            Turn::First => {}
            Turn::Over(Outcome::Done) => {
                let again = self.again(&work.derived).await;
                return again.map_err(|error| Stopped::at(Phase::State, error));
            }
            Turn::Over(Outcome::Again(course)) => {
                let (phase, error) = told_again("outcome_unknown", Phase::Exchange.as_str(), 1);
                return Err(Stopped::at(phase, error).then(Some(course)));
            }
            Turn::Over(Outcome::Failed {
                reason,
                phase,
                blame,
            }) => {
                let (phase, error) = told_again(&reason, &phase, blame);
                return Err(Stopped::at(phase, error));
            }
            Turn::Lost => {
                // It may have died after the session was there.
                if let Ok(finished) = self.again(&work.derived).await {
                    self.remember(&work.state, &Outcome::Done).await;
                    return Ok(finished);
                }
                let stopped = Stopped::at(Phase::Exchange, LoginError::Forgotten);
                return Err(stopped.then(course.after_doubt()));
            }
        }
        attempt.passed(Phase::State, began.elapsed());
        let result = match &work.answer {
            Answer::Code(code) => self.converse(provider, &work, code, attempt).await,
            Answer::Refused(reason) => Err(Stopped::at(
                Phase::Authorize,
                LoginError::Refused { reason },
            )),
        };
        let result = match result {
            Ok(finished) => Ok(finished),
            Err(stopped) => {
                let next = self.next(provider, course, &stopped.error).await;
                if next.is_some_and(|next| next.without_offline_access)
                    && !course.without_offline_access
                {
                    attempt.without_offline_access();
                }
                Err(stopped.then(next))
            }
        };
        let outcome = match &result {
            Ok(_) => Outcome::Done,
            Err(stopped) => match stopped.next {
                Some(course) => Outcome::Again(course),
                None => Outcome::failed(stopped.phase, &stopped.error),
            },
        };
        self.remember(&work.state, &outcome).await;
        result
    }

    /// What a new sign-in could do better than this one, if there is anything
    /// that was not tried yet.
    async fn next(
        &self,
        provider: &Provider,
        course: Course,
        error: &LoginError,
    ) -> Option<Course> {
        match error {
            LoginError::Refused {
                reason: "scope_rejected",
            } if !course.without_offline_access && provider.asks_for_offline_access().await => {
                Some(Course {
                    without_offline_access: true,
                    silent: false,
                    ..course
                })
            }
            // Providers name very different errors when they may not ask.
            LoginError::Refused { .. } if course.silent => Some(Course {
                silent: false,
                ..course
            }),
            error if error.leaves_the_code_in_doubt() => course.after_doubt(),
            _ => None,
        }
    }

    async fn converse(
        &self,
        provider: &Arc<Provider>,
        work: &Work,
        code: &SecretString,
        attempt: Attempt<'_>,
    ) -> Result<Finished, Stopped> {
        let whole = Instant::now();
        let tokens = provider
            .exchange(&CodeExchange {
                code,
                redirect_uri: &self.redirect_uri(&work.transaction.provider),
                pkce_verifier: &work.derived.pkce_verifier,
            })
            .await
            .map_err(|error| Stopped::at(Phase::Exchange, error.into()))?;
        kill_point::at("login", "exchanged");
        attempt.passed(Phase::Exchange, whole.elapsed());
        let identity = identify(provider, &tokens, &work.derived.nonce, attempt).await?;
        kill_point::at("login", "identified");
        let finished = self
            .write_session(provider, work, &identity, tokens, attempt)
            .await?;
        self.telemetry
            .login(Phase::Done.as_str(), "ok", &provider.id().0);
        attempt.done(&finished.session, whole.elapsed());
        self.note_done(attempt, &finished.session, whole.elapsed());
        Ok(finished)
    }

    /// A reload after success: the same browser gets the same ticket, without
    /// a call to the provider.
    async fn again(&self, derived: &Derived) -> Result<Finished, LoginError> {
        // Another replica may have written with another key of the ring.
        let tickets = self
            .sessions
            .tickets_from_seed(&derived.ticket_seed, &self.home);
        for ticket in tickets {
            if let Found::Live(session) = self.sessions.find(&ticket).await? {
                return Ok(Finished { ticket, session });
            }
        }
        Err(told_again("", "", 0).1)
    }
}

async fn identify(
    provider: &Provider,
    tokens: &TokenSet,
    nonce: &str,
    attempt: Attempt<'_>,
) -> Result<Identity, Stopped> {
    let mut patience = Patience::new(Phase::IdToken, attempt);
    let verified = loop {
        match provider.verify(tokens, nonce).await {
            Ok(verified) => break verified,
            Err(error) => patience.bear(error).await?,
        }
    };
    patience.passed();
    let mut patience = Patience::new(Phase::Userinfo, attempt);
    let identity = loop {
        match provider.identity_of(tokens, &verified).await {
            Ok(identity) => break identity,
            Err(error) => patience.bear(error).await?,
        }
    };
    patience.passed();
    Ok(identity)
}

/// With a step that spends nothing while the provider is merely unwell: the
/// code is spent, so giving up would cost the person a new sign-in.
struct Patience<'a> {
    phase: Phase,
    attempt: Attempt<'a>,
    began: Instant,
    tries: usize,
}

impl<'a> Patience<'a> {
    fn new(phase: Phase, attempt: Attempt<'a>) -> Self {
        Self {
            phase,
            attempt,
            began: Instant::now(),
            tries: 0,
        }
    }

    /// Waits before the next try, or gives the error back.
    async fn bear(&mut self, error: ProviderError) -> Result<(), Stopped> {
        let transient = error.is_transient();
        let pause = PAUSES.get(self.tries).copied();
        // Asked to wait so long, a moment longer is sure to be enough.
        let asked = error.retry_after.map(|asked| asked + PAUSES[0]);
        let pause = pause.map(|pause| asked.unwrap_or(pause));
        let error = LoginError::from(error);
        match pause {
            Some(pause) if transient && self.began.elapsed() + pause < PATIENCE => {
                self.tries += 1;
                self.attempt.again(self.phase, self.tries, &error);
                tokio::time::sleep(pause).await;
                Ok(())
            }
            _ => Err(Stopped::at(self.phase, error)),
        }
    }

    fn passed(&self) {
        self.attempt.passed(self.phase, self.began.elapsed());
    }
}
