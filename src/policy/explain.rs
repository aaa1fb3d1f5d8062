//! Why a decision came out as it did, as data.
//!
//! Only [`RoutePolicy::lane`] and [`LaneMatch::decide`] decide; what stands
//! here asks them and then names the conditions that they judged. Patterns
//! without ".." make sure that a new condition cannot be forgotten.

use std::net::IpAddr;

use http::HeaderMap;

use super::admission::{self, Fit, Person, fit};
use super::compile::RoutePolicy;
use super::decision::Decision;
use super::evaluate::{self, LaneMatch, granted_method, guarded_method, names_a_method};
use super::shortfall::{Mismatch, Shortfall, shortfalls};
use crate::model::access::{Access, AccessRule, Lane, LaneRule};
use crate::model::identity::Identity;
use crate::model::target::Target;

/// The way to a decision.
#[derive(Debug, PartialEq, Eq)]
pub struct Explanation {
    /// A CORS preflight that passes the rules by; then there are no steps.
    pub preflight: bool,
    /// One step per rule, up to the one that decided.
    pub rules: Vec<RuleStep>,
    /// A further rule that fits another reading of the same path, and so
    /// narrows as well.
    pub also: Option<usize>,
    /// That further rule denies, whoever asks.
    pub also_denies: bool,
    pub lane: Lane,
    /// Whom `deny` names: the route's, then the rules'. Empty where nobody's
    /// identity counts.
    pub deny: Vec<DenyStep>,
    /// What was asked of the identity: the route's access, then the rules'.
    /// Empty where nobody's identity counts.
    pub access: Vec<AccessStep>,
    /// Whether the client's address was looked at.
    pub networks: bool,
    pub decision: Decision,
}

/// One rule of the route, counted from 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleStep {
    pub index: usize,
    /// Empty: the rule matched and decided.
    pub mismatches: Vec<Mismatch>,
}

