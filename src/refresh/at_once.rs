//! A session for those who also do without: nothing is waited for.

use super::due::Due;
use super::refresher::Refresher;
use crate::session::sessions::Session;

impl Refresher {
    /// As [`Refresher::ensure_fresh`], but never waits: a refresh that is due
    /// begins, and the session counts as long as its claims are young enough.
    /// With `wants_tokens` the access token must not have ended either.
    pub fn fresh_at_once(&self, session: Session, wants_tokens: bool) -> Option<Session> {
        let due = self.inner.due(&session);
        let now = self.inner.clock.now();
        let header = &session.header;
        let may_begin = match due {
            Due::Soon => self.inner.may_begin(&session, now),
            Due::Now => header.retry_at <= now,
            Due::No | Due::CannotRefresh { .. } => false,
        };
        if may_begin {
            self.launch(&session);
        }
        let claims_end = session
            .identity
            .read_at
            .plus(self.inner.settings.identity_max_age);
        let usable = match due {
            Due::No | Due::Soon => self.inner.claims_asked_at(&session, now).is_none(),
            Due::Now => !wants_tokens && now < claims_end,
            Due::CannotRefresh { .. } => false,
        };
        usable.then_some(session)
    }
}
