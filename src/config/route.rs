//! `[route.ID]` and `[route_defaults]`: the applications behind the gateway.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::access::{self, RawAccess, RawAccessRule};
use super::checked::{ListenAddr, Route, RouteHost, SameSite};
use super::identity_rules::{self, RawIdentity, RawNamespace, RawUserFrom};
use super::lane_rule::{self, RawLaneRule, pattern};
use super::problems::Findings;
use super::provider::ProviderNames;
use super::quantity::{RawDuration, RawSize, duration, size_or_unlimited};
use super::raw::{OneOrMany, is_good_id};
use super::upstream_tls::RawUpstreamTls;
use super::{custom_header, path_prefix, route_conflict, route_host, upstream, upstream_tls};
use crate::model::access::{LaneRule, Preflight};
use crate::model::origin::Origin;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawRoute {
    /// Hosts it answers for; "*.example.com" is every name below, "*" every host. Default: that of server.public_url.
    host: Option<OneOrMany>,
    /// Pattern of the paths it answers for.
    path: Option<String>,
    /// The application: "http://127.0.0.1:3000", "https://…" or "unix:/…". Required.
    upstream: Option<String>,
    /// Certificates on the way to an https:// upstream.
    upstream_tls: Option<RawUpstreamTls>,
    /// Taken off the front of the path before it is judged and sent: "/app".
    strip_prefix: Option<String>,
    /// Put in front of the path, after strip_prefix: "/x".
    add_prefix: Option<String>,
    /// Whether the application sees the Host that the browser asked for.
    preserve_host: Option<bool>,
    /// Who may pass. Required unless the rules leave no session lane.
    access: Option<RawAccess>,
    /// Who is refused, whatever access says.
    deny: Option<Vec<RawAccessRule>>,
    /// Exceptions for methods and paths; the first that matches decides.
    rules: Option<Vec<RawLaneRule>>,
    /// Whether paths may hold an encoded slash (`%2f`). Session and deny lanes only.
    encoded_slash: Option<bool>,
    /// What happens to CORS preflights, which never carry a session.
    preflight: Option<RawPreflight>,
    /// Which headers tell the application who is there.
    identity: Option<RawIdentity>,
    /// What the application knows people by.
    user_from: Option<RawUserFrom>,
    /// Whether subjects of several providers are told without the provider's id before them.
    namespace: Option<RawNamespace>,
    /// What stands between two groups in a header.
    group_separator: Option<String>,
    /// The application's own cookies, cleared when a browser changes hands.
    clear_cookies: Option<Vec<String>>,
    /// Further headers: "user", "subject", "username", "email", "name", "groups" or "claim:NAME".
    headers: BTreeMap<String, String>,
    /// Whether the application gets the access token.
    pass_access_token: Option<bool>,
    /// How long the application may take to begin its answer.
    response_timeout: Option<RawDuration>,
    /// Largest request body, or "unlimited".
    max_body: Option<RawSize>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawPreflight {
    /// Like every other request.
    Session,
    /// They go to the application, without identity and cookies.
    Pass,
}

/// What routes depend on.
pub(super) struct Surroundings<'a> {
    pub(super) providers: &'a ProviderNames,
    pub(super) public_url: Option<&'a Origin>,
    pub(super) cookie_domain: Option<&'a str>,
    pub(super) same_site: SameSite,
    pub(super) listen: &'a [ListenAddr],
    /// Where relative paths start.
    pub(super) base_dir: &'a Path,
}

pub(super) fn check(
    raw: &BTreeMap<String, RawRoute>,
    defaults: &RawRoute,
    around: &Surroundings<'_>,
    findings: &mut Findings,
) -> Vec<Route> {
    if raw.is_empty() {
        findings.missing(
            "route",
            "no route is configured: there is nothing to protect",
            "add [route.app] with upstream = \"http://127.0.0.1:3000\" and access = \"signed-in\"",
        );
    }
    let mut out = Vec::new();
    for (id, own) in raw {
        if !is_good_id(id) {
            findings.error(
                format!("route.{id}").as_str(),
                format!("\"{id}\" cannot be an id"),
                "use lower-case letters, digits, \"-\" and single \"_\", at most 40",
            );
        }
        let written = Written { id, own, defaults };
        out.extend(one(&written, around, findings));
    }
    route_conflict::check(&out, findings);
    // exact hosts, then names below one, then any
    let width = |route: &Route| {
        let one = |host: &RouteHost| match host {
            RouteHost::Exact(_) => 0,
            RouteHost::Below(_) => 1,
            RouteHost::Any => 2,
        };
        route.hosts.iter().map(one).max()
    };
    out.sort_by_key(|route| {
        let length = route.path.as_str().len();
        (width(route), std::cmp::Reverse(length), route.id.clone())
    });
    out
}

/// A route over its defaults.
struct Written<'a> {
    id: &'a str,
    own: &'a RawRoute,
    defaults: &'a RawRoute,
}

impl<'a> Written<'a> {
    /// The value that counts and the key under which it was written.
    fn get<T>(&self, name: &str, read: fn(&RawRoute) -> &Option<T>) -> (Option<&'a T>, String) {
        let own = format!("route.{}.{name}", self.id);
        if let Some(value) = read(self.own) {
            return (Some(value), own);
        }
        match read(self.defaults) {
            Some(value) => (Some(value), format!("route_defaults.{name}")),
            None => (None, own),
        }
    }

