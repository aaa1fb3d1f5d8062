//! `header` of a rule: what a token of the application looks like.

use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;

use super::custom_header::is_replaced_upstream;
use super::problems::Findings;
use crate::model::header_pattern::{HeaderPattern, HeaderPatternError};

#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawHeader {
    /// Its name. Required.
    name: Option<String>,
    /// Regular expression for its whole value. Required.
    matches: Option<String>,
}

pub(super) fn check(raw: &RawHeader, key: &str, findings: &mut Findings) -> Option<HeaderPattern> {
    let at = |name: &str| format!("{key}.{name}");
    let name = match raw
        .name
        .as_deref()
        .map(|text| (text, HeaderName::from_bytes(text.as_bytes())))
    {
        Some((_, Ok(name))) => Some(name),
        Some((text, Err(_))) => {
            findings.error(
                &at("name"),
                format!("\"{text}\" is not the name of a header"),
                "write the header that carries the token, such as \"authorization\"",
            );
            None
        }
        None => {
            findings.missing(
                &at("name"),
                "is missing",
                "write the header that carries the token, such as \"authorization\"",
            );
            None
        }
    };
    let name = name.filter(|name| {
        let lost = is_replaced_upstream(name);
        if lost {
            findings.error(
                &at("name"),
                format!("{name} does not reach the application as the client wrote it"),
                "name the header in which the application expects its token, such as \"authorization\"",
            );
        }
        !lost
    });
    let Some(written) = raw.matches.as_deref() else {
        findings.missing(
            &at("matches"),
            "is missing",
            "write an expression for the whole value, such as \"^[A-Za-z0-9._=-]{40,}$\"",
        );
        return None;
    };
    let name = name?;
    match HeaderPattern::parse(name, written) {
        Ok(pattern) => {
            let short = ["x", "0", "Bearer x", "token x", "Basic eA=="];
            if short
                .iter()
                .any(|value| pattern.matches_value(value.as_bytes()))
            {
                findings.warning(
                    &at("matches"),
                    "also matches values that are much shorter than any token",
                    "say how long the application's tokens are, as in \"^[A-Za-z0-9._=-]{40,}$\"",
                );
            }
            Some(pattern)
        }
        Err(error) => {
            let cure = match &error {
                HeaderPatternError::MatchesEmpty => {
                    "write how long the application's tokens are, as in \"^[A-Za-z0-9._=-]{40,}$\""
                }
                _ => "write a regular expression without look-around and back references",
            };
            findings.error(&at("matches"), format!("\"{written}\" {error}"), cure);
            None
        }
    }
}
