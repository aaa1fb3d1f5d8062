//! Scheme, host and port, compared exactly.

use std::fmt;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A host and the port that was written with it. The host is lower case,
/// without a trailing dot; an IPv6 address keeps its brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Authority {
    pub host: String,
    pub port: Option<u16>,
}

/// Not `host` or `host:port` in the strict form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a host name or address with an optional port")]
pub struct MalformedAuthority;

impl Authority {
    /// Strict: a name of letters, digits, `-`, `_` and `.`, an IPv4 address,
    /// or a bracketed IPv6 address, then at most one port without leading
    /// zeros. Nothing is decoded (RFC 9110 section 7.2).
    pub fn parse(text: &str) -> Result<Self, MalformedAuthority> {
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (address, after) = rest.split_once(']').ok_or(MalformedAuthority)?;
            let address: std::net::Ipv6Addr = address.parse().map_err(|_| MalformedAuthority)?;
            let port = match after {
                "" => None,
                _ => Some(after.strip_prefix(':').ok_or(MalformedAuthority)?),
            };
            (format!("[{address}]"), port)
        } else {
            let (host, port) = match memchr::memchr(b':', text.as_bytes()) {
                Some(colon) => (&text[..colon], Some(&text[colon + 1..])),
                None => (text, None),
            };
            (name(host)?, port)
        };
        let port = match port {
            None => None,
            Some(digits) if !digits.starts_with('0') && digits.len() <= 5 => {
                let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
                let port = digits.parse().map_err(|_| MalformedAuthority)?;
                Some(all_digits.then_some(port).ok_or(MalformedAuthority)?)
            }
            Some(_) => return Err(MalformedAuthority),
        };
        Ok(Self { host, port })
    }
}

fn name(host: &str) -> Result<String, MalformedAuthority> {
    let host = host.strip_suffix('.').unwrap_or(host);
    if host.len() > 253 {
        return Err(MalformedAuthority);
    }
    let mut label = 0;
    for byte in host.bytes() {
        match byte {
            b'.' if label > 0 => label = 0,
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'A'..=b'Z' if label < 63 => label += 1,
            _ => return Err(MalformedAuthority),
        }
    }
    (label > 0)
        .then(|| host.to_ascii_lowercase())
        .ok_or(MalformedAuthority)
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

/// Scheme, host, port. `port` is absent where it is the scheme's own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    pub scheme: Scheme,
    pub host: String,
    pub port: Option<u16>,
}

impl Origin {
    pub fn new(scheme: Scheme, authority: Authority) -> Self {
        Self {
            scheme,
            host: authority.host,
            port: authority.port.filter(|port| *port != scheme.default_port()),
        }
    }

    /// `http://localhost`, `*.localhost`, 127.0.0.0/8 and `[::1]`: the only
    /// places where plain http is allowed for signing in.
    pub fn is_loopback(&self) -> bool {
        host_is_loopback(&self.host)
    }
}

pub fn host_is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || host.ends_with(".localhost")
        || address
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.host)?;
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}
