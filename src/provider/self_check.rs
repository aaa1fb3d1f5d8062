//! Asks a provider everything that a sign-in will need, before somebody
//! needs it: discovery, keys, clock, scopes, and with one made-up code
//! whether it accepts the client.
//!
//! Runs on a client and caches of its own, so that what it learns changes
//! nothing for sign-ins: neither their breaker nor the way of authenticating
//! that they remember.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::SecretString;

use super::client::HttpClient;
use super::error::{Class, Phase, ProviderError};
use super::jwks::Keys;
use super::metadata::{Discovery, Metadata};
use super::token_endpoint::{CodeExchange, Method, TokenEndpoint};
use crate::base::clock::Clock;
use crate::base::random;
use crate::config::checked::{Limits, OfflineAccess, Provider as ProviderConfig};

/// What begins the made-up code, so that a provider's log tells it apart.
const CODE_PREFIX: &str = "vestibule-check-";
/// As much as the duties on ID tokens forgive.
const CLOCK_LEEWAY_SECS: u64 = 60;
/// A smaller difference is a matter of whole seconds and of the way.
const CLOCK_WORTH_TELLING_SECS: u64 = 5;

/// What is looked at, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The document is there and is that of the issuer.
    Discovery,
    /// At least one signing key that can be used.
    Keys,
    Clock,
    /// The provider lists what is asked for.
    Scopes,
    /// Client id and secret.
    Credentials,
}

impl Step {
    /// The word in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Discovery => "discovery",
            Self::Keys => "keys",
            Self::Clock => "clock",
            Self::Scopes => "scopes",
            Self::Credentials => "credentials",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Good,
    /// Cannot be told, or works and is worth a look.
    Doubtful,
    Bad,
}

/// What one step found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub step: Step,
    pub verdict: Verdict,
    /// Of the failure, where there is one.
    pub reason: Option<&'static str>,
    /// For operators, a sentence without its full stop.
    pub said: String,
}

impl Finding {
    fn good(step: Step, said: impl Into<String>) -> Self {
        Self {
            step,
            verdict: Verdict::Good,
            reason: None,
            said: said.into(),
        }
    }

    fn with(self, verdict: Verdict, reason: &'static str) -> Self {
        Self {
            verdict,
            reason: Some(reason),
            ..self
        }
    }

    fn failed(step: Step, verdict: Verdict, error: &ProviderError) -> Self {
        let mut said = error.class.to_string();
        if let Some(status) = error.status {
            said.push_str(&format!(" (HTTP {status})"));
        }
        if let Some(detail) = &error.detail {
            said.push_str(": ");
            said.push_str(detail);
        }
        Self::good(step, said).with(verdict, error.class.reason())
    }
}

/// The question; asked anew each time.
pub struct SelfCheck {
    config: Arc<ProviderConfig>,
    redirect_uri: String,
    client: HttpClient,
    discovery: Discovery,
    keys: Keys,
    token_endpoint: TokenEndpoint,
}

impl SelfCheck {
    /// `redirect_uri` is that of sign-ins. Fails as the making of a provider
    /// does: on an unreadable `ca_file` or a malformed issuer.
    pub fn new(
        config: ProviderConfig,
        limits: &Limits,
        clock: Clock,
        redirect_uri: String,
    ) -> Result<Self, ProviderError> {
        let limits = Limits {
            // A breaker of its own would have nobody who closes it again.
            provider_failures: 0,
            ..limits.clone()
        };
        let client = HttpClient::new(&config, &limits, clock.clone())?;
        let config = Arc::new(config);
        Ok(Self {
            discovery: Discovery::new(Arc::clone(&config), client.clone(), clock.clone()),
            keys: Keys::new(client.clone(), clock.clone()),
            token_endpoint: TokenEndpoint::new(Arc::clone(&config), client.clone(), clock),
            config,
            redirect_uri,
            client,
        })
    }

    /// Every step that could be taken. At most five calls, each within the
    /// deadline of a call; the token endpoint gets one code, and once more the
    /// same by the other way of authenticating where a sign-in would try it.
    pub async fn run(&self) -> Vec<Finding> {
        let metadata = match self.discovery.metadata().await {
            Ok(metadata) => metadata,
            Err(error) => return vec![Finding::failed(Step::Discovery, Verdict::Bad, &error)],
        };
        let issuer = &self.config.issuer;
        let said = format!("its discovery document is there, and it is that of {issuer}");
        let mut findings = vec![Finding::good(Step::Discovery, said)];
        let (keys, credentials) = tokio::join!(
            self.check_keys(&metadata),
            self.check_credentials(&metadata)
        );
        findings.push(keys);
        findings.push(self.check_clock());
        findings.extend(self.check_scopes(&metadata));
        findings.push(credentials);
        findings
    }

    async fn check_keys(&self, metadata: &Metadata) -> Finding {
        match self.keys.current(&metadata.jwks_uri).await {
            Ok(set) if set.keys.is_empty() => {
                let class = Class::BadResponse("it holds no signing key that can be used");
                let error = ProviderError::local(Phase::Keys, class);
                Finding::failed(Step::Keys, Verdict::Bad, &error)
            }
            Ok(set) => {
                let count = set.keys.len();
                let plural = if count == 1 { "" } else { "s" };
                Finding::good(
                    Step::Keys,
                    format!("it publishes {count} signing key{plural} that can be used"),
                )
            }
            Err(error) => Finding::failed(Step::Keys, Verdict::Bad, &error),
        }
    }

