//! OpenID Connect Discovery 1.0: what the provider says about itself, fetched
//! when first needed, kept while it is fresh, kept longer when it cannot be
//! fetched again.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use url::{Host, Url};

use super::client::HttpClient;
use super::document;
use super::error::{Class, Phase, ProviderError, Sent};
use crate::base::clock::{Clock, Timestamp};
use crate::base::fault::{Blame, Fault};
use crate::config::checked::Provider as ProviderConfig;
use crate::model::origin::host_is_loopback;

const FRESH_DEFAULT: Duration = Duration::from_secs(3600);
const FRESH_MIN: Duration = Duration::from_secs(60);
const FRESH_MAX: Duration = Duration::from_secs(24 * 3600);
/// Logins that follow a failed fetch fail at once for this long.
const FAILURE_KEPT: Duration = Duration::from_secs(2);
/// After a failed fetch the last good document serves for this long.
const STALE_PAUSE: Duration = Duration::from_secs(30);

/// How long a document may be used, from its Cache-Control.
pub fn freshness(max_age: Option<Duration>) -> Duration {
    max_age.map_or(FRESH_DEFAULT, |age| age.clamp(FRESH_MIN, FRESH_MAX))
}

/// Whether `now` lies in the `length` after `from`. A clock that went back
/// makes everything old rather than young for ever.
pub fn within(now: Timestamp, from: Timestamp, length: Duration) -> bool {
    now >= from && now.since(from) < length
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    pub authorization_endpoint: Url,
    pub token_endpoint: Url,
    pub jwks_uri: Url,
    pub userinfo_endpoint: Option<Url>,
    pub end_session_endpoint: Option<Url>,
    /// RFC 7009. One that may not be called counts as absent: nothing depends
    /// on it.
    pub revocation_endpoint: Option<Url>,
    pub scopes_supported: Vec<String>,
    /// `None` where the document is silent; then it is `client_secret_basic`.
    pub token_auth_methods: Option<Vec<String>>,
    pub id_token_algorithms: Option<Vec<String>>,
    /// RFC 9207: every authorization response carries `iss`.
    pub response_iss: bool,
}

struct Held {
    metadata: Arc<Metadata>,
    fetched_at: Timestamp,
    fresh_for: Duration,
}

/// The metadata of one provider, fetched by one task at a time.
pub struct Discovery {
    config: Arc<ProviderConfig>,
    client: HttpClient,
    clock: Clock,
    held: ArcSwapOption<Held>,
    flight: Mutex<Option<(Timestamp, ProviderError)>>,
}

impl Discovery {
    pub fn new(config: Arc<ProviderConfig>, client: HttpClient, clock: Clock) -> Self {
        Self {
            config,
            client,
            clock,
            held: ArcSwapOption::empty(),
            flight: Mutex::new(None),
        }
    }

    /// Fresh metadata; the last good ones while the provider cannot tell.
    pub async fn metadata(&self) -> Result<Arc<Metadata>, ProviderError> {
        if let Some(metadata) = self.fresh() {
            return Ok(metadata);
        }
        let mut failed = match (self.flight.try_lock(), self.held.load_full()) {
            (Ok(guard), _) => guard,
            (Err(_), Some(held)) => return Ok(Arc::clone(&held.metadata)),
            (Err(_), None) => self.flight.lock().await,
        };
        if let Some(metadata) = self.fresh() {
            return Ok(metadata);
        }
        let last_good = self.held.load_full();
        if let Some((at, error)) = &*failed {
            let pause = match last_good {
                Some(_) => STALE_PAUSE,
                None => FAILURE_KEPT,
            };
            if within(self.clock.now(), *at, pause) {
                return last_good
                    .map(|held| Arc::clone(&held.metadata))
                    .ok_or_else(|| error.clone());
            }
        }
        match self.learn(&self.client, &mut failed).await {
            Ok(metadata) => Ok(metadata),
            Err(error) => last_good
                .map(|held| Arc::clone(&held.metadata))
                .ok_or(error),
        }
    }

    /// Asks although the document may be fresh, one task at a time: the
    /// answer, or the lack of one, of a moment ago counts for all. Nobody
    /// waits much longer than `patience`; no answer within it is a failure
    /// that the breaker counts.
    pub async fn ask_again(&self, patience: Duration) -> Result<(), ProviderError> {
        let turn = tokio::time::timeout(patience, self.flight.lock()).await;
        let Ok(mut failed) = turn else {
            return Ok(());
        };
        if self.client.breaker().heard_within(FAILURE_KEPT) {
            return Ok(());
        }
        if let Some((at, error)) = &*failed
            && within(self.clock.now(), *at, FAILURE_KEPT)
        {
            return Err(error.clone());
        }
        let client = self.client.hasty(patience);
        self.learn(&client, &mut failed).await.map(drop)
    }

