//! `[trace]`: for whom answers say how they were decided.

use schemars::JsonSchema;
use serde::Deserialize;

use super::access::{self, RawAccess, RawAccessRule};
use super::checked::Trace;
use super::problems::Findings;
use super::provider::ProviderNames;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawTrace {
    /// Rules as in the access of a route: who sees X-Vestibule-Decision.
    admins: Option<Vec<RawAccessRule>>,
}

pub(super) fn check(raw: &RawTrace, providers: &ProviderNames, findings: &mut Findings) -> Trace {
    let rules = raw.admins.clone().map(RawAccess::Rules);
    Trace {
        admins: rules.and_then(|rules| access::check(&rules, "trace.admins", providers, findings)),
    }
}
