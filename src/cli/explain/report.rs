//! The answer as text or JSON, and as an exit code.

use std::fmt::Write;
use std::process::ExitCode;

use super::answer::{Answer, Received, Reply, answer};
use super::question::ExplainSettings;
use crate::cli::terminal::{Stream, line};
use crate::config::{Sources, inspect};

/// 2 also for a faulty configuration: a script that asks whether something
/// is refused must not take that for a no.
const USAGE: u8 = 2;

/// 0: the request reaches an application; 1: it does not.
pub fn explain(settings: &ExplainSettings, sources: &Sources) -> ExitCode {
    let loaded = match inspect(sources) {
        Ok(loaded) => loaded,
        Err(problems) => {
            line(Stream::Error, &problems.to_string());
            return ExitCode::from(USAGE);
        }
    };
    let answer = match answer(settings, &loaded.config) {
        Ok(answer) => answer,
        Err(error) => {
            line(Stream::Error, &format!("error: {error}"));
            return ExitCode::from(USAGE);
        }
    };
    let text = if settings.json {
        serde_json::to_string_pretty(&answer).expect("plain words and numbers")
    } else {
        text(&answer)
    };
    line(Stream::Output, &text);
    if answer.permitted {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn text(answer: &Answer) -> String {
    let mut out = String::new();
    let who = answer.person.as_deref().unwrap_or("nobody signed in");
    // writing into a String cannot fail
    let _ = writeln!(out, "{} {}, by {who}", answer.method, answer.url);
    let _ = writeln!(out, "\nDecision: {}", verdict(answer));
    for (name, value) in [
        ("Route", answer.route.clone()),
        (
            "Rule",
            Some(rule(answer)).filter(|_| answer.route.is_some()),
        ),
        ("Lane", answer.lane.map(str::to_owned)),
    ] {
        if let Some(value) = value {
            let _ = writeln!(out, "{name}: {value}");
        }
    }
    out.push_str("\nWhy:\n");
    for step in &answer.steps {
        let _ = writeln!(out, "    {step}");
    }
    if let Some(received) = &answer.upstream {
        upstream(&mut out, received);
    } else {
        out.push_str("\nThe client gets:\n");
        let _ = writeln!(out, "    a browser: {}", reply(&answer.browser));
        let _ = writeln!(out, "    an API caller: {}", reply(&answer.api));
    }
    out.truncate(out.trim_end().len());
    out
}

fn verdict(answer: &Answer) -> String {
    let word = match answer.decision {
        "permit" => "permitted",
        "sign_in" => "sign-in needed",
        "deny" => "refused",
        "own" => "answered by the gateway itself",
        "no_route" => "no route",
        "unknown_host" => "unknown host",
        "malformed" => "refused, malformed",
        other => other,
    };
    match answer.reason {
        Some(reason) => format!("{word} ({reason})"),
        None => word.to_owned(),
    }
}

fn rule(answer: &Answer) -> String {
    match (answer.rule, &answer.rule_text) {
        (Some(index), Some(text)) => format!("rules[{index}], {text}"),
        _ => "none".to_owned(),
    }
}

fn upstream(out: &mut String, received: &Received) {
    out.push_str("\nThe application gets:\n");
    let _ = writeln!(out, "    {}", received.url);
    let _ = writeln!(out, "    host: {}", received.host);
    for (name, value) in &received.headers {
        let _ = writeln!(out, "    {name}: {value}");
    }
    if received.without_cookies {
        out.push_str("    (and none of the client's cookies)\n");
    }
    if received.websocket {
        out.push_str("    (may become a websocket)\n");
    }
}

fn reply(reply: &Reply) -> String {
    match (reply.status, &reply.location) {
        (Some(status), Some(location)) => format!("{status} to {location}"),
        (Some(status), None) => status.to_string(),
        (None, _) => "the gateway's own answer".to_owned(),
    }
}