    /// Asks past the breaker, which draws its conclusions. A provider whose
    /// discovery alone is broken answers for its keys.
    pub async fn probe(&self) {
        let client = self.client.probing();
        let asked = {
            let mut failed = self.flight.lock().await;
            self.learn(&client, &mut failed).await
        };
        if let Err(error) = asked
            && error.sent == Sent::Answered
            && error.class == Class::ProviderError
            && let Some(metadata) = self.known()
        {
            // Only whether an answer comes matters.
            let _ = document::fetch(&client, &metadata.jwks_uri, Phase::Keys).await;
        }
    }

    /// Fetches, and keeps the document or the failure.
    async fn learn(
        &self,
        client: &HttpClient,
        failed: &mut Option<(Timestamp, ProviderError)>,
    ) -> Result<Arc<Metadata>, ProviderError> {
        let before = failed.take();
        match self.fetch(client).await {
            Ok(held) => {
                if before.is_some() {
                    tracing::info!(provider.id = %self.config.id, "discovery works again");
                }
                let metadata = Arc::clone(&held.metadata);
                if let Some(known) = self.known() {
                    self.tell_changes(&known, &metadata);
                }
                self.held.store(Some(Arc::new(held)));
                Ok(metadata)
            }
            Err(error) => {
                let told = before.is_some_and(|(_, before)| before.class == error.class);
                if !told && self.known().is_some() {
                    self.tell_failure(&error);
                }
                *failed = Some((self.clock.now(), error.clone()));
                Err(error)
            }
        }
    }

    /// Once per kind of failure, not each time that it is met.
    fn tell_failure(&self, error: &ProviderError) {
        let (reason, provider) = (error.class.reason(), &self.config.id);
        match error.blame() {
            // Another issuer, or an endpoint that is refused.
            Blame::Operator if error.sent != Sent::Not || error.attempts == 0 => tracing::error!(
                alert = "discovery_refused",
                provider.id = %provider,
                reason,
                detail = %error,
                "the discovery document has become unacceptable, the last good one stays in use"
            ),
            _ => tracing::warn!(
                provider.id = %provider,
                reason,
                detail = %error,
                "discovery failed, the last good document stays in use"
            ),
        }
    }

    fn tell_changes(&self, known: &Metadata, new: &Metadata) {
        if known == new {
            return;
        }
        tracing::warn!(
            provider.id = %self.config.id,
            authorization_endpoint = %new.authorization_endpoint,
            token_endpoint = %new.token_endpoint,
            jwks_uri = %new.jwks_uri,
            "the provider's discovery document says something else than before; it is followed"
        );
    }

    /// What was learnt before, without asking.
    pub fn known(&self) -> Option<Arc<Metadata>> {
        self.held
            .load()
            .as_ref()
            .map(|held| Arc::clone(&held.metadata))
    }

    fn fresh(&self) -> Option<Arc<Metadata>> {
        let held = self.held.load();
        let held = held.as_ref()?;
        within(self.clock.now(), held.fetched_at, held.fresh_for)
            .then(|| Arc::clone(&held.metadata))
    }

    async fn fetch(&self, client: &HttpClient) -> Result<Held, ProviderError> {
        // Discovery 4: the suffix follows the issuer without its last slash.
        let issuer = self.config.issuer.trim_end_matches('/');
        let url = Url::parse(&format!("{issuer}/.well-known/openid-configuration"))
            .map_err(|_| refusal(Class::Configuration("issuer is not a URL")))?;
        let (object, answer) = document::fetch(client, &url, Phase::Discovery).await?;
        let metadata = read(&self.config, &object)?;
        tracing::debug!(provider.id = %self.config.id, "discovery done");
        Ok(Held {
            metadata: Arc::new(metadata),
            fetched_at: self.clock.now(),
            fresh_for: freshness(answer.max_age),
        })
    }
}

fn refusal(class: Class) -> ProviderError {
    ProviderError::local(Phase::Discovery, class)
}

