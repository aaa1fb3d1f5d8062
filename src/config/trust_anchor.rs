//! `ca_file` keys: PEM files of certificates to trust.

use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::problems::Findings;

/// The path, if the file holds at least one certificate.
pub(super) fn check(
    written: Option<&str>,
    key: &str,
    base_dir: &Path,
    findings: &mut Findings,
) -> Option<PathBuf> {
    let path = base_dir.join(written?);
    let shown = path.display();
    let text = match std::fs::read(&path) {
        Ok(text) => text,
        Err(error) => {
            findings.error(
                key,
                format!("{shown} cannot be read: {error}"),
                "name a PEM file of the certificates to trust",
            );
            return None;
        }
    };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    if certificates.is_ok_and(|found| !found.is_empty()) {
        return Some(path);
    }
    findings.error(
        key,
        format!("{shown} holds no certificate"),
        "name a PEM file with at least one block that begins with -----BEGIN CERTIFICATE-----",
    );
    None
}
