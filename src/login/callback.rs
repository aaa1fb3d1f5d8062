//! The way back: the provider's answer becomes a session, or a named reason.
//!
//! Order: parameters, state (which proves the browser), issuer, single use,
//! then the provider's own error, the exchange, the ID token, the session.
//! The code leaves us only after the marker of single use is durable; that
//! write is the probe of the store too.

use std::borrow::Cow;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::error::{LoginError, Phase, authorization_error};
use super::transaction::{self, Derived, Opened};
use super::{Inner, Login};
use crate::base::clock::Timestamp;
use crate::base::fault::{Blame, Fault};
use crate::base::kill_point;
use crate::model::identity::ProviderId;
use crate::provider::{CodeExchange, Provider};
use crate::session::sessions::{Found, NewSession, Session};
use crate::session::store::Once;
use crate::session::ticket::Ticket;

/// How long the outcome of a callback is remembered, for reloads.
const REMEMBERED: Duration = transaction::LIFETIME;
/// How long a second copy of a callback waits for the first.
const TWIN_WAIT: Duration = Duration::from_secs(12);
/// It asks after this long, then half as often each time, down to the last.
const TWIN_ASKS: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(800)];

pub struct CallbackRequest<'a> {
    /// The last path segment, where several providers have one each.
    pub provider: Option<&'a str>,
    pub query: Option<&'a str>,
    pub cookies: &'a [&'a [u8]],
    pub user_agent: Option<&'a str>,
}

/// A login that worked.
#[derive(Debug)]
pub struct SignedIn {
    pub ticket: Ticket,
    /// The session behind the ticket.
    pub session: Session,
    /// As it was sealed at the start; to be checked once more before use.
    pub return_to: String,
    /// The host that waits for this sign-in, still sealed.
    pub hand_off: Option<String>,
    /// Drops the transaction's cookie.
    pub set_cookies: Vec<String>,
    pub attempt: String,
}

/// An attempt that failed, with what the answer has to carry.
#[derive(Debug)]
pub struct Failed {
    pub error: LoginError,
    /// Unknown where the state did not open.
    pub attempt: Option<String>,
    pub return_to: Option<String>,
    pub hand_off: Option<String>,
    pub set_cookies: Vec<String>,
}

/// What the single-use marker keeps for reloads.
#[derive(Debug, Serialize, Deserialize)]
enum Outcome {
    Done,
    Failed(String),
}

#[derive(Debug, Default)]
struct Parameters<'a> {
    state: Option<Cow<'a, str>>,
    code: Option<Cow<'a, str>>,
    error: Option<Cow<'a, str>>,
    iss: Option<Cow<'a, str>>,
}

impl Login {
    pub async fn callback(&self, request: CallbackRequest<'_>) -> Result<SignedIn, Failed> {
        let inner = &self.inner;
        let early = |error| Failed {
            error,
            attempt: None,
            return_to: None,
            hand_off: None,
            set_cookies: Vec::new(),
        };
        let parameters = Parameters::parse(request.query.unwrap_or_default()).map_err(early)?;
        let state = parameters
            .state
            .as_deref()
            .ok_or_else(|| early(LoginError::MalformedCallback))?;
        let opened = transaction::open_state(inner, state, request.cookies).map_err(|error| {
            tracing::info!(
                login.phase = Phase::State.as_str(),
                reason = error.reason(),
                "callback does not belong to a sign-in of this browser"
            );
            early(error)
        })?;
        let result = self.finish(&request, &parameters, state, &opened).await;
        let provider = &opened.transaction.provider;
        let attempt = opened.transaction.attempt.clone();
        let set_cookies = vec![inner.cookies.clear(&opened.tag)];
        match result {
            Ok((ticket, session)) => Ok(SignedIn {
                ticket,
                session,
                return_to: opened.transaction.return_to,
                hand_off: opened.transaction.hand_off,
                set_cookies,
                attempt,
            }),
            Err((phase, error)) => {
                inner
                    .telemetry
                    .login(phase.as_str(), error.reason(), &provider.0);
                log_failure(&attempt, phase, provider, &error);
                // What failed before the marker, or because it could not be
                // written, left the code unspent: the same callback may be
                // tried again.
                let retryable = phase == Phase::Callback
                    || matches!(error, LoginError::Session(_) | LoginError::UnderWay);
                Err(Failed {
                    error,
                    attempt: Some(attempt),
                    return_to: Some(opened.transaction.return_to),
                    hand_off: opened.transaction.hand_off,
                    set_cookies: if retryable { Vec::new() } else { set_cookies },
                })
            }
        }
    }

