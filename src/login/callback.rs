//! The way back: the provider's answer becomes a session, or a named reason.
//!
//! Order: parameters, state (which proves the browser), issuer, single use,
//! then the provider's own error, the exchange, the ID token, the session.
//! The code leaves us only after the marker of single use is durable; that
//! write is the probe of the store too. What a new sign-in can mend is mended
//! by one, once.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use secrecy::SecretString;

use super::attempt_log::Attempt;
use super::error::{LoginError, Phase, authorization_error};
use super::exchange::{Answer, Finished, Stopped, Work};
use super::rounds::Rounds;
use super::start::{Departure, Started};
use super::transaction::{self, Opened};
use super::{Inner, Login};
use crate::base::clock::Timestamp;
use crate::base::fault::Fault;
use crate::session::sessions::Session;
use crate::session::ticket::Ticket;

/// Providers that put a whole token into it stay below, in bytes.
const LONGEST_CODE: usize = 8 * 1024;

pub struct CallbackRequest<'a> {
    /// The last path segment, where several providers have one each.
    pub provider: Option<&'a str>,
    pub query: Option<&'a str>,
    pub cookies: &'a [&'a [u8]],
    pub user_agent: Option<&'a str>,
}

/// How a callback ended.
#[derive(Debug)]
pub enum CameBack {
    SignedIn(Box<SignedIn>),
    /// To the provider once more; the person need not notice.
    Again(Started),
    Failed(Box<Failed>),
}

/// A login that worked.
#[derive(Debug)]
pub struct SignedIn {
    pub ticket: Ticket,
    /// The session behind the ticket.
    pub session: Session,
    /// When the browser was sent to the provider.
    pub started_at: Timestamp,
    /// As it was sealed at the start; to be checked once more before use.
    pub return_to: String,
    /// The host that waits for this sign-in, still sealed.
    pub hand_off: Option<String>,
    pub set_cookies: Vec<String>,
    pub attempt: String,
}

/// An attempt that failed, with what the answer has to carry.
#[derive(Debug)]
pub struct Failed {
    pub error: LoginError,
    pub phase: Phase,
    /// Unknown where the state did not open.
    pub attempt: Option<String>,
    pub return_to: Option<String>,
    pub hand_off: Option<String>,
}

impl Failed {
    /// A reload of a callback that had succeeded, and its session is gone.
    pub fn had_succeeded(&self) -> bool {
        matches!(&self.error, LoginError::Spent { reason, .. } if reason.is_empty())
    }
}

#[derive(Debug, Default)]
struct Parameters<'a> {
    state: Option<Cow<'a, str>>,
    code: Option<Cow<'a, str>>,
    error: Option<Cow<'a, str>>,
    iss: Option<Cow<'a, str>>,
}

impl Login {
    pub async fn callback(&self, request: CallbackRequest<'_>) -> CameBack {
        let inner = &self.inner;
        let parameters = match Parameters::parse(request.query.unwrap_or_default()) {
            Ok(parameters) => parameters,
            Err(error) => return inner.not_ours(Phase::Callback, error),
        };
        let state = parameters.state.as_deref().unwrap_or_default();
        let opened = match transaction::open_state(inner, state, request.cookies) {
            Ok(opened) => opened,
            Err(error) => return inner.not_ours(Phase::State, error),
        };
        let began = Instant::now();
        let finished = self.finish(&request, &parameters, state, &opened).await;
        let transaction = opened.transaction;
        match finished {
            Ok(finished) => CameBack::SignedIn(Box::new(SignedIn {
                set_cookies: vec![
                    inner.cookies.clear(&opened.tag),
                    inner.recent_cookies.keep(
                        &opened.tag,
                        &opened.secret.secret,
                        transaction.started_at,
                    ),
                    Rounds::read(inner, request.cookies)
                        .signed_in()
                        .cookie(inner),
                ],
                ticket: finished.ticket,
                session: finished.session,
                started_at: transaction.started_at,
                return_to: transaction.return_to,
                hand_off: transaction.hand_off,
                attempt: transaction.attempt,
            })),
            Err(stopped) => {
                let attempt = Attempt::new(&transaction.attempt, &transaction.provider);
                inner.tell(attempt, &transaction.provider.0, &stopped, began);
                if let Some(course) = stopped.next {
                    attempt.begins_anew(stopped.error.reason());
                    let departure = Departure {
                        attempt: &transaction.attempt,
                        provider: &transaction.provider,
                        return_to: &transaction.return_to,
                        hand_off: transaction.hand_off.as_deref(),
                        cookies: request.cookies,
                        prompt: None,
                        course,
                    };
                    if let Ok(started) = self.depart(&departure).await {
                        return CameBack::Again(started);
                    }
                }
                // The cookie stays: a reload shows the same page.
                CameBack::Failed(Box::new(Failed {
                    error: stopped.error,
                    phase: stopped.phase,
                    attempt: Some(transaction.attempt),
                    return_to: Some(transaction.return_to),
                    hand_off: transaction.hand_off,
                }))
            }
        }
    }

