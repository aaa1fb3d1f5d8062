//! The steps of a decision in plain sentences.

use crate::config::checked::Route;
use crate::model::access::{Lane, LaneRule};
use crate::model::identity::{Groups, Identity};
use crate::policy::{AccessOutcome, AccessStep, Asked, Explanation, RuleStep, Shortfall};

pub(super) fn person(identity: &Identity) -> String {
    let mut text = format!("{} (provider {}", identity.subject, identity.provider);
    match &identity.groups {
        Groups::Known(groups) if groups.is_empty() => text.push_str(", in no group"),
        Groups::Known(groups) => {
            text.push_str(", in ");
            text.push_str(&groups.join(" and "));
        }
        Groups::Unknown => text.push_str(", groups unknown"),
    }
    if let Some(email) = &identity.email {
        let verified = if identity.email_verified {
            ""
        } else {
            ", not verified"
        };
        text.push_str(&format!(", {email}{verified}"));
    }
    text.push(')');
    text
}

/// A rule as it reads in the configuration.
pub(super) fn rule(rule: &LaneRule) -> String {
    let methods: Vec<&str> = rule.methods.iter().map(http::Method::as_str).collect();
    let methods = if methods.is_empty() {
        "any method".to_owned()
    } else {
        methods.join(", ")
    };
    format!("{methods} on {}: lane {}", rule.path, rule.lane.as_str())
}

pub(super) fn steps(route: &Route, explained: &Explanation, signed_in: bool) -> Vec<String> {
    let mut out: Vec<String> = explained
        .rules
        .iter()
        .map(|step| rule_step(route, step))
        .collect();
    let decided = explained
        .rules
        .last()
        .is_some_and(|step| step.mismatches.is_empty());
    if !decided {
        let none = if route.rules.is_empty() {
            "the route has no rules"
        } else {
            "no rule matches"
        };
        out.push(format!(
            "{none}, so the session lane and the route's access decide"
        ));
    }
    match explained.lane {
        Lane::Public => out.push(
            "the public lane lets everybody pass; nobody's identity is looked at or sent".into(),
        ),
        Lane::Deny => out.push("the deny lane lets nobody pass, signed in or not".into()),
        Lane::Session if !signed_in => {
            out.push("the session lane needs somebody, and nobody is signed in".into());
        }
        Lane::Session => {
            if explained.access.is_empty() {
                out.push("neither the route nor the rule has an access, so nobody passes".into());
            }
            out.extend(explained.access.iter().flat_map(access_step));
        }
    }
    out
}

fn rule_step(route: &Route, step: &RuleStep) -> String {
    let text = format!("rules[{}] ({})", step.index, rule(&route.rules[step.index]));
    if step.mismatches.is_empty() {
        return format!("{text} matches and decides");
    }
    let why: Vec<String> = step.mismatches.iter().map(ToString::to_string).collect();
    format!("{text} does not match: {}", why.join("; "))
}

fn access_step(step: &AccessStep) -> Vec<String> {
    let whose = match step.asked {
        Asked::Route => "the route's access",
        Asked::Rule => "the rule's access",
    };
    let missed = |entries: &[Vec<Shortfall>]| -> Vec<String> {
        let entry = |(index, missing): (usize, &Vec<Shortfall>)| {
            let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
            format!("{whose}[{index}] does not admit: {}", missing.join("; "))
        };
        entries.iter().enumerate().map(entry).collect()
    };
    match &step.outcome {
        AccessOutcome::SignedIn => vec![format!("{whose} admits whoever is signed in")],
        AccessOutcome::Admitted { index, earlier } => {
            let mut out = missed(earlier);
            out.push(format!("{whose}[{index}] admits"));
            out
        }
        AccessOutcome::Refused(entries) => missed(entries),
    }
}
