//! The policy of one route, ready to be asked.

use crate::config::checked;
use crate::model::access::{Access, Lane, LaneRule};

/// Rules in the order in which they were written, and the route's access.
#[derive(Debug, Clone)]
pub struct RoutePolicy {
    pub(super) rules: Vec<LaneRule>,
    pub(super) access: Option<Access>,
    grants: bool,
}

impl RoutePolicy {
    pub fn compile(route: &checked::Route) -> Self {
        Self {
            rules: route.rules.clone(),
            access: route.access.clone(),
            grants: route.rules.iter().any(|rule| rule.lane == Lane::Public),
        }
    }

    /// Whether some request may pass without anybody being signed in.
    pub const fn has_public_lane(&self) -> bool {
        self.grants
    }
}