    async fn finish(
        &self,
        request: &CallbackRequest<'_>,
        parameters: &Parameters<'_>,
        state: &str,
        opened: &Opened,
    ) -> Result<(Ticket, Session), (Phase, LoginError)> {
        let inner = &self.inner;
        let transaction = &opened.transaction;
        let at = |phase: Phase| move |error: LoginError| (phase, error);
        let several = inner.providers.iter().count() > 1;
        if several != request.provider.is_some()
            || request
                .provider
                .is_some_and(|id| id != transaction.provider.0)
        {
            return Err((Phase::Callback, LoginError::MalformedCallback));
        }
        let provider = inner
            .providers
            .get(&transaction.provider)
            .ok_or((Phase::State, LoginError::UnknownProvider))?;
        provider
            .check_response_issuer(parameters.iss.as_deref())
            .await
            .map_err(|error| (Phase::Callback, error.into()))?;
        let derived = opened.secret.derive(&opened.key, &transaction.attempt);

        match self.first(state).await.map_err(at(Phase::State))? {
            None => {}
            Some(Outcome::Done) => return self.again(&derived).await.map_err(at(Phase::State)),
            Some(Outcome::Failed(reason)) => {
                return Err((Phase::State, LoginError::Spent { reason }));
            }
        }
        let result = match (&parameters.code, &parameters.error) {
            (None, Some(error)) => Err((
                Phase::Authorize,
                LoginError::Refused {
                    reason: authorization_error(error),
                },
            )),
            (Some(code), None) => {
                let exchange = Exchange {
                    code: SecretString::from(code.clone().into_owned()),
                    redirect_uri: inner.redirect_uri(&transaction.provider),
                    user_agent: request.user_agent.map(str::to_owned),
                    began_at: transaction.started_at,
                    attempt: transaction.attempt.clone(),
                    derived,
                };
                self.detached(provider.clone(), exchange).await
            }
            _ => Err((Phase::Callback, LoginError::MalformedCallback)),
        };
        let outcome = match &result {
            Ok(_) => Outcome::Done,
            Err((_, error)) => Outcome::Failed(error.reason().to_owned()),
        };
        self.remember(state, &outcome).await;
        result
    }

    /// Runs the exchange to its end even if the browser goes away.
    async fn detached(
        &self,
        provider: std::sync::Arc<Provider>,
        exchange: Exchange,
    ) -> Result<(Ticket, Session), (Phase, LoginError)> {
        let inner = std::sync::Arc::clone(&self.inner);
        self.inner
            .control
            .spawn(async move { inner.exchange(&provider, exchange).await })
            .await
            .unwrap_or(Err((Phase::Exchange, LoginError::Lost)))
    }

