//! `[self_test]`: whether the gateway asks its providers now and then.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::problems::Findings;
use super::quantity::{RawDuration, duration};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawSelfTest {
    /// How often each provider is asked what a sign-in would need of it.
    every: Option<RawDuration>,
}

/// Each test is a failed sign-in in the provider's log: not more of them.
const SHORTEST: Duration = Duration::from_secs(6 * 3600);

/// `None`: never.
pub(super) fn check(raw: &RawSelfTest, findings: &mut Findings) -> Option<Duration> {
    let key = "self_test.every";
    let every = duration(raw.every.as_ref(), key, SHORTEST, findings);
    if every < SHORTEST {
        findings.error(
            key,
            "is shorter than 6h: each test sends the provider a made-up code, which its log shows as a failed sign-in",
            "write at least \"6h\", or \"24h\"",
        );
    }
    raw.every.as_ref().map(|_| every)
}
