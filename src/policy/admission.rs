//! Whom `access` and `deny` speak of. Three-valued: what is unknown never
//! matches `access` and always matches `deny`.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::decision::DenyReason;
use crate::model::access::{Access, AccessRule};
use crate::model::identity::{Groups, Identity, ProviderId};

/// Who asks, and from where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Person<'a> {
    pub(super) identity: &'a Identity,
    pub(super) client: IpAddr,
}

/// Whether a rule speaks of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fit {
    Yes,
    No,
    /// Nobody can tell, and what a refusal should say about it.
    Unknown(DenyReason),
}

/// One key of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition<'a> {
    Provider(&'a ProviderId),
    Networks,
    Subjects,
    Usernames,
    /// `emails` and `email_domains` together.
    Email,
    Claim(&'a str, &'a [String]),
    Groups,
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
pub(super) fn fit(rule: &AccessRule, person: Person<'_>) -> Fit {
    let mut so_far = None;
    each_condition(rule, person, |_, fit| {
        so_far = Some(so_far.map_or(fit, |before: Fit| before.and(fit)));
    });
    so_far.unwrap_or(Fit::No)
}

/// Judges each key that is present.
pub(super) fn each_condition<'r>(
    rule: &'r AccessRule,
    person: Person<'_>,
    mut judged: impl FnMut(Condition<'r>, Fit),
) {
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
    if let Some(provider) = provider {
        let same = *provider == identity.provider;
        judged(Condition::Provider(provider), Fit::of(same));
    }
    if !client_networks.is_empty() {
        let within = |network: &IpNet| network.contains(&person.client.to_canonical());
        let fits = client_networks.iter().any(within);
        judged(Condition::Networks, Fit::of(fits));
    }
    if !subjects.is_empty() {
        let fits = subjects.contains(&identity.subject);
        judged(Condition::Subjects, Fit::of(fits));
    }
    if !usernames.is_empty() {
        let fit = match &identity.username {
            Some(name) => Fit::of(usernames.contains(name)),
            None => Fit::Unknown(DenyReason::NotAdmitted),
        };
        judged(Condition::Usernames, fit);
    }
    if !emails.is_empty() || !email_domains.is_empty() {
        let fit = email_fit(identity, emails, email_domains);
        judged(Condition::Email, fit);
    }
    for (name, wanted) in claims {
        let fit = claim_fit(identity.claims.get(name), wanted);
        judged(Condition::Claim(name, wanted), fit);
    }
    if !groups.is_empty() {
        let fit = match &identity.groups {
            Groups::Unknown => Fit::Unknown(DenyReason::GroupsUnknown),
            Groups::Known(has) => Fit::of(has.iter().any(|group| groups.contains(group))),
        };
        judged(Condition::Groups, fit);
    }
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

/// A claim that somebody does not have is an empty list: no value of it. One
/// that cannot be read as a value or a list of values (`null` stands for one
/// that was too large to keep) could be any, and so could one that was not
/// asked for yet when the claims of this session were read.
fn claim_fit(claim: Option<&Value>, wanted: &[String]) -> Fit {
    let one = |value: &Value| match value {
        Value::String(text) => Some(wanted.contains(text)),
        Value::Bool(truth) => Some(wanted.contains(&truth.to_string())),
        Value::Number(number) => Some(wanted.contains(&number.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    let unknown = Fit::Unknown(DenyReason::ClaimsUnknown);
    match claim {
        None => unknown,
        Some(Value::Array(values)) => {
            let read: Option<Vec<bool>> = values.iter().map(one).collect();
            read.map_or(unknown, |fits| Fit::of(fits.contains(&true)))
        }
        Some(value) => one(value).map_or(unknown, Fit::of),
    }
}
