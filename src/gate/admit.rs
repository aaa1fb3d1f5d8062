//! Authenticate where the lane asks for it, then decide.

use std::time::Duration;

use super::{Authentication, Gate};
use crate::model::access::{Lane, Unauthenticated};
use crate::model::target::Target;
use crate::policy::{Decision, DenyReason, Permit};
use crate::route::Route;
use crate::session::sessions::Session;
use crate::session::ticket::Scope;

/// What happens to a request.
#[derive(Debug)]
pub enum Verdict {
    Admitted {
        permit: Permit,
        /// Present on the session lane only.
        session: Option<Box<Session>>,
    },
    SignIn {
        unauthenticated: Unauthenticated,
        /// Why the session that this browser had is over.
        ended: Option<&'static str>,
    },
    Denied {
        reason: DenyReason,
        session: Option<Box<Session>>,
    },
    Unavailable {
        reason: &'static str,
        retry_after: Duration,
    },
}

impl Gate {
    /// The one door to an upstream. Public lanes never read the cookie.
    /// `scope`: that of the request's host.
    pub async fn admit(
        &self,
        route: &Route,
        target: &Target,
        scope: Option<&Scope>,
        cookies: &[&[u8]],
    ) -> Verdict {
        let lane = route.policy.lane(target);
        if lane.lane() != Lane::Session {
            return verdict(lane.decide(None), None, None);
        }
        match self.authenticate(scope, cookies).await {
            Authentication::SignedIn { session, .. } => {
                let decision = lane.decide(Some(&session.identity));
                verdict(decision, Some(session), None)
            }
            Authentication::Anonymous { ended } => verdict(lane.decide(None), None, ended),
            Authentication::Unavailable {
                reason,
                retry_after,
            } => Verdict::Unavailable {
                reason,
                retry_after,
            },
        }
    }
}

fn verdict(
    decision: Decision,
    session: Option<Box<Session>>,
    ended: Option<&'static str>,
) -> Verdict {
    match decision {
        Decision::Permit(permit) => Verdict::Admitted { permit, session },
        Decision::SignIn { unauthenticated } => Verdict::SignIn {
            unauthenticated,
            ended,
        },
        Decision::Deny(reason) => Verdict::Denied { reason, session },
    }
}
