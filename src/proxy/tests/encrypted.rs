//! Exchanges over TLS, where more may be at hand than the socket tells.

use std::path::PathBuf;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, Stream};

use super::*;
use crate::config::checked::UpstreamTls;

const NAME: &str = "app.test";

/// An upstream that says the same to each request, in one record, and then
/// goes on or ends.
struct Encrypted {
    address: SocketAddr,
    connections: Arc<Mutex<usize>>,
    ca_file: PathBuf,
    _folder: tempfile::TempDir,
}

#[derive(Clone, Copy, PartialEq)]
enum Then {
    GoesOn,
    /// Says that it ends.
    Ends,
    /// As if somebody cut the line.
    BreaksOff,
}

impl Encrypted {
    fn saying(answer: Vec<u8>, then: Then) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let parameters = rcgen::CertificateParams::new(vec![NAME.into()]).unwrap();
        let certificate = parameters.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, certificate.pem()).unwrap();
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(Mutex::new(0));
        let counted = connections.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut socket = stream.unwrap();
                *counted.lock().unwrap() += 1;
                let (config, answer) = (config.clone(), answer.clone());
                std::thread::spawn(move || {
                    let mut session = ServerConnection::new(config).unwrap();
                    let mut stream = Stream::new(&mut session, &mut socket);
                    let mut request = [0; 4096];
                    while stream.read(&mut request).is_ok_and(|read| read > 0) {
                        stream.write_all(&answer).unwrap();
                        match then {
                            Then::GoesOn => {}
                            Then::BreaksOff => return,
                            Then::Ends => {
                                stream.conn.send_close_notify();
                                stream.flush().unwrap();
                                return;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            connections,
            ca_file,
            _folder: folder,
        }
    }

    fn rig(&self) -> Rig {
        let nobody = RawUpstream::answering(OK);
        let mut setup = Setup::to(&nobody);
        let authority = Authority::parse(&self.address.to_string()).unwrap();
        setup.route.upstream = Upstream::Https(authority);
        setup.route.upstream_tls = UpstreamTls {
            ca_file: Some(self.ca_file.clone()),
            server_name: Some(NAME.to_owned()),
            ..UpstreamTls::default()
        };
        setup.start()
    }

    fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }
}

fn asked(rig: &Rig, times: usize) -> Vec<String> {
    let mut stream = rig.connect();
    let ask = |_| {
        stream
            .write_all(b"GET /a HTTP/1.1\r\nHost: app.example.com\r\n\r\n")
            .unwrap();
        read_message(&mut stream, &mut Vec::new()).unwrap()
    };
    (0..times).map(ask).collect()
}

/// Of so many bytes with its head.
fn answer_of(length: usize) -> Vec<u8> {
    let head = |body: usize| format!("HTTP/1.1 200 OK\r\nContent-Length: {body:05}\r\n\r\n");
    let body = length - head(0).len();
    [head(body).into_bytes(), vec![b'x'; body]].concat()
}

#[test]
fn sec_smg_10_what_lies_behind_an_answer_in_its_record_reaches_nobody() {
    const EVIL: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    // Around what is read in one go: behind it, the socket is silent and the
    // rest lies in the TLS session.
    for length in [100, 8191, 8192, 8193] {
        let answer = answer_of(length);
        let upstream = Encrypted::saying([&answer, EVIL].concat(), Then::GoesOn);
        for told in asked(&upstream.rig(), 3) {
            assert_status(&told, 200);
            assert!(
                told.ends_with("xx") && !told.contains("evil"),
                "{length}: {told}"
            );
        }
        assert_eq!(upstream.connections(), 3, "{length}");

        let upstream = Encrypted::saying(answer, Then::GoesOn);
        asked(&upstream.rig(), 3);
        assert_eq!(upstream.connections(), 1, "{length}: reused without them");
    }
}

#[test]
fn an_encrypted_body_that_breaks_off_is_never_complete() {
    for (then, whole) in [(Then::Ends, true), (Then::BreaksOff, false)] {
        let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\npart";
        let upstream = Encrypted::saying(answer.to_vec(), then);
        let told = upstream.rig().get("");
        assert_eq!(told.ends_with("4\r\npart\r\n0\r\n\r\n"), whole, "{told}");
    }
}
