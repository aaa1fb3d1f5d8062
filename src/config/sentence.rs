//! What a configuration means, in sentences: who gets in where.

use super::checked::{Config, Route, RouteHost};
use crate::model::access::{Access, AccessRule, Lane, LaneRule, Preflight};
use crate::model::path_prefix::PathPrefix;

/// The addresses to register at the providers, each with the provider's name.
pub fn redirect_uris(config: &Config) -> Vec<(String, String)> {
    let base = format!(
        "{}{}/callback",
        config.server.public_url, config.server.prefix
    );
    let several = config.providers.len() > 1;
    let uri = |provider: &super::checked::Provider| {
        let uri = if several {
            format!("{base}/{}", provider.id)
        } else {
            base.clone()
        };
        (provider.name.clone(), uri)
    };
    config.providers.values().map(uri).collect()
}

/// One sentence per route and per rule: "files.example.com/*: whoever signs
/// in with Example ID".
pub fn admissions(config: &Config) -> Vec<String> {
    config
        .routes
        .iter()
        .flat_map(|route| of_route(config, route))
        .collect()
}

fn of_route(config: &Config, route: &Route) -> Vec<String> {
    let hosts: Vec<String> = route
        .hosts
        .iter()
        .map(|host| match host {
            RouteHost::Exact(authority) => authority.to_string(),
            RouteHost::Below(authority) => format!("*.{authority}"),
            RouteHost::Any => "any other host".to_owned(),
        })
        .collect();
    let hosts = hosts.join(", ");
    let mut out = Vec::new();
    let mut open_end = true;
    if route.preflight == Preflight::Pass {
        out.push(format!(
            "{hosts}{}: CORS preflights of everybody, without identity and cookies",
            route.path
        ));
    }
    for rule in &route.rules {
        let everything = rule.takes_everything();
        open_end &= !everything;
        let place = if everything {
            rest(&hosts, route, !out.is_empty())
        } else {
            format!("{hosts}{}{}", of_path(route, rule), methods(rule))
        };
        out.push(format!("{place}: {}", of_rule(config, route, rule)));
    }
    if open_end {
        let place = rest(&hosts, route, !out.is_empty());
        let who = route
            .access
            .as_ref()
            .map_or_else(|| "nobody".to_owned(), |access| people(config, access));
        let never = except(config, &[&route.deny]);
        out.push(format!("{place}: {who}{never}"));
    }
    out
}

/// Rules see the path that the application gets, which no browser asks for
/// where a prefix changes.
fn of_path(route: &Route, rule: &LaneRule) -> String {
    if route.prefix == PathPrefix::default() {
        // No rule reaches beyond the paths of its route.
        let everything = rule.path.is_everything();
        return if everything { &route.path } else { &rule.path }.to_string();
    }
    format!("{} (at the application {})", route.path, rule.path)
}

/// Whom `deny` takes out again.
fn except(config: &Config, denied: &[&[AccessRule]]) -> String {
    let rules: Vec<String> = denied
        .iter()
        .flat_map(|rules| rules.iter())
        .map(|rule| person(config, rule))
        .collect();
    if rules.is_empty() {
        return String::new();
    }
    format!(
        "; but never {}, nor anybody of whom that cannot be told",
        rules.join(", nor ")
    )
}

fn rest(hosts: &str, route: &Route, after_rules: bool) -> String {
    let others = if after_rules {
        " (everything else)"
    } else {
        ""
    };
    format!("{hosts}{}{others}", route.path)
}

fn methods(rule: &LaneRule) -> String {
    if rule.methods.is_empty() {
        return String::new();
    }
    let names: Vec<&str> = rule.methods.iter().map(http::Method::as_str).collect();
    format!(" ({})", names.join(", "))
}

