//! A provider that answers as told, over real sockets, and real keys that
//! sign for it. For the tests of this module.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;

use super::conversation::Provider;
use crate::base::bounded_body;
use crate::base::clock::Clock;
use crate::config::checked::{
    ClaimNames, EmailVerified, Limits, OfflineAccess, Provider as ProviderConfig,
};
use crate::model::identity::ProviderId;

#[derive(Clone)]
pub(super) enum Reply {
    Answer(u16, Vec<(&'static str, String)>, Bytes),
    /// Reads the request and closes the connection.
    HangUp,
    /// Reads the request and says nothing.
    Silence,
}

impl Reply {
    pub(super) fn json(value: &Value) -> Self {
        Self::text(200, "application/json", &value.to_string())
    }

    pub(super) fn text(status: u16, kind: &str, body: &str) -> Self {
        let headers = vec![("content-type", kind.to_owned())];
        Self::Answer(status, headers, Bytes::from(body.to_owned()))
    }

    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Self::Answer(_, headers, _) = &mut self {
            headers.push((name, value.to_owned()));
        }
        self
    }
}

#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
}

impl Seen {
    pub(super) fn form(&self) -> BTreeMap<String, String> {
        url::form_urlencoded::parse(self.body.as_bytes())
            .into_owned()
            .collect()
    }
}

#[derive(Default)]
struct Script {
    replies: HashMap<String, VecDeque<Reply>>,
    seen: Vec<Seen>,
    connections: usize,
}

pub(super) struct Scripted {
    pub(super) origin: String,
    pub(super) clock: Clock,
    script: Arc<Mutex<Script>>,
}

impl Scripted {
    /// Serves discovery and its keys.
    pub(super) async fn start() -> Self {
        Self::listen(None).await
    }

    /// The same over TLS, as `https://id.localhost`.
    pub(super) async fn start_tls(acceptor: TlsAcceptor) -> Self {
        Self::listen(Some(acceptor)).await
    }

    async fn listen(acceptor: Option<TlsAcceptor>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let origin = match &acceptor {
            None => format!("http://{address}"),
            Some(_) => format!("https://id.localhost:{}", address.port()),
        };
        let script = Arc::new(Mutex::new(Script::default()));
        let serving = Arc::clone(&script);
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let script = Arc::clone(&serving);
                script.lock().unwrap().connections += 1;
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(socket, script).await,
                        Some(acceptor) => {
                            // A client that distrusts us breaks off here.
                            if let Ok(socket) = acceptor.accept(socket).await {
                                serve(socket, script).await;
                            }
                        }
                    }
                });
            }
        });
        let this = Self {
            origin,
            clock: Clock::movable(),
            script,
        };
        this.discovery(json!({}));
        this.reply("/keys", Reply::json(&key_set()));
        this
    }

    /// The discovery document with `changes` merged over it.
    pub(super) fn discovery(&self, changes: Value) {
        let origin = &self.origin;
        let mut document = json!({
            "issuer": origin,
            "authorization_endpoint": format!("{origin}/authorize"),
            "token_endpoint": format!("{origin}/token"),
            "jwks_uri": format!("{origin}/keys"),
            "userinfo_endpoint": format!("{origin}/userinfo"),
            "end_session_endpoint": format!("{origin}/end"),
            "scopes_supported": ["openid", "offline_access"],
            "authorization_response_iss_parameter_supported": true,
        });
        for (name, value) in changes.as_object().unwrap() {
            document[name] = value.clone();
        }
        self.reply("/.well-known/openid-configuration", Reply::json(&document));
    }

    /// From now on `path` gets this reply.
    pub(super) fn reply(&self, path: &str, reply: Reply) {
        self.replies(path, [reply]);
    }

    /// These one after the other; the last one stays.
    pub(super) fn replies(&self, path: &str, replies: impl IntoIterator<Item = Reply>) {
        let replies = replies.into_iter().collect();
        let mut script = self.script.lock().unwrap();
        script.replies.insert(path.to_owned(), replies);
    }

    pub(super) fn seen(&self, path: &str) -> Vec<Seen> {
        let script = self.script.lock().unwrap();
        let at = |seen: &&Seen| seen.path == path;
        script.seen.iter().filter(at).cloned().collect()
    }

    pub(super) fn connections(&self) -> usize {
        self.script.lock().unwrap().connections
    }

    pub(super) fn config(&self) -> ProviderConfig {
        config(&self.origin)
    }

    pub(super) fn provider(&self) -> Provider {
        self.provider_with(self.config())
    }

    pub(super) fn provider_with(&self, config: ProviderConfig) -> Provider {
        Provider::new(config, &limits(), self.clock.clone()).unwrap()
    }

    /// Claims of a good ID token of now.
    pub(super) fn claims(&self) -> Value {
        let now = self.clock.now().as_secs();
        json!({
            "iss": self.origin, "sub": "ann", "aud": "gateway",
            "iat": now, "exp": now + 300, "nonce": "n-1",
        })
    }
}

