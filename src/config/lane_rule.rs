//! `rules` of a route: which requests need a session, which are public, which
//! are refused.

use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use super::access::{self, RawAccess};
use super::problems::Findings;
use super::provider::ProviderNames;
use super::raw::indexed;
use crate::model::access::{Lane, LaneRule, Unauthenticated};
use crate::model::pattern::PathPattern;

/// The first rule that matches decides; what none matches needs a session.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawLaneRule {
    /// Methods it is about; absent: all. GET does not imply HEAD.
    methods: Option<Vec<String>>,
    /// Pattern of the path. Required.
    path: Option<String>,
    /// session, public (everybody, no identity) or deny (nobody). Required.
    lane: Option<RawLane>,
    /// Further conditions besides the route's access. Session lane only.
    access: Option<RawAccess>,
    /// auto: page visits are sent to the sign-in; 401: never. Session lane only.
    unauthenticated: Option<RawUnauthenticated>,
    /// Whether websockets may pass. Public lane only.
    upgrade: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawLane {
    Session,
    Public,
    Deny,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
pub(super) enum RawUnauthenticated {
    #[serde(rename = "auto")]
    Auto,
    #[serde(rename = "401")]
    Status401,
}

pub(super) fn check(
    raw: &[RawLaneRule],
    key: &str,
    providers: &ProviderNames,
    findings: &mut Findings,
) -> Vec<LaneRule> {
    let mut out: Vec<LaneRule> = Vec::new();
    let mut catch_all: Option<usize> = None;
    for (index, rule) in raw.iter().enumerate() {
        let key = format!("{key}[{index}]");
        if let Some(first) = catch_all {
            findings.error(
                &key,
                format!("can never be reached: rule {first} already takes every request"),
                "put it further up, or remove it",
            );
        }
        if let Some(rule) = one(rule, &key, providers, findings) {
            if rule.path.is_everything() && rule.methods.is_empty() {
                catch_all = catch_all.or(Some(index));
            }
            out.push(rule);
        }
    }
    out
}

fn one(
    raw: &RawLaneRule,
    key: &str,
    providers: &ProviderNames,
    findings: &mut Findings,
) -> Option<LaneRule> {
    let at = |name: &str| format!("{key}.{name}");
    let methods = methods(raw.methods.as_deref(), &at("methods"), findings);
    let path = match raw.path.as_deref() {
        None => {
            findings.missing(
                &at("path"),
                "is missing",
                "write a pattern; \"/*\" is every path",
            );
            None
        }
        Some(text) => pattern(text, &at("path"), findings),
    };
    let lane = match raw.lane {
        Some(RawLane::Session) => Some(Lane::Session),
        Some(RawLane::Public) => Some(Lane::Public),
        Some(RawLane::Deny) => Some(Lane::Deny),
        None => {
            findings.missing(
                &at("lane"),
                "is missing",
                "write lane = \"session\", \"public\" or \"deny\"",
            );
            None
        }
    };
    let mut only_in = |wanted: Lane, written: bool, name: &str| {
        if let Some(lane) = lane.filter(|lane| written && *lane != wanted) {
            findings.error(
                &at(name),
                format!("has no meaning in the {} lane", lane.as_str()),
                format!("remove it, or write lane = \"{}\"", wanted.as_str()),
            );
        }
    };
    only_in(Lane::Session, raw.access.is_some(), "access");
    only_in(
        Lane::Session,
        raw.unauthenticated.is_some(),
        "unauthenticated",
    );
    only_in(Lane::Public, raw.upgrade.is_some(), "upgrade");
    let access = match &raw.access {
        Some(access) => Some(access::check(access, &at("access"), providers, findings)?),
        None => None,
    };
    Some(LaneRule {
        methods,
        path: path?,
        lane: lane?,
        access,
        unauthenticated: match raw.unauthenticated {
            Some(RawUnauthenticated::Status401) => Unauthenticated::Status401,
            Some(RawUnauthenticated::Auto) | None => Unauthenticated::Auto,
        },
        upgrade: raw.upgrade.unwrap_or(false),
    })
}

fn methods(raw: Option<&[String]>, key: &str, findings: &mut Findings) -> Vec<Method> {
    let Some(raw) = raw else {
        return Vec::new();
    };
    if raw.is_empty() {
        findings.error(
            key,
            "is an empty list: no request could match",
            "name methods, or remove the key for all of them",
        );
    }
    let mut out = Vec::new();
    for (key, text) in indexed(raw, key) {
        match Method::from_bytes(text.as_bytes()) {
            Ok(method) if !text.bytes().any(|byte| byte.is_ascii_lowercase()) => out.push(method),
            _ => findings.error(
                &key,
                format!("\"{text}\" is not a method"),
                format!(
                    "methods are upper case: \"{}\"",
                    text.trim().to_ascii_uppercase()
                ),
            ),
        }
    }
    out
}

pub(super) fn pattern(text: &str, key: &str, findings: &mut Findings) -> Option<PathPattern> {
    match PathPattern::parse(text) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            findings.error(
                key,
                format!("\"{text}\" is not a path pattern: {error}"),
                "write \"/exact\", \"/below/*\", or a whole segment as in \"/a/*/b\"",
            );
            None
        }
    }
}
