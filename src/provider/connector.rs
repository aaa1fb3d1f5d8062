//! How connections to a provider are made: trust anchors, deadlines, names,
//! and why one could not be made.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Error as LegacyError;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use rustls::CertificateError;
use rustls::client::WebPkiServerVerifier;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tower::Service;

use super::error::{Class, Phase, ProviderError};
use super::peer_certificate::{NamingVerifier, Refused};
use crate::base::body::BoxError;
use crate::config::checked::{Limits, Provider as ProviderConfig};

/// The connector of one provider: the web's trust anchors and its `ca_file`.
pub fn connector(
    config: &ProviderConfig,
    limits: &Limits,
) -> Result<DeadlineConnector, ProviderError> {
    let fault = |text| ProviderError::local(Phase::Configuration, Class::Configuration(text));
    let mut roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    if let Some(path) = &config.ca_file {
        let unreadable = || fault("ca_file cannot be read, or is not PEM");
        let before = roots.len();
        for certificate in CertificateDer::pem_file_iter(path).map_err(|_| unreadable())? {
            let certificate = certificate.map_err(|_| unreadable())?;
            roots.add(certificate).map_err(|_| unreadable())?;
        }
        if roots.len() == before {
            return Err(fault("ca_file holds no certificate"));
        }
    }
    let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&crypto))
        .build()
        .map_err(|_| fault("there is no trust anchor"))?;
    let tls = rustls::ClientConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()
        .map_err(|_| fault("no TLS version is available"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(NamingVerifier {
            inner,
            ca_file_key: format!("provider.{}.ca_file", config.id),
        }))
        .with_no_client_auth();
    let mut tcp = HttpConnector::new_with_resolver(Resolver {
        system: GaiResolver::new(),
    });
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(limits.provider_connect));
    // Which scheme is acceptable where is decided on the metadata.
    let https = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    Ok(DeadlineConnector {
        https,
        limit: limits.provider_connect,
    })
}

/// Bounds name lookup, TCP and TLS together: a server that accepts and then
/// never speaks TLS is as unreachable as one that does not accept.
#[derive(Clone)]
pub struct DeadlineConnector {
    https: HttpsConnector<HttpConnector<Resolver>>,
    limit: Duration,
}

impl Service<Uri> for DeadlineConnector {
    type Response = <HttpsConnector<HttpConnector<Resolver>> as Service<Uri>>::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.https.call(uri);
        let limit = self.limit;
        Box::pin(async move { tokio::time::timeout(limit, connecting).await? })
    }
}

/// The system's resolver, except that names below `.localhost` are 127.0.0.1:
/// browsers treat them so, glibc knows none of them.
#[derive(Clone)]
pub struct Resolver {
    system: GaiResolver,
}

impl Service<Name> for Resolver {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = std::io::Error;
    type Future = BoxFuture<'static, Result<Self::Response, std::io::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), std::io::Error>> {
        self.system.poll_ready(cx)
    }

    fn call(&mut self, name: Name) -> Self::Future {
        if name.as_str().to_ascii_lowercase().ends_with(".localhost") {
            let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            return Box::pin(async move { Ok(vec![loopback].into_iter()) });
        }
        let lookup = self.system.call(name);
        Box::pin(async move { Ok(lookup.await?.collect::<Vec<_>>().into_iter()) })
    }
}

/// Why a connection failed and what an operator should know of it, from deep
/// inside the chain of errors. An `io::Error` hides its own cause from
/// `source`, so it is opened by hand.
pub fn failure_class(error: &LegacyError) -> (Class, Option<String>) {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut detail = None;
    while let Some(mut error) = next {
        while let Some(inner) = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
        {
            error = inner;
        }
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return tls_class(tls);
        }
        // The innermost says it best: "Connection refused".
        detail = Some(error.to_string());
        next = error.source();
    }
    (Class::NetworkUnreachable, detail)
}

fn tls_class(error: &rustls::Error) -> (Class, Option<String>) {
    let detail = Some(error.to_string());
    let rustls::Error::InvalidCertificate(error) = error else {
        return (Class::TlsFailed, detail);
    };
    if let CertificateError::Other(other) = error
        && let Some(refused) = other.0.downcast_ref::<Refused>()
    {
        let class = certificate_class(&refused.error);
        return (class, Some(refused.to_string()));
    }
    (certificate_class(error), detail)
}

fn certificate_class(error: &CertificateError) -> Class {
    match error {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => Class::TlsExpired,
        CertificateError::UnknownIssuer => Class::TlsUnknownCa,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Class::TlsWrongName
        }
        _ => Class::TlsFailed,
    }
}

#[cfg(test)]
mod tests;