    fn headers(&self) -> custom_header::Written<'a> {
        let with_keys = |headers: &'a BTreeMap<String, String>, key: &str| -> Vec<_> {
            let entry = |(name, source): (&'a String, &'a String)| {
                (
                    name.clone(),
                    (source.as_str(), format!("{key}.headers.{name}")),
                )
            };
            headers.iter().map(entry).collect()
        };
        let own = with_keys(&self.own.headers, &format!("route.{}", self.id));
        let is_own = |name: &str| {
            self.own
                .headers
                .keys()
                .any(|own| own.eq_ignore_ascii_case(name))
        };
        let mut all = with_keys(&self.defaults.headers, "route_defaults");
        all.retain(|(name, _)| !is_own(name));
        all.into_iter().chain(own).collect()
    }
}

fn one(written: &Written<'_>, around: &Surroundings<'_>, findings: &mut Findings) -> Option<Route> {
    let (raw, key) = written.get("host", |route| &route.host);
    let hosts = route_host::check(raw, &key, around, findings);
    let (raw, key) = written.get("path", |route| &route.path);
    let path = pattern(raw.map_or("/*", String::as_str), &key, findings);
    let (raw, key) = written.get("upstream", |route| &route.upstream);
    let upstream = upstream::check(raw.map(String::as_str), &key, around.listen, findings);
    let (raw, key) = written.get("upstream_tls", |route| &route.upstream_tls);
    let from_defaults = written.own.upstream_tls.is_none();
    let upstream_tls = upstream_tls::check(
        raw,
        &key,
        from_defaults,
        upstream.as_ref(),
        around.base_dir,
        findings,
    );
    let prefix = path_prefix::check(
        &written.get("strip_prefix", |route| &route.strip_prefix),
        &written.get("add_prefix", |route| &route.add_prefix),
        path.as_ref(),
        findings,
    );
    let (raw, key) = written.get("rules", |route| &route.rules);
    let written_rules = raw.map_or(&[][..], Vec::as_slice);
    let rules = lane_rule::check(written_rules, &key, around.providers, findings);
    // a rule with a fault may have been the one that closes the session lane
    let rules_known = rules.len() == written_rules.len();
    if rules_known {
        path_prefix::check_rules(&prefix, &rules, &key, findings);
    }
    let needs_session = has_session_lane(&rules);
    let (raw, key) = written.get("access", |route| &route.access);
    let access = raw.map(|raw| access::check(raw, &key, around.providers, findings));
    if access.is_none() && needs_session && rules_known {
        findings.missing(
            &key,
            "is missing: nothing says who may get in",
            "write access = \"signed-in\", or a list such as [{ groups = [\"staff\"] }]; a route without sign-in ends its rules with { path = \"/*\", lane = \"public\" } or \"deny\"",
        );
    }
    let (raw, key) = written.get("deny", |route| &route.deny);
    let deny = access::deny(raw.map(Vec::as_slice), &key, around.providers, findings);
    let without_effect = [
        ("access", written.own.access.is_some()),
        ("deny", written.own.deny.is_some()),
        ("encoded_slash", written.own.encoded_slash == Some(true)),
    ];
    for (name, _) in without_effect
        .iter()
        .filter(|(_, written)| *written && !needs_session && rules_known)
    {
        findings.error(
            &format!("route.{}.{name}", written.id),
            "has no effect: the last rule takes every request, and none needs a session",
            format!("remove {name}, or remove that rule"),
        );
    }
    if needs_session && rules_known {
        let (_, key) = written.get("host", |route| &route.host);
        route_host::within_scope(&hosts, &key, around, findings);
    }
    let access = access.flatten();
    let told = identity_rules::Written {
        identity: written.get("identity", |route| &route.identity).0,
        user_from: written.get("user_from", |route| &route.user_from),
        namespace: written.get("namespace", |route| &route.namespace),
        group_separator: written.get("group_separator", |route| &route.group_separator),
        clear_cookies: written.get("clear_cookies", |route| &route.clear_cookies),
    };
    let identity = identity_rules::check(&told, access.as_ref(), &hosts, around, findings);
    let headers = custom_header::check(&written.headers(), identity.preset, findings);
    let (raw, key) = written.get("response_timeout", |route| &route.response_timeout);
    let response_timeout = duration(raw, &key, Duration::from_secs(60), findings);
    let (raw, key) = written.get("max_body", |route| &route.max_body);
    let max_body = size_or_unlimited(raw, &key, findings);
    let flag = |name, read, standard| written.get(name, read).0.copied().unwrap_or(standard);
    Some(Route {
        id: written.id.to_owned(),
        hosts,
        path: path?,
        upstream: upstream?,
        upstream_tls,
        prefix,
        preserve_host: flag("preserve_host", |route| &route.preserve_host, true),
        access,
        deny,
        rules,
        encoded_slash: flag("encoded_slash", |route| &route.encoded_slash, false),
        preflight: match written.get("preflight", |route| &route.preflight).0 {
            Some(RawPreflight::Pass) => Preflight::Pass,
            Some(RawPreflight::Session) | None => Preflight::Session,
        },
        identity,
        headers,
        pass_access_token: flag("pass_access_token", |route| &route.pass_access_token, false),
        response_timeout,
        max_body,
    })
}

/// Whether it can matter who is signed in: unless a rule for everything comes
/// first.
fn has_session_lane(rules: &[LaneRule]) -> bool {
    for rule in rules {
        if rule.lane.knows_people() {
            return true;
        }
        if rule.takes_everything() {
            return false;
        }
    }
    true
}
