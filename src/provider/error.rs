//! What can go wrong between us and a provider, as classes that say what to
//! do next: who is to blame, whether anything reached the provider, when to
//! ask again.

use std::fmt;
use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::base::fault::{Blame, Fault};

/// How far a request got before it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// No byte of the request left: a code or refresh token is unspent.
    Not,
    /// The request may have been acted upon; no complete answer came.
    Unknown,
    /// The provider answered.
    Answered,
}

/// The step of the conversation that failed; the word in logs and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Configuration,
    Discovery,
    Authorize,
    Callback,
    Exchange,
    Refresh,
    Keys,
    IdToken,
    Userinfo,
    Logout,
}

impl Phase {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Discovery => "discovery",
            Self::Authorize => "authorize",
            Self::Callback => "callback",
            Self::Exchange => "exchange",
            Self::Refresh => "refresh",
            Self::Keys => "jwks",
            Self::IdToken => "id_token",
            Self::Userinfo => "userinfo",
            Self::Logout => "logout",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The class of a failure. Reason codes are a contract with operators.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Class {
    #[error("the grant has expired or was revoked")]
    GrantExpiredOrRevoked,
    #[error("the refresh token was used before")]
    RefreshReused,
    #[error("the provider cannot read a refresh token that it issued")]
    UpstreamGrantLost,
    #[error("the provider rejected the client's credentials")]
    ClientCredentialsRejected,
    #[error("the provider does not let this client refresh")]
    RefreshNotAllowed,
    #[error("the provider rejected the scopes")]
    ScopeRejected,
    #[error("the provider cannot be reached")]
    NetworkUnreachable,
    #[error("the request was sent but no complete answer came")]
    OutcomeUnknown,
    #[error("the provider's certificate comes from an unknown authority; see ca_file")]
    TlsUnknownCa,
    #[error("the provider's certificate has expired or is not valid yet")]
    TlsExpired,
    #[error("the provider's certificate is for another name")]
    TlsWrongName,
    #[error("no TLS connection to the provider")]
    TlsFailed,
    #[error("the provider failed")]
    ProviderError,
    #[error("the provider asks us to slow down")]
    RateLimited,
    #[error("the provider's clock differs from ours by {offset_secs} s")]
    ClockSkew {
        /// Provider minus us.
        offset_secs: i64,
    },
    #[error("the provider's answer cannot be used: {0}")]
    BadResponse(&'static str),
    #[error("the refreshed identity is another person's or another client's")]
    SubjectChanged,
    #[error("the provider has ended the session or disabled the user")]
    SessionEndedByIdp,
    /// Of the exchange only; of a refresh it is `GrantExpiredOrRevoked`.
    #[error("the provider rejected the code")]
    CodeRejected,
    #[error("the provider rejected the redirect_uri; register it there")]
    RedirectUriRejected,
    #[error("the provider does not allow this client the code flow")]
    ClientNotAllowed,
    #[error("the provider wants the user to interact")]
    InteractionRequired,
    #[error("too many calls to the provider are under way")]
    ProviderBusy,
    /// Nothing was sent: calls before this one found the provider unwell.
    #[error("the provider has been unreachable since {}", moment(*.since))]
    BreakerOpen { since: Timestamp },
    #[error("the discovery document is for another issuer")]
    IssuerMismatch,
    #[error("the discovery document names an endpoint that is refused: {0}")]
    EndpointRefused(&'static str),
    #[error("the provider demands something that this gateway does not speak: {0}")]
    Unsupported(&'static str),
    #[error("the answer came from another issuer, or does not say from which")]
    ResponseIssuerMismatch,
    #[error("the id token is refused: {0}")]
    IdToken(#[from] IdTokenFlaw),
    #[error("userinfo is about another subject")]
    UserinfoSubjectMismatch,
    #[error("the configuration cannot be used: {0}")]
    Configuration(&'static str),
}

/// Which duty of OpenID Connect Core 3.1.3.7 a token fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdTokenFlaw {
    #[error("there is none")]
    Missing,
    #[error("it is malformed")]
    Malformed,
    #[error("its algorithm is not allowed")]
    Algorithm,
    #[error("its header asks for something that is never honoured")]
    Header,
    #[error("its type is another")]
    Type,
    #[error("no key of the provider has its kid")]
    UnknownKey,
    #[error("its signature is wrong")]
    Signature,
    #[error("its issuer is another")]
    Issuer,
    #[error("its audience is another")]
    Audience,
    #[error("it has expired")]
    Expired,
    #[error("its time of issue is missing or implausible")]
    IssuedAt,
    #[error("it is not valid yet")]
    NotYetValid,
    #[error("its nonce is another")]
    Nonce,
    #[error("its at_hash does not fit the access token")]
    AccessTokenHash,
    #[error("its subject is missing or malformed")]
    Subject,
}

impl IdTokenFlaw {
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Missing => "id_token_missing",
            Self::Malformed => "id_token_malformed",
            Self::Algorithm => "id_token_algorithm",
            Self::Header => "id_token_header",
            Self::Type => "id_token_type",
            Self::UnknownKey => "jwks_unknown_kid",
            Self::Signature => "id_token_signature",
            Self::Issuer => "id_token_issuer",
            Self::Audience => "id_token_audience",
            Self::Expired => "id_token_expired",
            Self::IssuedAt => "id_token_issued_at",
            Self::NotYetValid => "id_token_not_yet_valid",
            Self::Nonce => "id_token_nonce",
            Self::AccessTokenHash => "id_token_at_hash",
            Self::Subject => "id_token_subject",
        }
    }
}

impl Class {
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::GrantExpiredOrRevoked => "grant_expired_or_revoked",
            Self::RefreshReused => "refresh_reused",
            Self::UpstreamGrantLost => "upstream_grant_lost",
            Self::ClientCredentialsRejected => "client_credentials_rejected",
            Self::RefreshNotAllowed => "refresh_not_allowed",
            Self::ScopeRejected => "scope_rejected",
            Self::NetworkUnreachable => "network_unreachable",
            Self::OutcomeUnknown => "outcome_unknown",
            Self::TlsUnknownCa => "tls_unknown_ca",
            Self::TlsExpired => "tls_expired",
            Self::TlsWrongName => "tls_wrong_name",
            Self::TlsFailed => "tls_failed",
            Self::ProviderError => "provider_error",
            Self::RateLimited => "rate_limited",
            Self::ClockSkew { .. } => "clock_skew",
            Self::BadResponse(_) => "bad_response",
            Self::SubjectChanged => "subject_changed",
            Self::SessionEndedByIdp => "session_ended_by_idp",
            Self::CodeRejected => "code_rejected",
            Self::RedirectUriRejected => "redirect_uri_rejected",
            Self::ClientNotAllowed => "client_not_allowed",
            Self::InteractionRequired => "interaction_required",
            Self::ProviderBusy => "provider_busy",
            Self::BreakerOpen { .. } => "provider_unreachable",
            Self::IssuerMismatch => "issuer_mismatch",
            Self::EndpointRefused(_) => "endpoint_refused",
            Self::Unsupported(_) => "provider_unsupported",
            Self::ResponseIssuerMismatch => "response_issuer_mismatch",
            Self::IdToken(flaw) => flaw.reason(),
            Self::UserinfoSubjectMismatch => "userinfo_subject_mismatch",
            Self::Configuration(_) => "provider_configuration",
        }
    }

    const fn blame(&self) -> Blame {
        match self {
            Self::GrantExpiredOrRevoked
            | Self::RefreshReused
            | Self::SessionEndedByIdp
            | Self::CodeRejected
            | Self::InteractionRequired
            | Self::ResponseIssuerMismatch => Blame::Client,
            Self::ClientCredentialsRejected
            | Self::RefreshNotAllowed
            | Self::ScopeRejected
            | Self::TlsUnknownCa
            | Self::TlsExpired
            | Self::TlsWrongName
            | Self::TlsFailed
            | Self::ClockSkew { .. }
            | Self::RedirectUriRejected
            | Self::ClientNotAllowed
            | Self::IssuerMismatch
            | Self::EndpointRefused(_)
            | Self::Unsupported(_)
            | Self::Configuration(_) => Blame::Operator,
            Self::UpstreamGrantLost
            | Self::NetworkUnreachable
            | Self::OutcomeUnknown
            | Self::ProviderError
            | Self::RateLimited
            | Self::BadResponse(_)
            | Self::SubjectChanged
            | Self::ProviderBusy
            | Self::BreakerOpen { .. }
            | Self::IdToken(_)
            | Self::UserinfoSubjectMismatch => Blame::Provider,
        }
    }
}

fn moment(at: Timestamp) -> httpdate::HttpDate {
    (std::time::UNIX_EPOCH + Duration::from_millis(at.as_millis())).into()
}

fn told(status: Option<u16>, detail: Option<&str>) -> String {
    match (status, detail) {
        (None, None) => String::new(),
        (None, Some(detail)) => format!(" ({detail})"),
        (Some(status), None) => format!(" (HTTP {status})"),
        (Some(status), Some(detail)) => format!(" (HTTP {status}: {detail})"),
    }
}

/// A failed call, with all that its caller needs to decide what comes next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{phase}: {class}{}", told(*.status, .detail.as_deref()))]
pub struct ProviderError {
    pub class: Class,
    pub phase: Phase,
    pub sent: Sent,
    /// HTTP status of the answer, where there was one.
    pub status: Option<u16>,
    /// The provider's own error code and text, cleaned of everything that
    /// could be a token. For operators, never for a page.
    pub detail: Option<String>,
    /// How long the provider asks us to wait; at most 5 minutes.
    pub retry_after: Option<Duration>,
    /// How often the request was tried; 0 where none was made.
    pub attempts: u32,
}

impl ProviderError {
    /// A failure without a call of its own.
    pub fn local(phase: Phase, class: Class) -> Self {
        Self {
            class,
            phase,
            sent: Sent::Not,
            status: None,
            detail: None,
            retry_after: None,
            attempts: 0,
        }
    }

    /// A failure that an answer of the provider caused.
    pub fn answered(phase: Phase, class: Class, status: u16) -> Self {
        Self {
            sent: Sent::Answered,
            status: Some(status),
            attempts: 1,
            ..Self::local(phase, class)
        }
    }

    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The provider is unwell rather than unwilling: worth another try later.
    pub fn is_transient(&self) -> bool {
        matches!(
            self.class,
            Class::NetworkUnreachable
                | Class::OutcomeUnknown
                | Class::ProviderError
                | Class::RateLimited
                | Class::ProviderBusy
                | Class::BreakerOpen { .. }
        )
    }
}

impl Fault for ProviderError {
    fn blame(&self) -> Blame {
        self.class.blame()
    }

    fn reason(&self) -> &'static str {
        self.class.reason()
    }
}
