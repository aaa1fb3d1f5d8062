//! A certificate with its chain and the private key that belongs to it, as
//! two PEM files.

use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::ExposeSecret;

use super::problems::Findings;
use super::{secret_file, trust_anchor};

/// What was written, and the key paths of both, for messages.
pub(super) struct Written<'a> {
    pub(super) certificate: Option<&'a str>,
    pub(super) certificate_key: &'a str,
    pub(super) private: Option<&'a str>,
    pub(super) private_key: &'a str,
}

/// Both files, if they are there and fit together.
pub(super) fn check(
    written: &Written<'_>,
    base_dir: &Path,
    findings: &mut Findings,
) -> Option<(PathBuf, PathBuf)> {
    let name = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    let (certificate, private) = match (written.certificate, written.private) {
        (Some(certificate), Some(private)) => (certificate, private),
        (None, None) => return None,
        (Some(_), None) => {
            findings.error(
                written.certificate_key,
                "stands without its private key",
                format!(
                    "name the PEM file of the key with {}",
                    name(written.private_key)
                ),
            );
            return None;
        }
        (None, Some(_)) => {
            findings.error(
                written.private_key,
                "stands without a certificate",
                format!(
                    "name the PEM file of the certificate with {}",
                    name(written.certificate_key)
                ),
            );
            return None;
        }
    };
    let certificate_file = trust_anchor::check(
        Some(certificate),
        written.certificate_key,
        base_dir,
        findings,
    )?;
    let key_file = secret_file::located(base_dir, private);
    let pem = secret_file::read(&key_file, written.private_key, findings)?;
    let Ok(private) = PrivateKeyDer::from_pem_slice(pem.expose_secret().as_bytes()) else {
        findings.error(
            written.private_key,
            format!("{} holds no private key", key_file.display()),
            "name a PEM file with a block that begins with -----BEGIN PRIVATE KEY-----",
        );
        return None;
    };
    if !belong_together(&certificate_file, private) {
        findings.error(
            written.private_key,
            format!(
                "is not the key of the first certificate in {}",
                name(written.certificate_key)
            ),
            "name the key that the certificate was made for; our own certificate comes first, then its chain",
        );
        return None;
    }
    Some((certificate_file, key_file))
}

fn belong_together(certificate_file: &PathBuf, private: PrivateKeyDer<'static>) -> bool {
    let chain = CertificateDer::pem_file_iter(certificate_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    chain.is_ok_and(|chain| rustls::sign::CertifiedKey::from_der(chain, private, &provider).is_ok())
}
