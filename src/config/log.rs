//! `[log]`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::checked::Log;
use super::problems::Findings;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawLog {
    /// json for machines, text for people.
    format: Option<RawFormat>,
    /// The least important lines to write.
    level: Option<RawLevel>,
    /// One line for each request.
    access: Option<bool>,
    /// Whether these lines name the rule that decided.
    decisions: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawFormat {
    Json,
    Text,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

pub(super) fn check(raw: &RawLog, findings: &mut Findings) -> Log {
    if raw.decisions == Some(true) && raw.access == Some(false) {
        findings.error(
            "log.decisions",
            "has no meaning with log.access = false: the decision is part of the access line",
            "write access = true in [log], or remove it",
        );
    }
    let level = match raw.level {
        Some(RawLevel::Error) => "error",
        Some(RawLevel::Warn) => "warn",
        Some(RawLevel::Info) | None => "info",
        Some(RawLevel::Debug) => "debug",
        Some(RawLevel::Trace) => "trace",
    };
    Log {
        json: raw.format != Some(RawFormat::Text),
        level: level.to_owned(),
        access: raw.access.unwrap_or(true),
        decisions: raw.decisions.unwrap_or(false),
    }
}
