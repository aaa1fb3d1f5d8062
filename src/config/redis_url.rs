//! The address of a Redis: one server, a primary behind sentinels, or a cluster.

use std::fmt;
use std::path::PathBuf;

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostPort {
    /// A name or an address; an IPv6 address without its brackets.
    pub host: String,
    pub port: u16,
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RedisPlace {
    Server(HostPort),
    Socket(PathBuf),
    /// The sentinels know where the primary of this name is.
    Sentinel {
        sentinels: Vec<HostPort>,
        primary: String,
    },
    /// Some of the nodes; they know the others.
    Cluster(Vec<HostPort>),
}

/// `Display` gives it as it was written; it holds no password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisUrl {
    text: String,
    pub place: RedisPlace,
    /// To every server, sentinels among them.
    pub tls: bool,
    pub database: u16,
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a text is no such address, as the end of a sentence; never the text
/// itself, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RedisUrlError {
    #[error("is not a URL")]
    NoUrl,
    #[error("holds a user name or password")]
    Credentials,
    #[error("is of an unknown kind")]
    Kind,
    #[error("names no host")]
    NoHost,
    #[error("holds something that is not HOST:PORT")]
    Host,
    #[error("names several hosts")]
    Hosts,
    #[error("ends in something that is not the number of a database")]
    Database,
    #[error("has a query")]
    Query,
    #[error("names no socket")]
    NoSocket,
    #[error("does not name the primary that the sentinels watch")]
    NoPrimary,
    #[error("names a database, which a cluster has not")]
    DatabaseOfCluster,
}

impl std::str::FromStr for RedisUrl {
    type Err = RedisUrlError;

    fn from_str(text: &str) -> Result<Self, RedisUrlError> {
        let (scheme, rest) = text.split_once("://").ok_or(RedisUrlError::NoUrl)?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err(RedisUrlError::Credentials);
        }
        let done = |tls, place, database: &str| {
            Ok(Self {
                text: text.to_owned(),
                place,
                tls,
                database: number(database)?,
            })
        };
        if scheme == "redis+unix" {
            let (path, query) = path.split_once('?').unwrap_or((path, "db=0"));
            let database = query.strip_prefix("db=").ok_or(RedisUrlError::Query)?;
            if path.is_empty() || !authority.is_empty() {
                return Err(RedisUrlError::NoSocket);
            }
            let place = RedisPlace::Socket(PathBuf::from(format!("/{path}")));
            return done(false, place, database);
        }
        let tls = scheme.starts_with("rediss");
        match scheme {
            "redis" | "rediss" | "redis-sentinel" | "rediss-sentinel" | "redis-cluster"
            | "rediss-cluster" => {}
            _ => return Err(RedisUrlError::Kind),
        }
        if rest.contains(['?', '#']) {
            return Err(RedisUrlError::Query);
        }
        if scheme.ends_with("-sentinel") {
            let sentinels = hosts(authority, SENTINEL_PORT)?;
            let (primary, database) = path.split_once('/').unwrap_or((path, ""));
            if primary.is_empty() {
                return Err(RedisUrlError::NoPrimary);
            }
            let primary = primary.to_owned();
            return done(tls, RedisPlace::Sentinel { sentinels, primary }, database);
        }
        let mut hosts = hosts(authority, REDIS_PORT)?;
        if scheme.ends_with("-cluster") {
            if number(path)? != 0 {
                return Err(RedisUrlError::DatabaseOfCluster);
            }
            return done(tls, RedisPlace::Cluster(hosts), "");
        }
        match (hosts.pop(), hosts.is_empty()) {
            (Some(host), true) => done(tls, RedisPlace::Server(host), path),
            _ => Err(RedisUrlError::Hosts),
        }
    }
}

fn number(database: &str) -> Result<u16, RedisUrlError> {
    match database.trim_end_matches('/') {
        "" => Ok(0),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().map_err(|_| RedisUrlError::Database)
        }
        _ => Err(RedisUrlError::Database),
    }
}

fn hosts(authority: &str, port: u16) -> Result<Vec<HostPort>, RedisUrlError> {
    if authority.is_empty() {
        return Err(RedisUrlError::NoHost);
    }
    authority.split(',').map(|text| host(text, port)).collect()
}

