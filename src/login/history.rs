//! What an attempt's history tells, and the first line of the session's.
//! Mere starts are never noted: a flood of them must write nothing.

use std::time::Duration;

use super::Inner;
use super::attempt_log::Attempt;
use super::error::LoginError;
use super::exchange::Stopped;
use crate::base::fault::Fault;
use crate::session::history::{Entry, Event};
use crate::session::sessions::Session;

impl Inner {
    pub(super) fn note_done(&self, attempt: Attempt<'_>, session: &Session, took: Duration) {
        let now = self.clock.now();
        let entry = attempt
            .entry(Event::SignedIn, now, took)
            .leading_to(&session.id.reference());
        self.sessions.note_attempt(attempt.id(), entry);
        let began = Entry::new(now, Event::Began)
            .at_provider(&session.identity.provider.0)
            .leading_to(attempt.id())
            .until(session.header.access_exp);
        let began = match session.header.rt_fp.is_none() {
            true => began.because("access_token_ended"),
            false => began,
        };
        self.sessions.note_session(session, began);
    }

    /// A reload is no event of its own.
    pub(super) fn note_stopped(&self, attempt: Attempt<'_>, stopped: &Stopped, took: Duration) {
        let error = &stopped.error;
        if matches!(error, LoginError::Spent { .. }) {
            return;
        }
        let event = match stopped.next {
            Some(_) => Event::SignInRestarted,
            None => Event::SignInFailed,
        };
        let entry = attempt
            .entry(event, self.clock.now(), took)
            .in_phase(stopped.phase.as_str())
            .because(error.reason());
        self.sessions.note_attempt(attempt.id(), entry);
    }
}
