//! Telling the provider that tokens are not needed any more (RFC 7009).
//! Best effort in every respect: one call, a few at a time, a few seconds
//! each, and no outcome that anything depends on.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request};
use secrecy::ExposeSecret;
use url::Url;
use url::form_urlencoded::{Serializer, byte_serialize};

use super::client::HttpClient;
use super::error::{Class, Phase, ProviderError};
use super::metadata::Metadata;
use super::token_endpoint::{Method, TokenEndpoint};
use crate::base::clock::Clock;
use crate::base::fault::Fault;
use crate::config::checked::{Limits, Provider as ProviderConfig};
use crate::model::tokens::TokenSet;

/// How long one call may take.
const TOTAL: Duration = Duration::from_secs(5);
/// Calls at once; what comes on top of that is left to expire.
const PARALLEL: usize = 8;
/// Issuers at which a revoked token takes the person's whole grant to the
/// client along, and so all other sessions.
const TAKES_ALL: &[&str] = &["https://accounts.google.com"];

pub(super) struct Revocation {
    config: Arc<ProviderConfig>,
    /// Its own, with a breaker that never opens: a revocation endpoint that
    /// is slow or broken takes no place from sign-ins, and says nothing about
    /// the provider.
    client: HttpClient,
}

impl Revocation {
    pub(super) fn new(
        config: Arc<ProviderConfig>,
        limits: &Limits,
        clock: Clock,
    ) -> Result<Self, ProviderError> {
        let limits = Limits {
            provider_total: limits.provider_total.min(TOTAL),
            provider_parallel: limits.provider_parallel.min(PARALLEL),
            provider_failures: 0,
            ..limits.clone()
        };
        Ok(Self {
            client: HttpClient::new(&config, &limits, clock)?,
            config,
        })
    }

    /// Revokes the refresh token, and with it what was issued along with it
    /// (section 2.1); where there is none, the access token.
    pub(super) async fn revoke(
        &self,
        metadata: &Metadata,
        token_endpoint: &TokenEndpoint,
        tokens: &TokenSet,
    ) {
        let Some(endpoint) = &metadata.revocation_endpoint else {
            return;
        };
        if TAKES_ALL.contains(&self.config.issuer.as_str()) {
            return;
        }
        let method = token_endpoint.method(metadata, Phase::Logout);
        let request = method.and_then(|method| self.request(endpoint, method, tokens));
        let sent = match request {
            Ok(request) => self.client.send(request, 1).await,
            Err(error) => return self.not_revoked(error.reason(), None),
        };
        match sent {
            // Section 2.2: also for a token that was over already.
            Ok(answer) if answer.status.is_success() => tracing::info!(
                provider.id = %self.config.id,
                "tokens that are not needed any more were revoked at the provider"
            ),
            Ok(answer) => self.not_revoked("provider_error", Some(answer.status.as_u16())),
            Err(error) => self.not_revoked(error.class.reason(), None),
        }
    }

    fn request(
        &self,
        endpoint: &Url,
        method: Method,
        tokens: &TokenSet,
    ) -> Result<Request<Bytes>, ProviderError> {
        let (token, hint) = match &tokens.refresh_token {
            Some(token) => (token, "refresh_token"),
            None => (&tokens.access_token, "access_token"),
        };
        let mut form = Serializer::new(String::new());
        form.append_pair("token", token.expose_secret());
        form.append_pair("token_type_hint", hint);
        let id = &self.config.client_id;
        let secret = self.config.client_secret.as_ref().map(|s| s.current());
        let mut request = Request::post(endpoint.as_str())
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let malformed = || {
            let class = Class::Configuration("revocation request cannot be built");
            ProviderError::local(Phase::Logout, class)
        };
        match (method, secret) {
            (Method::Basic, Some(secret)) => {
                // RFC 6749 section 2.3.1: both halves are form-encoded first.
                let half = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
                let pair = format!("{}:{}", half(id), half(secret.expose_secret()));
                let value = format!("Basic {}", STANDARD.encode(pair));
                let mut value = HeaderValue::try_from(value).map_err(|_| malformed())?;
                value.set_sensitive(true);
                request = request.header(AUTHORIZATION, value);
            }
            (_, secret) => {
                form.append_pair("client_id", id);
                if let Some(secret) = secret {
                    form.append_pair("client_secret", secret.expose_secret());
                }
            }
        }
        let body = Bytes::from(form.finish());
        request.body(body).map_err(|_| malformed())
    }

    fn not_revoked(&self, reason: &'static str, status: Option<u16>) {
        tracing::info!(
            provider.id = %self.config.id,
            reason,
            status,
            "tokens that are not needed any more could not be revoked at the provider; they expire"
        );
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;
    use serde_json::json;

    use super::*;
    use crate::provider::scripted::{Reply, Scripted};

    fn tokens(idp: &Scripted, refresh_token: Option<&str>) -> TokenSet {
        let now = idp.clock.now();
        TokenSet {
            access_token: SecretString::from("at-1"),
            refresh_token: refresh_token.map(SecretString::from),
            id_token: None,
            access_expires_at: now.plus(Duration::from_secs(300)),
            received_at: now,
            scope: None,
        }
    }

    #[tokio::test]
    async fn the_client_proves_itself_as_at_the_token_endpoint() {
        let idp = Scripted::start().await;
        let own = format!("{}/revoke", idp.origin);
        idp.discovery(json!({
            "revocation_endpoint": own,
            "token_endpoint_auth_methods_supported": ["client_secret_post"],
        }));
        idp.reply("/revoke", Reply::text(200, "text/plain", ""));
        idp.provider().revoke(&tokens(&idp, Some("rt-1"))).await;
        idp.discovery(json!({ "revocation_endpoint": own }));
        idp.provider().revoke(&tokens(&idp, None)).await;
        let seen = idp.seen("/revoke");
        let [post, basic] = &seen[..] else {
            panic!("{seen:?}")
        };
        let form = post.form();
        assert_eq!(
            (&*form["token"], &*form["token_type_hint"]),
            ("rt-1", "refresh_token")
        );
        assert_eq!(
            (&*form["client_id"], &*form["client_secret"]),
            ("gateway", "s3cret")
        );
        assert!(!post.headers.contains_key(AUTHORIZATION));
        let form = basic.form();
        assert_eq!(
            (&*form["token"], &*form["token_type_hint"]),
            ("at-1", "access_token")
        );
        assert!(!form.contains_key("client_secret"));
        let expected = format!("Basic {}", STANDARD.encode("gateway:s3cret"));
        assert_eq!(basic.headers[AUTHORIZATION], expected);
    }

    #[tokio::test]
    async fn an_endpoint_that_is_absent_broken_or_elsewhere_is_no_reason_to_fail() {
        let idp = Scripted::start().await;
        for endpoint in [json!(null), json!("http://192.0.2.1/revoke"), json!(7)] {
            idp.discovery(json!({ "revocation_endpoint": endpoint }));
            let provider = idp.provider();
            provider.revoke(&tokens(&idp, Some("rt-1"))).await;
            assert_eq!(provider.metadata().await.unwrap().revocation_endpoint, None);
        }
        idp.discovery(json!({ "revocation_endpoint": format!("{}/revoke", idp.origin) }));
        let provider = idp.provider();
        idp.reply("/revoke", Reply::HangUp);
        for _ in 0..30 {
            provider.revoke(&tokens(&idp, Some("rt-1"))).await;
        }
        assert_eq!(idp.seen("/revoke").len(), 30, "one call each");
        assert!(
            provider.outage().is_none(),
            "says nothing about the provider"
        );
    }
}
