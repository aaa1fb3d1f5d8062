//! What policy answers.

use crate::base::fault::{Blame, Fault};
use crate::model::access::{Lane, Unauthenticated};

/// The only ticket to an upstream, also on public lanes. Made by
/// `LaneMatch::decide` and nowhere else, so that a way around it does not
/// compile.
#[derive(Debug, PartialEq, Eq)]
pub struct Permit {
    lane: Lane,
    upgrade_allowed: bool,
}

impl Permit {
    pub(super) const fn new(lane: Lane, upgrade_allowed: bool) -> Self {
        Self {
            lane,
            upgrade_allowed,
        }
    }

    /// Session or public. Identity travels on the session lane only.
    pub const fn lane(&self) -> Lane {
        self.lane
    }

    /// Whether the connection may change its protocol (websocket).
    pub const fn upgrade_allowed(&self) -> bool {
        self.upgrade_allowed
    }

    #[cfg(test)]
    pub(crate) const fn for_tests(lane: Lane) -> Self {
        Self::new(lane, matches!(lane, Lane::Session))
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
