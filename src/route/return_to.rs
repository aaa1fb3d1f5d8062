//! Where a browser goes after signing in or out: never away from our hosts.
//!
//! Nothing is decoded or repaired. What passes is what was given, byte for
//! byte; what does not pass becomes "/".

use crate::config::checked::{Config, ReturnToHost, RouteHost};
use crate::model::origin::{Authority, Origin, Scheme};
use crate::model::path_text;

/// Bytes. Longer targets would not fit the transaction cookie.
pub const LONGEST: usize = 1024;

/// A path on the host that answers, or a URL on a host of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnTo(String);

/// Which absolute URLs are ours.
#[derive(Debug, Clone)]
pub struct ReturnToPolicy {
    /// `public_url`, then the origin of every host with a session lane.
    origins: Vec<Origin>,
    /// Only with the scheme of `public_url`; a host without a port means the
    /// port of that scheme.
    hosts: Vec<ReturnToHost>,
    /// Wildcard hosts with a session lane that name a port: what they lie
    /// below.
    ported: Vec<Origin>,
    prefix: String,
}

impl ReturnToPolicy {
    pub fn compile(config: &Config) -> Self {
        let public_url = &config.server.public_url;
        let mut origins = vec![public_url.clone()];
        let mut hosts = config.server.return_to_hosts.clone();
        let mut ported = Vec::new();
        for route in config.routes.iter().filter(|route| route.access.is_some()) {
            for host in &route.hosts {
                let host = match host {
                    RouteHost::Exact(host) => host,
                    RouteHost::Below(domain) if domain.port.is_none() => {
                        hosts.push(ReturnToHost::Below(domain.host.clone()));
                        continue;
                    }
                    RouteHost::Below(domain) => {
                        ported.push(Origin::new(public_url.scheme, domain.clone()));
                        continue;
                    }
                    RouteHost::Any => continue,
                };
                let origin = Origin::new(public_url.scheme, host.clone());
                if !origins.contains(&origin) {
                    origins.push(origin);
                }
            }
        }
        Self {
            origins,
            hosts,
            ported,
            prefix: config.server.prefix.to_ascii_lowercase(),
        }
    }

    /// Whether sign-ins happen there: `public_url`, or a host with a session
    /// lane.
    pub fn has_session_origin(&self, origin: &Origin) -> bool {
        self.origins.contains(origin)
    }

    fn lists(&self, origin: &Origin) -> bool {
        let scheme = self.origins.first().map(|public_url| public_url.scheme);
        self.origins.contains(origin)
            || self.ported.iter().any(|domain| {
                (origin.scheme, origin.port) == (domain.scheme, domain.port)
                    && is_below(&origin.host, &domain.host)
            })
            || Some(origin.scheme) == scheme
                && self.hosts.iter().any(|host| match host {
                    ReturnToHost::Exact(host) => {
                        Origin::new(origin.scheme, host.clone()) == *origin
                    }
                    ReturnToHost::Below(suffix) => {
                        let domain = suffix.strip_prefix('.').unwrap_or(suffix);
                        origin.port.is_none() && is_below(&origin.host, domain)
                    }
                })
    }
}

fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain)
        .is_some_and(|name| name.len() > 1 && name.ends_with('.'))
}

impl Default for ReturnTo {
    fn default() -> Self {
        Self("/".to_owned())
    }
}

impl ReturnTo {
    /// `text` itself if it is a path or a listed URL that does not lead into
    /// our own endpoints, else "/".
    pub fn check(text: &str, policy: &ReturnToPolicy) -> Self {
        if is_safe(text, policy) {
            Self(text.to_owned())
        } else {
            Self::default()
        }
    }

    /// The value of `key` in a query, form-decoded once, then checked. A key
    /// that comes twice gives "/": nobody can tell which one was meant.
    pub fn from_query(query: Option<&str>, key: &str, policy: &ReturnToPolicy) -> Self {
        let mut values = query.unwrap_or_default().split('&').filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (form_decode(name).as_deref() == Some(key)).then_some(value)
        });
        match (values.next().and_then(form_decode), values.next()) {
            (Some(value), None) => Self::check(&value, policy),
            _ => Self::default(),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is a path, to be read on the host that answers.
    pub fn is_path(&self) -> bool {
        self.0.starts_with('/')
    }
}

impl std::fmt::Display for ReturnTo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

fn form_decode(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    let decoded: Vec<u8> = percent_encoding::percent_decode_str(&spaced).collect();
    String::from_utf8(decoded).ok()
}

fn is_safe(text: &str, policy: &ReturnToPolicy) -> bool {
    // Browsers drop tabs and line ends anywhere, and trim spaces and controls;
    // other bytes than printable ASCII belong percent-encoded.
    if text.len() > LONGEST || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return false;
    }
    let rest = if text.starts_with('/') {
        text
    } else {
        match listed_origin(text, policy) {
            Some(rest) => rest,
            None => return false,
        }
    };
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    path.is_empty() || (is_plain(path) && !leads_to_own_endpoints(path, policy))
}

/// What follows the origin of an absolute URL that is ours. The scheme must be
/// in lower case; `https:/host`, `https:host` and userinfo are no forms of
/// ours.
fn listed_origin<'t>(text: &'t str, policy: &ReturnToPolicy) -> Option<&'t str> {
    let (scheme, rest) = if let Some(rest) = text.strip_prefix("https://") {
        (Scheme::Https, rest)
    } else {
        (Scheme::Http, text.strip_prefix("http://")?)
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let parsed = Authority::parse(authority).ok()?;
    // `host.` is another host to a browser, although it is the same name.
    let host = authority.split(':').next().unwrap_or_default();
    if host.ends_with('.') {
        return None;
    }
    policy.lists(&Origin::new(scheme, parsed)).then_some(rest)
}

/// No two slashes, nothing that a request could not ask us for
/// (`Target::parse`), no escaped control character.
fn is_plain(path: &str) -> bool {
    let escaped_control =
        || percent_encoding::percent_decode_str(path).any(|byte| byte.is_ascii_control());
    path.starts_with('/')
        && !path.contains("//")
        && path_text::judge(path).is_ok_and(|judged| !judged.encoded_slash)
        && !escaped_control()
}

fn leads_to_own_endpoints(path: &str, policy: &ReturnToPolicy) -> bool {
    let reading = path_text::lenient_reading(path);
    reading
        .strip_prefix(policy.prefix.as_str())
        .is_some_and(|below| below.is_empty() || below.starts_with('/'))
}

#[cfg(test)]
mod tests;
