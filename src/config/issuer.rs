//! `issuer` of a provider, and what is known about well-known ones.

use super::problems::Findings;
use crate::model::origin::host_is_loopback;

/// Kept byte for byte: the provider's answers are compared with it.
pub(super) fn check(raw: Option<&str>, key: &str, findings: &mut Findings) -> Option<String> {
    let Some(text) = raw else {
        findings.missing(
            key,
            "is missing",
            "write the issuer of the provider, such as issuer = \"https://id.example.com\"",
        );
        return None;
    };
    let host = host_of(text);
    let fault = match url::Url::parse(text) {
        Err(_) => Some(("is not a URL".to_owned(), "write \"https://id.example.com\"".to_owned())),
        Ok(url) if !url.username().is_empty() || url.password().is_some() => Some((
            "holds a user name or password".to_owned(),
            "write the issuer as its discovery document spells it".to_owned(),
        )),
        Ok(url) if !matches!(url.scheme(), "http" | "https") || host.is_empty() => Some((
            format!("\"{text}\" is not a web address"),
            "write \"https://id.example.com\"".to_owned(),
        )),
        Ok(_) if text.contains(['?', '#']) => Some((
            "has a query or fragment".to_owned(),
            "write the issuer as its discovery document spells it".to_owned(),
        )),
        Ok(_) if text.contains("/.well-known/") => Some((
            "is the address of the discovery document".to_owned(),
            format!("write \"{}\"", text.split("/.well-known/").next().unwrap_or(text)),
        )),
        Ok(url) if url.scheme() == "http" && !host_is_loopback(host) => Some((
            "is plain http: whoever is on the way could sign in as anybody".to_owned(),
            "write https://; where only the gateway's own calls go through a private network, keep the issuer and set internal_url".to_owned(),
        )),
        Ok(_) => None,
    };
    match fault {
        Some((what, cure)) => {
            findings.error(key, what, cure);
            None
        }
        None => Some(text.to_owned()),
    }
}

/// The host as written, without port.
pub(super) fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    if authority.starts_with('[') {
        return authority.split_inclusive(']').next().unwrap_or(authority);
    }
    authority.split(':').next().unwrap_or(authority)
}

/// Tenants of Entra that take any Microsoft account; the last one is that of
/// personal accounts.
const OPEN_TENANTS: [&str; 4] = [
    "common",
    "consumers",
    "organizations",
    "9188040d-6c67-4c5b-b112-36a304b66dad",
];

const OPEN_HOSTS: [&str; 11] = [
    "accounts.google.com",
    "github.com",
    "gitlab.com",
    "discord.com",
    "appleid.apple.com",
    "account.apple.com",
    "slack.com",
    "www.linkedin.com",
    "linkedin.com",
    "bitbucket.org",
    "api.bitbucket.org",
];

/// Whether anybody in the world can have an account there.
pub(super) fn lets_anybody_register(issuer: &str) -> bool {
    let host = host_of(issuer).to_ascii_lowercase();
    if host == "login.microsoftonline.com" {
        let tenant = issuer.split('/').nth(3).unwrap_or_default();
        return OPEN_TENANTS.contains(&tenant.to_ascii_lowercase().as_str());
    }
    OPEN_HOSTS.contains(&host.as_str())
}