fn host(text: &str, standard: u16) -> Result<HostPort, RedisUrlError> {
    // The rules for host names are those of every URL.
    let url = url::Url::parse(&format!("redis://{text}")).map_err(|_| RedisUrlError::Host)?;
    let host = match url.host() {
        Some(url::Host::Ipv6(address)) => address.to_string(),
        Some(host) => host.to_string(),
        None => return Err(RedisUrlError::NoHost),
    };
    if host.is_empty() || !matches!(url.path(), "" | "/") {
        return Err(RedisUrlError::NoHost);
    }
    Ok(HostPort {
        host,
        port: url.port().unwrap_or(standard),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, port: u16) -> HostPort {
        HostPort {
            host: host.into(),
            port,
        }
    }

    #[test]
    fn every_kind_is_read() {
        for (text, place, tls, database) in [
            (
                "redis://127.0.0.1:6380/3",
                RedisPlace::Server(at("127.0.0.1", 6380)),
                false,
                3,
            ),
            (
                "rediss://r.example.com",
                RedisPlace::Server(at("r.example.com", 6379)),
                true,
                0,
            ),
            (
                "redis://[::1]:1/",
                RedisPlace::Server(at("::1", 1)),
                false,
                0,
            ),
            (
                "redis+unix:///run/r.sock",
                RedisPlace::Socket("/run/r.sock".into()),
                false,
                0,
            ),
            (
                "redis+unix:///run/r.sock?db=2",
                RedisPlace::Socket("/run/r.sock".into()),
                false,
                2,
            ),
            (
                "redis-sentinel://a,b:2,[::1]:3/mymaster/4",
                RedisPlace::Sentinel {
                    sentinels: vec![at("a", 26379), at("b", 2), at("::1", 3)],
                    primary: "mymaster".into(),
                },
                false,
                4,
            ),
            (
                "rediss-sentinel://a/m",
                RedisPlace::Sentinel {
                    sentinels: vec![at("a", 26379)],
                    primary: "m".into(),
                },
                true,
                0,
            ),
            (
                "redis-cluster://a:1,b",
                RedisPlace::Cluster(vec![at("a", 1), at("b", 6379)]),
                false,
                0,
            ),
            (
                "rediss-cluster://a/0",
                RedisPlace::Cluster(vec![at("a", 6379)]),
                true,
                0,
            ),
        ] {
            let url: RedisUrl = text.parse().expect(text);
            assert_eq!(
                (url.place, url.tls, url.database),
                (place, tls, database),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_none_is_named() {
        for (text, error) in [
            ("127.0.0.1:6379", RedisUrlError::NoUrl),
            ("http://a", RedisUrlError::Kind),
            ("redis://me:pw@a", RedisUrlError::Credentials),
            ("redis-cluster://:pw@a,b", RedisUrlError::Credentials),
            ("redis:///0", RedisUrlError::NoHost),
            ("redis://a,b", RedisUrlError::Hosts),
            ("redis://a/zero", RedisUrlError::Database),
            ("redis://a/70000", RedisUrlError::Database),
            ("redis://a:port", RedisUrlError::Host),
            ("redis-sentinel://a,,b/m", RedisUrlError::NoHost),
            ("redis-sentinel://a", RedisUrlError::NoPrimary),
            ("redis-sentinel://a/m?x=1", RedisUrlError::Query),
            ("rediss://a/#insecure", RedisUrlError::Query),
            ("redis-cluster://a/1", RedisUrlError::DatabaseOfCluster),
            ("redis+unix://host/run/s", RedisUrlError::NoSocket),
            ("redis+unix:///", RedisUrlError::NoSocket),
            ("redis+unix:///s?pass=x", RedisUrlError::Query),
        ] {
            assert_eq!(text.parse::<RedisUrl>(), Err(error), "{text}");
        }
    }

    #[test]
    fn an_address_is_printed_as_it_is_dialled() {
        assert_eq!(at("::1", 2).to_string(), "[::1]:2");
        assert_eq!(at("a", 2).to_string(), "a:2");
        let text = "redis-sentinel://a/m";
        assert_eq!(text.parse::<RedisUrl>().expect("url").to_string(), text);
    }
}
