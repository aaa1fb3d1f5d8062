//! Authenticate where the lane asks for it, then decide.

use std::net::IpAddr;
use std::time::Duration;

use http::HeaderMap;

use super::{Authentication, Cookies, Gate, made};
use crate::model::access::{Lane, Unauthenticated};
use crate::model::context::RequestContext;
use crate::policy::{Decision, DenyReason, LaneMatch, Permit};
use crate::route::Route;
use crate::session::sessions::Session;
use crate::session::ticket::Scope;

/// What happens to a request.
#[derive(Debug)]
pub enum Verdict {
    Admitted {
        permit: Permit,
        /// Present where the permit carries an identity.
        session: Option<Session>,
    },
    SignIn {
        unauthenticated: Unauthenticated,
        /// Why the session that this browser had is over.
        ended: Option<&'static str>,
    },
    Denied {
        reason: DenyReason,
        session: Option<Session>,
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
        cookies: Cookies<'_>,
    ) -> Verdict {
        let lane = route.policy.lane(&context.target, headers);
        let client = context.client_addr;
        if !lane.lane().knows_people() {
            return verdict(lane.decide(None, client), None, None);
        }
        if let Some(session) = self.known(scope, cookies, context.received_at) {
            return about(&lane, client, session);
        }
        let only;
        let cookies = match cookies {
            Cookies::Fields(fields) => fields,
            Cookies::Seen(seen) => {
                only = [seen.field()];
                &only
            }
        };
        // Seldom, and much: it would make the state of every request large.
        Box::pin(async move {
            if lane.lane() == Lane::Optional {
                let wants_tokens = route.config.pass_access_token;
                let session = self.recognise_at_once(scope, cookies, wants_tokens).await;
                return match session {
                    Some(session) => about(&lane, client, session),
                    None => verdict(lane.decide(None, client), None, None),
                };
            }
            match self.authenticate(scope, cookies).await {
                Authentication::SignedIn { session, .. } => about(&lane, client, session),
                Authentication::Anonymous { ended } => {
                    verdict(lane.decide(None, client), None, ended)
                }
                Authentication::Unavailable {
                    reason,
                    retry_after,
                } => Verdict::Unavailable {
                    reason,
                    retry_after,
                },
            }
        })
        .await
    }
}

/// Somebody is signed in.
fn about(lane: &LaneMatch<'_>, client: IpAddr, session: Session) -> Verdict {
    match made::decide(lane, &session, client) {
        Decision::Permit(permit) => Verdict::Admitted {
            session: permit.carries_identity().then_some(session),
            permit,
        },
        other => verdict(other, Some(session), None),
    }
}

fn verdict(decision: Decision, session: Option<Session>, ended: Option<&'static str>) -> Verdict {
    match decision {
        Decision::Permit(permit) => Verdict::Admitted { permit, session },
        Decision::SignIn { unauthenticated } => Verdict::SignIn {
            unauthenticated,
            ended,
        },
        Decision::Deny(reason) => Verdict::Denied { reason, session },
    }
}
