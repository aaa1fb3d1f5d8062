//! Why a sign-in did not end in a session, and in which phase.

use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::fault::{Blame, Fault};
use crate::provider::{self, Class, ProviderError, Sent};
use crate::session::sessions::SessionError;

/// The steps of a login, in order; a label of log and metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Start,
    Authorize,
    Callback,
    State,
    Exchange,
    IdToken,
    Userinfo,
    SessionWrite,
    Done,
}

impl Phase {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Authorize => "authorize",
            Self::Callback => "callback",
            Self::State => "state",
            Self::Exchange => "exchange",
            Self::IdToken => "id_token",
            Self::Userinfo => "userinfo",
            Self::SessionWrite => "session_write",
            Self::Done => "done",
        }
    }

    /// The one of that name.
    pub(super) fn named(name: &str) -> Option<Self> {
        [
            Self::Start,
            Self::Authorize,
            Self::Callback,
            Self::State,
            Self::Exchange,
            Self::IdToken,
            Self::Userinfo,
            Self::SessionWrite,
            Self::Done,
        ]
        .into_iter()
        .find(|phase| phase.as_str() == name)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    #[error("no such provider")]
    UnknownProvider,
    #[error("callback parameters are missing, repeated or contradict one another")]
    MalformedCallback,
    /// No transaction of this browser fits: perhaps forged, perhaps cookies
    /// are blocked.
    #[error("sign-in was not started in this browser")]
    UnknownState,
    #[error("sign-in was started too long ago")]
    ExpiredState,
    /// A reload of a callback that was answered; with the reason it failed
    /// for, empty where it had succeeded.
    #[error("sign-in was answered before: {reason}")]
    Spent { reason: String, blame: Blame },
    /// Another copy of this callback never told how it ended.
    #[error("nobody knows what became of the code")]
    Forgotten,
    /// This browser signs in again and again.
    #[error("sign-ins go in circles; the last session ended because: {ended}")]
    Loop {
        ended: &'static str,
        /// Until the next one may begin.
        wait: Duration,
    },
    /// RFC 6749 section 4.1.2.1.
    #[error("provider refused the authorization request")]
    Refused { reason: &'static str },
    #[error(transparent)]
    Provider(#[from] ProviderError),
    #[error(transparent)]
    Session(#[from] SessionError),
    /// The detached task died; its cause is in the log.
    #[error("sign-in task ended without a result")]
    Lost,
}

impl Fault for LoginError {
    fn blame(&self) -> Blame {
        match self {
            Self::UnknownProvider
            | Self::MalformedCallback
            | Self::UnknownState
            | Self::ExpiredState
            | Self::Loop { .. } => Blame::Client,
            Self::Spent { blame, .. } => *blame,
            Self::Forgotten => Blame::Provider,
            Self::Refused { reason } => match *reason {
                "login_denied" | "login_required" => Blame::Client,
                "scope_rejected" | "client_credentials_rejected" => Blame::Operator,
                _ => Blame::Provider,
            },
            Self::Lost => Blame::Gateway,
            Self::Provider(error) => error.blame(),
            Self::Session(error) => error.blame(),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::UnknownProvider => "unknown_provider",
            Self::MalformedCallback => "bad_request",
            Self::UnknownState => "login_state_unknown",
            Self::ExpiredState => "login_state_expired",
            Self::Forgotten => "outcome_unknown",
            Self::Loop { .. } => "login_loop",
            Self::Spent { reason, .. } => known_reason(reason),
            Self::Refused { reason } => reason,
            Self::Provider(error) => error.reason(),
            Self::Session(error) => error.reason(),
            Self::Lost => "internal",
        }
    }
}

impl LoginError {
    /// The code may have been spent, and nobody knows. It must not be sent
    /// again.
    pub(super) fn leaves_the_code_in_doubt(&self) -> bool {
        match self {
            Self::Forgotten | Self::Lost => true,
            Self::Provider(error) => {
                error.sent == Sent::Unknown && error.phase == provider::Phase::Exchange
            }
            _ => false,
        }
    }

    /// When the outage began that the provider is in.
    pub fn outage_since(&self) -> Option<Timestamp> {
        match self {
            Self::Provider(error) => match error.class {
                Class::BreakerOpen { since } => Some(since),
                _ => None,
            },
            _ => None,
        }
    }

    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Provider(error) => error
                .retry_after
                .or_else(|| error.is_transient().then_some(Duration::from_secs(5))),
            Self::Session(_) => Some(Duration::from_secs(2)),
            Self::Loop { wait, .. } => Some(*wait),
            _ => None,
        }
    }
}

/// The `error` parameter of an authorization answer as a reason code of ours;
/// nothing of the provider's own text is shown.
pub(super) fn authorization_error(error: &str) -> &'static str {
    match error {
        "access_denied" => "login_denied",
        "invalid_scope" => "scope_rejected",
        "unauthorized_client" | "invalid_client" => "client_credentials_rejected",
        "temporarily_unavailable" => "provider_unavailable",
        "login_required"
        | "interaction_required"
        | "consent_required"
        | "account_selection_required" => "login_required",
        _ => "provider_error",
    }
}

/// Reasons that a spent transaction can have left in the store.
const KNOWN: &[&str] = &[
    "login_denied",
    "login_required",
    "internal",
    "provider_error",
    "provider_unavailable",
    "provider_unreachable",
    "scope_rejected",
    "client_credentials_rejected",
    "network_unreachable",
    "outcome_unknown",
    "bad_response",
    "clock_skew",
    "rate_limited",
    "jwks_unknown_kid",
    "subject_changed",
    "store_unavailable",
    "store_refuses_writes",
    "store_credentials_rejected",
    "store_record_corrupt",
    "session_record_corrupt",
    "session_ended_by_idp",
    "grant_expired_or_revoked",
    "code_rejected",
    "redirect_uri_rejected",
    "client_not_allowed",
    "interaction_required",
    "provider_busy",
    "issuer_mismatch",
    "endpoint_refused",
    "provider_unsupported",
    "response_issuer_mismatch",
    "userinfo_subject_mismatch",
    "provider_configuration",
    "tls_unknown_ca",
    "tls_expired",
    "tls_wrong_name",
    "tls_failed",
    "id_token_missing",
    "id_token_malformed",
    "id_token_algorithm",
    "id_token_header",
    "id_token_type",
    "id_token_signature",
    "id_token_issuer",
    "id_token_audience",
    "id_token_expired",
    "id_token_issued_at",
    "id_token_not_yet_valid",
    "id_token_nonce",
    "id_token_at_hash",
    "id_token_subject",
];

fn known_reason(stored: &str) -> &'static str {
    KNOWN
        .iter()
        .copied()
        .find(|known| *known == stored)
        .unwrap_or("login_spent")
}
