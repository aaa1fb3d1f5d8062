//! One rule of `access` or `deny`.

use std::collections::BTreeMap;

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Deserialize;

use super::address;
use super::problems::Findings;
use super::provider::ProviderNames;
use super::raw::indexed;
use super::shape::nearest;
use crate::model::access::AccessRule;
use crate::model::identity::ProviderId;
use crate::model::origin::Authority;

/// Every key must match; inside a key one value is enough.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawAccessRule {
    /// Id of the provider that signed the person in.
    provider: Option<String>,
    /// Groups, as the provider spells them.
    groups: Option<Vec<String>>,
    /// Whole mail addresses.
    emails: Option<Vec<String>>,
    /// Domains of mail addresses.
    email_domains: Option<Vec<String>>,
    /// Subjects (`sub`) at the provider.
    subjects: Option<Vec<String>>,
    /// User names, as the provider spells them.
    usernames: Option<Vec<String>>,
    /// Claims by name or JSON pointer, each with the values of which one is enough.
    claims: Option<BTreeMap<String, Vec<String>>>,
    /// Where the client is: CIDRs, addresses, "loopback", "private". Narrows the rule.
    client_networks: Option<Vec<String>>,
}

impl RawAccessRule {
    const fn is_empty(&self) -> bool {
        self.provider.is_none() && self.names_nobody() && self.client_networks.is_none()
    }

    /// No key tells one person of a provider from another.
    const fn names_nobody(&self) -> bool {
        self.groups.is_none()
            && self.emails.is_none()
            && self.email_domains.is_none()
            && self.subjects.is_none()
            && self.usernames.is_none()
            && self.claims.is_none()
    }

