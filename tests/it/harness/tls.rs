//! TLS to a gateway that serves it, trusting its own certificate alone.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::gateway::Gateway;

/// Offers `protocol` and nothing else.
pub async fn connect(gateway: &Gateway, protocol: &str) -> TlsStream<TcpStream> {
    let connector = connector(gateway, protocol);
    let stream = TcpStream::connect(gateway.address()).await.expect("tcp");
    shake_hands(&connector, stream).await.expect("TLS")
}

/// For connections that are made later: [`shake_hands`].
pub fn connector(gateway: &Gateway, protocol: &str) -> TlsConnector {
    TlsConnector::from(Arc::new(config(gateway, protocol)))
}

pub async fn shake_hands(
    connector: &TlsConnector,
    stream: TcpStream,
) -> std::io::Result<TlsStream<TcpStream>> {
    connector.connect(name(), stream).await
}

/// The first words of a handshake, for those who never come to its end.
pub fn hello(gateway: &Gateway, protocol: &str) -> Vec<u8> {
    let config = Arc::new(config(gateway, protocol));
    let mut client = ClientConnection::new(config, name()).expect("a client");
    let mut bytes = Vec::new();
    client.write_tls(&mut bytes).expect("into memory");
    bytes
}

fn name() -> ServerName<'static> {
    ServerName::try_from("app.localhost").expect("name")
}

fn config(gateway: &Gateway, protocol: &str) -> ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in
        CertificateDer::pem_file_iter(gateway.plan().certificate()).expect("certificate")
    {
        roots.add(certificate.expect("PEM")).expect("an anchor");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.into()];
    config
}
