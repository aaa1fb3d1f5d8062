//! Authenticate where the lane asks for it, then decide.

use std::time::Duration;

use http::HeaderMap;

use super::{Authentication, Gate};
use crate::model::access::{Lane, Unauthenticated};
use crate::model::context::RequestContext;
use crate::policy::{Decision, DenyReason, Permit};
use crate::route::Route;
use crate::session::sessions::Session;
use crate::session::ticket::Scope;

/// What happens to a request.
#[derive(Debug)]
pub enum Verdict {
    Admitted {
        permit: Permit,
        /// Present where the permit carries an identity.
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
    /// The one door to an upstream. Public and backend-token lanes never read
    /// the cookie. `scope`: that of the request's host.
    pub async fn admit(
        &self,
        route: &Route,
        context: &RequestContext,
        headers: &HeaderMap,
        scope: Option<&Scope>,
        cookies: &[&[u8]],
    ) -> Verdict {
        let lane = route.policy.lane(&context.target, headers);
        let client = context.client_addr;
        match lane.lane() {
            Lane::Session => {}
            Lane::Optional => {
                let wants_tokens = route.config.pass_access_token;
                let session = self.recognise_at_once(scope, cookies, wants_tokens).await;
                let identity = session.as_deref().map(|session| &*session.identity);
                return match lane.decide(identity, client) {
                    Decision::Permit(permit) => Verdict::Admitted {
                        session: session.filter(|_| permit.carries_identity()),
                        permit,
                    },
                    other => verdict(other, None, None),
                };
            }
            Lane::Public | Lane::BackendToken | Lane::Deny => {
                return verdict(lane.decide(None, client), None, None);
            }
        }
        match self.authenticate(scope, cookies).await {
            Authentication::SignedIn { session, .. } => {
                let decision = lane.decide(Some(&session.identity), client);
                verdict(decision, Some(session), None)
            }
            Authentication::Anonymous { ended } => verdict(lane.decide(None, client), None, ended),
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
