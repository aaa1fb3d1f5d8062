//! The routes of one host, by path.

use std::sync::Arc;

use crate::config::checked;
use crate::model::pattern_tree::PatternTree;
use crate::model::target::Target;
use crate::policy::RoutePolicy;
use crate::session::ticket::Scope;

/// One route on one of its hosts.
#[derive(Debug, Clone)]
pub struct Route {
    /// Its place among the routes of the configuration.
    pub index: usize,
    pub config: Arc<checked::Route>,
    pub policy: Arc<RoutePolicy>,
    /// The cookie scope of the host. `None` on `host = "*"`, which has no
    /// session lane, and below a wildcard outside the cookie domain, where
    /// every name is a scope of its own ([`scope_of`]).
    pub scope: Option<Scope>,
}

/// The routes that share their hosts, the more specific pattern first.
#[derive(Debug, Default)]
pub(super) struct Routes {
    pub(super) list: Vec<Route>,
    by_path: PatternTree,
}

impl Routes {
    pub(super) fn sort(&mut self) {
        self.list
            .sort_by(|one, other| one.config.path.by_specificity(&other.config.path));
        let patterns = self.list.iter().map(|route| &route.config.path);
        self.by_path = PatternTree::new(patterns.enumerate());
    }

    /// The most specific one. Where the path as written and its lenient
    /// reading lead to different routes, none.
    pub(super) fn find(&self, target: &Target) -> Option<&Route> {
        let path = target.path();
        let mut first = None;
        let note = |first: &mut Option<usize>, at| {
            *first = Some(first.map_or(at, |before: usize| before.min(at)));
        };
        self.by_path.matches(path, |at| note(&mut first, at));
        let at = first?;
        if self.list.len() > 1 || !target.is_canonical() {
            let reading = target.lenient_reading();
            if reading != path {
                let mut first = None;
                self.by_path
                    .matches_lenient(&reading, |at| note(&mut first, at));
                // A segment that `%2f` splits fits no pattern for one segment.
                let split = first.is_none() && target.has_encoded_slash();
                if first != Some(at) && !split {
                    return None;
                }
            }
        }
        Some(&self.list[at])
    }
}
