//! The steps of a decision in plain sentences.

use crate::config::checked::Route;
use crate::model::access::{Lane, LaneRule};
use crate::model::identity::{Groups, Identity};
use crate::policy::{
    AccessOutcome, AccessStep, Asked, DenyOutcome, DenyStep, Explanation, RuleStep, Shortfall,
};

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
    let header = match &rule.header {
        Some(header) => format!(" with {} like {}", header.name, header.as_str()),
        None => String::new(),
    };
    format!(
        "{methods} on {}{header}: lane {}",
        rule.path,
        rule.lane.as_str()
    )
}

pub(super) fn steps(route: &Route, explained: &Explanation, signed_in: bool) -> Vec<String> {
    if explained.preflight {
        return vec![
            "this is a CORS preflight, and preflight = \"pass\" lets it pass to the application without identity".to_owned(),
        ];
    }
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
    out.extend(explained.also.map(|index| {
        let text = rule(&route.rules[index]);
        format!(
            "rules[{index}] ({text}) matches another reading of this path, so it counts as well"
        )
    }));
    match explained.lane {
        Lane::Public => out.push(
            "the public lane lets everybody pass; nobody's identity is looked at or sent".into(),
        ),
        Lane::BackendToken => out.push(
            "the backend-token lane leaves the token to the application; neither identity nor cookies are sent".into(),
        ),
        Lane::Deny => out.push("the deny lane lets nobody pass, signed in or not".into()),
        Lane::Session if explained.also_denies => {
            out.push("that rule denies, so nobody passes, signed in or not".into());
        }
        Lane::Session if !signed_in => {
            out.push("the session lane needs somebody, and nobody is signed in".into());
        }
        Lane::Optional if !signed_in => {
            out.push("the optional lane lets everybody pass, and nobody is signed in".into());
        }
        Lane::Session => of_person(&mut out, explained, "nobody passes"),
        Lane::Optional => {
            out.push(
                "the optional lane lets everybody pass; the access says whom the application is told of"
                    .into(),
            );
            of_person(&mut out, explained, "nobody is told of");
        }
    }
    out
}

/// What `deny` and `access` make of somebody who is signed in.
fn of_person(out: &mut Vec<String>, explained: &Explanation, so: &str) {
    out.extend(explained.deny.iter().map(deny_step));
    if explained.access.is_empty() {
        out.push(format!(
            "neither the route nor a rule has an access, so {so}"
        ));
    }
    out.extend(explained.access.iter().flat_map(access_step));
}

/// The key as it would be looked for in the configuration.
fn whose(asked: Asked, key: &str) -> String {
    match asked {
        Asked::Route => format!("the route's {key}"),
        Asked::Rule(index) => format!("rules[{index}].{key}"),
    }
}

fn deny_step(step: &DenyStep) -> String {
    let whose = whose(step.asked, "deny");
    match &step.outcome {
        DenyOutcome::Spared => format!("{whose} does not name this person"),
        DenyOutcome::Named { index } => format!("{whose}[{index}] names this person"),
        DenyOutcome::CouldBe { index, unknown } => format!(
            "{whose}[{index}] could name this person, so it counts: {}",
            joined(unknown)
        ),
    }
}

fn joined(missing: &[Shortfall]) -> String {
    let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
    missing.join("; ")
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
    let whose = whose(step.asked, "access");
    let missed = |entries: &[Vec<Shortfall>]| -> Vec<String> {
        let entry = |(index, missing): (usize, &Vec<Shortfall>)| {
            format!("{whose}[{index}] does not admit: {}", joined(missing))
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
