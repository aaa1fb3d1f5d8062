//! Upstreams behind TLS, below a prefix, and upstreams that are down.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::harness::browser::Browser;
use crate::harness::echo::Echo;
use crate::harness::gateway::{Gateway, Plan};
use crate::harness::provider::{Provider, User};
use crate::harness::scene::Scene;
use crate::harness::upstream::Upstream;
use crate::harness::{port, until};

/// A certificate authority of a test.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: CertificateDer<'static>,
}

struct Leaf {
    pem: String,
    key_pem: String,
    der: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, format!("{name} authority"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("key");
        let certificate = params.self_signed(&key).expect("signs");
        Self {
            pem: certificate.pem(),
            der: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        }
    }

    fn leaf(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let mut params = CertificateParams::new([name.to_owned()]).expect("name");
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        change(&mut params);
        let key = KeyPair::generate().expect("key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signs");
        Leaf {
            pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            der: certificate.der().clone(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        }
    }
}

/// Answers every request with the name that it was asked for and whether a
/// client certificate came.
struct TlsUpstream {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    server: JoinHandle<()>,
}

impl TlsUpstream {
    async fn start(leaf: &Leaf, clients: Option<&Authority>) -> Self {
        let crypto = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = rustls::ServerConfig::builder_with_provider(crypto.clone())
            .with_safe_default_protocol_versions()
            .expect("versions");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = rustls::RootCertStore::empty();
                roots.add(authority.der.clone()).expect("root");
                let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(
                    Arc::new(roots),
                    crypto,
                );
                builder.with_client_cert_verifier(verifier.build().expect("verifier"))
            }
        };
        let config = builder
            .with_single_cert(vec![leaf.der.clone()], leaf.key.clone_key())
            .expect("certificate");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("address");
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        let server = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    continue;
                };
                let (acceptor, counter) = (acceptor.clone(), Arc::clone(&counter));
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else {
                        return;
                    };
                    counter.fetch_add(1, Ordering::SeqCst);
                    let (_, session) = stream.get_ref();
                    let name = session.server_name().unwrap_or("-").to_owned();
                    let shown = session.peer_certificates().is_some();
                    let body = format!("{name} {shown}");
                    let mut seen = Vec::new();
                    while let Ok(read) = stream.read_buf(&mut seen).await {
                        if read == 0 {
                            return;
                        }
                        if seen.ends_with(b"\r\n\r\n") {
                            seen.clear();
                            let answer = format!(
                                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                                body.len()
                            );
                            if stream.write_all(answer.as_bytes()).await.is_err() {
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
            server,
        }
    }

    fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}

impl Drop for TlsUpstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn put(folder: &Path, name: &str, text: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join(name);
    std::fs::write(&path, text).expect("writes");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("mode");
    path
}

/// A public route `/ID/*` to `upstream`.
fn open_route(id: &str, upstream: &str, tls: &str) -> String {
    format!(
        "[route.{id}]\npath = \"/{id}/*\"\nupstream = \"{upstream}\"\n{tls}\n\
         rules = [ {{ path = \"/*\", lane = \"public\" }} ]\n"
    )
}

async fn gateway(plan: impl FnOnce(Plan) -> Plan) -> (Provider, Gateway) {
    let provider = Provider::start("oidc-plain").await;
    let gateway = plan(Plan::bare(&provider.issuer)).start().await;
    (provider, gateway)
}

/// Status and body, or the reason of a refusal.
async fn ask(gateway: &Gateway, path: &str) -> (u16, String) {
    let answer = Browser::new().fetch("GET", &gateway.url(path), &[]).await;
    let text = answer.text();
    let reason = serde_json::from_str::<serde_json::Value>(&text)
        .ok()
        .and_then(|json| Some(json["reason"].as_str()?.to_owned()));
    (answer.status.as_u16(), reason.unwrap_or(text))
}

