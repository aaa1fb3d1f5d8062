//! `upstream_tls` of a route: whom the gateway trusts behind `https://`, and
//! who it says it is itself.

use std::path::Path;

use rustls::pki_types::ServerName;
use schemars::JsonSchema;
use serde::Deserialize;

use super::checked::{ClientCertificate, Upstream, UpstreamTls};
use super::problems::Findings;
use super::{key_pair, trust_anchor};

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawUpstreamTls {
    /// PEM file of the only certificates to trust, instead of the public ones.
    ca_file: Option<String>,
    /// PEM file of our certificate and its chain, for applications that ask for one.
    client_certificate_file: Option<String>,
    /// PEM file of the private key of that certificate.
    client_key_file: Option<String>,
    /// Name to ask for and to find in the application's certificate. Default: the host of upstream.
    server_name: Option<String>,
}

/// `from_defaults`: written for many routes, of which some may speak plain
/// HTTP.
pub(super) fn check(
    raw: Option<&RawUpstreamTls>,
    key: &str,
    from_defaults: bool,
    upstream: Option<&Upstream>,
    base_dir: &Path,
    findings: &mut Findings,
) -> UpstreamTls {
    let Some(raw) = raw else {
        return UpstreamTls::default();
    };
    match upstream {
        Some(Upstream::Https(_)) => {}
        _ if from_defaults => return UpstreamTls::default(),
        Some(Upstream::Http(_) | Upstream::H2c(_) | Upstream::Unix(_)) => {
            findings.error(
                key,
                "has no effect: the upstream is not https://",
                "write upstream = \"https://…\", or remove upstream_tls",
            );
            return UpstreamTls::default();
        }
        // Its own fault is told elsewhere.
        None => {}
    }
    let ca_key = format!("{key}.ca_file");
    let name_key = format!("{key}.server_name");
    let server_name = raw.server_name.clone();
    if let Some(name) = &server_name
        && ServerName::try_from(name.as_str()).is_err()
    {
        findings.error(
            &name_key,
            format!("\"{name}\" is no name that a certificate could carry"),
            "write a host name or an IP address, without scheme and port",
        );
    }
    UpstreamTls {
        ca_file: trust_anchor::check(raw.ca_file.as_deref(), &ca_key, base_dir, findings),
        client: client(raw, key, base_dir, findings),
        server_name,
    }
}

fn client(
    raw: &RawUpstreamTls,
    key: &str,
    base_dir: &Path,
    findings: &mut Findings,
) -> Option<ClientCertificate> {
    let written = key_pair::Written {
        certificate: raw.client_certificate_file.as_deref(),
        certificate_key: &format!("{key}.client_certificate_file"),
        private: raw.client_key_file.as_deref(),
        private_key: &format!("{key}.client_key_file"),
    };
    let (certificate_file, key_file) = key_pair::check(&written, base_dir, findings)?;
    Some(ClientCertificate {
        certificate_file,
        key_file,
    })
}
