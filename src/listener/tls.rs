//! TLS towards clients: one certificate, replaced while we run; handshakes
//! bounded in number and time, so that a flood of them delays newcomers and
//! nobody else.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::base::certificate;
use crate::base::clock::{Clock, Timestamp};
use crate::base::fault::{Blame, Fault};
use crate::base::offload::Offload;
use crate::config::checked::{Limits, ServerTls};

/// How soon a replaced certificate is used.
const LOOK_EVERY: Duration = Duration::from_secs(2);
const H2: &[u8] = b"h2";

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("{path} cannot be read, or is not PEM")]
    Unreadable { path: PathBuf },
    #[error("{key} is not the key of the first certificate in {certificate}")]
    Mismatch { certificate: PathBuf, key: PathBuf },
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

impl Fault for CertificateError {
    fn blame(&self) -> Blame {
        Blame::Operator
    }

    fn reason(&self) -> &'static str {
        "certificate_unusable"
    }
}

/// What clients are shown. Swapped whole.
#[derive(Debug)]
struct Shown(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// Cheap to clone.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    shown: Arc<Shown>,
    files: Arc<ServerTls>,
    places: Arc<Semaphore>,
    patience: Duration,
    offload: Offload,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish()
    }
}

/// What was agreed with a client.
pub(super) enum Agreed {
    Http1(TlsStream<TcpStream>),
    Http2(TlsStream<TcpStream>),
}

impl Tls {
    /// Reads both files for the first time. Handshakes are worked off where
    /// `offload` says, so that a burst of them keeps no worker from its
    /// requests.
    pub fn load(
        files: &ServerTls,
        limits: &Limits,
        offload: Offload,
    ) -> Result<Self, CertificateError> {
        let shown = Arc::new(Shown(ArcSwap::from_pointee(read(files)?)));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(CertificateError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(shown.clone());
        config.alpn_protocols = vec![H2.to_vec(), b"http/1.1".to_vec()];
        // Keys of our own process: a client that comes to another replica
        // shakes hands in full. Early data stays off; it could be replayed.
        config.ticketer =
            rustls::crypto::aws_lc_rs::Ticketer::new().map_err(CertificateError::Setup)?;
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            shown,
            files: Arc::new(files.clone()),
            places: Arc::new(Semaphore::new(limits.tls_handshakes)),
            patience: limits.tls_handshake_timeout,
            offload,
        })
    }

    /// Looks after the files until it is dropped. A pair that does not fit
    /// together changes nothing: a renewal writes one file before the other.
    pub async fn follow(self) {
        let mut known = self.marks();
        let mut told = false;
        let mut end_told = None;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            self.tell_of_end(&mut end_told);
            let marks = self.marks();
            if marks == known {
                continue;
            }
            match read(&self.files) {
                Ok(certificate) => {
                    self.shown.0.store(Arc::new(certificate));
                    tracing::info!(
                        file = %self.files.certificate_file.display(),
                        "certificate was replaced; new connections are shown the new one"
                    );
                    known = marks;
                    told = false;
                }
                Err(error) => {
                    if !told {
                        tracing::error!(
                            reason = error.reason(),
                            detail = %error,
                            "changed certificate cannot be used; the old one goes on"
                        );
                    }
                    told = true;
                }
            }
        }
    }

    /// Once for each certificate when its end is near, once when it is past.
    fn tell_of_end(&self, told: &mut Option<(Timestamp, bool)>) {
        let shown = self.shown.0.load();
        let Some(ends) = shown.end_entity_cert().ok().and_then(|own| {
            let times = certificate::validity(own)?;
            Some(times.ends)
        }) else {
            return;
        };
        let now = Clock::system().now();
        let is_over = ends <= now;
        if ends > now.plus(certificate::ENDS_SOON) || *told == Some((ends, is_over)) {
            return;
        }
        *told = Some((ends, is_over));
        let file = self.files.certificate_file.display();
        let date = certificate::date(ends);
        if is_over {
            tracing::error!(
                reason = "certificate_ended", %file, ended = %date,
                "our own certificate has ended and browsers refuse it; a renewed one is used as soon as it stands in the file"
            );
        } else {
            tracing::warn!(
                reason = "certificate_ends_soon", %file, ends = %date,
                "our own certificate ends soon; a renewed one is used as soon as it stands in the file"
            );
        }
    }

    /// What shows that a file was replaced, also by a rename.
    fn marks(&self) -> [Option<(std::time::SystemTime, u64, u64)>; 2] {
        use std::os::unix::fs::MetadataExt;
        [&self.files.certificate_file, &self.files.private_key_file].map(|path| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
        })
    }

    /// Waiting for a place counts as part of the handshake. The socket stays
    /// with the caller's reactor, which wakes whoever waits for it.
    pub(super) async fn shake_hands(&self, stream: TcpStream) -> io::Result<Agreed> {
        let late = || io::Error::from(io::ErrorKind::TimedOut);
        let (acceptor, places) = (self.acceptor.clone(), self.places.clone());
        let end = Instant::now() + self.patience;
        // Who says nothing takes no place from those who do.
        timeout_at(end, stream.peek(&mut [0]))
            .await
            .map_err(|_| late())??;
        let work = async move {
            let shaken = async {
                let _place = places.acquire().await.map_err(|_| late())?;
                acceptor.accept(stream).await
            };
            timeout_at(end, shaken).await.map_err(|_| late())?
        };
        let stream = self.offload.run(work).await?;
        let (_, session) = stream.get_ref();
        Ok(match session.alpn_protocol() == Some(H2) {
            true => Agreed::Http2(stream),
            false => Agreed::Http1(stream),
        })
    }
}

fn read(files: &ServerTls) -> Result<CertifiedKey, CertificateError> {
    let unreadable = |path: &PathBuf| CertificateError::Unreadable { path: path.clone() };
    let chain = CertificateDer::pem_file_iter(&files.certificate_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|_| unreadable(&files.certificate_file))?;
    let key = PrivateKeyDer::from_pem_file(&files.private_key_file)
        .map_err(|_| unreadable(&files.private_key_file))?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, key, &provider).map_err(|_| CertificateError::Mismatch {
        certificate: files.certificate_file.clone(),
        key: files.private_key_file.clone(),
    })
}

#[cfg(test)]
mod tests;