#[tokio::test]
async fn row_u1_certificates_of_upstreams_are_verified_and_the_cause_is_named() {
    let (ours, theirs) = (Authority::new("our"), Authority::new("their"));
    let good = TlsUpstream::start(&ours.leaf("app.internal", |_| ()), None).await;
    let over = ours.leaf("app.internal", |params| {
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
    });
    let over = TlsUpstream::start(&over, None).await;
    let foreign = TlsUpstream::start(&theirs.leaf("app.internal", |_| ()), None).await;
    let namesake = Authority::new("our");
    let namesake = TlsUpstream::start(&namesake.leaf("app.internal", |_| ()), None).await;
    let (_provider, gateway) = gateway(|plan| {
        let ca = put(plan.folder(), "ca.pem", &ours.pem);
        let named = |name: &str| {
            format!(
                "upstream_tls = {{ ca_file = \"{}\", server_name = \"{name}\" }}",
                ca.display()
            )
        };
        let nameless = format!("upstream_tls = {{ ca_file = \"{}\" }}", ca.display());
        plan.route(&open_route("good", &good.url(), &named("app.internal")))
            .route(&open_route(
                "public",
                &good.url(),
                "upstream_tls = { server_name = \"app.internal\" }",
            ))
            .route(&open_route("name", &good.url(), &named("other.internal")))
            .route(&open_route("address", &good.url(), &nameless))
            .route(&open_route("over", &over.url(), &named("app.internal")))
            .route(&open_route(
                "namesake",
                &namesake.url(),
                &named("app.internal"),
            ))
            .route(&open_route(
                "foreign",
                &foreign.url(),
                &named("app.internal"),
            ))
    })
    .await;
    // More often than connects may fail: a wrong certificate is not "down".
    for _ in 0..4 {
        for (path, status, told) in [
            ("/good/a", 200, "app.internal false"),
            ("/public/a", 502, "upstream_tls_unknown_ca"),
            ("/name/a", 502, "upstream_tls_wrong_name"),
            ("/address/a", 502, "upstream_tls_wrong_name"),
            ("/over/a", 502, "upstream_tls_expired"),
            ("/foreign/a", 502, "upstream_tls_unknown_ca"),
            ("/namesake/a", 502, "upstream_tls_unknown_ca"),
        ] {
            assert_eq!(
                ask(&gateway, path).await,
                (status, told.to_owned()),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn sec_smg_18_a_client_certificate_is_shown_on_its_route_only() {
    let (ours, theirs) = (Authority::new("our"), Authority::new("their"));
    let leaf = ours.leaf("app.internal", |_| ());
    let strict = TlsUpstream::start(&leaf, Some(&ours)).await;
    let (_provider, gateway) = gateway(|plan| {
        let ca = put(plan.folder(), "ca.pem", &ours.pem);
        let tls = |more: &str| {
            format!(
                "upstream_tls = {{ ca_file = \"{}\", server_name = \"app.internal\"{more} }}",
                ca.display()
            )
        };
        let client = |name: &str, leaf: &Leaf| {
            let certificate = put(plan.folder(), &format!("{name}.pem"), &leaf.pem);
            let key = put(plan.folder(), &format!("{name}.key"), &leaf.key_pem);
            tls(&format!(
                ", client_certificate_file = \"{}\", client_key_file = \"{}\"",
                certificate.display(),
                key.display()
            ))
        };
        let known = client("known", &ours.leaf("gateway", |_| ()));
        let unknown = client("unknown", &theirs.leaf("gateway", |_| ()));
        plan.clone()
            .route(&open_route("known", &strict.url(), &known))
            .route(&open_route("unknown", &strict.url(), &unknown))
            .route(&open_route("none", &strict.url(), &tls("")))
    })
    .await;
    // First the one that leaves connections open that others might take.
    for _ in 0..3 {
        assert_eq!(
            ask(&gateway, "/known/a").await,
            (200, "app.internal true".to_owned())
        );
        let refused = (502, "upstream_tls_client_certificate".to_owned());
        assert_eq!(ask(&gateway, "/none/a").await, refused);
        assert_eq!(ask(&gateway, "/unknown/a").await, refused);
    }
    assert!(strict.connections.load(Ordering::SeqCst) <= 3);
}

#[tokio::test]
async fn sec_path_16_the_path_that_is_judged_is_the_path_that_is_sent() {
    let provider = Provider::start("oidc-plain").await;
    let upstream = Upstream::start().await;
    let routes = format!(
        "[route.app]\npath = \"/app/*\"\nupstream = \"{0}\"\nstrip_prefix = \"/app\"\naccess = \"signed-in\"\n\
         rules = [ {{ path = \"/public/*\", lane = \"public\" }}, {{ path = \"/internal/*\", lane = \"deny\" }} ]\n\
         [route.more]\npath = \"/more/*\"\nupstream = \"{0}\"\nstrip_prefix = \"/more\"\nadd_prefix = \"/x/y\"\n\
         rules = [ {{ path = \"/x/y/open/*\", lane = \"public\" }}, {{ path = \"/*\", lane = \"deny\" }} ]\n",
        upstream.url()
    );
    let gateway = Plan::bare(&provider.issuer).route(&routes).start().await;
    let anybody = Browser::new();
    let lie = [("x-forwarded-prefix", "/lie")];
    for (path, sent, prefix) in [
        ("/app/public/a?b=/app/", "/public/a?b=/app/", "/app"),
        ("/app/public/", "/public/", "/app"),
        ("/more/open/a%20b", "/x/y/open/a%20b", "/more"),
    ] {
        let answer = anybody.fetch("GET", &gateway.url(path), &lie).await;
        let echo = Echo::of(&answer);
        assert_eq!(echo.target, sent);
        assert_eq!(echo.one("x-forwarded-prefix"), Some(prefix));
    }
    let before = upstream.requests().len();
    for (path, status) in [
        ("/app/app/public/a", 401),
        ("/app//public/a", 401),
        ("/app/public//..%2finternal/a", 400),
        ("/app/public/..;/internal", 400),
        ("/app/internal/a", 403),
        ("/app//internal/a", 403),
        ("/app/INTERNAL/a", 403),
        ("/app/%69nternal/a", 403),
        ("/app/internal;v=1/a", 403),
        ("/public/a", 404),
        ("/apple/public/a", 404),
        ("/app;x/public/a", 404),
        ("/%61pp/public/a", 404),
        ("/app", 404),
        ("/more/x/y/open/a", 403),
        ("/more//open/a", 403),
    ] {
        let answer = anybody.fetch("GET", &gateway.url(path), &[]).await;
        assert_eq!(answer.status.as_u16(), status, "{path}");
    }
    assert_eq!(upstream.requests().len(), before, "nothing got through");
    provider.set(|script| script.user = User::ann());
    let ann = Browser::new();
    let answer = ann.open(&gateway.url("/app/hello?a=1")).await;
    assert_eq!(
        answer.url.path(),
        "/app/hello",
        "comes back to where it asked"
    );
    assert_eq!(Echo::of(&answer).target, "/hello?a=1");
    let answer = ann.fetch("GET", &gateway.url("/app/redirect"), &[]).await;
    assert_eq!(answer.header("location"), "/elsewhere", "left as it is");
}

#[tokio::test]
async fn row_u1_an_upstream_that_is_down_fails_at_once_and_heals() {
    let free = port::free();
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let silent_url = format!("https://{}", silent.local_addr().expect("address"));
    let (_provider, gateway) = gateway(|plan| {
        plan.limits("upstream_pause = \"1s\"\nconnect_timeout = \"2s\"")
            .route(&open_route("gone", &format!("http://127.0.0.1:{free}"), ""))
            .route(&open_route("silent", &silent_url, ""))
    })
    .await;
    assert_eq!(gateway.metric("vestibule_upstream_up{").await, 2.0);
    for _ in 0..3 {
        let refused = (502, "upstream_unreachable".to_owned());
        assert_eq!(ask(&gateway, "/gone/a").await, refused);
    }
    let page = Browser::new();
    let answer = page.fetch("GET", &gateway.url("/gone/a"), &[]).await;
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("upstream_down"), "{}", answer.text());
    assert_eq!(answer.header("retry-after"), "1");
    assert_eq!(gateway.metric("vestibule_upstream_up{").await, 1.0);

    // One that accepts and says nothing: three waits at once, then none.
    let waits = futures_util::future::join_all((0..3).map(|_| ask(&gateway, "/silent/a"))).await;
    for wait in waits {
        assert_eq!(wait, (504, "upstream_timeout".to_owned()));
    }
    let started = std::time::Instant::now();
    assert_eq!(
        ask(&gateway, "/silent/a").await,
        (503, "upstream_down".to_owned())
    );
    assert!(started.elapsed() < Duration::from_secs(1));

    let listener = TcpListener::bind(("127.0.0.1", free)).await.expect("binds");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut chunk = [0; 4096];
                while stream.read(&mut chunk).await.is_ok_and(|read| read > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    let end = tokio::time::Instant::now() + until::PATIENCE;
    while ask(&gateway, "/gone/a").await.0 != 200 {
        assert!(tokio::time::Instant::now() < end, "never healed");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(ask(&gateway, "/gone/a").await, (200, "hi".to_owned()));
    assert_eq!(
        gateway
            .metric(&format!(
                "vestibule_upstream_up{{upstream=\"http://127.0.0.1:{free}\""
            ))
            .await,
        1.0
    );
}

#[tokio::test]
async fn the_session_outlives_an_upstream_that_is_down() {
    let scene = Scene::start().await;
    let ann = scene.signed_in(User::ann()).await;
    let Scene {
        provider: _provider,
        upstream,
        gateway,
    } = scene;
    drop(upstream);
    let end = tokio::time::Instant::now() + until::PATIENCE;
    loop {
        let answer = ann.open(&gateway.url("/hello")).await;
        assert!(
            matches!(answer.status.as_u16(), 200 | 502 | 503),
            "{}",
            answer.status
        );
        if answer.status == 503 {
            assert!(answer.text().contains("The application is down"));
            break;
        }
        assert!(tokio::time::Instant::now() < end, "never counted as down");
    }
    let answer = ann.fetch("GET", &gateway.own("/userinfo"), &[]).await;
    assert_eq!(answer.status, 200);
}
