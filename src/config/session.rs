//! `[session]`: how long a sign-in lasts, where it is kept, which hosts share
//! it.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::checked::{SameSite, Session};
use super::problems::Findings;
use super::quantity::{RawDuration, duration, duration_or_zero};
use super::server::is_public_suffix;
use crate::model::origin::{Authority, Origin};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawSession {
    /// Where sessions are kept: a database of our own, or Redis.
    pub(super) store: Option<RawStore>,
    /// Folder of our own data: the embedded database and its key ring, and what waits for a store that is away.
    pub(super) path: Option<String>,
    /// After this a session ends, however busy it is.
    lifetime: Option<RawDuration>,
    /// Without requests for this long a session ends.
    idle_timeout: Option<RawDuration>,
    /// Claims older than this are read again from the provider.
    identity_max_age: Option<RawDuration>,
    /// While the provider is in trouble, sessions without a valid access
    /// token go on for this long.
    outage_grace: Option<RawDuration>,
    /// While the store is away a session that was read at most this long ago goes on; 0s: none does.
    max_stale: Option<RawDuration>,
    /// Share the session with every host below this domain.
    cookie_domain: Option<String>,
    /// Which visits from other sites carry the session.
    same_site: Option<RawSameSite>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawStore {
    Embedded,
    Redis,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum RawSameSite {
    Lax,
    Strict,
}

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const MAX_STALE: Duration = Duration::from_secs(30);
const STALEST: Duration = HOUR;

/// Browsers keep no cookie longer than this (RFC 6265bis section 5.5).
const LONGEST: Duration = Duration::from_secs(400 * 24 * 3600);

pub(super) fn check(
    raw: &RawSession,
    folder: PathBuf,
    public_url: Option<&Origin>,
    findings: &mut Findings,
) -> Session {
    let lifetime = duration(
        raw.lifetime.as_ref(),
        "session.lifetime",
        30 * DAY,
        findings,
    );
    if lifetime > LONGEST {
        findings.error(
            "session.lifetime",
            "is longer than browsers keep a cookie",
            "write at most \"400d\"",
        );
    }
    let mut within_lifetime = |raw: Option<&RawDuration>, key: &str, default: Duration| {
        let length = duration(raw, key, default.min(lifetime), findings);
        if length > lifetime {
            findings.error(
                key,
                "is longer than session.lifetime and would never count",
                "make it shorter, or session.lifetime longer",
            );
        }
        length
    };
    let idle_timeout = within_lifetime(raw.idle_timeout.as_ref(), "session.idle_timeout", 7 * DAY);
    let identity_max_age = within_lifetime(
        raw.identity_max_age.as_ref(),
        "session.identity_max_age",
        HOUR,
    );
    let outage_grace =
        duration_or_zero(raw.outage_grace.as_ref(), "session.outage_grace", findings);
    let max_stale = match raw.max_stale.as_ref() {
        None => MAX_STALE,
        written => duration_or_zero(written, "session.max_stale", findings),
    };
    if max_stale > STALEST {
        findings.error(
            "session.max_stale",
            "is so long that sign-outs elsewhere would not count",
            "write at most \"1h\"; \"30s\" bridges a failover, \"0s\" switches it off",
        );
    }
    Session {
        folder,
        lifetime,
        idle_timeout,
        identity_max_age,
        outage_grace,
        max_stale,
        cookie_domain: cookie_domain(raw.cookie_domain.as_deref(), public_url, findings),
        same_site: match raw.same_site {
            Some(RawSameSite::Strict) => SameSite::Strict,
            Some(RawSameSite::Lax) | None => SameSite::Lax,
        },
    }
}

fn cookie_domain(
    raw: Option<&str>,
    public_url: Option<&Origin>,
    findings: &mut Findings,
) -> Option<String> {
    let key = "session.cookie_domain";
    let text = raw.filter(|text| !text.is_empty())?;
    let authority = match Authority::parse(text) {
        Ok(authority) if authority.port.is_none() => authority,
        _ => {
            let bare = text.rsplit("://").next().unwrap_or(text);
            let bare = bare.trim_start_matches(['*', '.']);
            let bare = bare.split([':', '/']).next().unwrap_or(bare);
            findings.error(
                key,
                format!("\"{text}\" is not a domain name"),
                format!("write the bare name: \"{bare}\""),
            );
            return None;
        }
    };
    let domain = authority.host;
    if domain.starts_with('[') || domain.parse::<std::net::Ipv4Addr>().is_ok() {
        findings.error(
            key,
            "is an IP address; cookies know domains only for names",
            "remove it",
        );
        return None;
    }
    if is_public_suffix(&domain) {
        findings.error(
            key,
            format!("\"{domain}\" is a public suffix: strangers own names below it and would receive the session cookie"),
            "name a domain that is yours alone, such as \"example.com\"",
        );
        return None;
    }
    if let Some(home) = public_url
        && !is_within(&home.host, &domain)
    {
        let is_name = home.host.parse::<std::net::Ipv4Addr>().is_err();
        let cure = match psl::domain_str(&home.host).filter(|_| is_name) {
            Some(parent) => format!("write \"{parent}\", or move server.public_url below {domain}"),
            None => format!("move server.public_url below {domain}, or remove this key"),
        };
        findings.error(
            key,
            format!(
                "\"{domain}\" is no parent of {}, the host of server.public_url",
                home.host
            ),
            cure,
        );
        return None;
    }
    Some(domain)
}

/// `host` is `domain` or lies below it.
pub(super) fn is_within(host: &str, domain: &str) -> bool {
    host == domain
        || host
            .strip_suffix(domain)
            .is_some_and(|rest| rest.ends_with('.'))
}

/// The folder of what we keep ourselves: as written, else the one that the
/// service manager gave, else that of the configuration file.
pub(super) fn folder(
    raw: &RawSession,
    environment: &[(String, String)],
    base_dir: &std::path::Path,
) -> PathBuf {
    if let Some(path) = &raw.path {
        return base_dir.join(path);
    }
    let given = environment
        .iter()
        .find(|(name, value)| name == "STATE_DIRECTORY" && !value.is_empty());
    // systemd separates several folders by colons
    match given.and_then(|(_, value)| value.split(':').next()) {
        Some(path) => base_dir.join(path),
        None => base_dir.to_path_buf(),
    }
}
