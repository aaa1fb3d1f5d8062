//! `[server]`: where we listen, how browsers reach us, whom we believe.

use std::path::Path;

use ipnet::IpNet;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use schemars::JsonSchema;
use serde::Deserialize;

use super::address::{checked_origin, listen, networks};
use super::checked::{ListenAddr, ReturnToHost, Runtime, ServerTls};
use super::key_pair;
use super::problems::Findings;
use super::raw::{OneOrMany, indexed};
use crate::base::certificate;
use crate::base::clock::Clock;
use crate::model::origin::{Authority, Origin, Scheme, host_is_loopback};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawServer {
    /// Addresses to accept requests on: "127.0.0.1:4180", "unix:/run/vestibule.sock".
    listen: Option<OneOrMany>,
    /// The origin that browsers use for signing in. Required.
    pub(super) public_url: Option<String>,
    /// The gateway's own endpoints live below this path.
    prefix: Option<String>,
    /// Proxies whose word about client address and scheme is taken.
    trusted_proxies: Option<Vec<String>>,
    /// Hosts beyond our own that a browser may be sent to after signing in.
    return_to_hosts: Option<Vec<String>>,
    /// Our own certificate, for listening with TLS on every TCP address.
    tls: Option<RawServerTls>,
    /// Worker threads; 0 is one per core. With `server.tls` as many again shake
    /// hands, and two more serve store, providers and pages.
    workers: Option<u32>,
    /// How requests are spread over threads.
    runtime: Option<RawRuntime>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawServerTls {
    /// PEM file of the certificate and its chain, our own first. Read again when it changes.
    certificate_file: Option<String>,
    /// PEM file of the private key of that certificate.
    private_key_file: Option<String>,
}

#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawRuntime {
    PerCore,
    Shared,
}

/// As [`super::checked::Server`], with what may be missing.
pub(super) struct ServerPart {
    pub(super) listen: Vec<ListenAddr>,
    pub(super) public_url: Option<Origin>,
    pub(super) prefix: String,
    pub(super) trusted_proxies: Vec<IpNet>,
    pub(super) return_to_hosts: Vec<ReturnToHost>,
    pub(super) tls: Option<ServerTls>,
    pub(super) workers: usize,
    pub(super) runtime: Runtime,
}

pub(super) fn check(raw: &RawServer, base_dir: &Path, findings: &mut Findings) -> ServerPart {
    let public_url = public_url(raw.public_url.as_deref(), findings);
    ServerPart {
        listen: listeners(raw.listen.as_ref(), findings),
        tls: tls(raw.tls.as_ref(), public_url.as_ref(), base_dir, findings),
        public_url,
        prefix: prefix(raw.prefix.as_deref().unwrap_or("/oauth2"), findings),
        trusted_proxies: trusted_proxies(raw, findings),
        return_to_hosts: return_to_hosts(raw, findings),
        workers: match raw.workers {
            None | Some(0) => std::thread::available_parallelism().map_or(1, usize::from),
            Some(count) => count as usize,
        },
        runtime: match raw.runtime {
            Some(RawRuntime::Shared) => Runtime::Shared,
            Some(RawRuntime::PerCore) | None => Runtime::PerCore,
        },
    }
}

fn tls(
    raw: Option<&RawServerTls>,
    public_url: Option<&Origin>,
    base_dir: &Path,
    findings: &mut Findings,
) -> Option<ServerTls> {
    let raw = raw?;
    let key = "server.tls";
    if raw.certificate_file.is_none() && raw.private_key_file.is_none() {
        findings.error(
            key,
            "names no certificate",
            "write certificate_file and private_key_file, or remove it",
        );
        return None;
    }
    if public_url.is_some_and(|url| url.scheme == Scheme::Http) {
        findings.error(
            key,
            "encrypts, and server.public_url sends browsers to plain http",
            "write public_url with https://, or remove server.tls",
        );
    }
    let written = key_pair::Written {
        certificate: raw.certificate_file.as_deref(),
        certificate_key: "server.tls.certificate_file",
        private: raw.private_key_file.as_deref(),
        private_key: "server.tls.private_key_file",
    };
    let (certificate_file, private_key_file) = key_pair::check(&written, base_dir, findings)?;
    warn_of_end(&certificate_file, &Clock::system(), findings);
    Some(ServerTls {
        certificate_file,
        private_key_file,
    })
}

