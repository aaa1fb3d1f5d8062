//! A browser's cookie store, as far as these tests go: hosts, paths, Secure,
//! prefixes, expiry and SameSite.

use std::time::Duration;

use url::Url;
use vestibule::base::clock::{Clock, Timestamp};

#[derive(Debug, Clone)]
pub struct StoredCookie {
    pub name: String,
    pub value: String,
    /// The host that set it, or the `Domain` attribute without its dot.
    pub domain: String,
    pub host_only: bool,
    pub path: String,
    pub secure: bool,
    pub http_only: bool,
    /// Lower case; empty where the attribute was missing.
    pub same_site: String,
    pub max_age: Option<i64>,
    expires: Option<Timestamp>,
}

/// How a request came to be, for SameSite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Initiator {
    SameSite,
    /// Another site, top-level navigation with a safe method.
    CrossSiteNavigation,
    /// Another site, anything else.
    CrossSite,
}

#[derive(Debug, Clone, Default)]
pub struct CookieJar {
    cookies: Vec<StoredCookie>,
}

impl CookieJar {
    /// Takes one Set-Cookie line from `url`; refuses what a browser refuses.
    pub fn take(&mut self, url: &Url, line: &str) {
        let host = url.host_str().unwrap_or_default().to_owned();
        let mut parts = line.split(';').map(str::trim);
        let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
            return;
        };
        let mut cookie = StoredCookie {
            name: name.to_owned(),
            value: value.to_owned(),
            domain: host.clone(),
            host_only: true,
            path: default_path(url),
            secure: false,
            http_only: false,
            same_site: String::new(),
            max_age: None,
            expires: None,
        };
        for part in parts {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            match key.to_ascii_lowercase().as_str() {
                "domain" if !value.is_empty() => {
                    cookie.domain = value.trim_start_matches('.').to_ascii_lowercase();
                    cookie.host_only = false;
                }
                "path" if value.starts_with('/') => cookie.path = value.to_owned(),
                "secure" => cookie.secure = true,
                "httponly" => cookie.http_only = true,
                "samesite" => cookie.same_site = value.to_ascii_lowercase(),
                "max-age" => cookie.max_age = value.parse().ok(),
                _ => {}
            }
        }
        let whole_host = cookie.host_only && cookie.path == "/" && cookie.secure;
        if !domain_match(&host, &cookie.domain)
            || (cookie.name.starts_with("__Host-") && !whole_host)
            || (cookie.name.starts_with("__Secure-") && !cookie.secure)
            || cookie.name.len() + cookie.value.len() > 4096
        {
            return;
        }
        let now = Clock::system().now();
        cookie.expires = cookie
            .max_age
            .map(|age| now.plus(Duration::from_secs(u64::try_from(age).unwrap_or(0))));
        self.cookies.retain(|old| {
            (&old.name, &old.domain, &old.path) != (&cookie.name, &cookie.domain, &cookie.path)
        });
        if cookie.max_age.is_none_or(|age| age > 0) {
            self.cookies.push(cookie);
        }
    }

    /// The Cookie header for a request to `url`; `None` where there is nothing to send.
    pub fn header(&self, url: &Url, initiator: Initiator) -> Option<String> {
        let pairs: Vec<String> = self
            .sent_to(url, initiator)
            .map(|cookie| format!("{}={}", cookie.name, cookie.value))
            .collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    fn sent_to(&self, url: &Url, initiator: Initiator) -> impl Iterator<Item = &StoredCookie> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let path = url.path().to_owned();
        // Loopback counts as a secure context, as in Chromium.
        let secure = url.scheme() == "https" || host.ends_with("localhost") || host == "127.0.0.1";
        let now = Clock::system().now();
        self.cookies.iter().filter(move |cookie| {
            let reaches = if cookie.host_only {
                cookie.domain == host
            } else {
                domain_match(&host, &cookie.domain)
            };
            let site_allows = match initiator {
                Initiator::SameSite => true,
                Initiator::CrossSiteNavigation => cookie.same_site != "strict",
                Initiator::CrossSite => cookie.same_site == "none",
            };
            reaches
                && site_allows
                && path_match(&path, &cookie.path)
                && (!cookie.secure || secure)
                && cookie.expires.is_none_or(|end| end > now)
        })
    }

    pub fn all(&self) -> &[StoredCookie] {
        &self.cookies
    }

    /// Puts a cookie in by hand, for planting and tampering.
    pub fn plant(&mut self, url: &Url, name: &str, value: &str) {
        self.take(url, &format!("{name}={value}; Path=/"));
    }

    pub fn remove(&mut self, name: &str) {
        self.cookies.retain(|cookie| cookie.name != name);
    }
}

fn domain_match(host: &str, domain: &str) -> bool {
    host == domain
        || host
            .strip_suffix(domain)
            .is_some_and(|rest| rest.ends_with('.'))
}

fn path_match(path: &str, cookie_path: &str) -> bool {
    path.strip_prefix(cookie_path)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || cookie_path.ends_with('/'))
}

fn default_path(url: &Url) -> String {
    match url.path().rfind('/') {
        None | Some(0) => "/".to_owned(),
        Some(end) => url.path()[..end].to_owned(),
    }
}
