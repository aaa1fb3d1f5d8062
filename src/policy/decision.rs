//! What policy answers.

use crate::base::fault::{Blame, Fault};
use crate::model::access::{Lane, Unauthenticated};

/// The only ticket to an upstream, also on public lanes. Made by
/// `LaneMatch::decide` and nowhere else, so that a way around it does not
/// compile.
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    pub(super) lane: Lane,
    pub(super) upgrade_allowed: bool,
    pub(super) carries_identity: bool,
    pub(super) drops_cookies: bool,
}

impl Permit {
    /// Every lane but deny.
    pub const fn lane(&self) -> Lane {
        self.lane
    }

    /// Whether the upstream is told who asks: on the session lane, and on the
    /// optional one for somebody whom the access rules admit.
    pub const fn carries_identity(&self) -> bool {
        self.carries_identity
    }

    /// Whether the Cookie header goes whole, not only our part of it: where
    /// the application has its own token to judge, and for preflights.
    pub const fn drops_cookies(&self) -> bool {
        self.drops_cookies
    }

    /// Whether the connection may change its protocol (websocket).
    pub const fn upgrade_allowed(&self) -> bool {
        self.upgrade_allowed
    }

    #[cfg(test)]
    pub(crate) const fn for_tests(lane: Lane) -> Self {
        Self {
            lane,
            upgrade_allowed: matches!(lane, Lane::Session),
            carries_identity: matches!(lane, Lane::Session),
            drops_cookies: matches!(lane, Lane::BackendToken),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
pub enum Decision {
    Permit(Permit),
    /// Nobody is signed in and the lane wants somebody.
    SignIn {
        unauthenticated: Unauthenticated,
    },
    Deny(DenyReason),
}

/// Why a request is refused with 403. Signing in again would not help.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DenyReason {
    #[error("the route denies this request to everybody")]
    RouteDenies,
    #[error("no access rule admits this identity")]
    NotAdmitted,
    #[error("a deny rule names this identity")]
    Denied,
    #[error("access depends on claims that the provider told in no readable form")]
    ClaimsUnknown,
    #[error("access depends on groups that the provider did not tell")]
    GroupsUnknown,
    #[error("access depends on a mail address that the provider has not verified")]
    EmailUnverified,
}

impl Fault for DenyReason {
    fn blame(&self) -> Blame {
        Blame::Client
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::RouteDenies => "route_denies",
            Self::NotAdmitted => "not_admitted",
            Self::Denied => "denied_by_rule",
            Self::ClaimsUnknown => "claims_unknown",
            Self::GroupsUnknown => "groups_unknown",
            Self::EmailUnverified => "email_unverified",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_may_upgrade_and_the_public_only_where_written() {
        assert!(Permit::for_tests(Lane::Session).upgrade_allowed());
        assert!(!Permit::for_tests(Lane::Public).upgrade_allowed());
    }
}
