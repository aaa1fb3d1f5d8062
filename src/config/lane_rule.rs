//! `rules` of a route: which requests need a session, which are public, which
//! are refused.

use http::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use super::access::{self, RawAccess, RawAccessRule};
use super::problems::Findings;
use super::provider::ProviderNames;
use super::raw::indexed;
use super::token_header::{self, RawHeader};
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
    /// session, optional (everybody; who is signed in is told), public (everybody,
    /// no identity), backend-token (a token that the application judges) or deny
    /// (nobody). Required.
    lane: Option<RawLane>,
    /// Header that the request must carry. Required in the backend-token lane, and only there.
    header: Option<RawHeader>,
    /// Further conditions besides the route's access. Session lane only.
    access: Option<RawAccess>,
    /// Who is refused all the same. Session lane only.
    deny: Option<Vec<RawAccessRule>>,
    /// auto: page visits are sent to the sign-in; 401: never. Session lane only.
    unauthenticated: Option<RawUnauthenticated>,
    /// Whether websockets may pass without signing in. Lanes optional, public and backend-token.
    upgrade: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawLane {
    Session,
    Optional,
    Public,
    BackendToken,
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
    let mut out: Vec<(usize, LaneRule)> = Vec::new();
    for (index, rule) in raw.iter().enumerate() {
        let key = format!("{key}[{index}]");
        let Some(rule) = one(rule, &key, providers, findings) else {
            continue;
        };
        let before = out.iter().find(|(_, earlier)| hides(earlier, &rule));
        match before {
            Some((first, earlier)) if earlier.takes_everything() => findings.error(
                &key,
                format!("can never be reached: rule {first} already takes every request"),
                "put it further up, or remove it",
            ),
            Some((first, earlier)) => findings.error(
                &key,
                format!(
                    "can never be reached: rule {first} ({}, {}) already takes its requests",
                    earlier.path,
                    earlier.lane.as_str()
                ),
                format!("put it before rule {first}: the first that matches decides"),
            ),
            None => {}
        }
        out.push((index, rule));
    }
    out.into_iter().map(|(_, rule)| rule).collect()
}

/// Whether `later` comes too late for every request that it is about. The odd
/// spellings that open lanes leave to later rules are no reason to write one.
fn hides(earlier: &LaneRule, later: &LaneRule) -> bool {
    const NAMED: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let unnamed = |method: &Method| !NAMED.contains(&method.as_str());
    let methods = if earlier.methods.is_empty() {
        !(earlier.lane.is_open() && later.methods.iter().any(unnamed))
    } else {
        let listed = |method| earlier.methods.contains(method);
        !later.methods.is_empty() && later.methods.iter().all(listed)
    };
    earlier.header.is_none() && methods && earlier.path.covers(&later.path)
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
        Some(RawLane::Optional) => Some(Lane::Optional),
        Some(RawLane::Public) => Some(Lane::Public),
        Some(RawLane::BackendToken) => Some(Lane::BackendToken),
        Some(RawLane::Deny) => Some(Lane::Deny),
        None => {
            findings.missing(
                &at("lane"),
                "is missing",
                "write lane = \"session\", \"optional\", \"public\", \"backend-token\" or \"deny\"",
            );
            None
        }
    };
    let mut only_in = |fits: fn(Lane) -> bool, wanted: &str, written: bool, name: &str| {
        if let Some(lane) = lane.filter(|lane| written && !fits(*lane)) {
            findings.error(
                &at(name),
                format!("has no meaning in the {} lane", lane.as_str()),
                format!("remove it, or write lane = \"{wanted}\""),
            );
        }
    };
    let session = |lane| lane == Lane::Session;
    only_in(session, "session", raw.access.is_some(), "access");
    only_in(session, "session", raw.deny.is_some(), "deny");
    only_in(
        session,
        "session",
        raw.unauthenticated.is_some(),
        "unauthenticated",
    );
    only_in(Lane::is_open, "public", raw.upgrade.is_some(), "upgrade");
    let backend_token = |lane| lane == Lane::BackendToken;
    only_in(
        backend_token,
        "backend-token",
        raw.header.is_some(),
        "header",
    );
    let token = lane.is_some_and(backend_token);
    if token && raw.methods.is_none() {
        findings.missing(
            &at("methods"),
            "is missing: this lane passes requests that nobody signed in for",
            "name the methods that the application's own clients use, such as [\"POST\"]",
        );
    }
    let header = match &raw.header {
        Some(raw) if token => token_header::check(raw, &at("header"), findings),
        None if token => {
            findings.missing(
                &at("header"),
                "is missing: without a token this lane would be public",
                "write header = { name = \"authorization\", matches = \"^[A-Za-z0-9._=-]{40,}$\" } with the shape of the application's tokens",
            );
            None
        }
        _ => None,
    };
    let access = match &raw.access {
        Some(access) => Some(access::check(access, &at("access"), providers, findings)?),
        None => None,
    };
    let deny = access::deny(raw.deny.as_deref(), &at("deny"), providers, findings);
    if token && header.is_none() {
        return None;
    }
    Some(LaneRule {
        methods,
        path: path?,
        header,
        lane: lane?,
        access,
        deny,
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
