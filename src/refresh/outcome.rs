//! What asking for a fresh session can come to.

use std::time::Duration;

use crate::base::fault::Fault;
use crate::base::random;
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
    "rotation_lost",
    "provider_busy",
];

impl FailClass {
    pub(super) const NONE: Self = Self(0);
    const REFRESH_NOT_ALLOWED: Self = Self(5);
    const SCOPE_REJECTED: Self = Self(6);
    pub(super) const ROTATION_LOST: Self = Self(12);
    pub(super) const PROVIDER_BUSY: Self = Self(13);

    /// Waiting helps nobody: when the access token has ended, only a new
    /// sign-in gives another.
    pub(super) fn ends_with_access_token(self) -> bool {
        matches!(
            self,
            Self::REFRESH_NOT_ALLOWED | Self::SCOPE_REJECTED | Self::ROTATION_LOST
        )
    }

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
            | Class::SubjectChanged
            | Class::SessionEndedByIdp => Self::Ends,
            // A refresh asks for no scope, so there is nothing to leave out
            // and try again: the client may no longer have what it was given.
            // And a provider that wants to see the person does not say that
            // it is another one.
            Class::RefreshNotAllowed | Class::ScopeRejected | Class::InteractionRequired => {
                Self::EndsWithAccessToken
            }
            _ => Self::Keeps,
        }
    }
}

/// A client that may not have its scopes is asked for again once in this time.
const SLOW: Duration = Duration::from_secs(60);

/// How long everybody waits after a failure that follows `failures` others.
pub(super) fn pause(error: &ProviderError, failures: u8) -> Duration {
    match error.class {
        Class::ScopeRejected => SLOW,
        _ => back_off(error.retry_after, u32::from(failures)),
    }
}

/// Up to a tenth more, so that those who were sent away together do not come
/// back together.
pub(super) fn jittered(pause: Duration) -> Duration {
    pause + pause.mul_f64(f64::from(random::bytes::<1>()[0]) / 2560.0)
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
fn back_off(asked: Option<Duration>, failures: u32) -> Duration {
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
    fn jitter_adds_at_most_a_tenth() {
        let second = Duration::from_secs(1);
        for _ in 0..200 {
            let pause = jittered(second);
            assert!(pause >= second && pause < second.mul_f64(1.1), "{pause:?}");
        }
    }

    #[test]
    fn stored_classes_keep_their_numbers() {
        assert_eq!(FailClass(3).reason(), "rate_limited");
        assert_eq!(FailClass(4).reason(), "client_credentials_rejected");
        assert_eq!(FailClass(9).reason(), "outcome_unknown");
        assert_eq!(FailClass::ROTATION_LOST.reason(), "rotation_lost");
        assert_eq!(FailClass::PROVIDER_BUSY.reason(), "provider_busy");
        assert_eq!(FailClass::SCOPE_REJECTED.reason(), "scope_rejected");
        assert_eq!(
            FailClass::REFRESH_NOT_ALLOWED.reason(),
            "refresh_not_allowed"
        );
        assert_eq!(FailClass(0).reason(), "provider_error");
        assert_eq!(FailClass(200).reason(), "provider_error");
    }
}
