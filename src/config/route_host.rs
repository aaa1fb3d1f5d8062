//! `host` of a route, and whether a session can be known there.

use super::address::Complaint;
use super::checked::{RouteHost, SameSite};
use super::problems::Findings;
use super::raw::OneOrMany;
use super::route::Surroundings;
use super::server::is_public_suffix;
use super::session::is_within;
use crate::model::origin::Authority;

pub(super) fn check(
    raw: Option<&OneOrMany>,
    key: &str,
    around: &Surroundings<'_>,
    findings: &mut Findings,
) -> Vec<RouteHost> {
    let Some(raw) = raw else {
        let home = around.public_url.map(|url| Authority {
            host: url.host.clone(),
            port: url.port,
        });
        return home.map(RouteHost::Exact).into_iter().collect();
    };
    let entries = raw.entries(key);
    if entries.is_empty() {
        findings.error(
            key,
            "is an empty list: no request could match",
            "name a host, or remove the key for the host of server.public_url",
        );
    }
    let mut out = Vec::new();
    for (key, text) in entries {
        let host = match Authority::parse(text) {
            Ok(mut authority) => {
                // the same origin must not have two spellings
                let usual = around.public_url.map(|url| url.scheme.default_port());
                authority.port = authority.port.filter(|port| Some(*port) != usual);
                RouteHost::Exact(authority)
            }
            Err(_) if text == "*" => RouteHost::Any,
            Err(_) if text.contains('*') => match below(text, around) {
                Ok(host) => host,
                Err(complaint) => {
                    findings.error(&key, complaint.what, complaint.cure);
                    continue;
                }
            },
            Err(error) => {
                let bare = text.rsplit("://").next().unwrap_or(text);
                let bare = bare.split('/').next().unwrap_or(bare);
                let cure = match bare.strip_prefix('.') {
                    Some(domain) => format!("write \"*.{domain}\" for every name below it"),
                    None => format!("write only the host: \"{bare}\""),
                };
                findings.error(&key, format!("\"{text}\" is {error}"), cure);
                continue;
            }
        };
        if out.contains(&host) {
            findings.error(&key, "stands here twice", "remove one of them");
        } else {
            out.push(host);
        }
    }
    out
}

/// `*.example.com`, perhaps with a port.
fn below(text: &str, around: &Surroundings<'_>) -> Result<RouteHost, Complaint> {
    let rest = text.strip_prefix("*.").filter(|rest| !rest.contains('*'));
    let Some(rest) = rest else {
        return Err(Complaint::new(
            format!("\"{text}\" has a \"*\" that is not the whole first part"),
            "write \"*.example.com\" for every name below it, or name each host",
        ));
    };
    let Ok(mut authority) = Authority::parse(rest) else {
        return Err(Complaint::new(
            format!("\"{rest}\" is no host name"),
            "write \"*.\" and a domain, such as \"*.example.com\"",
        ));
    };
    let host = authority.host.as_str();
    if host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok() {
        return Err(Complaint::new(
            format!("\"{rest}\" is an address: there are no names below it"),
            "name the address itself",
        ));
    }
    // A name of one label is somebody's own network, "localhost" for one.
    if host.contains('.') && is_public_suffix(host) {
        return Err(Complaint::new(
            format!("\"{host}\" is a public suffix: strangers own names below it"),
            "name a domain that is yours alone, such as \"*.example.com\"",
        ));
    }
    let usual = around.public_url.map(|url| url.scheme.default_port());
    authority.port = authority.port.filter(|port| Some(*port) != usual);
    Ok(RouteHost::Below(authority))
}

/// Hosts outside the cookie scope of `public_url`'s host have sign-ins handed
/// over to them. A Strict cookie does not arrive with the redirects of that.
pub(super) fn within_scope(
    hosts: &[RouteHost],
    key: &str,
    around: &Surroundings<'_>,
    findings: &mut Findings,
) {
    let Some(home) = around.public_url.map(|url| url.host.as_str()) else {
        return;
    };
    for host in hosts {
        let (authority, exact) = match host {
            RouteHost::Exact(authority) => (authority, true),
            RouteHost::Below(authority) => (authority, false),
            RouteHost::Any => {
                findings.error(
                    key,
                    "\"*\" cannot need a session: the cookie belongs to named hosts",
                    "name the hosts, or end the rules with { path = \"/*\", lane = \"public\" } or \"deny\"",
                );
                continue;
            }
        };
        let host = authority.host.as_str();
        let shared = around
            .cookie_domain
            .is_some_and(|domain| is_within(host, domain) && is_within(home, domain));
        if (exact && host == home) || shared {
            continue;
        }
        if around.same_site == SameSite::Strict {
            let below = if exact { "" } else { "a host below " };
            findings.error(
                key,
                format!(
                    "signing in at {home} is handed over to {below}{host} by a redirect, which a cookie with same_site = \"strict\" does not survive"
                ),
                "write session.same_site = \"lax\", or use hosts that share session.cookie_domain",
            );
        }
    }
}