/// Whose conditions were asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    Route,
    /// A rule that matched, counted from 0.
    Rule(usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DenyStep {
    pub asked: Asked,
    pub outcome: DenyOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DenyOutcome {
    /// No entry names them, nor could.
    Spared,
    /// Entry `index` names them.
    Named { index: usize },
    /// Entry `index` could name them: nobody can tell these.
    CouldBe {
        index: usize,
        unknown: Vec<Shortfall>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessStep {
    pub asked: Asked,
    pub outcome: AccessOutcome,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessOutcome {
    /// Whoever the provider signs in.
    SignedIn,
    /// Entry `index` admits the identity; those before it do not.
    Admitted {
        index: usize,
        earlier: Vec<Vec<Shortfall>>,
    },
    /// What each entry misses.
    Refused(Vec<Vec<Shortfall>>),
}

impl RoutePolicy {
    /// What `self.lane(target, headers).decide(identity, client)` answers, and
    /// the steps that led there. Not for the request path: it allocates.
    pub fn explain(
        &self,
        target: &Target,
        headers: &HeaderMap,
        identity: Option<&Identity>,
        client: IpAddr,
    ) -> Explanation {
        let lane = self.lane(target, headers);
        let decided_by = lane.rule().map(|(index, _)| index);
        let before = match decided_by {
            _ if lane.is_preflight() => 0,
            Some(index) => index,
            None => self.rules.len(),
        };
        let mut rules: Vec<RuleStep> = self.rules[..before]
            .iter()
            .enumerate()
            .map(|(index, rule)| RuleStep {
                index,
                mismatches: mismatches(rule, target, headers),
            })
            .collect();
        rules.extend(decided_by.map(|index| RuleStep {
            index,
            mismatches: Vec::new(),
        }));
        let person = identity
            .filter(|_| lane.lane().knows_people())
            .map(|identity| Person { identity, client });
        let (deny, access, networks) = match person {
            Some(person) => (
                lane.deny_steps(person),
                lane.access_steps(person),
                lane.asks_for_networks(),
            ),
            None => (Vec::new(), Vec::new(), false),
        };
        Explanation {
            preflight: lane.is_preflight(),
            rules,
            also: lane.also().map(|(index, _)| index),
            also_denies: lane.lane() == Lane::Session && lane.denies_other_reading(),
            lane: lane.lane(),
            deny,
            access,
            networks,
            decision: lane.decide(identity, client),
        }
    }
}

impl LaneMatch<'_> {
    fn deny_lists(&self) -> impl Iterator<Item = (Asked, &[AccessRule])> {
        let of_rules = self
            .guards()
            .map(|(index, rule)| (Asked::Rule(index), &rule.deny[..]));
        std::iter::once((Asked::Route, &self.policy.deny[..]))
            .chain(of_rules)
            .filter(|(_, deny)| !deny.is_empty())
    }

    fn accesses(&self) -> impl Iterator<Item = (Asked, &Access)> {
        let of_rules = self
            .guards()
            .filter_map(|(index, rule)| Some((Asked::Rule(index), rule.access.as_ref()?)));
        let of_route = self.policy.access.as_ref();
        of_route
            .map(|access| (Asked::Route, access))
            .into_iter()
            .chain(of_rules)
    }

    fn deny_steps(&self, person: Person<'_>) -> Vec<DenyStep> {
        self.deny_lists()
            .map(|(asked, deny)| DenyStep {
                asked,
                outcome: deny_outcome(deny, person),
            })
            .collect()
    }

    fn access_steps(&self, person: Person<'_>) -> Vec<AccessStep> {
        self.accesses()
            .map(|(asked, access)| AccessStep {
                asked,
                outcome: outcome(access, person),
            })
            .collect()
    }

    fn asks_for_networks(&self) -> bool {
        let denies = self.deny_lists().flat_map(|(_, deny)| deny);
        let admits = self.accesses().flat_map(|(_, access)| access.rules());
        denies
            .chain(admits)
            .any(|rule| !rule.client_networks.is_empty())
    }
}

fn deny_outcome(deny: &[AccessRule], person: Person<'_>) -> DenyOutcome {
    let mut outcome = DenyOutcome::Spared;
    for (index, rule) in deny.iter().enumerate() {
        match fit(rule, person) {
            Fit::Yes => return DenyOutcome::Named { index },
            Fit::No => {}
            Fit::Unknown(_) => {
                let unknown = shortfalls(rule, person);
                outcome = DenyOutcome::CouldBe { index, unknown };
            }
        }
    }
    outcome
}

fn outcome(access: &Access, person: Person<'_>) -> AccessOutcome {
    let rules = match access {
        Access::SignedIn => return AccessOutcome::SignedIn,
        Access::AnyOf(rules) => rules,
    };
    let mut missed = Vec::new();
    for (index, rule) in rules.iter().enumerate() {
        if fit(rule, person) == Fit::Yes {
            return AccessOutcome::Admitted {
                index,
                earlier: missed,
            };
        }
        missed.push(shortfalls(rule, person));
    }
    AccessOutcome::Refused(missed)
}

/// Whether an access would let somebody pass, where no lane is involved.
pub fn admitted(access: &Access, identity: &Identity, client: IpAddr) -> bool {
    admission::admits(access, Person { identity, client }).is_ok()
}

fn mismatches(rule: &LaneRule, target: &Target, headers: &HeaderMap) -> Vec<Mismatch> {
    let mut asked = evaluate::Asked::new(target, headers);
    if asked.as_written(rule) || asked.leniently(rule) {
        return Vec::new();
    }
    let LaneRule {
        methods,
        path,
        header,
        lane,
        // What follows is asked after the rule was chosen.
        access: _,
        deny: _,
        unauthenticated: _,
        upgrade: _,
    } = rule;
    let as_written = path.matches(target.path());
    let lenient = path.matches_lenient(&target.lenient_reading());
    let mut out = Vec::new();
    let mut note = |fits: bool, mismatch| {
        if !fits {
            out.push(mismatch);
        }
    };
    match lane {
        Lane::Optional | Lane::Public | Lane::BackendToken => {
            note(granted_method(methods, &target.method), Mismatch::Method);
            note(as_written || lenient, Mismatch::Path);
            let spelt_well = as_written && target.is_canonical();
            note(spelt_well || !(as_written || lenient), Mismatch::Spelling);
            note(!names_a_method(target.query()), Mismatch::MethodInQuery);
            match header {
                Some(header) => {
                    let sent = headers.get_all(&header.name).iter().count();
                    note(sent > 0, Mismatch::HeaderMissing);
                    note(sent < 2, Mismatch::HeaderTwice);
                    note(sent != 1 || header.matches(headers), Mismatch::HeaderValue);
                }
                None => note(*lane != Lane::BackendToken, Mismatch::HeaderMissing),
            }
        }
        Lane::Session | Lane::Deny => {
            note(guarded_method(methods, &target.method), Mismatch::Method);
            note(as_written || lenient, Mismatch::Path);
        }
    }
    out
}

#[cfg(test)]
mod tests;
