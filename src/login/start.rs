//! The way out: to the provider, with a transaction under way.

use url::Url;

use super::Login;
use super::error::{LoginError, Phase};
use super::tagged_cookies;
use super::transaction::{self, BrowserSecret, Transaction};
use crate::base::fault::Fault;
use crate::base::random;
use crate::model::identity::ProviderId;
use crate::provider::AuthorizationRequest;

pub struct StartRequest<'a> {
    pub provider: &'a ProviderId,
    /// Checked already: it cannot leave our hosts.
    pub return_to: &'a str,
    /// The host that waits for this sign-in, still sealed.
    pub hand_off: Option<&'a str>,
    /// The `Cookie` fields of the request.
    pub cookies: &'a [&'a [u8]],
    pub prompt: Option<&'static str>,
}

/// Where to send the browser, and what to set.
#[derive(Debug)]
pub struct Started {
    pub location: Url,
    pub set_cookies: Vec<String>,
    pub attempt: String,
}

impl Login {
    /// Begins a login. Writes nothing to the store.
    pub async fn start(&self, request: StartRequest<'_>) -> Result<Started, LoginError> {
        let inner = &self.inner;
        let provider = inner
            .providers
            .get(request.provider)
            .ok_or(LoginError::UnknownProvider)?;
        let key = inner.ring.writer();
        let attempt = random::reference();
        let tag = tagged_cookies::tag();
        let secret = BrowserSecret::generate();
        let derived = secret.derive(key, &attempt);
        let now = inner.clock.now();
        let state = transaction::seal_state(
            inner,
            key,
            &tag,
            &secret,
            &Transaction {
                attempt: attempt.clone(),
                provider: request.provider.clone(),
                started_at: now,
                return_to: request.return_to.to_owned(),
                hand_off: request.hand_off.map(str::to_owned),
            },
        );
        let redirect_uri = inner.redirect_uri(request.provider);
        let location = provider
            .authorization_url(&AuthorizationRequest {
                redirect_uri: &redirect_uri,
                state: &state,
                nonce: &derived.nonce,
                pkce_verifier: &derived.pkce_verifier,
                prompt: request.prompt,
            })
            .await
            .map_err(LoginError::from);
        let location = match location {
            Ok(location) => location,
            Err(error) => {
                inner
                    .telemetry
                    .login(Phase::Start.as_str(), error.reason(), &request.provider.0);
                return Err(error);
            }
        };
        inner
            .telemetry
            .login(Phase::Start.as_str(), "ok", &request.provider.0);
        tracing::info!(
            login.attempt = attempt,
            login.phase = Phase::Start.as_str(),
            provider.id = %request.provider,
            "sign-in started"
        );
        Ok(Started {
            location,
            set_cookies: inner
                .cookies
                .begin(&tag, &secret.secret, now, request.cookies),
            attempt,
        })
    }
}
