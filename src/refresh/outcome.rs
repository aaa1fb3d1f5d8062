//! What asking for a fresh session can come to.

use std::time::Duration;

use crate::base::fault::Fault;
use crate::provider::{Class, ProviderError, Sent};
use crate::session::sessions::Session;

/// The answer to "may this session be used now?".
#[derive(Debug, Clone)]
pub enum Freshness {
    /// Use it; its access token, if it has one that lives, is valid.
    Fresh(Session),
    /// Cannot tell now. Nobody is signed out: 503 with `Retry-After`.
    Unavailable {
        reason: &'static str,
        retry_after: Duration,
    },
    /// The session is over; sign in again.
    Ended { reason: &'static str },
}

/// The byte that a failed refresh leaves in the record, so that every replica
/// knows why it has to wait. Stored: never renumber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailClass(pub u8);

/// Reason codes by their stored number; 0 is "none".
const CLASSES: &[&str] = &[
    "none",
    "network_unreachable",
    "provider_error",
    "rate_limited",
    "client_credentials_rejected",
    "refresh_not_allowed",
    "scope_rejected",
    "bad_response",
    "clock_skew",
    "outcome_unknown",
    "tls_error",
    "provider_unreachable",
];

impl FailClass {
    pub fn of(error: &ProviderError) -> Self {
        let reason = error.reason();
        let known = CLASSES.iter().position(|class| *class == reason);
        let fallback = if reason.starts_with("tls_") { 10 } else { 2 };
        Self(u8::try_from(known.unwrap_or(fallback)).unwrap_or(2))
    }

    pub fn reason(self) -> &'static str {
        CLASSES
            .get(usize::from(self.0))
            .copied()
            .filter(|class| *class != "none")
            .unwrap_or("provider_error")
    }
}

/// What a failed refresh means for the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// The provider said no to this grant for good.
    Ends,
    /// This grant can never be refreshed; it lives as long as its access
    /// token.
    EndsWithAccessToken,
    /// Anything else: the fault is not the session's.
    Keeps,
}

impl Effect {
    pub(super) fn of(error: &ProviderError) -> Self {
        match error.class {
            Class::GrantExpiredOrRevoked
            | Class::RefreshReused
            | Class::UpstreamGrantLost
            | Class::ScopeRejected
            | Class::SubjectChanged
            | Class::SessionEndedByIdp
            | Class::InteractionRequired => Self::Ends,
            Class::RefreshNotAllowed => Self::EndsWithAccessToken,
            _ => Self::Keeps,
        }
    }
}

/// The provider certainly did not use the refresh token up: nothing was sent,
/// or its own error says so. An answer that stopped half-way, a gateway's 502
/// or 504, and a 200 that cannot be read leave that open.
pub(super) fn token_is_unspent(error: &ProviderError) -> bool {
    match error.sent {
        Sent::Not => true,
        Sent::Unknown => false,
        Sent::Answered => error
            .status
            .is_some_and(|status| !matches!(status, 200..=299 | 502 | 504)),
    }
}

/// How long everybody waits after the n-th failure in a row: what the
/// provider asked for (at most 5 minutes), else 1, 2, 4 … 30 s.
pub(super) fn back_off(asked: Option<Duration>, failures: u32) -> Duration {
    match asked {
        Some(asked) => asked.clamp(Duration::from_secs(1), Duration::from_secs(300)),
        None => Duration::from_secs(1 << failures.min(5)).min(Duration::from_secs(30)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_to_thirty_seconds_and_honours_the_provider() {
        let own: Vec<u64> = (0..8).map(|n| back_off(None, n).as_secs()).collect();
        assert_eq!(own, [1, 2, 4, 8, 16, 30, 30, 30]);
        assert_eq!(back_off(Some(Duration::from_secs(7)), 4).as_secs(), 7);
        assert_eq!(back_off(Some(Duration::from_secs(9999)), 0).as_secs(), 300);
        assert_eq!(back_off(Some(Duration::ZERO), 0).as_secs(), 1);
    }

    #[test]
    fn stored_classes_keep_their_numbers() {
        assert_eq!(FailClass(3).reason(), "rate_limited");
        assert_eq!(FailClass(4).reason(), "client_credentials_rejected");
        assert_eq!(FailClass(9).reason(), "outcome_unknown");
        assert_eq!(FailClass(0).reason(), "provider_error");
        assert_eq!(FailClass(200).reason(), "provider_error");
    }
}