fn read(config: &ProviderConfig, object: &Map<String, Value>) -> Result<Metadata, ProviderError> {
    // Discovery 4.3: identical, character by character.
    let issuer = object.get("issuer").and_then(Value::as_str);
    if issuer != Some(config.issuer.as_str()) {
        let told = issuer.unwrap_or("nothing");
        let told: String = told
            .chars()
            .filter(char::is_ascii_graphic)
            .take(200)
            .collect();
        return Err(refusal(Class::IssuerMismatch).with_detail(format!("it says {told}")));
    }
    // RFC 9126 section 5: such a provider refuses every plain request.
    if object.get("require_pushed_authorization_requests") == Some(&Value::Bool(true)) {
        return Err(refusal(Class::Unsupported("pushed authorization requests")));
    }
    let trust = EndpointTrust::new(config)?;
    let endpoint = |name: &'static str| match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => trust.check(name, text).map(Some),
        Some(_) => Err(refusal(Class::EndpointRefused(name))),
    };
    let required = |name| endpoint(name)?.ok_or(refusal(Class::EndpointRefused(name)));
    Ok(Metadata {
        authorization_endpoint: trust.for_browsers(required("authorization_endpoint")?),
        token_endpoint: required("token_endpoint")?,
        jwks_uri: required("jwks_uri")?,
        userinfo_endpoint: endpoint("userinfo_endpoint")?,
        end_session_endpoint: endpoint("end_session_endpoint")?.map(|url| trust.for_browsers(url)),
        revocation_endpoint: endpoint("revocation_endpoint").ok().flatten(),
        scopes_supported: strings(object, "scopes_supported").unwrap_or_default(),
        token_auth_methods: strings(object, "token_endpoint_auth_methods_supported"),
        id_token_algorithms: strings(object, "id_token_signing_alg_values_supported"),
        response_iss: object.get("authorization_response_iss_parameter_supported")
            == Some(&Value::Bool(true)),
    })
}

fn strings(object: &Map<String, Value>, name: &str) -> Option<Vec<String>> {
    let items = object.get(name)?.as_array()?;
    let text = |item: &Value| item.as_str().map(str::to_owned);
    Some(items.iter().filter_map(text).collect())
}

/// Which URLs a discovery document may send us to.
///
/// https everywhere, so that a rebound name fails at its certificate. Plain
/// http only for an issuer that is itself on loopback, or where the operator
/// wrote `internal_url`, and then only on those two origins. An address
/// literal that is not public must be the issuer's own.
struct EndpointTrust {
    issuer: Url,
    internal: Option<Url>,
}

impl EndpointTrust {
    fn new(config: &ProviderConfig) -> Result<Self, ProviderError> {
        let parse = |text: &str| {
            Url::parse(text).map_err(|_| refusal(Class::Configuration("issuer is not a URL")))
        };
        let trust = Self {
            issuer: parse(&config.issuer)?,
            internal: match &config.internal_url {
                Some(origin) => Some(parse(&origin.to_string())?),
                None => None,
            },
        };
        let plain = trust.issuer.scheme() == "http";
        let host = trust.issuer.host_str().unwrap_or_default();
        if plain && !host_is_loopback(host) && trust.internal.is_none() {
            return Err(refusal(Class::Configuration(
                "an http issuer must be on loopback",
            )));
        }
        Ok(trust)
    }

    fn check(&self, name: &'static str, text: &str) -> Result<Url, ProviderError> {
        let refused = || refusal(Class::EndpointRefused(name));
        let url = Url::parse(text).map_err(|_| refused())?;
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(refused());
        }
        let own = url.origin() == self.issuer.origin() || self.is_internal(&url);
        let loopback_issuer = self.issuer.scheme() == "http"
            && host_is_loopback(self.issuer.host_str().unwrap_or_default())
            && host_is_loopback(url.host_str().unwrap_or_default());
        let same_host = url.host() == self.issuer.host();
        let accepted = match url.scheme() {
            "https" => own || loopback_issuer || same_host || !is_private_literal(&url),
            "http" => own || loopback_issuer,
            _ => false,
        };
        accepted.then_some(url).ok_or_else(refused)
    }

    fn is_internal(&self, url: &Url) -> bool {
        self.internal
            .as_ref()
            .is_some_and(|internal| internal.origin() == url.origin())
    }

    /// Browsers cannot reach the internal origin: they get the issuer's.
    fn for_browsers(&self, url: Url) -> Url {
        if !self.is_internal(&url) {
            return url;
        }
        let path = &url[url::Position::BeforePath..];
        self.issuer.join(path).unwrap_or(url.clone())
    }
}

fn is_private_literal(url: &Url) -> bool {
    let address = match url.host() {
        Some(Host::Ipv4(address)) => address,
        Some(Host::Ipv6(address)) => match address.to_ipv4() {
            // Covers mapped addresses, and ::1, which reads as 0.0.0.1.
            Some(address) => address,
            None => return address.segments()[0] & 0xe000 != 0x2000,
        },
        Some(Host::Domain(_)) => return false,
        None => return true,
    };
    let [first, second, ..] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || first == 0
        || (first == 100 && (64..128).contains(&second))
}

#[cfg(test)]
mod tests;