    fn check_clock(&self) -> Finding {
        match self.client.clock_offset_secs() {
            None => Finding::good(Step::Clock, "its answers do not tell the time")
                .with(Verdict::Doubtful, "clock_skew"),
            Some(offset) if offset.unsigned_abs() > CLOCK_LEEWAY_SECS => {
                let class = Class::ClockSkew {
                    offset_secs: offset,
                };
                let error = ProviderError::local(Phase::Discovery, class);
                Finding::failed(Step::Clock, Verdict::Bad, &error)
            }
            Some(offset) if offset.unsigned_abs() > CLOCK_WORTH_TELLING_SECS => {
                let class = Class::ClockSkew {
                    offset_secs: offset,
                };
                let error = ProviderError::local(Phase::Discovery, class);
                Finding::failed(Step::Clock, Verdict::Doubtful, &error)
            }
            Some(_) => Finding::good(Step::Clock, "its clock agrees with ours"),
        }
    }

    /// Nothing where the provider lists none: many leave the list out.
    fn check_scopes(&self, metadata: &Metadata) -> Option<Finding> {
        let listed = &metadata.scopes_supported;
        if listed.is_empty() {
            return None;
        }
        let offline =
            (self.config.offline_access == OfflineAccess::Always).then_some("offline_access");
        let asked = self.config.scopes.iter().map(String::as_str).chain(offline);
        let missing: Vec<_> = asked
            .filter(|scope| !listed.iter().any(|known| known == scope))
            .collect();
        Some(if missing.is_empty() {
            Finding::good(Step::Scopes, "it knows every scope that is asked for")
        } else {
            let said = format!("it does not list the scope {}", missing.join(", "));
            Finding::good(Step::Scopes, said).with(Verdict::Doubtful, "scope_rejected")
        })
    }

    async fn check_credentials(&self, metadata: &Metadata) -> Finding {
        let step = Step::Credentials;
        let method = match self.token_endpoint.method(metadata, Phase::Exchange) {
            Ok(method) => method,
            Err(error) => return Finding::failed(step, Verdict::Bad, &error),
        };
        let code = SecretString::from(format!("{CODE_PREFIX}{}", random::reference()));
        let verifier = SecretString::from(URL_SAFE_NO_PAD.encode(random::bytes::<32>()));
        let exchange = CodeExchange {
            code: &code,
            redirect_uri: &self.redirect_uri,
            pkce_verifier: &verifier,
        };
        let first = self
            .token_endpoint
            .exchange_with(metadata, &exchange, method)
            .await
            .err();
        let has_secret = self.config.client_secret.is_some();
        let other = method.other();
        let rejected = |error: &Option<ProviderError>| {
            error
                .as_ref()
                .is_some_and(|error| error.class == Class::ClientCredentialsRejected)
        };
        if !(rejected(&first) && has_secret && other.listed(metadata)) {
            return judged(first, has_secret.then_some(method), None);
        }
        let second = self
            .token_endpoint
            .exchange_with(metadata, &exchange, other)
            .await
            .err();
        if rejected(&second) {
            return judged(first, Some(method), Some(other));
        }
        let mut finding = judged(second, Some(other), None);
        finding.said.push_str(&format!(
            "; it refuses {} though it lists that too",
            method.as_str()
        ));
        finding
    }
}

/// What the answer to a made-up code says about the client. `tried` and
/// `also` are the ways of authenticating; none for a public client.
fn judged(error: Option<ProviderError>, tried: Option<Method>, also: Option<Method>) -> Finding {
    let step = Step::Credentials;
    let by = match (tried, also) {
        (Some(tried), Some(also)) => format!(" ({} and {})", tried.as_str(), also.as_str()),
        (Some(tried), None) => format!(" ({})", tried.as_str()),
        (None, _) => String::new(),
    };
    let Some(error) = error else {
        let class = Class::BadResponse("it gave tokens for a code that was made up");
        let error = ProviderError::local(Phase::Exchange, class);
        return Finding::failed(step, Verdict::Bad, &error);
    };
    match error.class {
        // It looked at the code, so it was content with the client.
        Class::CodeRejected => match tried {
            Some(_) => Finding::good(step, format!("it accepts the client id and secret{by}")),
            None => Finding::good(step, "it knows the client id; there is no secret to test"),
        },
        Class::ClientCredentialsRejected
        | Class::RedirectUriRejected
        | Class::ClientNotAllowed
        | Class::NetworkUnreachable
        | Class::OutcomeUnknown
        | Class::TlsUnknownCa
        | Class::TlsExpired
        | Class::TlsWrongName
        | Class::TlsFailed
        | Class::EndpointRefused(_)
        | Class::Configuration(_) => {
            let mut finding = Finding::failed(step, Verdict::Bad, &error);
            finding.said.push_str(&by);
            finding
        }
        _ => {
            let mut finding = Finding::failed(step, Verdict::Doubtful, &error);
            finding.said = format!(
                "whether it accepts the client id and secret cannot be told: {}{by}",
                finding.said
            );
            finding
        }
    }
}

#[cfg(test)]
mod tests;
