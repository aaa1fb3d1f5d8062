//! From target to lane, and from lane and identity to decision.

use std::borrow::Cow;

use http::Method;

use super::compile::RoutePolicy;
use super::decision::{Decision, DenyReason, Permit};
use crate::model::access::{Access, AccessRule, Lane, LaneRule, Unauthenticated};
use crate::model::identity::{Groups, Identity};
use crate::model::target::Target;

/// The lane that a request takes on a route.
#[derive(Debug, Clone, Copy)]
pub struct LaneMatch<'a> {
    pub(super) policy: &'a RoutePolicy,
    rule: Option<(usize, &'a LaneRule)>,
}

impl RoutePolicy {
    /// The first rule that matches method and path; without one, the session
    /// lane. The query never counts, but a `_method` in it keeps a request
    /// off the public lane: frameworks exist that obey it.
    pub fn lane<'a>(&'a self, target: &Target) -> LaneMatch<'a> {
        let mut reading = None;
        let rule = self
            .rules
            .iter()
            .enumerate()
            .find(|(_, rule)| rule_matches(rule, target, &mut reading));
        LaneMatch { policy: self, rule }
    }
}

pub(super) fn rule_matches<'t>(
    rule: &LaneRule,
    target: &'t Target,
    reading: &mut Option<Cow<'t, str>>,
) -> bool {
    let raw = rule.path.matches(target.path());
    match rule.lane {
        Lane::Public => {
            raw && target.is_canonical()
                && public_method(&rule.methods, &target.method)
                && !names_a_method(target.query())
        }
        Lane::Session | Lane::Deny => {
            guarded_method(&rule.methods, &target.method)
                && (raw
                    || rule
                        .path
                        .matches_lenient(reading.get_or_insert_with(|| target.lenient_reading())))
        }
    }
}

/// Exact. Without a list, every method that HTTP itself defines: what we have
/// no name for needs a session.
pub(super) fn public_method(listed: &[Method], method: &Method) -> bool {
    const KNOWN: [Method; 7] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    if listed.is_empty() {
        KNOWN.contains(method)
    } else {
        listed.contains(method)
    }
}

/// Ignoring case: an upstream may take `post` for POST.
pub(super) fn guarded_method(listed: &[Method], method: &Method) -> bool {
    let same = |one: &Method| one.as_str().eq_ignore_ascii_case(method.as_str());
    listed.is_empty() || listed.iter().any(same)
}

/// Whether a query has the key `_method`, in any spelling that a form decoder
/// reads so: encoded, with an index, with "." or a space for "_".
pub(super) fn names_a_method(query: Option<&str>) -> bool {
    let Some(query) = query else { return false };
    query.split(['&', ';']).any(|pair| {
        let key = pair.split('=').next().unwrap_or_default();
        let key: Vec<u8> = percent_encoding::percent_decode_str(key).collect();
        let end = key.iter().position(|byte| matches!(byte, b'[' | 0));
        let name = String::from_utf8_lossy(&key[..end.unwrap_or(key.len())]);
        let name = name.trim_matches([' ', '+', '\t']);
        name.replace(['.', ' ', '+'], "_")
            .eq_ignore_ascii_case("_method")
    })
}

impl<'a> LaneMatch<'a> {
    pub fn lane(&self) -> Lane {
        self.rule.map_or(Lane::Session, |(_, rule)| rule.lane)
    }

    /// Which of the route's rules it is, counted from 0; `None` if none
    /// matched.
    pub fn rule(&self) -> Option<(usize, &'a LaneRule)> {
        self.rule
    }

    /// Public and deny lanes are decided without looking at `identity`. A
    /// rule's access is ANDed with the route's.
    pub fn decide(&self, identity: Option<&Identity>) -> Decision {
        match self.lane() {
            Lane::Deny => return Decision::Deny(DenyReason::RouteDenies),
            Lane::Public => {
                let upgrade = self.rule.is_some_and(|(_, rule)| rule.upgrade);
                return Decision::Permit(Permit::new(Lane::Public, upgrade));
            }
            Lane::Session => {}
        }
        let Some(identity) = identity else {
            return Decision::SignIn {
                unauthenticated: self
                    .rule
                    .map_or(Unauthenticated::default(), |(_, rule)| rule.unauthenticated),
            };
        };
        let of_rule = self.rule.and_then(|(_, rule)| rule.access.as_ref());
        let of_route = self.policy.access.as_ref();
        if of_rule.is_none() && of_route.is_none() {
            return Decision::Deny(DenyReason::NotAdmitted);
        }
        for access in of_route.into_iter().chain(of_rule) {
            if let Err(reason) = admits(access, identity) {
                return Decision::Deny(reason);
            }
        }
        Decision::Permit(Permit::new(Lane::Session, true))
    }
}

/// One rule must match. If none does, the reason tells what came closest:
/// something unknown rather than something wrong.
fn admits(access: &Access, identity: &Identity) -> Result<(), DenyReason> {
    let Access::AnyOf(rules) = access else {
        return Ok(());
    };
    let mut nearest = DenyReason::NotAdmitted;
    for rule in rules {
        match rule_admits(rule, identity) {
            Ok(()) => return Ok(()),
            Err(DenyReason::NotAdmitted) => {}
            Err(unknown) => nearest = unknown,
        }
    }
    Err(nearest)
}

/// Every key that is present must match. A rule without keys admits nobody:
/// it would otherwise admit everybody.
pub(super) fn rule_admits(rule: &AccessRule, identity: &Identity) -> Result<(), DenyReason> {
    let AccessRule {
        provider,
        groups,
        emails,
        email_domains,
    } = rule;
    let says_something =
        provider.is_some() || !groups.is_empty() || !emails.is_empty() || !email_domains.is_empty();
    let provider_fits = provider
        .as_ref()
        .is_none_or(|provider| *provider == identity.provider);
    if !says_something || !provider_fits {
        return Err(DenyReason::NotAdmitted);
    }
    let mut unknown = None;
    if !emails.is_empty() || !email_domains.is_empty() {
        match identity.verified_email() {
            Some(email) if email_fits(email, emails, email_domains) => {}
            None if identity.email.is_some() && !identity.email_verified => {
                unknown = Some(DenyReason::EmailUnverified);
            }
            _ => return Err(DenyReason::NotAdmitted),
        }
    }
    if !groups.is_empty() {
        match &identity.groups {
            Groups::Unknown => unknown = Some(DenyReason::GroupsUnknown),
            Groups::Known(has) if has.iter().any(|group| groups.contains(group)) => {}
            Groups::Known(_) => return Err(DenyReason::NotAdmitted),
        }
    }
    unknown.map_or(Ok(()), Err)
}

/// Both keys, where both are present. ASCII only is folded: no letter of
/// another script becomes one of ours.
pub(super) fn email_fits(email: &str, emails: &[String], domains: &[String]) -> bool {
    let domain = email.split_once('@').map_or("", |(_, domain)| domain);
    let listed = emails.is_empty() || emails.iter().any(|one| one.eq_ignore_ascii_case(email));
    let in_domain = domains.is_empty()
        || domains
            .iter()
            .any(|one| domain.is_ascii() && one.eq_ignore_ascii_case(domain));
    listed && in_domain
}
