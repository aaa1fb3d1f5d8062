//! `[redis]`: the shared session store.

use std::path::Path;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use super::checked::Redis;
use super::problems::Findings;
use super::secret_file::{Twin, either};
use super::trust_anchor;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawRedis {
    /// redis://HOST:PORT/DB, rediss:// for TLS, redis+unix:///PATH.
    url: Option<String>,
    /// Name to log in with; absent: the default user.
    username: Option<String>,
    /// Better kept in a file: password_file.
    #[schemars(with = "Option<String>")]
    password: Option<SecretString>,
    /// File that holds the password.
    password_file: Option<String>,
    /// PEM file of certificates to trust, for rediss://.
    ca_file: Option<String>,
    /// Namespace of every key, bound into every seal.
    key_prefix: Option<String>,
}

pub(super) fn check(raw: &RawRedis, base_dir: &Path, findings: &mut Findings) -> Option<Redis> {
    let url = url(raw.url.as_deref(), findings);
    let twin = Twin {
        value: raw.password.as_ref(),
        file: raw.password_file.as_deref(),
        key: "redis.password",
    };
    let password = either(&twin, base_dir, findings);
    if raw.ca_file.is_some()
        && url
            .as_deref()
            .is_some_and(|url| !url.starts_with("rediss://"))
    {
        findings.error(
            "redis.ca_file",
            "has no meaning without TLS",
            "write a rediss:// url, or remove it",
        );
    }
    let key_prefix = raw.key_prefix.as_deref().unwrap_or("vestibule");
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    if key_prefix.is_empty() || !key_prefix.bytes().all(good) {
        findings.error(
            "redis.key_prefix",
            format!("\"{key_prefix}\" is not a plain name"),
            "use letters, digits and -_.: only",
        );
    }
    Some(Redis {
        url: url?,
        username: raw.username.clone(),
        password,
        ca_file: trust_anchor::check(raw.ca_file.as_deref(), "redis.ca_file", base_dir, findings),
        key_prefix: key_prefix.to_owned(),
    })
}

fn url(raw: Option<&str>, findings: &mut Findings) -> Option<String> {
    let key = "redis.url";
    let Some(text) = raw else {
        findings.missing(
            key,
            "is missing, and session.store is \"redis\"",
            "write url = \"redis://127.0.0.1:6379/0\" in [redis]",
        );
        return None;
    };
    // never printed whole: it may hold a password
    let Ok(url) = url::Url::parse(text) else {
        findings.error(key, "is not a URL", "write \"redis://127.0.0.1:6379/0\"");
        return None;
    };
    if !url.username().is_empty() || url.password().is_some() {
        findings.error(
            key,
            "holds a user name or password",
            "write them as redis.username and redis.password_file",
        );
        return None;
    }
    let database = url.path().trim_start_matches('/');
    let complaint = match url.scheme() {
        "redis" | "rediss" if url.host_str().is_none_or(str::is_empty) => "names no host",
        "redis" | "rediss" if !database.bytes().all(|byte| byte.is_ascii_digit()) => {
            "ends in something that is not the number of a database"
        }
        "redis" | "rediss" if url.query().is_some() || url.fragment().is_some() => "has a query",
        "redis+unix" if database.is_empty() || url.has_host() => "names no socket",
        "redis" | "rediss" | "redis+unix" => return Some(text.to_owned()),
        "redis-sentinel" | "redis-cluster" => "is of a kind that is not built yet",
        _ => "is of an unknown kind",
    };
    findings.error(
        key,
        complaint,
        "write redis://HOST:PORT/DB, rediss://HOST:PORT/DB for TLS, or redis+unix:///PATH",
    );
    None
}
