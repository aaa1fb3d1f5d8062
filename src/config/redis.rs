//! `[redis]`: the shared session store.

use std::path::Path;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use super::checked::Redis;
use super::problems::Findings;
use super::redis_url::{RedisPlace, RedisUrl, RedisUrlError};
use super::secret_file::{Twin, either};
use super::trust_anchor;

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawRedis {
    /// redis://HOST:PORT/DB, redis+unix:///PATH,
    /// redis-sentinel://HOST:PORT,…/NAME/DB or redis-cluster://HOST:PORT,…;
    /// with rediss in place of redis for TLS.
    url: Option<String>,
    /// Name to log in with; absent: the default user.
    username: Option<String>,
    /// Better kept in a file: password_file.
    #[schemars(with = "Option<String>")]
    password: Option<SecretString>,
    /// File that holds the password.
    password_file: Option<String>,
    /// Name to log in with at the sentinels; absent: their default user.
    sentinel_username: Option<String>,
    /// Password of the sentinels. Better kept in a file: sentinel_password_file.
    #[schemars(with = "Option<String>")]
    sentinel_password: Option<SecretString>,
    /// File that holds the password of the sentinels.
    sentinel_password_file: Option<String>,
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
    let sentinel_twin = Twin {
        value: raw.sentinel_password.as_ref(),
        file: raw.sentinel_password_file.as_deref(),
        key: "redis.sentinel_password",
    };
    let sentinel_password = either(&sentinel_twin, base_dir, findings);
    if raw.ca_file.is_some() && url.as_ref().is_some_and(|url| !url.tls) {
        findings.error(
            "redis.ca_file",
            "has no meaning without TLS",
            "write a rediss:// url, or remove it",
        );
    }
    let sentinel = |url: &RedisUrl| matches!(url.place, RedisPlace::Sentinel { .. });
    if url.as_ref().is_some_and(|url| !sentinel(url)) {
        let unused = [
            ("redis.sentinel_username", raw.sentinel_username.is_some()),
            ("redis.sentinel_password", raw.sentinel_password.is_some()),
            (
                "redis.sentinel_password_file",
                raw.sentinel_password_file.is_some(),
            ),
        ];
        for (key, _) in unused.into_iter().filter(|(_, written)| *written) {
            findings.error(
                key,
                "has no meaning without sentinels",
                "write a redis-sentinel:// url, or remove it",
            );
        }
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
        sentinel_username: raw.sentinel_username.clone(),
        sentinel_password,
        ca_file: trust_anchor::check(raw.ca_file.as_deref(), "redis.ca_file", base_dir, findings),
        key_prefix: key_prefix.to_owned(),
    })
}

fn url(raw: Option<&str>, findings: &mut Findings) -> Option<RedisUrl> {
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
    let error = match text.parse() {
        Ok(url) => return Some(url),
        Err(error) => error,
    };
    let cure = match error {
        RedisUrlError::Credentials => "write them as redis.username and redis.password_file",
        _ => {
            "write redis://HOST:PORT/DB, redis+unix:///PATH, redis-sentinel://HOST:PORT,HOST:PORT/NAME/DB \
             or redis-cluster://HOST:PORT,HOST:PORT; for TLS rediss in place of redis"
        }
    };
    findings.error(key, error.to_string(), cure);
    None
}
