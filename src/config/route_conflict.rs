//! Two routes that answer for the same requests.

use std::collections::HashMap;

use super::checked::{Route, RouteHost};
use super::problems::Findings;

/// Each route against those before it. Most have no wildcard before the end
/// of their path and are found at once; only the others are compared in pairs.
pub(super) fn check(routes: &[Route], findings: &mut Findings) {
    let mut named = HashMap::new();
    let mut wild: Vec<&Route> = Vec::new();
    for (index, route) in routes.iter().enumerate() {
        let earlier = if let Some(path) = route.path.without_wildcards() {
            let of_host = |host| *named.entry((path.clone(), host)).or_insert(index);
            let first = route.hosts.iter().map(of_host).min();
            first.filter(|first| *first < index).map(|at| &routes[at])
        } else {
            let answers = |host: &RouteHost| route.hosts.contains(host);
            let meets = |earlier: &&&Route| {
                earlier.path.collides_with(&route.path) && earlier.hosts.iter().any(answers)
            };
            let earlier = wild.iter().find(meets).copied();
            wild.push(route);
            earlier
        };
        if let Some(earlier) = earlier {
            tell(route, earlier, findings);
        }
    }
}

fn tell(route: &Route, earlier: &Route, findings: &mut Findings) {
    let Some(host) = route.hosts.iter().find(|host| earlier.hosts.contains(host)) else {
        return;
    };
    let host = match host {
        RouteHost::Exact(authority) => authority.to_string(),
        RouteHost::Below(authority) => format!("*.{authority}"),
        RouteHost::Any => "*".to_owned(),
    };
    if earlier.path != route.path {
        findings.error(
            &format!("route.{}", route.id),
            format!(
                "answers for {host}{}, and some of that could as well be {} of route.{}",
                route.path, earlier.path, earlier.id
            ),
            "make one of the two paths the more specific one: more segments, or fewer \"*\"; case tells no paths apart",
        );
        return;
    }
    findings.error(
        &format!("route.{}", route.id),
        format!(
            "answers for {host}{}, and so does route.{}",
            route.path, earlier.id
        ),
        "give one of them another host or path, or remove it",
    );
}
