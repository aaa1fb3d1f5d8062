//! `upstream_tls` of a route: whom the gateway trusts behind `https://`, and
//! who it says it is itself.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use schemars::JsonSchema;
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::checked::{ClientCertificate, Upstream, UpstreamTls};
use super::problems::Findings;
use super::{secret_file, trust_anchor};

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
        Some(Upstream::Http(_) | Upstream::Unix(_)) => {
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
    let certificate_key = format!("{key}.client_certificate_file");
    let key_key = format!("{key}.client_key_file");
    let (certificate, private) = match (&raw.client_certificate_file, &raw.client_key_file) {
        (Some(certificate), Some(private)) => (certificate, private),
        (None, None) => return None,
        (Some(_), None) => {
            findings.error(
                &certificate_key,
                "stands without its private key",
                "name the PEM file of the key with client_key_file",
            );
            return None;
        }
        (None, Some(_)) => {
            findings.error(
                &key_key,
                "stands without a certificate",
                "name the PEM file of the certificate with client_certificate_file",
            );
            return None;
        }
    };
    let certificate_file =
        trust_anchor::check(Some(certificate), &certificate_key, base_dir, findings)?;
    let key_file = secret_file::located(base_dir, private);
    let pem = secret_file::read(&key_file, &key_key, findings)?;
    let Ok(private) = PrivateKeyDer::from_pem_slice(pem.expose_secret().as_bytes()) else {
        findings.error(
            &key_key,
            format!("{} holds no private key", key_file.display()),
            "name a PEM file with a block that begins with -----BEGIN PRIVATE KEY-----",
        );
        return None;
    };
    if !belong_together(&certificate_file, private) {
        findings.error(
            &key_key,
            "is not the key of the first certificate in client_certificate_file",
            "name the key that the certificate was made for; our own certificate comes first, then its chain",
        );
        return None;
    }
    Some(ClientCertificate {
        certificate_file,
        key_file,
    })
}

fn belong_together(certificate_file: &PathBuf, private: PrivateKeyDer<'static>) -> bool {
    let chain = CertificateDer::pem_file_iter(certificate_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    chain.is_ok_and(|chain| rustls::sign::CertifiedKey::from_der(chain, private, &provider).is_ok())
}
