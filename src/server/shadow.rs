//! A second policy beside the real one: judged for the same request and the
//! same person, never obeyed.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::HeaderMap;

use super::place::{Place, place};
use crate::base::clock::{Clock, Timestamp};
use crate::base::fault::Fault;
use crate::config::checked;
use crate::model::access::Lane;
use crate::model::context::RequestContext;
use crate::model::identity::Identity;
use crate::policy::{Decision, Permit};
use crate::route::RouteTable;
use crate::telemetry::Telemetry;

/// One log line in this time for each kind of difference.
const QUIET: Duration = Duration::from_secs(60);

/// What a policy makes of a request, as metrics and the log call it. Lanes
/// are told apart: the same application page without an identity is not the
/// same answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Outcome {
    Permit(Lane),
    /// The optional lane, and the application is told who asks.
    Told,
    SignIn,
    Deny,
    /// Only the shadow: the real policy was asked because a route was found.
    NoRoute,
    UnknownHost,
    Own,
    /// No route takes the path as it is spelt.
    Malformed,
}

impl Outcome {
    pub(super) const fn of(permit: &Permit) -> Self {
        match permit.lane() {
            Lane::Optional if permit.carries_identity() => Self::Told,
            lane => Self::Permit(lane),
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Permit(Lane::Session) => "permit_session",
            Self::Permit(Lane::Optional) => "permit_optional",
            Self::Told => "permit_optional_told",
            Self::Permit(Lane::Public) => "permit_public",
            Self::Permit(Lane::BackendToken) => "permit_backend_token",
            Self::Permit(Lane::Deny) | Self::Deny => "deny",
            Self::SignIn => "sign_in",
            Self::NoRoute => "no_route",
            Self::UnknownHost => "unknown_host",
            Self::Own => "own",
            Self::Malformed => "malformed",
        }
    }
}

pub(super) struct Shadow {
    routes: RouteTable,
    prefix: String,
    /// As messages name it.
    file: String,
    clock: Clock,
    telemetry: Telemetry,
    /// Bounded: routes of the configuration times kinds of difference.
    noted: Mutex<HashMap<(String, Outcome, Outcome), Noted>>,
}

/// Since the last line.
struct Noted {
    last: Timestamp,
    unwritten: u64,
}

/// What the second policy would have done.
struct Judgement {
    outcome: Outcome,
    reason: &'static str,
    route: Option<String>,
    rule: Option<usize>,
}

impl Shadow {
    pub(super) fn new(shadow: &checked::Shadow, clock: Clock, telemetry: Telemetry) -> Self {
        Self {
            routes: RouteTable::compile(&shadow.config),
            prefix: shadow.config.server.prefix.clone(),
            file: shadow.file.display().to_string(),
            clock,
            telemetry,
            noted: Mutex::default(),
        }
    }

    /// Judges what the real policy decided as `real`. Where the real lane
    /// does not ask who somebody is, or does not tell, neither does this: there
    /// it judges a request of nobody.
    ///
    /// `context` is the request as it came: which prefixes its path loses and
    /// gets is for each policy's own route to say.
    pub(super) fn judge(
        &self,
        context: &RequestContext,
        headers: &HeaderMap,
        identity: Option<&Identity>,
        route: &str,
        real: Outcome,
    ) {
        let other = self.judgement(context, headers, identity);
        if other.outcome == real {
            return;
        }
        let (from, to) = (real.as_str(), other.outcome.as_str());
        self.telemetry.shadow_difference(route, from, to);
        if let Some(count) = self.due(route, real, other.outcome) {
            tracing::info!(
                reference = %context.reference,
                route.name = route,
                from,
                to,
                count,
                method = context.target.method.as_str(),
                path = context.target.path(),
                shadow.file = self.file,
                shadow.route = other.route,
                shadow.rule = other.rule,
                shadow.reason = other.reason,
                "the shadow policy would decide otherwise"
            );
        }
    }

