//! The policy of one route, ready to be asked.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::config::checked;
use crate::model::access::{Access, AccessRule, LaneRule, Preflight};
use crate::model::pattern_tree::PatternTree;
use crate::model::target::{Target, TargetError};

/// Rules in the order in which they were written, and the route's access.
#[derive(Debug, Clone)]
pub struct RoutePolicy {
    pub(super) rules: Vec<LaneRule>,
    pub(super) access: Option<Access>,
    pub(super) deny: Vec<AccessRule>,
    pub(super) preflight: Preflight,
    encoded_slash: bool,
    /// Tells this policy from all others of the process.
    pub(super) number: u32,
    /// Whether some rule looks at where the client is.
    pub(super) asks_networks: bool,
    /// The paths of all rules.
    pub(super) paths: PatternTree,
    /// Those of the rules that do not open anything.
    pub(super) guarded: PatternTree,
}

impl RoutePolicy {
    pub fn compile(route: &checked::Route) -> Self {
        static LAST: AtomicU32 = AtomicU32::new(0);
        let rules = route.rules.iter();
        let mut rules_of_access = rules
            .flat_map(|rule| rule.access.iter().flat_map(Access::rules).chain(&rule.deny))
            .chain(route.access.iter().flat_map(Access::rules))
            .chain(&route.deny);
        let numbered = || route.rules.iter().enumerate();
        let guarded = numbered().filter(|(_, rule)| !rule.lane.is_open());
        Self {
            number: LAST.fetch_add(1, Ordering::Relaxed),
            asks_networks: rules_of_access.any(|rule| !rule.client_networks.is_empty()),
            paths: PatternTree::new(numbered().map(|(at, rule)| (at, &rule.path))),
            guarded: PatternTree::new(guarded.map(|(at, rule)| (at, &rule.path))),
            rules: route.rules.clone(),
            access: route.access.clone(),
            deny: route.deny.clone(),
            preflight: route.preflight,
            encoded_slash: route.encoded_slash,
        }
    }

    /// Whether some request may pass without anybody being signed in.
    pub fn is_reachable_without_signing_in(&self) -> bool {
        self.preflight == Preflight::Pass || self.rules.iter().any(|rule| rule.lane.is_open())
    }

    /// Refuses what only routes that ask for it take. Every way to a lane
    /// asks this first.
    ///
    /// # Errors
    /// An encoded slash that this route does not want.
    pub const fn takes(&self, target: &Target) -> Result<(), TargetError> {
        if target.has_encoded_slash() && !self.encoded_slash {
            return Err(TargetError::EncodedSlash);
        }
        Ok(())
    }
}
