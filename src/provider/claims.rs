//! Verified claims become an identity. Only claims that the configuration
//! names are kept, each within a bound: a picture of one megabyte never
//! reaches a session.

use serde_json::{Map, Value};

use super::error::{Class, Phase, ProviderError};
use super::id_token;
use crate::base::clock::Timestamp;
use crate::config::checked::{EmailVerified, Provider as ProviderConfig};
use crate::model::identity::{Groups, Identity};

/// Longest user name, name or mail address that is kept, in bytes.
const TEXT_MAX: usize = 1024;
const GROUP_MAX: usize = 1024;
const GROUPS_MAX: usize = 5000;
/// All groups together, in bytes.
const GROUPS_BYTES_MAX: usize = 256 * 1024;
/// A further claim, in bytes of JSON.
const EXTRA_MAX: usize = 8 * 1024;

/// A claim by its configured name: a leading "/" is a JSON pointer, anything
/// else one literal member. `null` counts as absent.
pub fn find<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let found = match name.strip_prefix('/') {
        None => claims.get(name),
        Some(rest) => {
            // `Value::pointer` wants a value; the first step is taken here.
            let (first, deeper) = match rest.find('/') {
                Some(at) => rest.split_at(at),
                None => (rest, ""),
            };
            let first = first.replace("~1", "/").replace("~0", "~");
            claims.get(&first).and_then(|value| value.pointer(deeper))
        }
    };
    found.filter(|value| !value.is_null())
}

/// Every claim name that the configuration wants.
pub fn wanted(config: &ProviderConfig) -> impl Iterator<Item = &str> {
    let names = &config.claims;
    [&names.groups, &names.email, &names.username, &names.name]
        .into_iter()
        .chain(&names.extra)
        .map(String::as_str)
}

/// Whether userinfo could tell something that is wanted and not yet known.
pub fn incomplete(config: &ProviderConfig, claims: &Map<String, Value>) -> bool {
    let unverified = config.email_verified == EmailVerified::Require
        && find(claims, &config.claims.email).is_some()
        && !claims.contains_key("email_verified");
    unverified || wanted(config).any(|name| find(claims, name).is_none())
}

/// Adds what `more` knows and `claims` does not; what was signed stays. That
/// one address is verified says nothing about another.
pub fn supplement(
    config: &ProviderConfig,
    claims: &mut Map<String, Value>,
    mut more: Map<String, Value>,
) {
    for name in ["email", config.claims.email.as_str()] {
        let (known, told) = (find(claims, name), find(&more, name));
        if known.is_some() && told.is_some() && known != told {
            more.remove("email_verified");
        }
    }
    merge(claims, more);
}

fn merge(claims: &mut Map<String, Value>, more: Map<String, Value>) {
    for (name, value) in more {
        let slot = claims.entry(name).or_insert(Value::Null);
        if slot.is_null() {
            *slot = value;
        } else if let (Value::Object(known), Value::Object(more)) = (slot, value) {
            merge(known, more);
        }
    }
}

/// The identity that `claims` tell.
pub fn identity(
    config: &ProviderConfig,
    claims: &Map<String, Value>,
    now: Timestamp,
) -> Result<Identity, ProviderError> {
    let subject = id_token::subject(claims)
        .map_err(|flaw| ProviderError::local(Phase::IdToken, Class::IdToken(flaw)))?;
    let names = &config.claims;
    let email = text(claims, &names.email);
    let extra = names.extra.iter().map(|name| {
        let value = match find(claims, name) {
            Some(value) if size(value) <= EXTRA_MAX => value.clone(),
            // There is one, but not here: that is not the same as none.
            Some(_) => Value::Null,
            None if is_elsewhere(claims, name) => Value::Null,
            // Asked for, and there is none. A claim that nobody asked for
            // when these were read has no entry at all: it could be any.
            None => Value::Array(Vec::new()),
        };
        (name.clone(), value)
    });
    Ok(Identity {
        provider: config.id.clone(),
        issuer: config.issuer.clone(),
        subject: subject.to_owned(),
        username: text(claims, &names.username),
        name: text(claims, &names.name),
        email_verified: email
            .as_deref()
            .is_some_and(|email| email_verified(config, claims, email)),
        email,
        groups: groups(claims, &names.groups),
        claims: extra.collect(),
        provider_session: claims
            .get("sid")
            .and_then(Value::as_str)
            .filter(|sid| !sid.is_empty() && sid.len() <= TEXT_MAX)
            .map(str::to_owned),
        read_at: now,
    })
}

fn text(claims: &Map<String, Value>, name: &str) -> Option<String> {
    let text = match find(claims, name)? {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (!text.is_empty() && text.len() <= TEXT_MAX).then_some(text)
}

/// `require`: the provider must say true (or "true", as Cognito and Apple
/// do). `trust`: every address counts, whatever it says. `ignore`: none does.
fn email_verified(config: &ProviderConfig, claims: &Map<String, Value>, email: &str) -> bool {
    let told = claims.get("email_verified").filter(|told| !told.is_null());
    let yes = |told: &Value| *told == true || *told == "true";
    // The claim speaks of `email`. An address that is read from another claim
    // (a user name, say) is not proven by it, unless both are the same.
    let of_this_one = text(claims, "email").is_none_or(|one| one.eq_ignore_ascii_case(email));
    match config.email_verified {
        EmailVerified::Require => of_this_one && told.is_some_and(yes),
        EmailVerified::Trust => true,
        EmailVerified::Ignore => false,
    }
}

fn groups(claims: &Map<String, Value>, name: &str) -> Groups {
    let elsewhere = is_elsewhere(claims, name);
    let overage = claims
        .get("hasgroups")
        .is_some_and(|has| *has == true || *has == "true");
    match find(claims, name) {
        None if elsewhere || overage => Groups::Unknown,
        None => Groups::Known(Vec::new()),
        Some(Value::String(one)) => list([one.as_str()].into_iter().map(Some)),
        Some(Value::Array(all)) => list(all.iter().map(Value::as_str)),
        Some(_) => Groups::Unknown,
    }
}

/// OpenID Connect Core 5.6.2 and Entra's overage: the claim is kept elsewhere.
/// Elsewhere is never asked: the address comes with the token.
fn is_elsewhere(claims: &Map<String, Value>, name: &str) -> bool {
    claims
        .get("_claim_names")
        .and_then(|names| names.get(name.trim_start_matches('/')))
        .is_some()
}

/// One unreadable or oversized group makes all of them unknown: it could be
/// the one that a rule denies.
fn list<'a>(items: impl Iterator<Item = Option<&'a str>>) -> Groups {
    let mut groups = Vec::new();
    let mut bytes = 0;
    for item in items {
        let Some(group) = item.filter(|group| group.len() <= GROUP_MAX) else {
            return Groups::Unknown;
        };
        if group.is_empty() {
            continue;
        }
        bytes += group.len();
        groups.push(group.to_owned());
        if groups.len() > GROUPS_MAX || bytes > GROUPS_BYTES_MAX {
            return Groups::Unknown;
        }
    }
    Groups::Known(groups)
}

fn size(value: &Value) -> usize {
    value.to_string().len()
}

#[cfg(test)]
mod tests;