    async fn finish(
        &self,
        request: &CallbackRequest<'_>,
        parameters: &Parameters<'_>,
        state: &str,
        opened: &Opened,
    ) -> Result<Finished, Stopped> {
        let inner = &self.inner;
        let transaction = &opened.transaction;
        let began = Instant::now();
        let attempt = Attempt::new(&transaction.attempt, &transaction.provider);
        let away = inner.clock.now().since(transaction.started_at);
        attempt.passed(Phase::Authorize, away);
        let early = |stopped: Stopped| {
            inner.note_stopped(attempt, &stopped, began.elapsed());
            stopped
        };
        let several = inner.providers.iter().count() > 1;
        if several != request.provider.is_some()
            || request
                .provider
                .is_some_and(|id| id != transaction.provider.0)
        {
            return Err(early(Stopped::at(
                Phase::Callback,
                LoginError::MalformedCallback,
            )));
        }
        let provider = inner
            .providers
            .get(&transaction.provider)
            .ok_or_else(|| early(Stopped::at(Phase::State, LoginError::UnknownProvider)))?;
        provider
            .check_response_issuer(parameters.iss.as_deref())
            .await
            .map_err(|error| early(Stopped::at(Phase::Callback, error.into())))?;
        attempt.passed(Phase::Callback, began.elapsed());
        let answer = match (&parameters.code, &parameters.error) {
            (Some(code), _) => Answer::Code(SecretString::from(code.clone().into_owned())),
            (None, error) => Answer::Refused(authorization_error(error.as_deref().unwrap_or(""))),
        };
        let work = Work {
            state: state.to_owned(),
            answer,
            transaction: transaction.clone(),
            derived: opened.secret.derive(&opened.key, &transaction.attempt),
            user_agent: request.user_agent.map(str::to_owned),
        };
        // To its end even if the browser goes away.
        let task = Arc::clone(inner).work(Arc::clone(provider), work);
        let course = transaction.course;
        inner.control.spawn(task).await.unwrap_or_else(|_| {
            let stopped = Stopped::at(Phase::Exchange, LoginError::Lost);
            Err(stopped.then(course.after_doubt()))
        })
    }
}

impl Inner {
    /// A callback that belongs to no sign-in of this browser: forged perhaps
    /// (login CSRF), or cookies are blocked, or it is too old.
    fn not_ours(&self, phase: Phase, error: LoginError) -> CameBack {
        self.telemetry.login(phase.as_str(), error.reason(), "");
        tracing::info!(
            login.phase = phase.as_str(),
            reason = error.reason(),
            "callback does not belong to a sign-in of this browser"
        );
        CameBack::Failed(Box::new(Failed {
            error,
            phase,
            attempt: None,
            return_to: None,
            hand_off: None,
        }))
    }

    fn tell(&self, attempt: Attempt<'_>, provider: &str, stopped: &Stopped, began: Instant) {
        // A reload is not another failure.
        let (phase, reason) = match stopped.error {
            LoginError::Spent { .. } => (Phase::State, "login_spent"),
            _ => (stopped.phase, stopped.error.reason()),
        };
        self.telemetry.login(phase.as_str(), reason, provider);
        // What a new beginning mends is told there.
        let mended = matches!(stopped.error, LoginError::Refused { .. }) && stopped.next.is_some();
        if !mended {
            attempt.failed(stopped.phase, &stopped.error, began.elapsed());
        }
    }
}

impl<'a> Parameters<'a> {
    /// Every parameter that matters at most once (RFC 6749 section 3.1);
    /// tokens in the front channel are refused (RFC 9700 section 2.1.2).
    fn parse(query: &'a str) -> Result<Self, LoginError> {
        let mut parameters = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let slot = match &*name {
                "state" => &mut parameters.state,
                "code" => &mut parameters.code,
                "error" => &mut parameters.error,
                "iss" => &mut parameters.iss,
                "access_token" | "id_token" | "token_type" => {
                    return Err(LoginError::MalformedCallback);
                }
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return Err(LoginError::MalformedCallback);
            }
        }
        let empty = |value: &Option<Cow<'_, str>>| value.as_deref() == Some("");
        if empty(&parameters.code)
            || empty(&parameters.state)
            || parameters.code.is_some() == parameters.error.is_some()
            || !parameters.code.as_deref().is_none_or(could_be_a_code)
        {
            return Err(LoginError::MalformedCallback);
        }
        Ok(parameters)
    }
}

/// RFC 6749 appendix A.11: visible ASCII. Anything else was made up by the
/// browser's side, and could only provoke the provider into errors that look
/// like trouble of its own.
fn could_be_a_code(code: &str) -> bool {
    code.len() <= LONGEST_CODE && code.bytes().all(|byte| (0x20..=0x7e).contains(&byte))
}

#[cfg(test)]
mod tests;
