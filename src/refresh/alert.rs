//! What an operator has to hear about once: a fault that many sessions share.
//! The single failures are in the log and in the metrics all the same.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::model::identity::ProviderId;
use crate::provider::Class;
use crate::session::record::SessionId;

/// So many sessions that fail alike within `WITHIN` are no coincidence.
const MANY: usize = 5;
const WITHIN: Duration = Duration::from_secs(60);
/// The same alert comes at most this often while the fault lasts.
const AGAIN_AFTER: Duration = Duration::from_secs(3600);

/// A kind of alert; its word is in the log line and the metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Alert {
    /// Refresh tokens that the provider issued are refused in numbers.
    GrantsRefused,
    ClientCredentialsRejected,
    RefreshNotAllowed,
    ScopeRejected,
}

impl Alert {
    pub(super) const fn of(class: &Class) -> Option<Self> {
        Some(match class {
            Class::GrantExpiredOrRevoked | Class::RefreshReused | Class::UpstreamGrantLost => {
                Self::GrantsRefused
            }
            Class::ClientCredentialsRejected => Self::ClientCredentialsRejected,
            Class::RefreshNotAllowed => Self::RefreshNotAllowed,
            Class::ScopeRejected => Self::ScopeRejected,
            _ => return None,
        })
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::GrantsRefused => "grants_refused",
            Self::ClientCredentialsRejected => "client_credentials_rejected",
            Self::RefreshNotAllowed => "refresh_not_allowed",
            Self::ScopeRejected => "scope_rejected",
        }
    }

    /// What it means and what to do, for the operator.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::GrantsRefused => {
                "the provider no longer accepts refresh tokens that it issued: its keys are lost \
                 or all grants were revoked; people sign in again (Gitea and Forgejo: keep the \
                 folder \"jwt\" of their data)"
            }
            Self::ClientCredentialsRejected => {
                "the provider rejects our client secret or client id; sessions are kept and go on \
                 as long as their access tokens; put the right secret into client_secret_file"
            }
            Self::RefreshNotAllowed => {
                "the provider does not let this client use refresh tokens; sessions end with \
                 their access tokens; allow the grant type refresh_token for the client there"
            }
            Self::ScopeRejected => {
                "the provider no longer grants this client the scopes of its sessions; they end \
                 with their access tokens; allow the scopes there or change them here"
            }
        }
    }

    /// One session is enough where the fault cannot be the session's.
    const fn enough(self) -> usize {
        match self {
            Self::GrantsRefused => MANY,
            _ => 1,
        }
    }
}

/// What a failure means for the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// Nothing yet: few fail, and for reasons of their own.
    Nothing,
    /// This is the moment.
    Now,
    /// It was told and goes on.
    Before,
}

#[derive(Debug, Default)]
struct Watch {
    seen: VecDeque<(Timestamp, SessionId, &'static str)>,
    raised_at: Option<Timestamp>,
}

#[derive(Debug, Default)]
pub(super) struct Alerts(Mutex<HashMap<(ProviderId, Alert), Watch>>);

impl Alerts {
    /// Notes a session that failed.
    pub(super) fn note(
        &self,
        alert: Alert,
        reason: &'static str,
        provider: &ProviderId,
        session: SessionId,
        now: Timestamp,
    ) -> Told {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let watch = all.entry((provider.clone(), alert)).or_default();
        watch
            .seen
            .retain(|(at, seen, _)| *seen != session && now.since(*at) < WITHIN);
        watch.seen.push_back((now, session, reason));
        let alike = watch.seen.iter().filter(|(_, _, other)| *other == reason);
        let many = alike.count() >= alert.enough();
        if watch.seen.len() > MANY * 4 {
            watch.seen.pop_front();
        }
        let told = watch
            .raised_at
            .is_some_and(|at| now.since(at) < AGAIN_AFTER);
        match (many, told) {
            (false, _) => Told::Nothing,
            (true, true) => Told::Before,
            (true, false) => {
                watch.raised_at = Some(now);
                Told::Now
            }
        }
    }

    /// A refresh of this provider worked. True if an alert is over by that;
    /// refused grants of others are not.
    pub(super) fn worked(&self, provider: &ProviderId) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut over = false;
        for ((of, alert), watch) in all.iter_mut() {
            if of == provider && *alert != Alert::GrantsRefused {
                over |= watch.raised_at.take().is_some();
            }
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(number: u8) -> SessionId {
        SessionId([number; 16])
    }

    #[test]
    fn row_1_6_five_sessions_within_a_minute_are_one_alert() {
        let alerts = Alerts::default();
        let main = ProviderId("main".into());
        let note = |number, reason, secs| {
            let now = Timestamp::from_secs(secs);
            alerts.note(Alert::GrantsRefused, reason, &main, session(number), now) == Told::Now
        };
        // One after the other, over hours: people whose grants ended.
        for number in 0..20 {
            assert!(!note(number, "a", u64::from(number) * 50));
        }
        for _ in 0..10 {
            assert!(!note(1, "a", 10_000), "one session is one session");
        }
        assert!(!note(2, "b", 10_000), "another reason");
        assert!(!note(3, "a", 10_001) && !note(4, "a", 10_002) && !note(5, "a", 10_003));
        assert!(note(6, "a", 10_004));
        for number in 7..100 {
            assert!(!note(number, "a", 10_005));
        }
        assert!(!alerts.worked(&main), "others are refused all the same");
        for number in 0..4 {
            assert!(!note(number, "a", 20_000));
        }
        assert!(note(4, "a", 20_000));
    }

    #[test]
    fn a_wrong_secret_is_told_at_once_and_again_after_it_had_worked() {
        let alerts = Alerts::default();
        let main = ProviderId("main".into());
        let note = |secs| {
            let now = Timestamp::from_secs(secs);
            let alert = Alert::ClientCredentialsRejected;
            alerts.note(alert, alert.as_str(), &main, session(1), now) == Told::Now
        };
        assert!(note(0));
        assert!(!note(60) && !note(300));
        assert!(!alerts.worked(&ProviderId("other".into())));
        assert!(alerts.worked(&main));
        assert!(!alerts.worked(&main));
        assert!(note(400));
    }
}
