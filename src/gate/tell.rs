//! What the upstream is told about somebody who may pass: nothing before the
//! name that it would know the person by is proven to be theirs.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use super::{Gate, made};
use crate::base::clock::Timestamp;
use crate::base::fault::{Blame, Fault};
use crate::identity_headers::{InjectError, Injection, ReadyHeaders};
use crate::session::record::SessionId;
use crate::session::sessions::{Session, SessionError};

/// Sessions remembered; beyond that a line may come twice.
const MOST: usize = 10_000;

/// The person is known but cannot be told to the upstream.
#[derive(Debug, thiserror::Error)]
pub enum TellError {
    #[error(transparent)]
    Inject(#[from] InjectError),
    #[error(transparent)]
    Session(#[from] SessionError),
    /// 403 until an operator releases the name.
    #[error("this {kind} belongs to another person, who brought it first")]
    Taken { kind: &'static str },
    /// 503: the session goes on without it elsewhere, not where it is passed on.
    #[error("the access token has ended and cannot be renewed now")]
    AccessTokenEnded,
}

impl Fault for TellError {
    fn blame(&self) -> Blame {
        match self {
            Self::Inject(error) => error.blame(),
            Self::Session(error) => error.blame(),
            Self::Taken { .. } => Blame::Client,
            Self::AccessTokenEnded => Blame::Provider,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Inject(error) => error.reason(),
            Self::Session(error) => error.reason(),
            Self::Taken { .. } => "username_taken",
            Self::AccessTokenEnded => "provider_unavailable",
        }
    }
}

/// Which sessions had a line about values that were left out.
#[derive(Debug, Default)]
pub(super) struct Warned(Mutex<HashSet<(SessionId, String)>>);

impl Warned {
    /// Whether this is the first time.
    fn first(&self, session: SessionId, route: &str) -> bool {
        // A set is valid after every single step.
        let mut warned = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.len() >= MOST {
            warned.clear();
        }
        warned.insert((session, route.to_owned()))
    }
}

impl Gate {
    /// The headers for `session` on the route with this id.
    pub async fn tell(
        &self,
        route: &str,
        injection: &Injection,
        session: &Session,
    ) -> Result<ReadyHeaders, TellError> {
        if let Some(ready) = made::told(injection, session, || self.sessions.now()) {
            return Ok(ready);
        }
        // Seldom: once for each reading of a session, and for a name each
        // minute.
        Box::pin(self.tell_anew(route, injection, session)).await
    }

    async fn tell_anew(
        &self,
        route: &str,
        injection: &Injection,
        session: &Session,
    ) -> Result<ReadyHeaders, TellError> {
        let identity = &session.identity;
        let mut until = Timestamp(u64::MAX);
        if let Some(pin) = injection.pin(identity) {
            let held = self
                .sessions
                .held_until(pin.kind, &pin.folded, identity)
                .await?;
            until = held.ok_or(TellError::Taken { kind: pin.kind })?;
        }
        let tokens = if injection.wants_access_token() {
            if !self.refresher.access_token_lives(session) {
                return Err(TellError::AccessTokenEnded);
            }
            until = until.min(session.header.access_exp);
            Some(session.tokens()?)
        } else {
            None
        };
        let access_token = tokens.as_ref().map(|tokens| &tokens.access_token);
        let ready = injection.render(identity, access_token)?;
        if ready.dropped() > 0 && self.warned.first(session.id, route) {
            tracing::warn!(
                dropped = ready.dropped(),
                route.name = route,
                session.reference = session.id.reference(),
                "groups with the separator, a control character or edge space are not told upstream"
            );
        }
        if made::keep(injection, session, &ready, until) {
            self.sessions.reweigh(session);
        }
        Ok(ready)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_once_per_session_and_route_and_the_memory_is_bounded() {
        let warned = Warned::default();
        let session = |number: u32| {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&number.to_le_bytes());
            SessionId(id)
        };
        assert!(warned.first(session(1), "app"));
        assert!(!warned.first(session(1), "app"));
        assert!(warned.first(session(1), "other"));
        assert!(warned.first(session(2), "app"));
        for number in 0..20_000 {
            warned.first(session(number), "app");
        }
        assert!(warned.0.lock().unwrap().len() <= MOST);
    }
}
