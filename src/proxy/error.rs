//! Why a request got no answer from its upstream.

use std::time::Duration;

use http::StatusCode;

use super::upstream_tls::{self, TlsFault};
use crate::base::body::BoxError;
use crate::base::fault::{Blame, Fault};

#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    #[error("upstream cannot be reached")]
    Unreachable(#[source] std::io::Error),
    #[error("upstream did not accept a connection in time")]
    ConnectTimeout,
    #[error("TLS with the upstream failed: {1}")]
    Tls(TlsFault, String),
    /// Several connects in a row failed; this one was not tried.
    #[error("upstream is down")]
    Down { retry_after: Duration },
    #[error("upstream did not answer in time")]
    Timeout,
    /// It broke off, or answered with something that is not HTTP.
    #[error("upstream broke off or answered malformed")]
    Broken(#[source] BoxError),
    #[error("upstream answered ambiguously: {0}")]
    Ambiguous(&'static str),
    #[error("all connections to the upstream are busy")]
    Busy,
    #[error("request body is longer than {limit} bytes")]
    BodyTooLarge { limit: u64 },
    #[error("request body stopped coming")]
    BodyStalled,
    #[error("request body broke off")]
    BodyBroken,
    #[error("upgrade request is malformed: {0}")]
    MalformedUpgrade(&'static str),
    #[error("upgrades are not allowed here")]
    UpgradeRefused,
    #[error("method cannot be proxied")]
    MethodRefused,
}

impl ProxyError {
    /// A connection broke. Upstreams judge a client certificate only after
    /// our side of the handshake is over, so their refusal comes here.
    pub(super) fn broken(error: BoxError) -> Self {
        match upstream_tls::fault(&*error) {
            Some((fault, words)) => Self::Tls(fault, words),
            None => Self::Broken(error),
        }
    }

    /// When it is worth coming again, where that is known.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Down { retry_after } => Some(*retry_after),
            _ => None,
        }
    }

    /// What the client is answered.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::Unreachable(_) | Self::Tls(..) | Self::Broken(_) | Self::Ambiguous(_) => {
                StatusCode::BAD_GATEWAY
            }
            Self::ConnectTimeout | Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
            Self::Down { .. } | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyStalled => StatusCode::REQUEST_TIMEOUT,
            Self::BodyBroken | Self::MalformedUpgrade(_) => StatusCode::BAD_REQUEST,
            Self::UpgradeRefused => StatusCode::FORBIDDEN,
            Self::MethodRefused => StatusCode::METHOD_NOT_ALLOWED,
        }
    }
}

impl Fault for ProxyError {
    fn blame(&self) -> Blame {
        match self {
            Self::Unreachable(_)
            | Self::ConnectTimeout
            | Self::Tls(..)
            | Self::Down { .. }
            | Self::Timeout
            | Self::Broken(_)
            | Self::Ambiguous(_)
            | Self::Busy => Blame::Upstream,
            Self::BodyTooLarge { .. }
            | Self::BodyStalled
            | Self::BodyBroken
            | Self::MalformedUpgrade(_)
            | Self::UpgradeRefused
            | Self::MethodRefused => Blame::Client,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "upstream_unreachable",
            Self::ConnectTimeout | Self::Timeout => "upstream_timeout",
            Self::Tls(fault, _) => fault.reason(),
            Self::Down { .. } => "upstream_down",
            Self::Broken(_) | Self::Ambiguous(_) => "upstream_broken",
            Self::Busy => "upstream_busy",
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::BodyStalled => "body_stalled",
            Self::BodyBroken => "body_broken",
            Self::MalformedUpgrade(_) => "upgrade_malformed",
            Self::UpgradeRefused => "upgrade_refused",
            Self::MethodRefused => "method_refused",
        }
    }
}
