//! Whose certificate was refused: its names, for the log line that an
//! operator reads. Decides nothing; the web's own verification does.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, OtherError, SignatureScheme};

use crate::base::certificate::element;

/// Longest name that is shown.
const NAME_MAX: usize = 100;

/// A refusal that remembers the certificate.
#[derive(Debug)]
pub struct Refused {
    pub error: CertificateError,
    subject: String,
    issuer: String,
    ca_file_key: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            error,
            subject,
            issuer,
            ca_file_key,
        } = self;
        write!(f, "certificate of \"{subject}\", issued by \"{issuer}\"")?;
        match error {
            CertificateError::ExpiredContext { not_after, .. } => {
                write!(f, ", ended {}", date(*not_after))
            }
            CertificateError::NotValidYetContext { not_before, .. } => {
                write!(f, ", begins {}", date(*not_before))
            }
            CertificateError::UnknownIssuer => write!(
                f,
                "; if that is your own authority, name its certificate in {ca_file_key}"
            ),
            other => write!(f, ": {other}"),
        }
    }
}

fn date(at: UnixTime) -> httpdate::HttpDate {
    (std::time::UNIX_EPOCH + Duration::from_secs(at.as_secs())).into()
}

impl std::error::Error for Refused {}

/// Verifies as `inner` does, and names the certificate when it refuses one.
#[derive(Debug)]
pub struct NamingVerifier {
    pub inner: Arc<WebPkiServerVerifier>,
    /// The key of the configuration that names more trust anchors.
    pub ca_file_key: String,
}

impl ServerCertVerifier for NamingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.inner
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            .map_err(|error| match error {
                rustls::Error::InvalidCertificate(error) => self.named(end_entity, error),
                other => other,
            })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner
            .verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

impl NamingVerifier {
    fn named(&self, certificate: &[u8], error: CertificateError) -> rustls::Error {
        match names(certificate) {
            Some((issuer, subject)) => {
                let refused = Refused {
                    error,
                    subject,
                    issuer,
                    ca_file_key: self.ca_file_key.clone(),
                };
                CertificateError::Other(OtherError(Arc::new(refused))).into()
            }
            None => error.into(),
        }
    }
}

/// Issuer and subject of an X.509 certificate (RFC 5280 section 4.1).
fn names(certificate: &[u8]) -> Option<(String, String)> {
    let (_, certificate, _) = element(certificate)?;
    let (_, signed, _) = element(certificate)?;
    let (tag, _, rest) = element(signed)?;
    // The version is the one member that may be left out.
    let after_version = if tag == 0xa0 { rest } else { signed };
    let (_, _serial, rest) = element(after_version)?;
    let (_, _algorithm, rest) = element(rest)?;
    let (_, issuer, rest) = element(rest)?;
    let (_, _validity, rest) = element(rest)?;
    let (_, subject, _) = element(rest)?;
    Some((text(issuer)?, text(subject)?))
}

/// The common name, else the last part of the name, without anything that is
/// not printable.
fn text(mut name: &[u8]) -> Option<String> {
    const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
    let mut found = String::new();
    while !name.is_empty() {
        let (_, set, rest) = element(name)?;
        let (_, pair, _) = element(set)?;
        let (_, kind, value) = element(pair)?;
        let (_, value, _) = element(value)?;
        found = String::from_utf8_lossy(value)
            .chars()
            .filter(|c| !c.is_control())
            .take(NAME_MAX)
            .collect();
        if kind == COMMON_NAME {
            break;
        }
        name = rest;
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(subject: &str, issuer: &str) -> Vec<u8> {
        let named = |name: &str| {
            let mut parameters = rcgen::CertificateParams::new(vec!["id.test".into()]).unwrap();
            parameters
                .distinguished_name
                .push(rcgen::DnType::CommonName, name);
            (parameters, rcgen::KeyPair::generate().unwrap())
        };
        let (parameters, key) = named(subject);
        let (ca, ca_key) = named(issuer);
        let ca = rcgen::Issuer::new(ca, ca_key);
        parameters.signed_by(&key, &ca).unwrap().der().to_vec()
    }

    #[test]
    fn row_0_13_both_names_are_found() {
        let der = certificate("id.corp.test", "Corp Root\n2020");
        let (issuer, subject) = names(&der).unwrap();
        assert_eq!(
            (subject.as_str(), issuer.as_str()),
            ("id.corp.test", "Corp Root2020")
        );
        let long = certificate(&"x".repeat(1000), "Corp");
        assert_eq!(names(&long).unwrap().1.len(), NAME_MAX);
    }

    #[test]
    fn whatever_a_server_sends_is_read_without_a_panic() {
        let der = certificate("id.corp.test", "Corp Root");
        for end in 0..der.len() {
            // Cut off anywhere there are no names, or those before the cut.
            let _ = names(&der[..end]);
        }
        for at in 0..der.len().min(300) {
            let mut broken = der.clone();
            for byte in [0x00, 0x7f, 0x80, 0x84, 0xff] {
                broken[at] = byte;
                let _ = names(&broken);
            }
        }
        assert_eq!(names(b""), None);
        assert_eq!(names(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