    fn judgement(
        &self,
        context: &RequestContext,
        headers: &HeaderMap,
        identity: Option<&Identity>,
    ) -> Judgement {
        let of_place = |outcome| Judgement {
            outcome,
            reason: "",
            route: None,
            rule: None,
        };
        let route = match place(&self.routes, &self.prefix, &context.target) {
            Place::Route(route) => route,
            Place::UnknownHost => return of_place(Outcome::UnknownHost),
            Place::NoRoute => return of_place(Outcome::NoRoute),
            Place::Own(_) => return of_place(Outcome::Own),
            Place::Refused(error) => {
                return Judgement {
                    reason: error.reason(),
                    ..of_place(Outcome::Malformed)
                };
            }
        };
        let target = match route.config.prefix.apply(&context.target) {
            Ok(target) => target,
            Err(error) => {
                return Judgement {
                    reason: error.reason(),
                    ..of_place(Outcome::Malformed)
                };
            }
        };
        let lane = route.policy.lane(&target, headers);
        let (outcome, reason) = match lane.decide(identity, context.client_addr) {
            // Dropped here: a permit of this policy buys nothing.
            Decision::Permit(permit) => (Outcome::of(&permit), ""),
            Decision::SignIn { .. } => (Outcome::SignIn, ""),
            Decision::Deny(reason) => (Outcome::Deny, reason.reason()),
        };
        Judgement {
            outcome,
            reason,
            route: Some(route.config.id.clone()),
            rule: lane.rule().map(|(index, _)| index),
        }
    }

    /// How many differences of this kind a line would stand for, if one is
    /// due now.
    fn due(&self, route: &str, from: Outcome, to: Outcome) -> Option<u64> {
        let now = self.clock.now();
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        match noted.entry((route.to_owned(), from, to)) {
            Entry::Vacant(entry) => {
                entry.insert(Noted {
                    last: now,
                    unwritten: 0,
                });
                Some(1)
            }
            Entry::Occupied(mut entry) => {
                let noted = entry.get_mut();
                noted.unwritten += 1;
                if now.since(noted.last) < QUIET {
                    return None;
                }
                noted.last = now;
                Some(std::mem::take(&mut noted.unwritten))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::context::{Audience, RequestRef};
    use crate::model::origin::Scheme;
    use crate::model::target::Target;

    fn shadow(more: &str, clock: &Clock) -> Shadow {
        let folder = tempfile::tempdir().unwrap();
        let text = "server.public_url = \"https://a.test\"\n\
             [provider.main]\nkind = \"oidc\"\nissuer = \"https://id.test\"\nclient_id = \"v\"\n\
             [route.app]\nupstream = \"http://127.0.0.1:1\"\naccess = \"signed-in\"\n";
        let text = format!("{text}{more}");
        let loaded = crate::config::parse(&text, "next.toml", &[], folder.path()).unwrap();
        let config = checked::Shadow {
            file: "next.toml".into(),
            config: Box::new(loaded.config),
        };
        Shadow::new(&config, clock.clone(), Telemetry::new(None))
    }

    #[test]
    fn a_path_is_judged_with_the_prefixes_of_the_shadows_own_route() {
        let shadow = shadow(
            "path = \"/app/*\"\nstrip_prefix = \"/app\"\n\
             rules = [{ path = \"/public/*\", lane = \"public\" }]\n",
            &Clock::movable(),
        );
        let outcome = |path: &str| {
            let context = RequestContext {
                target: Target::for_tests("GET", &format!("https://a.test{path}")),
                client_addr: [192, 0, 2, 1].into(),
                peer_addr: [192, 0, 2, 1].into(),
                peer_trusted: false,
                scheme: Scheme::Https,
                audience: Audience::Api,
                reference: RequestRef(1),
                received_at: Timestamp::default(),
            };
            shadow.judgement(&context, &HeaderMap::new(), None).outcome
        };
        assert_eq!(outcome("/app/public/x"), Outcome::Permit(Lane::Public));
        assert_eq!(outcome("/app/x"), Outcome::SignIn);
        assert_eq!(outcome("/public/x"), Outcome::NoRoute);
    }

    #[test]
    fn one_line_of_a_kind_a_minute_that_counts_the_rest() {
        let clock = Clock::movable();
        let shadow = shadow("", &clock);
        let permit = Outcome::Permit(Lane::Session);
        let due = |from, to| shadow.due("app", from, to);
        assert_eq!(due(permit, Outcome::Deny), Some(1));
        assert_eq!(due(permit, Outcome::Deny), None);
        assert_eq!(due(permit, Outcome::SignIn), Some(1), "another kind");
        clock.advance(59_000);
        assert_eq!(due(permit, Outcome::Deny), None);
        clock.advance(1_000);
        assert_eq!(due(permit, Outcome::Deny), Some(3));
        assert_eq!(due(permit, Outcome::Deny), None);
    }
}
