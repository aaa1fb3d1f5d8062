//! TLS towards upstreams: whom we trust, who we are, and what went wrong.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::base::fault::{Blame, Fault};
use crate::config::checked::UpstreamTls;

/// An upstream that can never be connected to.
#[derive(Debug, Clone, thiserror::Error)]
pub enum UnusableUpstream {
    #[error("{0} is no name that a certificate could carry")]
    NoCertificateName(String),
    #[error("{path} {what}", path = path.display())]
    File { path: PathBuf, what: &'static str },
}

impl Fault for UnusableUpstream {
    fn blame(&self) -> Blame {
        Blame::Operator
    }

    fn reason(&self) -> &'static str {
        "upstream_unusable"
    }
}

/// Why TLS with an upstream failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFault {
    /// Nobody whom we trust signed its certificate.
    UnknownCa,
    /// Its certificate is over, or not valid yet.
    Expired,
    WrongName,
    /// It wants a certificate of ours that it did not get, or refused ours.
    ClientCertificate,
    Failed,
}

impl TlsFault {
    pub const fn reason(self) -> &'static str {
        match self {
            Self::UnknownCa => "upstream_tls_unknown_ca",
            Self::Expired => "upstream_tls_expired",
            Self::WrongName => "upstream_tls_wrong_name",
            Self::ClientCertificate => "upstream_tls_client_certificate",
            Self::Failed => "upstream_tls_failed",
        }
    }
}

/// Each call makes a client of its own: TLS sessions are never resumed with
/// the identity of another route.
pub(super) fn client_config(tls: &UpstreamTls) -> Result<rustls::ClientConfig, UnusableUpstream> {
    let roots = match &tls.ca_file {
        Some(path) => own_roots(path)?,
        None => rustls::RootCertStore {
            roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
        },
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider speaks TLS 1.2 and 1.3")
        .with_root_certificates(roots);
    let mut config = match &tls.client {
        None => builder.with_no_client_auth(),
        Some(client) => {
            let chain = certificates(&client.certificate_file)?;
            let key = PrivateKeyDer::from_pem_file(&client.key_file)
                .map_err(|_| unusable(&client.key_file, "holds no private key"))?;
            builder.with_client_auth_cert(chain, key).map_err(|_| {
                unusable(&client.key_file, "is not the key of the client certificate")
            })?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn own_roots(path: &Path) -> Result<rustls::RootCertStore, UnusableUpstream> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in certificates(path)? {
        roots
            .add(certificate)
            .map_err(|_| unusable(path, "holds something that is no certificate"))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, UnusableUpstream> {
    let found = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|_| unusable(path, "cannot be read, or is not PEM"))?;
    if found.is_empty() {
        return Err(unusable(path, "holds no certificate"));
    }
    Ok(found)
}

fn unusable(path: &Path, what: &'static str) -> UnusableUpstream {
    UnusableUpstream::File {
        path: path.to_owned(),
        what,
    }
}

/// The TLS error inside `error`, if that is what it is, and its words. An `io::Error` hides
/// its own cause from `source`, so it is opened by hand.
pub(super) fn fault(error: &(dyn Error + 'static)) -> Option<(TlsFault, String)> {
    let mut next = Some(error);
    while let Some(mut error) = next {
        while let Some(inner) = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
        {
            error = inner;
        }
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some((class(tls), tls.to_string()));
        }
        next = error.source();
    }
    None
}

fn class(error: &rustls::Error) -> TlsFault {
    use rustls::{AlertDescription as Alert, CertificateError as Certificate};
    match error {
        rustls::Error::InvalidCertificate(error) => match error {
            Certificate::Expired
            | Certificate::ExpiredContext { .. }
            | Certificate::NotValidYet
            | Certificate::NotValidYetContext { .. } => TlsFault::Expired,
            // Signed by somebody who only has the name of one whom we trust.
            Certificate::UnknownIssuer | Certificate::BadSignature => TlsFault::UnknownCa,
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. } => {
                TlsFault::WrongName
            }
            _ => TlsFault::Failed,
        },
        // What an upstream says about our certificate, or the lack of one.
        rustls::Error::AlertReceived(
            Alert::CertificateRequired
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::DecryptError
            | Alert::AccessDenied,
        ) => TlsFault::ClientCertificate,
        _ => TlsFault::Failed,
    }
}