/// A warning and no error: a gateway that browsers complain about is better
/// than one that does not start.
fn warn_of_end(certificate_file: &Path, clock: &Clock, findings: &mut Findings) {
    let Some(times) = CertificateDer::from_pem_file(certificate_file)
        .ok()
        .and_then(|own| certificate::validity(&own))
    else {
        return;
    };
    let now = clock.now();
    let what = if times.ends <= now {
        format!(
            "ended {}: browsers refuse it",
            certificate::date(times.ends)
        )
    } else if times.begins > now {
        format!(
            "begins {}: until then browsers refuse it",
            certificate::date(times.begins)
        )
    } else if times.ends <= now.plus(certificate::ENDS_SOON) {
        format!("ends {}", certificate::date(times.ends))
    } else {
        return;
    };
    findings.warning(
        "server.tls.certificate_file",
        what,
        "put the renewed certificate with its chain there, and its key; a running gateway reads them by itself",
    );
}

fn listeners(raw: Option<&OneOrMany>, findings: &mut Findings) -> Vec<ListenAddr> {
    let key = "server.listen";
    let Some(raw) = raw else {
        return vec![ListenAddr::Tcp(([127, 0, 0, 1], 4180).into())];
    };
    let entries = raw.entries(key);
    if entries.is_empty() {
        findings.error(
            key,
            "is an empty list",
            "write an address such as \"127.0.0.1:4180\"",
        );
    }
    let mut out = Vec::new();
    for (key, text) in entries {
        match listen(text) {
            Ok(address) if out.contains(&address) => {
                findings.error(&key, "stands here twice", "remove one of them");
            }
            Ok(address) => out.push(address),
            Err(complaint) => findings.error(&key, complaint.what, complaint.cure),
        }
    }
    out
}

fn public_url(raw: Option<&str>, findings: &mut Findings) -> Option<Origin> {
    let key = "server.public_url";
    let Some(text) = raw else {
        findings.missing(
            key,
            "is missing",
            "write the origin that browsers use, such as public_url = \"https://apps.example.com\" in [server]",
        );
        return None;
    };
    let authority = text
        .strip_prefix("http://")
        .and_then(|rest| rest.split(['/', '?', '#']).next());
    if let Some(authority) = authority
        && Authority::parse(authority).is_ok_and(|parsed| !host_is_loopback(&parsed.host))
    {
        findings.error(
            key,
            "is plain http: session cookies would travel readable by everybody on the way",
            format!("write \"https://{authority}\"; http is for localhost only"),
        );
        return None;
    }
    checked_origin(text, key, findings)
}

fn prefix(text: &str, findings: &mut Findings) -> String {
    let segments: Vec<&str> = text.split('/').skip(1).collect();
    let good = |segment: &&str| {
        !matches!(*segment, "" | "." | "..")
            && segment
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
    };
    if !text.starts_with('/') || segments.is_empty() || !segments.iter().all(good) {
        findings.error(
            "server.prefix",
            format!("\"{text}\" is not a plain path"),
            "begin with \"/\", end without one, and use letters, digits and -._~ only: \"/oauth2\"",
        );
    }
    text.to_owned()
}

fn trusted_proxies(raw: &RawServer, findings: &mut Findings) -> Vec<IpNet> {
    let mut out = Vec::new();
    let entries = raw.trusted_proxies.as_deref().unwrap_or_default();
    for (key, text) in indexed(entries, "server.trusted_proxies") {
        match networks(text) {
            Ok(found) => out.extend(found),
            Err(complaint) => findings.error(&key, complaint.what, complaint.cure),
        }
    }
    out
}

fn return_to_hosts(raw: &RawServer, findings: &mut Findings) -> Vec<ReturnToHost> {
    let mut out = Vec::new();
    let entries = raw.return_to_hosts.as_deref().unwrap_or_default();
    for (key, text) in indexed(entries, "server.return_to_hosts") {
        let below = text.strip_prefix('.');
        match (Authority::parse(below.unwrap_or(text)), below) {
            (Ok(authority), Some(_)) if authority.port.is_some() => findings.error(
                &key,
                "names a port for a whole domain",
                "name single hosts with their port, or leave the port out",
            ),
            (Ok(authority), Some(_)) if is_public_suffix(&authority.host) => findings.error(
                &key,
                format!("\"{text}\" covers names of strangers: anybody can register one below it"),
                "name your own domain, such as \".example.com\"",
            ),
            (Ok(authority), Some(_)) => {
                out.push(ReturnToHost::Below(format!(".{}", authority.host)))
            }
            (Ok(authority), None) => out.push(ReturnToHost::Exact(authority)),
            (Err(_), _) => {
                let host = text.rsplit("://").next().unwrap_or(text);
                let host = host
                    .split('/')
                    .next()
                    .unwrap_or(host)
                    .trim_start_matches('*');
                findings.error(
                    &key,
                    format!("\"{text}\" is not a host"),
                    format!("write only the host, such as \"{host}\"; \".example.com\" covers everything below example.com"),
                );
            }
        }
    }
    out
}

/// Whether strangers can register names directly below this one.
pub(super) fn is_public_suffix(host: &str) -> bool {
    psl::suffix_str(host).is_some_and(|suffix| suffix == host)
}