async fn serve(
    socket: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    script: Arc<Mutex<Script>>,
) {
    let service = hyper::service::service_fn(move |request| answer(Arc::clone(&script), request));
    // A connection that ends in an error was meant to.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(socket), service)
        .await;
}

async fn answer(
    script: Arc<Mutex<Script>>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let (parts, body) = request.into_parts();
    let body = bounded_body::read(body, 1 << 20).await.unwrap();
    let path = parts.uri.path().to_owned();
    let reply = {
        let mut script = script.lock().unwrap();
        script.seen.push(Seen {
            method: parts.method,
            path: path.clone(),
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        });
        let replies = script.replies.entry(path).or_default();
        match replies.len() {
            0 => Reply::text(404, "text/plain", "not scripted"),
            1 => replies[0].clone(),
            _ => replies.pop_front().unwrap(),
        }
    };
    match reply {
        Reply::Answer(status, headers, body) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            Ok(response.body(Full::new(body)).unwrap())
        }
        Reply::HangUp => Err(std::io::Error::other("as scripted")),
        Reply::Silence => {
            let never: Infallible = std::future::pending().await;
            match never {}
        }
    }
}

pub(super) fn limits() -> Limits {
    Limits {
        provider_total: Duration::from_secs(5),
        ..Limits::default()
    }
}

pub(super) fn config(issuer: &str) -> ProviderConfig {
    ProviderConfig {
        id: ProviderId("main".into()),
        name: "Main".into(),
        issuer: issuer.to_owned(),
        internal_url: None,
        client_id: "gateway".into(),
        client_secret: Some(SecretString::from("s3cret").into()),
        scopes: vec!["openid".into(), "email".into(), "profile".into()],
        offline_access: OfflineAccess::Auto,
        email_verified: EmailVerified::Require,
        claims: ClaimNames {
            groups: "groups".into(),
            email: "email".into(),
            username: "preferred_username".into(),
            name: "name".into(),
            extra: Vec::new(),
        },
        refresh_skew_max: Duration::from_secs(300),
        rotation_grace: Duration::ZERO,
        ca_file: None,
    }
}

pub(super) struct Signer {
    rsa: RsaKeyPair,
    ec: EcdsaKeyPair,
}

/// Made once per test process; RSA keys take a while.
pub(super) fn signer() -> &'static Signer {
    static SIGNER: std::sync::OnceLock<Signer> = std::sync::OnceLock::new();
    SIGNER.get_or_init(|| Signer {
        rsa: RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap(),
        ec: EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap(),
    })
}

pub(super) fn key_set() -> Value {
    json!({ "keys": [rsa_jwk("rsa-1"), ec_jwk("ec-1")] })
}

pub(super) fn rsa_jwk(kid: &str) -> Value {
    let public = signer().rsa.public_key();
    json!({
        "kty": "RSA", "use": "sig", "kid": kid,
        "n": encode(public.modulus().big_endian_without_leading_zero()),
        "e": encode(public.exponent().big_endian_without_leading_zero()),
    })
}

pub(super) fn ec_jwk(kid: &str) -> Value {
    let point = signer().ec.public_key().as_ref();
    json!({
        "kty": "EC", "crv": "P-256", "kid": kid,
        "x": encode(&point[1..33]), "y": encode(&point[33..]),
    })
}

pub(super) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Signs exactly this text; RS256 or ES256 by the header's `alg`.
pub(super) fn sign_raw(header: &str, payload: &str) -> String {
    let message = format!("{}.{}", encode(header), encode(payload));
    let random = SystemRandom::new();
    let signature = if header.contains("\"ES256\"") {
        let signature = signer().ec.sign(&random, message.as_bytes()).unwrap();
        signature.as_ref().to_vec()
    } else {
        let mut signature = vec![0; signer().rsa.public_modulus_len()];
        signer()
            .rsa
            .sign(
                &RSA_PKCS1_SHA256,
                &random,
                message.as_bytes(),
                &mut signature,
            )
            .unwrap();
        signature
    };
    format!("{message}.{}", encode(signature))
}

pub(super) fn sign(header: &Value, claims: &Value) -> String {
    sign_raw(&header.to_string(), &claims.to_string())
}

/// A good signature over `claims`.
pub(super) fn id_token(claims: &Value) -> String {
    sign(
        &json!({"alg": "RS256", "kid": "rsa-1", "typ": "JWT"}),
        claims,
    )
}