fn of_rule(config: &Config, route: &Route, rule: &LaneRule) -> String {
    let never = except(config, &[&route.deny, &rule.deny]);
    match rule.lane {
        Lane::Optional => {
            let who = route
                .access
                .as_ref()
                .map_or_else(|| "nobody".to_owned(), |access| people(config, access));
            format!(
                "everybody, without signing in{}; told to the application: {who}{never}",
                by_websocket(rule)
            )
        }
        Lane::BackendToken => {
            let header = rule.header.as_ref().map_or_else(String::new, |header| {
                format!(
                    " with a header {} of the form {}",
                    header.name,
                    header.as_str()
                )
            });
            format!(
                "everybody{header}, without signing in{}; only the application judges the token",
                by_websocket(rule)
            )
        }
        Lane::Public => format!("everybody, without signing in{}", by_websocket(rule)),
        Lane::Deny => "nobody".to_owned(),
        Lane::Session => {
            let who = match (&rule.access, &route.access) {
                (Some(access), None | Some(Access::SignedIn)) => people(config, access),
                (Some(access), Some(outer)) => {
                    format!(
                        "{}, out of these: {}",
                        people(config, access),
                        people(config, outer)
                    )
                }
                (None, Some(access)) => people(config, access),
                (None, None) => "nobody".to_owned(),
            };
            format!("{who}{never}")
        }
    }
}

const fn by_websocket(rule: &LaneRule) -> &'static str {
    if rule.upgrade {
        ", also by websocket"
    } else {
        ""
    }
}

fn people(config: &Config, access: &Access) -> String {
    match access {
        Access::SignedIn => {
            let names: Vec<&str> = config
                .providers
                .values()
                .map(|provider| provider.name.as_str())
                .collect();
            format!("whoever signs in with {}", listed(&names, "or"))
        }
        Access::AnyOf(rules) => {
            let rules: Vec<String> = rules.iter().map(|rule| person(config, rule)).collect();
            rules.join("; or ")
        }
    }
}

fn person(config: &Config, rule: &AccessRule) -> String {
    let mut conditions = Vec::new();
    let any = |values: &[String]| {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        listed(&values, "or")
    };
    if !rule.groups.is_empty() {
        conditions.push(format!("is in {}", any(&rule.groups)));
    }
    if !rule.emails.is_empty() {
        conditions.push(format!("has the address {}", any(&rule.emails)));
    }
    if !rule.email_domains.is_empty() {
        conditions.push(format!("has an address at {}", any(&rule.email_domains)));
    }
    if !rule.subjects.is_empty() {
        conditions.push(format!("has the subject {}", any(&rule.subjects)));
    }
    if !rule.usernames.is_empty() {
        conditions.push(format!("has the user name {}", any(&rule.usernames)));
    }
    for (claim, values) in &rule.claims {
        conditions.push(format!("has {} in the claim {claim}", any(values)));
    }
    if !rule.client_networks.is_empty() {
        let networks: Vec<String> = rule
            .client_networks
            .iter()
            .map(ToString::to_string)
            .collect();
        conditions.push(format!("comes from {}", any(&networks)));
    }
    let with = rule.provider.as_ref().map(|id| {
        let name = config
            .providers
            .get(id)
            .map_or(id.0.as_str(), |provider| &provider.name);
        format!("signs in with {name}")
    });
    conditions.extend(with);
    let conditions: Vec<&str> = conditions.iter().map(String::as_str).collect();
    format!("whoever {}", listed(&conditions, "and"))
}

fn listed(words: &[&str], last: &str) -> String {
    match words {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [firsts @ .., end] => format!("{} {last} {end}", firsts.join(", ")),
    }
}

/// What an operator should know beyond who gets in.
pub fn notes(config: &Config) -> Vec<String> {
    let shared = config.session.cookie_domain.as_ref().map(|domain| {
        format!("the session cookie goes to every server below {domain}, also to those that are not behind this gateway")
    });
    let shadow = config.shadow.as_ref().map(|shadow| {
        format!(
            "the routes of {} are judged beside these and only logged",
            shadow.file.display()
        )
    });
    let encoded = config.routes.iter().filter(|route| route.encoded_slash).map(|route| {
        format!("route.{} takes encoded slashes: rules with lane \"deny\" or \"session\" see them as slashes, the application may not", route.id)
    });
    shared.into_iter().chain(shadow).chain(encoded).collect()
}

#[cfg(test)]
mod tests;