    /// `None`: this request is the first with this state. Otherwise how the
    /// first one ended, waiting for it if need be.
    async fn first(&self, state: &str) -> Result<Option<Outcome>, LoginError> {
        let deadline = tokio::time::Instant::now() + TWIN_WAIT;
        let [mut pause, slowest] = TWIN_ASKS;
        loop {
            let seen = self
                .inner
                .sessions
                .once("login", state.as_bytes(), REMEMBERED)
                .await?;
            match seen {
                Once::First => return Ok(None),
                Once::Seen(bytes) if bytes.is_empty() => {
                    if tokio::time::Instant::now() > deadline {
                        return Err(LoginError::UnderWay);
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(slowest);
                }
                Once::Seen(bytes) => {
                    return Ok(Some(
                        serde_json::from_slice(&bytes).unwrap_or(Outcome::Failed(String::new())),
                    ));
                }
            }
        }
    }

    async fn remember(&self, state: &str, outcome: &Outcome) {
        let bytes = serde_json::to_vec(outcome).expect("an outcome is plain data");
        let kept = self
            .inner
            .sessions
            .once_finish("login", state.as_bytes(), bytes)
            .await;
        if let Err(error) = kept {
            // A reload will wait and then say that the sign-in is under way.
            tracing::warn!(reason = error.reason(), "outcome of a sign-in was not kept");
        }
    }

    /// A reload after success: the same browser gets the same ticket, without
    /// a call to the provider.
    async fn again(&self, derived: &Derived) -> Result<(Ticket, Session), LoginError> {
        let inner = &self.inner;
        // Another replica may have written with another key of the ring.
        let tickets = inner
            .sessions
            .tickets_from_seed(&derived.ticket_seed, &inner.home);
        for ticket in tickets {
            if let Found::Live(session) = inner.sessions.find(&ticket).await? {
                return Ok((ticket, session));
            }
        }
        Err(LoginError::Spent {
            reason: String::new(),
        })
    }
}

struct Exchange {
    code: SecretString,
    redirect_uri: String,
    user_agent: Option<String>,
    began_at: Timestamp,
    attempt: String,
    derived: Derived,
}

impl Inner {
    async fn exchange(
        &self,
        provider: &Provider,
        exchange: Exchange,
    ) -> Result<(Ticket, Session), (Phase, LoginError)> {
        let tokens = provider
            .exchange(&CodeExchange {
                code: &exchange.code,
                redirect_uri: &exchange.redirect_uri,
                pkce_verifier: &exchange.derived.pkce_verifier,
            })
            .await
            .map_err(|error| (Phase::Exchange, error.into()))?;
        kill_point::at("login", "exchanged");
        let identity = provider
            .identify(&tokens, &exchange.derived.nonce)
            .await
            .map_err(|error| (Phase::IdToken, error.into()))?;
        kill_point::at("login", "identified");
        let (ticket, session) = self
            .sessions
            .create(NewSession {
                identity: &identity,
                tokens: &tokens,
                scope: &self.home,
                seed: &exchange.derived.ticket_seed,
                user_agent: exchange.user_agent.as_deref(),
                began_at: exchange.began_at,
            })
            .await
            .map_err(|error| (Phase::SessionWrite, error.into()))?;
        self.telemetry
            .login(Phase::Done.as_str(), "ok", &provider.id().0);
        log_success(&exchange.attempt, &session);
        Ok((ticket, session))
    }
}

fn log_success(attempt: &str, session: &Session) {
    tracing::info!(
        login.attempt = attempt,
        login.phase = Phase::Done.as_str(),
        provider.id = %session.identity.provider,
        session.reference = session.id.reference(),
        "signed in"
    );
}

fn log_failure(attempt: &str, phase: Phase, provider: &ProviderId, error: &LoginError) {
    let detail = error.to_string();
    let (phase, reason) = (phase.as_str(), error.reason());
    match error.blame() {
        Blame::Client => tracing::info!(
            login.attempt = attempt, login.phase = phase, provider.id = %provider,
            reason, detail, "sign-in failed"
        ),
        Blame::Operator | Blame::Gateway => tracing::error!(
            login.attempt = attempt, login.phase = phase, provider.id = %provider,
            reason, detail, "sign-in failed"
        ),
        Blame::Provider | Blame::Upstream => tracing::warn!(
            login.attempt = attempt, login.phase = phase, provider.id = %provider,
            reason, detail, "sign-in failed"
        ),
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
        {
            return Err(LoginError::MalformedCallback);
        }
        Ok(parameters)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_rp_06_07_08_parameters_that_contradict_are_refused() {
        for query in [
            "",
            "state=s",
            "code=&state=s",
            "code=c&state=",
            "code=c&error=e&state=s",
            "code=c&code=c&state=s",
            "state=s&code=c&state=s",
            "code=c&state=s&iss=a&iss=a",
            "code=c&state=s&access_token=t",
            "code=c&state=s&id_token=t",
        ] {
            assert!(Parameters::parse(query).is_err(), "{query}");
        }
        let good = Parameters::parse("code=c%2Bd&state=s&iss=i&session_state=x").unwrap();
        assert_eq!(good.code.as_deref(), Some("c+d"));
        assert_eq!(good.iss.as_deref(), Some("i"));
    }
}