    /// The first key whose values mean nothing without their provider.
    const fn key_of_a_provider(&self) -> Option<&'static str> {
        match self {
            Self {
                groups: Some(_), ..
            } => Some("groups"),
            Self {
                claims: Some(_), ..
            } => Some("claims"),
            Self {
                subjects: Some(_), ..
            } => Some("subjects"),
            Self {
                usernames: Some(_), ..
            } => Some("usernames"),
            _ => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Access,
    Deny,
}

pub(super) fn one(
    raw: &RawAccessRule,
    key: &str,
    purpose: Use,
    providers: &ProviderNames,
    findings: &mut Findings,
) -> Option<AccessRule> {
    if raw.is_empty() {
        findings.missing(
            key,
            "is an empty rule: it says nothing about anybody",
            "write groups, emails, email_domains, subjects, usernames, claims, client_networks or provider into it, or remove it",
        );
        return None;
    }
    of_provider(raw, key, purpose, providers, findings);
    let plain = |text: &str| (text != "*").then(|| text.to_owned());
    let claims = claims(raw.claims.as_ref(), &format!("{key}.claims"), findings);
    let networks = networks(
        raw.client_networks.as_deref(),
        &format!("{key}.client_networks"),
        findings,
    );
    let mut list = |raw: &Option<Vec<String>>,
                    name: &str,
                    read: &dyn Fn(&str) -> Option<String>,
                    cure: &str| {
        entries(
            raw.as_deref(),
            &format!("{key}.{name}"),
            read,
            cure,
            findings,
        )
    };
    let groups = list(
        &raw.groups,
        "groups",
        &plain,
        "write a group as the provider spells it",
    );
    let emails = list(
        &raw.emails,
        "emails",
        &address,
        "write a whole address, such as \"ann@example.com\"",
    );
    let cure = "write a domain in ASCII without \"@\", such as \"example.com\"";
    let email_domains = list(&raw.email_domains, "email_domains", &domain, cure);
    let cure = "write the subject (sub) as the provider spells it";
    let subjects = list(&raw.subjects, "subjects", &plain, cure);
    let cure = "write the user name as the provider spells it";
    let usernames = list(&raw.usernames, "usernames", &plain, cure);
    Some(AccessRule {
        provider: raw.provider.clone().map(ProviderId),
        groups: groups?,
        emails: emails?,
        email_domains: email_domains?,
        subjects: subjects?,
        usernames: usernames?,
        claims: claims?,
        client_networks: networks?,
    })
}

/// What the provider of a rule, named or not, makes of it.
fn of_provider(
    raw: &RawAccessRule,
    key: &str,
    purpose: Use,
    providers: &ProviderNames,
    findings: &mut Findings,
) {
    if let Some(id) = &raw.provider
        && !providers.all.contains(id)
    {
        let known: Vec<&str> = providers.all.iter().map(String::as_str).collect();
        let cure = match nearest(id, &known) {
            Some(close) => format!("did you mean \"{close}\"?"),
            None => format!("the providers are {}", known.join(", ")),
        };
        findings.error(
            &format!("{key}.provider"),
            format!("\"{id}\" is no provider"),
            cure,
        );
    }
    if let Some(name) = raw.key_of_a_provider()
        && raw.provider.is_none()
        && providers.all.len() > 1
    {
        findings.error(
            key,
            format!("names {name} without saying whose: each provider has {name} of its own"),
            format!(
                "add provider = \"{}\"",
                providers.all.first().map_or("", String::as_str)
            ),
        );
    }
    if purpose == Use::Deny || !raw.names_nobody() {
        return;
    }
    let open = match &raw.provider {
        Some(id) => providers.open.get(id),
        None => providers.open.first(),
    };
    if let Some(open) = open {
        let among = match raw.client_networks {
            Some(_) => " on these networks",
            None => "",
        };
        findings.warning(
            key,
            format!("lets in everybody{among}: anybody can register at provider.{open}"),
            "add emails, email_domains or groups, unless that is meant",
        );
    }
}

fn claims(
    raw: Option<&BTreeMap<String, Vec<String>>>,
    key: &str,
    findings: &mut Findings,
) -> Option<BTreeMap<String, Vec<String>>> {
    let Some(raw) = raw else {
        return Some(BTreeMap::new());
    };
    if raw.is_empty() {
        findings.error(
            key,
            "names no claim",
            "write a claim with its values, such as claims = { department = [\"sales\"] }, or remove the key",
        );
        return None;
    }
    let mut out = BTreeMap::new();
    for (name, values) in raw {
        let key = format!("{key}.{name}");
        if name.trim().is_empty() || name == "/" {
            findings.error(
                &key,
                "is no claim",
                "write the name of a claim, or a JSON pointer",
            );
            continue;
        }
        let cure = "write a value as the provider spells it; numbers and truth values as text";
        let plain = |text: &str| Some(text.to_owned());
        out.insert(
            name.clone(),
            entries(Some(values), &key, &plain, cure, findings)?,
        );
    }
    (out.len() == raw.len()).then_some(out)
}

fn networks(raw: Option<&[String]>, key: &str, findings: &mut Findings) -> Option<Vec<IpNet>> {
    let cure = "write a CIDR such as \"10.0.0.0/8\", or remove the key";
    let plain = |text: &str| Some(text.to_owned());
    let mut out = Vec::new();
    for (key, text) in indexed(&entries(raw, key, &plain, cure, findings)?, key) {
        match address::networks(text) {
            Ok(networks) => out.extend(networks),
            Err(_) if text.ends_with("/0") => findings.error(
                &key,
                format!("\"{text}\" is every address: it narrows nothing"),
                "remove it, or name the networks that are meant",
            ),
            Err(complaint) => findings.error(&key, complaint.what, complaint.cure),
        }
    }
    Some(out)
}

/// An absent key is an empty list; an empty list that was written is a fault.
fn entries(
    raw: Option<&[String]>,
    key: &str,
    read: &dyn Fn(&str) -> Option<String>,
    cure: &str,
    findings: &mut Findings,
) -> Option<Vec<String>> {
    let Some(raw) = raw else {
        return Some(Vec::new());
    };
    if raw.is_empty() {
        findings.error(
            key,
            "is an empty list: nobody could match it",
            "add a value, or remove the key",
        );
        return None;
    }
    let mut out = Vec::new();
    for (key, text) in indexed(raw, key) {
        let clean = text.trim() == text && !text.is_empty() && !text.contains(char::is_control);
        match clean.then(|| read(text)).flatten() {
            Some(value) => out.push(value),
            None if text.is_empty() => findings.error(&key, "is empty", cure),
            None if text == "*" => findings.error(
                &key,
                "\"*\" can match nobody: there are no wildcards in access",
                "write access = \"signed-in\" for everybody who signs in",
            ),
            None => findings.error(&key, format!("\"{text}\" can match nobody"), cure),
        }
    }
    Some(out)
}

fn address(text: &str) -> Option<String> {
    let (local, after) = text.split_once('@')?;
    domain(after)?;
    (!local.is_empty()).then(|| text.to_lowercase())
}

fn domain(text: &str) -> Option<String> {
    let authority = Authority::parse(text).ok()?;
    (authority.port.is_none() && authority.host.len() == text.len()).then_some(authority.host)
}
