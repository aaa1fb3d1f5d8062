//! What a route tells its application about people: `identity`, `user_from`,
//! `namespace`, `group_separator`, `clear_cookies`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::checked::{IdentityPreset, IdentityRules, RouteHost, UserFrom};
use super::problems::Findings;
use super::raw::indexed;
use super::route::Surroundings;
use crate::model::access::Access;
use crate::model::identity::ProviderId;

/// The name of a preset; its schema comes from the table.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct RawIdentity(String);

impl JsonSchema for RawIdentity {
    fn schema_name() -> Cow<'static, str> {
        "RawIdentity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let one = |preset: IdentityPreset| {
            serde_json::json!({
                "type": "string",
                "const": preset.name,
                "description": preset.about,
            })
        };
        let all: Vec<_> = IdentityPreset::all().map(one).collect();
        json_schema!({ "oneOf": all })
    }
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawUserFrom {
    /// The provider's own key of the person. Never changes hands.
    Subject,
    /// The login name; kept for the first person who brings it.
    Username,
    /// The verified mail address; kept for the first person who brings it.
    Email,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawNamespace {
    /// Equal subjects of different providers are the same person.
    Shared,
}

/// What was written, each with the key under which it stands.
pub(super) struct Written<'a> {
    pub(super) identity: Option<&'a RawIdentity>,
    pub(super) user_from: (Option<&'a RawUserFrom>, String),
    pub(super) namespace: (Option<&'a RawNamespace>, String),
    pub(super) group_separator: (Option<&'a String>, String),
    pub(super) clear_cookies: (Option<&'a Vec<String>>, String),
}

pub(super) fn check(
    written: &Written<'_>,
    access: Option<&Access>,
    hosts: &[RouteHost],
    around: &Surroundings<'_>,
    findings: &mut Findings,
) -> IdentityRules {
    // a name that is not in the table was found by the check of the shape
    let preset = written
        .identity
        .and_then(|raw| IdentityPreset::find(&raw.0))
        .unwrap_or_default();
    let user_from = user_from(written, preset, findings);
    let (namespace, key) = &written.namespace;
    if namespace.is_some() && user_from != UserFrom::Subject && key.starts_with("route.") {
        findings.error(
            key,
            "has no effect: only subjects have a provider before them",
            "remove it, or write user_from = \"subject\"",
        );
    }
    let clear_cookies = clear_cookies(written, findings);
    IdentityRules {
        preset,
        user_from,
        shared_namespace: namespace.is_some(),
        only_provider: access.and_then(only_provider).cloned(),
        group_separator: group_separator(written, preset, findings),
        clear_on_arrival: !clear_cookies.is_empty() && arrives_signed_in(hosts, around),
        clear_cookies,
    }
}

fn user_from(written: &Written<'_>, preset: IdentityPreset, findings: &mut Findings) -> UserFrom {
    let (raw, key) = &written.user_from;
    let asked = raw.map(|raw| match raw {
        RawUserFrom::Subject => UserFrom::Subject,
        RawUserFrom::Username => UserFrom::Username,
        RawUserFrom::Email => UserFrom::Email,
    });
    match (asked, preset.user_from) {
        (Some(asked), Some(only)) if asked != only && key.starts_with("route.") => {
            let only = match only {
                UserFrom::Subject => "subject",
                UserFrom::Username => "username",
                UserFrom::Email => "email",
            };
            findings.error(
                key,
                format!(
                    "does not fit identity = \"{}\", which finds people by {only}",
                    preset.name
                ),
                format!("write \"{only}\", or remove the key"),
            );
            asked
        }
        (_, Some(only)) => only,
        (asked, None) => asked.unwrap_or(UserFrom::Subject),
    }
}

/// The provider that all rules name: then no two people who get in have the
/// same subject.
fn only_provider(access: &Access) -> Option<&ProviderId> {
    let Access::AnyOf(rules) = access else {
        return None;
    };
    let mut providers = rules.iter().map(|rule| rule.provider.as_ref());
    let first = providers.next().flatten()?;
    providers
        .all(|provider| provider == Some(first))
        .then_some(first)
}

fn group_separator(
    written: &Written<'_>,
    preset: IdentityPreset,
    findings: &mut Findings,
) -> String {
    let (raw, key) = &written.group_separator;
    let Some(raw) = raw else {
        return preset.group_separator.to_owned();
    };
    let mark = raw.trim_matches(' ');
    if raw.len() > 4 || mark.len() != 1 || !mark.bytes().all(|byte| byte.is_ascii_punctuation()) {
        findings.error(
            key,
            format!("\"{raw}\" cannot separate groups"),
            "write one sign such as \",\", \"|\" or \";\", with spaces around it if need be",
        );
    }
    raw.to_string()
}

fn clear_cookies(written: &Written<'_>, findings: &mut Findings) -> Vec<String> {
    let (raw, key) = &written.clear_cookies;
    let Some(raw) = raw else {
        return Vec::new();
    };
    if raw.is_empty() && key.starts_with("route_defaults") {
        findings.error(key, "is an empty list", "name a cookie, or remove the key");
    }
    let mut out: Vec<String> = Vec::new();
    for (key, name) in indexed(raw, key) {
        // RFC 6265 section 4.1.1: a cookie's name is a token
        let token = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte);
        if name.is_empty() || !name.bytes().all(token) {
            findings.error(
                &key,
                format!("\"{name}\" is not the name of a cookie"),
                "write the name alone, as the browser's tools show it, such as \"app_session\"",
            );
        } else if is_own(name) {
            findings.error(
                &key,
                format!("\"{name}\" is the gateway's own cookie"),
                "name the application's session cookie",
            );
        } else if out.iter().any(|other| other == name) {
            findings.error(&key, "stands here twice", "remove one of them");
        } else {
            out.push(name.to_owned());
        }
    }
    out
}

fn is_own(name: &str) -> bool {
    let stem = name
        .strip_prefix("__Host-")
        .or_else(|| name.strip_prefix("__Secure-"))
        .unwrap_or(name);
    stem == "vestibule" || stem.starts_with("vestibule-")
}

/// With a shared cookie the host of `public_url` alone answers the sign-in;
/// a browser lets no host clear the cookies of another one.
fn arrives_signed_in(hosts: &[RouteHost], around: &Surroundings<'_>) -> bool {
    let (Some(home), Some(domain)) = (around.public_url, around.cookie_domain) else {
        return false;
    };
    hosts.iter().any(|host| match host {
        RouteHost::Exact(authority) => {
            authority.host != home.host && super::session::is_within(&authority.host, domain)
        }
        RouteHost::Below(authority) => super::session::is_within(&authority.host, domain),
        RouteHost::Any => false,
    })
}
