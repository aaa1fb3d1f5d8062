//! The way out: to the provider, with a transaction under way.

use std::time::Instant;

use url::Url;

use super::Login;
use super::attempt_log::Attempt;
use super::error::{LoginError, Phase};
use super::rounds::Rounds;
use super::tagged_cookies;
use super::transaction::{self, BrowserSecret, Course, Transaction};
use crate::base::fault::Fault;
use crate::base::random;
use crate::model::identity::ProviderId;
use crate::provider::AuthorizationRequest;

pub struct StartRequest<'a> {
    pub provider: &'a ProviderId,
    /// Checked already: it cannot leave our hosts.
    pub return_to: &'a str,
    /// The host that waits for this sign-in, still sealed.
    pub hand_off: Option<&'a str>,
    /// The `Cookie` fields of the request.
    pub cookies: &'a [&'a [u8]],
    pub asking: Asking,
    /// What became of the session that this browser had, where it signed in
    /// a moment ago ([`Login::signed_in_lately`]).
    pub ended: Option<&'static str>,
}

/// What the provider is asked for besides a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    Usually,
    /// The person signs in again, perhaps as somebody else.
    Anew,
    /// Nobody is asked anything; if that cannot be, once more in the open.
    Nobody,
}

/// Where to send the browser, and what to set.
#[derive(Debug)]
pub struct Started {
    pub location: Url,
    pub set_cookies: Vec<String>,
    pub attempt: String,
}

/// A sign-in that could not begin.
#[derive(Debug)]
pub struct NotStarted {
    pub error: LoginError,
    pub attempt: String,
}

/// One way out, the first of an attempt or a later one.
pub(super) struct Departure<'a> {
    pub attempt: &'a str,
    pub provider: &'a ProviderId,
    pub return_to: &'a str,
    pub hand_off: Option<&'a str>,
    pub cookies: &'a [&'a [u8]],
    pub prompt: Option<&'static str>,
    pub course: Course,
}

impl Login {
    /// Begins a login. Writes nothing to the store.
    pub async fn start(&self, request: StartRequest<'_>) -> Result<Started, NotStarted> {
        let inner = &self.inner;
        let attempt = random::reference();
        let failed = |error: LoginError| {
            // What a client made up is no name for a metric.
            if !matches!(error, LoginError::UnknownProvider) {
                let provider = &request.provider.0;
                inner
                    .telemetry
                    .login(Phase::Start.as_str(), error.reason(), provider);
            }
            NotStarted {
                error,
                attempt: attempt.clone(),
            }
        };
        let rounds = Rounds::read(inner, request.cookies);
        let round_over = rounds.begin().map_err(|wait| {
            let ended = request.ended.unwrap_or("session_cookie_missing");
            failed(LoginError::Loop { ended, wait })
        })?;
        let departure = Departure {
            attempt: &attempt,
            provider: request.provider,
            return_to: request.return_to,
            hand_off: request.hand_off,
            cookies: request.cookies,
            prompt: match request.asking {
                Asking::Usually => None,
                Asking::Anew => Some("login"),
                Asking::Nobody => Some("none"),
            },
            course: Course {
                silent: request.asking == Asking::Nobody,
                ..Course::default()
            },
        };
        let mut started = self.depart(&departure).await.map_err(failed)?;
        started
            .set_cookies
            .extend(round_over.map(|rounds| rounds.cookie(inner)));
        Ok(started)
    }

    pub(super) async fn depart(&self, departure: &Departure<'_>) -> Result<Started, LoginError> {
        let began = Instant::now();
        let inner = &self.inner;
        let provider = inner
            .providers
            .get(departure.provider)
            .ok_or(LoginError::UnknownProvider)?;
        let key = inner.ring.writer();
        let attempt = departure.attempt.to_owned();
        let tag = tagged_cookies::tag();
        let secret = BrowserSecret::generate();
        let derived = secret.derive(key, &attempt);
        let now = inner.clock.now();
        let state = transaction::seal_state(
            inner,
            key,
            &tag,
            &secret,
            &Transaction {
                attempt: attempt.clone(),
                provider: departure.provider.clone(),
                started_at: now,
                return_to: departure.return_to.to_owned(),
                hand_off: departure.hand_off.map(str::to_owned),
                course: departure.course,
            },
        );
        let redirect_uri = inner.redirect_uri(departure.provider);
        let location = provider
            .authorization_url(&AuthorizationRequest {
                redirect_uri: &redirect_uri,
                state: &state,
                nonce: &derived.nonce,
                pkce_verifier: &derived.pkce_verifier,
                prompt: departure.prompt,
                without_offline_access: departure.course.without_offline_access,
            })
            .await?;
        inner
            .telemetry
            .login(Phase::Start.as_str(), "ok", &departure.provider.0);
        Attempt::new(&attempt, departure.provider).passed(Phase::Start, began.elapsed());
        Ok(Started {
            location,
            set_cookies: inner.cookies.begin(
                &tag,
                &secret.secret,
                now,
                departure.cookies,
                inner.recent_cookies.count(departure.cookies),
            ),
            attempt,
        })
    }
}
