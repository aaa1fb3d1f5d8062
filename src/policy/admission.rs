//! Whom `access` and `deny` speak of. Three-valued: what is unknown never
//! matches `access` and always matches `deny`.

use std::net::IpAddr;

use serde_json::Value;

use super::decision::DenyReason;
use crate::model::access::{Access, AccessRule};
use crate::model::identity::{Groups, Identity};

/// Who asks, and from where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Person<'a> {
    pub(super) identity: &'a Identity,
    pub(super) client: IpAddr,
}

/// Whether a rule speaks of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fit {
    Yes,
    No,
    /// Nobody can tell, and what a refusal should say about it.
    Unknown(DenyReason),
}

impl Fit {
    const fn of(fits: bool) -> Self {
        if fits { Self::Yes } else { Self::No }
    }

    /// All must fit; one "no" outweighs every "unknown".
    fn and(self, next: Self) -> Self {
        match (self, next) {
            (Self::No, _) | (_, Self::No) => Self::No,
            (_, Self::Unknown(reason)) => Self::Unknown(reason),
            (first, Self::Yes) => first,
        }
    }
}

/// One rule must match. If none does, the reason tells what came closest:
/// something unknown rather than something wrong.
pub(super) fn admits(access: &Access, person: Person<'_>) -> Result<(), DenyReason> {
    let Access::AnyOf(rules) = access else {
        return Ok(());
    };
    let mut nearest = DenyReason::NotAdmitted;
    for rule in rules {
        match fit(rule, person) {
            Fit::Yes => return Ok(()),
            Fit::No | Fit::Unknown(DenyReason::NotAdmitted) => {}
            Fit::Unknown(reason) => nearest = reason,
        }
    }
    Err(nearest)
}

/// No rule may match, nor could.
pub(super) fn spares(deny: &[AccessRule], person: Person<'_>) -> Result<(), DenyReason> {
    let mut unknown = Ok(());
    for rule in deny {
        match fit(rule, person) {
            Fit::Yes => return Err(DenyReason::Denied),
            Fit::No => {}
            Fit::Unknown(DenyReason::NotAdmitted) => unknown = Err(DenyReason::Denied),
            Fit::Unknown(reason) => unknown = Err(reason),
        }
    }
    unknown
}

/// Every key that is present must match. A rule without keys speaks of
/// nobody: it would otherwise speak of everybody.
fn fit(rule: &AccessRule, person: Person<'_>) -> Fit {
    let AccessRule {
        provider,
        groups,
        emails,
        email_domains,
        subjects,
        usernames,
        claims,
        client_networks,
    } = rule;
    let identity = person.identity;
    let mut says_something = false;
    let mut so_far = Fit::Yes;
    let mut also = |written: bool, judge: &dyn Fn() -> Fit| {
        if written {
            says_something = true;
            so_far = so_far.and(judge());
        }
    };
    also(provider.is_some(), &|| {
        Fit::of(provider.as_ref() == Some(&identity.provider))
    });
    also(!client_networks.is_empty(), &|| {
        let within = |network: &ipnet::IpNet| network.contains(&person.client.to_canonical());
        Fit::of(client_networks.iter().any(within))
    });
    also(!subjects.is_empty(), &|| {
        Fit::of(subjects.contains(&identity.subject))
    });
    also(!usernames.is_empty(), &|| match &identity.username {
        Some(name) => Fit::of(usernames.contains(name)),
        None => Fit::Unknown(DenyReason::NotAdmitted),
    });
    also(!emails.is_empty() || !email_domains.is_empty(), &|| {
        email_fit(identity, emails, email_domains)
    });
    for (name, wanted) in claims {
        also(true, &|| claim_fit(identity.claims.get(name), wanted));
    }
    also(!groups.is_empty(), &|| match &identity.groups {
        Groups::Unknown => Fit::Unknown(DenyReason::GroupsUnknown),
        Groups::Known(has) => Fit::of(has.iter().any(|group| groups.contains(group))),
    });
    if says_something { so_far } else { Fit::No }
}

/// An address that nobody vouches for, or none at all, might be any.
fn email_fit(identity: &Identity, emails: &[String], domains: &[String]) -> Fit {
    match identity.verified_email() {
        Some(email) => Fit::of(email_fits(email, emails, domains)),
        None if identity.email.is_some() && !identity.email_verified => {
            Fit::Unknown(DenyReason::EmailUnverified)
        }
        None => Fit::Unknown(DenyReason::NotAdmitted),
    }
}

/// Both keys, where both are present. ASCII only is folded: no letter of
/// another script becomes one of ours.
fn email_fits(email: &str, emails: &[String], domains: &[String]) -> bool {
    let domain = email.split_once('@').map_or("", |(_, domain)| domain);
    let listed = emails.is_empty() || emails.iter().any(|one| one.eq_ignore_ascii_case(email));
    let in_domain = domains.is_empty()
        || domains
            .iter()
            .any(|one| domain.is_ascii() && one.eq_ignore_ascii_case(domain));
    listed && in_domain
}

/// A claim that somebody does not have is no value of it. One that cannot be
/// read as a value or a list of values (`null` stands for one that was too
/// large to keep) could be any.
fn claim_fit(claim: Option<&Value>, wanted: &[String]) -> Fit {
    let one = |value: &Value| match value {
        Value::String(text) => Some(wanted.contains(text)),
        Value::Bool(truth) => Some(wanted.contains(&truth.to_string())),
        Value::Number(number) => Some(wanted.contains(&number.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    let unknown = Fit::Unknown(DenyReason::ClaimsUnknown);
    match claim {
        None => Fit::No,
        Some(Value::Array(values)) => {
            let read: Option<Vec<bool>> = values.iter().map(one).collect();
            read.map_or(unknown, |fits| Fit::of(fits.contains(&true)))
        }
        Some(value) => one(value).map_or(unknown, Fit::of),
    }
}
