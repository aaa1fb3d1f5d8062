//! What log and history say about one attempt: a line per phase, and one that
//! says how it ended. Never a code, a token, a state or a cookie.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::error::{LoginError, Phase};
use crate::base::clock::Timestamp;
use crate::base::fault::{Blame, Fault};
use crate::model::identity::ProviderId;
use crate::session::history::{Entry, Event, Step};
use crate::session::sessions::Session;

/// The names that every line of one attempt carries.
#[derive(Clone, Copy)]
pub(super) struct Attempt<'a> {
    id: &'a str,
    provider: &'a ProviderId,
    steps: Option<&'a Steps>,
}

/// The phases that an attempt went through, for its history.
#[derive(Default)]
pub(super) struct Steps(Mutex<Vec<Step>>);

impl<'a> Attempt<'a> {
    pub(super) fn new(id: &'a str, provider: &'a ProviderId) -> Self {
        Self {
            id,
            provider,
            steps: None,
        }
    }

    /// From now on phases are kept for the history too.
    pub(super) fn remembered(self, steps: &'a Steps) -> Self {
        Self {
            steps: Some(steps),
            ..self
        }
    }

    /// For the history of an attempt whose state opened; never of a mere
    /// start.
    pub(super) fn entry(&self, event: Event, at: Timestamp, took: Duration) -> Entry {
        let steps = self.steps.map(|steps| {
            let steps = steps.0.lock().unwrap_or_else(PoisonError::into_inner);
            steps.clone()
        });
        Entry {
            steps: steps.unwrap_or_default(),
            ..Entry::new(at, event)
                .at_provider(&self.provider.0)
                .taking(took)
        }
    }

    pub(super) fn id(&self) -> &'a str {
        self.id
    }

    /// Around the calls to the provider, so that its own lines are found by
    /// the attempt too.
    pub(super) fn span(&self) -> tracing::Span {
        tracing::info_span!("sign_in", login.attempt = self.id)
    }

    pub(super) fn passed(&self, phase: Phase, took: Duration) {
        if let Some(steps) = self.steps {
            let mut steps = steps.0.lock().unwrap_or_else(PoisonError::into_inner);
            steps.push(Step {
                phase: phase.as_str().to_owned(),
                took_millis: millis(took),
            });
        }
        tracing::info!(
            login.attempt = self.id,
            login.phase = phase.as_str(),
            provider.id = %self.provider,
            duration_ms = millis(took),
            "sign-in goes on"
        );
    }

    /// A step that is tried again; nothing is lost by it.
    pub(super) fn again(&self, phase: Phase, tries: usize, error: &LoginError) {
        tracing::warn!(
            login.attempt = self.id,
            login.phase = phase.as_str(),
            provider.id = %self.provider,
            reason = error.reason(),
            detail = %error,
            tries,
            "a step of a sign-in is tried again"
        );
    }

    pub(super) fn done(&self, session: &Session, took: Duration) {
        tracing::info!(
            login.attempt = self.id,
            login.phase = Phase::Done.as_str(),
            provider.id = %self.provider,
            session.reference = session.id.reference(),
            duration_ms = millis(took),
            "signed in"
        );
    }

    /// The browser is sent to the provider once more.
    pub(super) fn begins_anew(&self, reason: &'static str) {
        tracing::info!(
            login.attempt = self.id,
            provider.id = %self.provider,
            reason,
            "sign-in begins anew by itself"
        );
    }

    /// The provider signs people in without a refresh token only.
    pub(super) fn without_offline_access(&self) {
        tracing::warn!(
            login.attempt = self.id,
            provider.id = %self.provider,
            reason = "scope_rejected",
            "the provider refuses offline_access: trying without it, so sessions end with their \
             access token; allow the scope there, or set offline_access = \"never\""
        );
    }

    pub(super) fn failed(&self, phase: Phase, error: &LoginError, took: Duration) {
        let detail = error.to_string();
        let (attempt, provider) = (self.id, self.provider);
        let (phase, reason, duration_ms) = (phase.as_str(), error.reason(), millis(took));
        match error.blame() {
            Blame::Client => tracing::info!(
                login.attempt = attempt, login.phase = phase, provider.id = %provider,
                reason, detail, duration_ms, "sign-in failed"
            ),
            Blame::Operator | Blame::Gateway => tracing::error!(
                login.attempt = attempt, login.phase = phase, provider.id = %provider,
                reason, detail, duration_ms, "sign-in failed"
            ),
            Blame::Provider | Blame::Upstream => tracing::warn!(
                login.attempt = attempt, login.phase = phase, provider.id = %provider,
                reason, detail, duration_ms, "sign-in failed"
            ),
        }
    }
}

fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}
