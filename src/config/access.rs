//! `access` and `deny`: who may pass and who may not. An empty list, rule or
//! string is an error, never "everybody".

use schemars::JsonSchema;
use serde::Deserialize;

pub(super) use super::access_rule::RawAccessRule;
use super::access_rule::{Use, one};
use super::problems::Findings;
use super::provider::ProviderNames;
use crate::model::access::{Access, AccessRule};

#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum RawAccess {
    Word(RawAccessWord),
    Rules(Vec<RawAccessRule>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawAccessWord {
    /// Whoever the provider signs in.
    SignedIn,
    /// The same, said on purpose where anybody can register at the provider.
    Anyone,
}

pub(super) fn check(
    raw: &RawAccess,
    key: &str,
    providers: &ProviderNames,
    findings: &mut Findings,
) -> Option<Access> {
    let rules = match raw {
        RawAccess::Word(RawAccessWord::Anyone) => return Some(Access::SignedIn),
        RawAccess::Word(RawAccessWord::SignedIn) => {
            if let Some(open) = providers.open.first() {
                findings.error(
                    key,
                    format!("\"signed-in\" would let everybody in: anybody can register at provider.{open}"),
                    "write \"anyone\" if that is meant, else a list such as [{ email_domains = [\"example.com\"] }]",
                );
                return None;
            }
            return Some(Access::SignedIn);
        }
        RawAccess::Rules(rules) => rules,
    };
    if rules.is_empty() {
        findings.missing(
            key,
            "is an empty list: nobody could get in",
            "write \"signed-in\", or a rule such as [{ groups = [\"staff\"] }]",
        );
        return None;
    }
    let rules: Option<Vec<_>> = rules
        .iter()
        .enumerate()
        .map(|(index, rule)| {
            one(
                rule,
                &format!("{key}[{index}]"),
                Use::Access,
                providers,
                findings,
            )
        })
        .collect();
    rules.map(Access::AnyOf)
}

/// `deny`: whom `access` lets pass and who is refused all the same.
pub(super) fn deny(
    raw: Option<&[RawAccessRule]>,
    key: &str,
    providers: &ProviderNames,
    findings: &mut Findings,
) -> Vec<AccessRule> {
    let Some(raw) = raw else {
        return Vec::new();
    };
    if raw.is_empty() {
        findings.error(
            key,
            "is an empty list: it denies nobody",
            "write a rule such as [{ groups = [\"guests\"] }], or remove the key",
        );
    }
    raw.iter()
        .enumerate()
        .filter_map(|(index, rule)| {
            one(
                rule,
                &format!("{key}[{index}]"),
                Use::Deny,
                providers,
                findings,
            )
        })
        .collect()
}
