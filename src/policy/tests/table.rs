//! Decisions as a table: method, path, who, and what comes out.

use http::{HeaderMap, HeaderValue, Method};

use super::lanes::open;
use super::*;
use crate::base::fault::Fault;
use crate::model::access::Unauthenticated;
use crate::model::target::Target;

/// Words that stand for header fields after a method: `OPTIONS+preflight`.
fn fields(words: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(http::header::HOST, HeaderValue::from_static("app.test"));
    let token = format!("{:0<40}", "t0ken");
    for word in words.split_terminator('+') {
        let given: &[(&str, &str)] = match word {
            "token" => &[("authorization", &token)],
            "bearer" => &[("authorization", "Bearer x")],
            "short" => &[("authorization", "t0ken")],
            "empty" => &[("authorization", "")],
            "origin" => &[("origin", "https://spa.test")],
            "acrm" => &[("access-control-request-method", "PUT")],
            "body" => &[("content-length", "1")],
            "chunks" => &[("transfer-encoding", "chunked")],
            "nobody" => &[("content-length", "0")],
            "override" => &[("x-http-method-override", "GET")],
            "rewrite" => &[("x-original-url", "/u/a"), ("x-forwarded-prefix", "/u")],
            _ => panic!("no header is called {word}"),
        };
        for (name, value) in given {
            let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
    }
    headers
}

fn outcome(policy: &RoutePolicy, method: &str, path: &str, name: &str) -> String {
    let (method, words) = method.split_once('+').unwrap_or((method, ""));
    let headers = fields(words);
    let method = Method::from_bytes(method.as_bytes()).unwrap();
    let target = match Target::parse(&method, &path.parse().unwrap(), &headers) {
        Ok(target) => target,
        Err(error) => return format!("400 {}", error.reason()),
    };
    if let Err(error) = policy.takes(&target) {
        return format!("400 {}", error.reason());
    }
    let (name, client) = name.split_once('@').unwrap_or((name, "192.0.2.1"));
    let client = client.parse().unwrap();
    let identity = who(name);
    let matched = policy.lane(&target, &headers);
    if let (Some(rules), Some(person)) = (matched.keepable(), &identity) {
        // What was kept decides as the rules do, and nothing else's does.
        let elsewhere = "203.0.113.7".parse().unwrap();
        let standing = matched.standing(person, elsewhere, rules);
        assert_eq!(
            matched.decide_as(standing),
            matched.decide(Some(person), client)
        );
        let foreign = open().lane(&target, &headers).keepable();
        assert!(foreign.is_none_or(|foreign| !standing.is_of(foreign)));
    }
    match matched.decide(identity.as_ref(), client) {
        Decision::Permit(permit) => {
            assert_eq!(permit.lane(), matched.lane());
            let mut text = permit.lane().as_str().to_owned();
            let session = permit.lane() == Lane::Session;
            assert!(!session || (permit.carries_identity() && permit.upgrade_allowed()));
            for (said, word) in [
                (permit.carries_identity(), "+identity"),
                (permit.upgrade_allowed(), "+upgrade"),
                (permit.drops_cookies(), "-cookies"),
            ] {
                if said && !session {
                    text.push_str(word);
                }
            }
            text
        }
        Decision::SignIn { unauthenticated } => match unauthenticated {
            Unauthenticated::Auto => "sign-in".to_owned(),
            Unauthenticated::Status401 => "401".to_owned(),
        },
        Decision::Deny(reason) => format!("403 {}", reason.reason()),
    }
}

/// Each line: method, path, who ("-" is nobody), "=", outcome.
pub(super) fn check(policy: &RoutePolicy, table: &str) -> usize {
    let mut wrong = Vec::new();
    let mut rows = 0;
    for line in table.lines().map(str::trim) {
        if line.is_empty() || line.starts_with("--") {
            continue;
        }
        let (asked, expected) = line.split_once(" = ").expect("row with an outcome");
        let [method, path, name] = asked.split_whitespace().collect::<Vec<_>>()[..] else {
            panic!("not three words: {line}");
        };
        let got = outcome(policy, method, path, name);
        if got != expected.trim() {
            wrong.push(format!("{line}   got: {got}"));
        }
        rows += 1;
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    rows
}
