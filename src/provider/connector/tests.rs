use std::io::Write;

use rustls::pki_types::PrivateKeyDer;
use tokio_rustls::TlsAcceptor;

use super::super::error::Sent;
use super::super::scripted::Scripted;
use super::*;

/// Self-signed for `id.localhost`, until 2126. Protects nothing.
const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBizCCATGgAwIBAgIUbmL/DDIgz7jIneYrgXO6mnBxdlswCgYIKoZIzj0EAwIw\n\
DzENMAsGA1UEAwwEZ29vZDAgFw0yNjExMjAyMDIyNDJaGA8yMTI2MTAyNzIwMjI0\n\
MlowDzENMAsGA1UEAwwEZ29vZDBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNFV\n\
dqKqxjOQeZK0mFb/fBv45kB/ZPF5fgc7s8UzATVMYXwMvla/QKEfzFQ6vNzXoUc+\n\
Hh2+IUp+lBMBHfzlrEejaTBnMB0GA1UdDgQWBBS3qpCV59g3riBdhUoOL1O8YhdM\n\
VzAfBgNVHSMEGDAWgBS3qpCV59g3riBdhUoOL1O8YhdMVzAXBgNVHREEEDAOggxp\n\
ZC5sb2NhbGhvc3QwDAYDVR0TAQH/BAIwADAKBggqhkjOPQQDAgNIADBFAiBDB1l6\n\
W68HDjnWajSCdHzrQUdCZeyL/6ZAgW1LOb6CdAIhAK23DMvZnSHCTUK7QvVVE8Bj\n\
t4QWcQE2DPjVpPdDK6C/\n\
-----END CERTIFICATE-----\n\n";
const KEY: &str = "\
-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgYZQO2XaKmGLaMpUq\n\
8IQ1ebG+Ixmb5xdK8xIvc5JN9nuhRANCAATRVXaiqsYzkHmStJhW/3wb+OZAf2Tx\n\
eX4HO7PFMwE1TGF8DL5Wv0ChH8xUOrzc16FHPh4dviFKfpQTAR385axH\n\
-----END PRIVATE KEY-----\n\n";

async fn tls_provider() -> Scripted {
    let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let certificate = CertificateDer::from_pem_slice(CERTIFICATE.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(KEY.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    Scripted::start_tls(TlsAcceptor::from(Arc::new(config))).await
}

fn file(text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

#[tokio::test]
async fn sec_rp_17_and_row_0_13_certificates_are_verified_and_the_cause_is_named() {
    let idp = tls_provider().await;
    let error = idp.provider().metadata().await.unwrap_err();
    assert_eq!(error.class, Class::TlsUnknownCa);
    assert_eq!((error.sent, error.attempts), (Sent::Not, 1));
    let told = error.to_string();
    for part in ["\"good\"", "issued by", "provider.main.ca_file"] {
        assert!(told.contains(part), "{told}");
    }

    let anchors = file(CERTIFICATE);
    let mut config = idp.config();
    config.ca_file = Some(anchors.path().to_owned());
    idp.provider_with(config.clone()).metadata().await.unwrap();

    config.issuer = idp.origin.replace("id.localhost", "127.0.0.1");
    let error = idp.provider_with(config).metadata().await.unwrap_err();
    assert_eq!(error.class, Class::TlsWrongName);
    assert_eq!(idp.seen("/.well-known/openid-configuration").len(), 1);
}

#[tokio::test]
async fn a_server_that_never_speaks_tls_is_unreachable() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let issuer = format!("https://{}", silent.local_addr().unwrap());
    let limits = Limits {
        provider_connect: Duration::from_millis(50),
        ..super::super::scripted::limits()
    };
    let config = super::super::scripted::config(&issuer);
    let clock = crate::base::clock::Clock::system();
    let provider = super::super::Provider::new(config, &limits, clock).unwrap();
    let error = provider.metadata().await.unwrap_err();
    assert_eq!(error.class, Class::NetworkUnreachable);
    // Trying again would only make people wait that long again.
    assert_eq!((error.sent, error.attempts), (Sent::Not, 1));
}

#[test]
fn a_useless_ca_file_is_refused_at_start() {
    let mut config = super::super::scripted::config("https://id.test");
    let garbage = CERTIFICATE.replace("MII", "AAA");
    for text in ["", "hello", garbage.as_str()] {
        let file = file(text);
        config.ca_file = Some(file.path().to_owned());
        let error = connector(&config, &Limits::default()).err().unwrap();
        assert!(matches!(error.class, Class::Configuration(_)), "{text}");
    }
    config.ca_file = Some("/does/not/exist".into());
    assert!(connector(&config, &Limits::default()).is_err());
}
