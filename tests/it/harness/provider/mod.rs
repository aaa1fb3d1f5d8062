//! A scripted OpenID Connect provider on loopback: real keys, real checks of
//! code, PKCE and client secret, rotation with reuse detection, and faults on
//! order. What differs between providers stands in `tests/it/dialects`.
//!
//! Knows nothing of the gateway.

mod delivery;
mod dialect;
mod endpoint;
mod grant;
mod script;
mod signing;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::chaos::Chaos;

pub use dialect::Dialect;
pub use script::{Endpoint, Fault, Recorded, Script, User};
pub use signing::{Keys, Signing};

pub const CLIENT_ID: &str = "vestibule";
/// Contains what must be form-encoded inside HTTP Basic.
pub const CLIENT_SECRET: &str = "p+ %/:& tests-only-secret";

pub struct Provider {
    pub issuer: String,
    shared: Arc<Shared>,
    address: SocketAddr,
    server: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    issuer: String,
    script: Mutex<Script>,
    grants: Mutex<grant::Grants>,
}

impl Provider {
    /// Starts one that speaks the named dialect.
    pub async fn start(dialect: &str) -> Self {
        Self::start_on(super::port::free(), dialect).await
    }

    pub async fn start_on(port: u16, dialect: &str) -> Self {
        let provider = Self::prepared(port, dialect);
        provider.up().await;
        provider
    }

    /// One that everybody reaches through a chaos proxy.
    pub async fn behind_chaos(dialect: &str) -> (Self, Chaos) {
        let address = SocketAddr::from(([127, 0, 0, 1], super::port::free()));
        let chaos = Chaos::before(address).await;
        let provider = Self::prepared_as(address, chaos.address, dialect);
        provider.up().await;
        (provider, chaos)
    }

    /// One that does not listen yet: a provider that is down.
    pub fn prepared(port: u16, dialect: &str) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        Self::prepared_as(address, address, dialect)
    }

    fn prepared_as(address: SocketAddr, public: SocketAddr, dialect: &str) -> Self {
        let issuer = format!("http://{public}");
        let shared = Arc::new(Shared {
            issuer: issuer.clone(),
            script: Mutex::new(Script::new(Dialect::named(dialect))),
            grants: Mutex::default(),
        });
        Self {
            issuer,
            shared,
            address,
            server: Mutex::new(None),
        }
    }

    /// Begins to listen, on the same port each time.
    pub async fn up(&self) {
        // What used the port before may take a moment to let it go.
        let listener = super::until::some("provider's port is free", || async {
            TcpListener::bind(self.address).await.ok()
        })
        .await;
        let shared = Arc::clone(&self.shared);
        let server = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    continue;
                };
                let shared = Arc::clone(&shared);
                connections.spawn(async move {
                    let service = hyper::service::service_fn(move |request| {
                        endpoint::answer(Arc::clone(&shared), request)
                    });
                    // Fails where a fault on order hangs up.
                    drop(
                        hyper::server::conn::http1::Builder::new()
                            .serve_connection(TokioIo::new(stream), service)
                            .await,
                    );
                });
            }
        });
        *self.server.lock().expect("server") = Some(server);
    }

    /// Stops listening and drops every connection.
    pub async fn down(&self) {
        let server = self.server.lock().expect("server").take();
        if let Some(server) = server {
            server.abort();
            drop(server.await);
        }
    }

    /// Changes how it behaves from the next request on.
    pub fn set(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script());
    }

    /// The next requests to `endpoint` meet these faults, one each.
    pub fn fail(&self, endpoint: Endpoint, faults: impl IntoIterator<Item = Fault>) {
        self.script()
            .faults
            .entry(endpoint)
            .or_default()
            .extend(faults);
    }

    /// Every request to `endpoint` meets this fault until `heal`.
    pub fn fail_always(&self, endpoint: Endpoint, fault: Fault) {
        self.script().standing.insert(endpoint, fault);
    }

    pub fn heal(&self, endpoint: Endpoint) {
        let mut script = self.script();
        script.standing.remove(&endpoint);
        script.faults.remove(&endpoint);
    }

    /// How many requests `endpoint` has got.
    pub fn count(&self, endpoint: Endpoint) -> usize {
        self.script()
            .recorded
            .iter()
            .filter(|seen| seen.endpoint == endpoint)
            .count()
    }

    /// How often a spent refresh token came back.
    pub fn reuse(&self) -> usize {
        self.shared.grants.lock().expect("grants").reuse
    }

    /// How often a refresh token bought its successor.
    pub fn rotations(&self) -> usize {
        self.shared.grants.lock().expect("grants").rotations
    }

    /// Of each refresh token on which it hung up: whose it is, and how often.
    pub fn unanswered(&self) -> Vec<(String, usize)> {
        self.shared.grants.lock().expect("grants").unanswered()
    }

    /// Ends every grant on the provider's side: the next refresh is refused.
    pub fn revoke_everything(&self) {
        self.shared
            .grants
            .lock()
            .expect("grants")
            .revoke_everything();
    }

    /// The provider came back without the key that it reads its refresh tokens
    /// with: none of those handed out so far is known any more.
    pub fn lose_refresh_tokens(&self) {
        self.shared
            .grants
            .lock()
            .expect("grants")
            .lose_refresh_tokens();
    }

    /// From now on another key signs and is the only one published.
    pub fn rotate_keys(&self) {
        self.set(|script| {
            let next = script.keys.signing + 1;
            script.keys = Keys {
                signing: next,
                published: vec![next],
            };
        });
    }

    pub fn recorded(&self, endpoint: Endpoint) -> Vec<Recorded> {
        self.script()
            .recorded
            .iter()
            .filter(|seen| seen.endpoint == endpoint)
            .cloned()
            .collect()
    }

    /// Codes, tokens, states, nonces and verifiers of this run: none may be seen anywhere.
    pub fn secrets(&self) -> Vec<String> {
        let mut secrets = self.shared.grants.lock().expect("grants").issued.clone();
        secrets.push(CLIENT_SECRET.to_owned());
        for seen in &self.script().recorded {
            for name in ["state", "nonce", "code_verifier", "code_challenge"] {
                secrets.extend(seen.parameter(name));
            }
        }
        secrets
    }

    /// A token over `claims` with this `typ`, as this provider would sign it.
    pub fn sign(
        &self,
        signing: &Signing,
        claims: &serde_json::Map<String, serde_json::Value>,
        typ: &str,
    ) -> String {
        signing::token(signing, &self.script().keys, claims, |head| {
            head.insert("typ".to_owned(), typ.into());
        })
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.shared.script.lock().expect("script")
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        if let Some(server) = self.server.lock().ok().and_then(|mut server| server.take()) {
            server.abort();
        }
    }
}
