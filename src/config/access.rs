//! `access`: who may pass. An empty list, rule or string is an error, never
//! "everybody".

use schemars::JsonSchema;
use serde::Deserialize;

use super::problems::Findings;
use super::provider::ProviderNames;
use super::raw::indexed;
use super::shape::nearest;
use crate::model::access::{Access, AccessRule};
use crate::model::identity::ProviderId;
use crate::model::origin::Authority;

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
        .map(|(index, rule)| one(rule, &format!("{key}[{index}]"), providers, findings))
        .collect();
    rules.map(Access::AnyOf)
}

fn one(
    raw: &RawAccessRule,
    key: &str,
    providers: &ProviderNames,
    findings: &mut Findings,
) -> Option<AccessRule> {
    let RawAccessRule {
        provider,
        groups,
        emails,
        email_domains,
    } = raw;
    if provider.is_none() && groups.is_none() && emails.is_none() && email_domains.is_none() {
        findings.missing(
            key,
            "is an empty rule: it says nothing about anybody",
            "write groups, emails, email_domains or provider into it, or remove it",
        );
        return None;
    }
    if let Some(id) = provider
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
    if groups.is_some() && provider.is_none() && providers.all.len() > 1 {
        findings.error(
            key,
            "names groups without saying whose: each provider has groups of its own",
            format!(
                "add provider = \"{}\"",
                providers.all.first().map_or("", String::as_str)
            ),
        );
    }
    if let Some(id) = provider
        && providers.open.contains(id)
        && groups.is_none()
        && emails.is_none()
        && email_domains.is_none()
    {
        findings.warning(
            key,
            format!("lets in everybody: anybody can register at provider.{id}"),
            "add emails, email_domains or groups, unless that is meant",
        );
    }
    let by_mail = emails.is_some() || email_domains.is_some();
    let mut asked = providers
        .all
        .iter()
        .filter(|id| provider.as_ref().is_none_or(|only| only == *id))
        .peekable();
    if by_mail && asked.peek().is_some() && asked.all(|id| providers.without_mail.contains(id)) {
        findings.error(
            key,
            "asks for mail addresses, and email_verified = \"ignore\" makes them all worthless: nobody could get in",
            "write email_verified = \"require\" for that provider, or use groups",
        );
    }
    let plain = |text: &str| Some(text.to_owned());
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
        groups,
        "groups",
        &plain,
        "write a group as the provider spells it",
    );
    let emails = list(
        emails,
        "emails",
        &address,
        "write a whole address, such as \"ann@example.com\"",
    );
    let cure = "write a domain in ASCII without \"@\", such as \"example.com\"";
    let email_domains = list(email_domains, "email_domains", &domain, cure);
    Some(AccessRule {
        provider: provider.clone().map(ProviderId),
        groups: groups?,
        emails: emails?,
        email_domains: email_domains?,
    })
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
                "\"*\" is no pattern here: it can match nobody",
                "write access = \"signed-in\" if everybody is meant whom the provider signs in",
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
