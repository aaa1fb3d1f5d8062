//! How a decision was made, for the people in a configured admin rule: one
//! header, in the words of the configuration.

use std::fmt::Write;
use std::net::IpAddr;

use http::{HeaderValue, Response};

use crate::base::body::Body;
use crate::base::header_names as names;
use crate::config::checked;
use crate::model::access::Access;
use crate::model::identity::Identity;
use crate::policy::{LaneMatch, admitted};

pub(super) struct Trace {
    admins: Option<Access>,
}

impl Trace {
    pub(super) fn new(config: checked::Trace) -> Self {
        Self {
            admins: config.admins,
        }
    }

    pub(super) const fn is_on(&self) -> bool {
        self.admins.is_some()
    }

    /// The header's value, if this person may see it from where they are.
    /// Nobody is known on lanes that ask nobody, so nobody is told anything
    /// there.
    pub(super) fn of(
        &self,
        person: Option<(&Identity, IpAddr)>,
        route: &str,
        lane: &LaneMatch<'_>,
        decision: &str,
        reason: Option<&str>,
    ) -> Option<HeaderValue> {
        let (admins, (identity, client)) = (self.admins.as_ref()?, person?);
        if !admitted(admins, identity, client) {
            return None;
        }
        let rule = rule_word(lane);
        let mut text = format!(
            "route={route}; rule={rule}; lane={}; decision={decision}",
            lane.lane().as_str()
        );
        if let Some(reason) = reason {
            // writing into a String cannot fail
            let _ = write!(text, "; reason={reason}");
        }
        // Ids and words of ours are plain ASCII.
        HeaderValue::from_str(&text).ok()
    }

    /// Puts it in. Where the header has a meaning, an application cannot
    /// speak in our name.
    pub(super) fn mark(&self, response: &mut Response<Body>, value: Option<HeaderValue>) {
        if self.admins.is_none() {
            return;
        }
        match value {
            Some(value) => response
                .headers_mut()
                .insert(names::X_VESTIBULE_DECISION, value),
            None => response.headers_mut().remove(names::X_VESTIBULE_DECISION),
        };
    }
}

/// As the configuration counts rules: from 0; "none" where no rule matched.
pub(super) fn rule_word(lane: &LaneMatch<'_>) -> String {
    lane.rule()
        .map_or_else(|| "none".to_owned(), |(index, _)| index.to_string())
}
