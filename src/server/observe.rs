//! What is told about a decision besides the answer itself: the rule in the
//! access log, the header for admins, the shadow policy's opinion. None of it
//! changes an answer, and all of it is off unless configured.

use http::HeaderMap;

use super::service::Inner;
use super::shadow::Outcome;
use super::trace::rule_word;
use super::trail::Trail;
use crate::base::fault::Fault;
use crate::gate::Verdict;
use crate::model::context::RequestContext;
use crate::model::identity::Identity;
use crate::model::target::Target;
use crate::route::Route;

impl Inner {
    /// `judged`: what the verdict is about; `context`: what was asked for.
    pub(super) fn observe(
        &self,
        context: &RequestContext,
        judged: &Target,
        headers: &HeaderMap,
        route: &Route,
        verdict: &Verdict,
        trail: &mut Trail<'_>,
    ) {
        if !self.trace.is_on() && !self.log_decisions && self.shadow.is_none() {
            return;
        }
        let id = &route.config.id;
        let lane = route.policy.lane(judged, headers);
        if self.log_decisions {
            trail.rule = Some(rule_word(&lane));
            trail.lane = Some(lane.lane().as_str());
        }
        let Some((identity, outcome, decision, reason)) = seen(verdict) else {
            return;
        };
        if let Some(shadow) = &self.shadow {
            shadow.judge(context, headers, identity, id, outcome);
        }
        let person = identity.map(|identity| (identity, context.client_addr));
        trail.trace = self.trace.of(person, id, &lane, decision, reason);
    }
}

type Seen<'a> = (
    Option<&'a Identity>,
    Outcome,
    &'static str,
    Option<&'static str>,
);

/// `None` where nothing was decided.
fn seen(verdict: &Verdict) -> Option<Seen<'_>> {
    match verdict {
        Verdict::Admitted { permit, session } => Some((
            session.as_ref().map(|session| &*session.identity),
            Outcome::of(permit),
            "permit",
            None,
        )),
        Verdict::SignIn { ended, .. } => Some((None, Outcome::SignIn, "sign_in", *ended)),
        Verdict::Denied { reason, session } => Some((
            session.as_ref().map(|session| &*session.identity),
            Outcome::Deny,
            "deny",
            Some(reason.reason()),
        )),
        Verdict::Unavailable { .. } => None,
    }
}
