//! What a session's history tells of its refreshes.

use super::outcome::FailClass;
use super::refresher::Inner;
use crate::base::clock::Timestamp;
use crate::model::tokens::TokenSet;
use crate::session::history::{Entry, Event};
use crate::session::sessions::Session;

impl Inner {
    pub(super) fn note_refreshed(&self, session: &Session, renewed: &TokenSet) {
        let entry = Entry::new(self.clock.now(), Event::Refreshed)
            .at_provider(&session.identity.provider.0)
            .until(renewed.access_expires_at);
        self.sessions.note_session(session, entry);
    }

    /// Of failures alike the first, the second, the fourth and so on: a long
    /// outage must not push out what came before it.
    pub(super) fn note_failed(
        &self,
        session: &Session,
        reason: &str,
        class: FailClass,
        retry_at: Timestamp,
    ) {
        let header = &session.header;
        let count = u32::from(header.failures).saturating_add(1);
        if header.fail_class == class.0 && !count.is_power_of_two() {
            return;
        }
        let entry = Entry::new(self.clock.now(), Event::RefreshFailed)
            .at_provider(&session.identity.provider.0)
            .because(reason)
            .until(retry_at);
        self.sessions.note_session(session, entry);
    }
}
