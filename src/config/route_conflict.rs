//! Two routes that answer for the same requests.

use super::checked::{Route, RouteHost};
use super::problems::Findings;

pub(super) fn check(routes: &[Route], findings: &mut Findings) {
    for (index, route) in routes.iter().enumerate() {
        for earlier in &routes[..index] {
            if !earlier.path.collides_with(&route.path) {
                continue;
            }
            let Some(host) = route.hosts.iter().find(|host| earlier.hosts.contains(host)) else {
                continue;
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
                continue;
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
    }
}
