//! Two routes that answer for the same requests.

use super::checked::{Route, RouteHost};
use super::problems::Findings;

pub(super) fn check(routes: &[Route], findings: &mut Findings) {
    for (index, route) in routes.iter().enumerate() {
        for earlier in &routes[..index] {
            if earlier.path != route.path {
                continue;
            }
            let Some(host) = route.hosts.iter().find(|host| earlier.hosts.contains(host)) else {
                continue;
            };
            let host = match host {
                RouteHost::Exact(authority) => authority.to_string(),
                RouteHost::Any => "*".to_owned(),
            };
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
