//! The token endpoint: codes and refresh tokens become token sets.
//!
//! The `oauth2` crate builds the requests. Our HTTP client sits underneath
//! and judges each answer before that crate sees it, because the crate keeps
//! neither status nor headers and takes many real answers for garbage.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse,
    BasicTokenType,
};
use oauth2::{
    AccessToken, AsyncHttpClient, AuthType, AuthorizationCode, ClientId, ClientSecret,
    EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, PkceCodeVerifier, RedirectUrl,
    RefreshToken, RequestTokenError, Scope, StandardRevocableToken, TokenResponse, TokenUrl,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::classify;
use super::client::HttpClient;
use super::document::TRIES;
use super::error::{Class, Phase, ProviderError, Sent};
use super::metadata::Metadata;
use crate::base::clock::Clock;
use crate::config::checked::Provider as ProviderConfig;
use crate::model::tokens::TokenSet;

/// Life of an access token whose answer does not say: short where it can be
/// refreshed, an hour where its end means signing in again.
const LIFE_REFRESHABLE: Duration = Duration::from_secs(300);
const LIFE_ALONE: Duration = Duration::from_secs(3600);
/// A refresh is sent a second time, with the other client authentication,
/// only if the first answer came within this: the caller's lease is longer
/// than one call by more than so much.
const AT_ONCE: Duration = Duration::from_secs(2);
/// Longer lives are cut to this.
const LIFE_MAX: u64 = 366 * 24 * 3600;

type Client = oauth2::Client<
    BasicErrorResponse,
    TokenAnswer,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointSet,
>;

/// What to spend, and what it was issued for.
#[derive(Debug)]
pub struct CodeExchange<'a> {
    pub code: &'a SecretString,
    /// Byte for byte that of the authorization request (RFC 6749 4.1.3).
    pub redirect_uri: &'a str,
    pub pkce_verifier: &'a SecretString,
}

/// How the client shows that it is itself (RFC 6749 section 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Basic,
    Post,
}

impl Method {
    pub(super) const fn other(self) -> Self {
        match self {
            Self::Basic => Self::Post,
            Self::Post => Self::Basic,
        }
    }

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Basic => "client_secret_basic",
            Self::Post => "client_secret_post",
        }
    }

    pub(super) fn listed(self, metadata: &Metadata) -> bool {
        let listed = metadata.token_auth_methods.as_ref();
        listed.is_some_and(|all| all.iter().any(|name| name == self.as_str()))
    }
}

/// The token endpoint of one provider.
pub struct TokenEndpoint {
    config: Arc<ProviderConfig>,
    client: HttpClient,
    clock: Clock,
    /// What worked after the method of our choice was refused.
    proven: ArcSwapOption<Method>,
}

impl TokenEndpoint {
    pub fn new(config: Arc<ProviderConfig>, client: HttpClient, clock: Clock) -> Self {
        Self {
            config,
            client,
            clock,
            proven: ArcSwapOption::empty(),
        }
    }

    /// Spends a code. Tried again only while no byte has left, and once more
    /// with the other listed way of authenticating when the first is refused:
    /// a provider that refuses the client has not looked at the code.
    pub async fn exchange(
        &self,
        metadata: &Metadata,
        exchange: &CodeExchange<'_>,
    ) -> Result<TokenSet, ProviderError> {
        let method = self.method(metadata, Phase::Exchange)?;
        let error = match self.exchange_with(metadata, exchange, method).await {
            Ok(tokens) => return Ok(tokens),
            Err(error) => error,
        };
        let Some(other) = self.other_method(metadata, method, &error) else {
            return Err(error);
        };
        let tokens = self.exchange_with(metadata, exchange, other).await;
        if tokens.is_ok() {
            self.prove(other);
        }
        tokens
    }

    /// The other way to authenticate, where it may help against `error`.
    fn other_method(
        &self,
        metadata: &Metadata,
        method: Method,
        error: &ProviderError,
    ) -> Option<Method> {
        let other = method.other();
        let may_help = error.class == Class::ClientCredentialsRejected
            && self.config.client_secret.is_some()
            && other.listed(metadata);
        may_help.then_some(other)
    }

    fn prove(&self, method: Method) {
        self.proven.store(Some(Arc::new(method)));
        tracing::warn!(
            provider.id = %self.config.id,
            auth.method = method.as_str(),
            "the provider accepts only the other client authentication method; using it from now on"
        );
    }

    pub(super) async fn exchange_with(
        &self,
        metadata: &Metadata,
        exchange: &CodeExchange<'_>,
        method: Method,
    ) -> Result<TokenSet, ProviderError> {
        let phase = Phase::Exchange;
        let client = self.oauth2_client(metadata, method, phase)?;
        let redirect_uri = RedirectUrl::new(exchange.redirect_uri.to_owned()).map_err(|_| {
            ProviderError::local(phase, Class::Configuration("redirect_uri is not a URL"))
        })?;
        let http = JudgingClient {
            client: &self.client,
            phase,
            tries: TRIES,
        };
        let answer = client
            .exchange_code(AuthorizationCode::new(
                exchange.code.expose_secret().to_owned(),
            ))
            .set_pkce_verifier(PkceCodeVerifier::new(
                exchange.pkce_verifier.expose_secret().to_owned(),
            ))
            .set_redirect_uri(std::borrow::Cow::Owned(redirect_uri))
            .request_async(&http)
            .await
            .map_err(|error| unwrap_error(error, phase))?;
        Ok(self.token_set(answer, None))
    }

    /// Spends the refresh token of `before`, exactly once: not even a refused
    /// connection is tried again here, the caller's intent record decides.
    /// Only a provider that refuses the client at once, and so has not looked
    /// at the token, is asked once more with the other listed way of
    /// authenticating.
    pub async fn refresh(
        &self,
        metadata: &Metadata,
        before: &TokenSet,
    ) -> Result<TokenSet, ProviderError> {
        let began = Instant::now();
        let method = self.method(metadata, Phase::Refresh)?;
        let error = match self.refresh_with(metadata, before, method).await {
            Ok(tokens) => return Ok(tokens),
            Err(error) => error,
        };
        let Some(other) = self.other_method(metadata, method, &error) else {
            return Err(error);
        };
        if began.elapsed() > AT_ONCE {
            return Err(error);
        }
        match self.refresh_with(metadata, before, other).await {
            Ok(tokens) => {
                self.prove(other);
                Ok(tokens)
            }
            Err(error) => Err(ProviderError {
                attempts: error.attempts + 1,
                ..error
            }),
        }
    }

    async fn refresh_with(
        &self,
        metadata: &Metadata,
        before: &TokenSet,
        method: Method,
    ) -> Result<TokenSet, ProviderError> {
        let phase = Phase::Refresh;
        let refresh_token = before.refresh_token.as_ref().ok_or_else(|| {
            ProviderError::local(phase, Class::GrantExpiredOrRevoked)
                .with_detail("there is no refresh token")
        })?;
        let client = self.oauth2_client(metadata, method, phase)?;
        let http = JudgingClient {
            client: &self.client,
            phase,
            tries: 1,
        };
        // RFC 6749 section 6: without a scope parameter it stays as granted.
        let answer = client
            .exchange_refresh_token(&RefreshToken::new(refresh_token.expose_secret().to_owned()))
            .request_async(&http)
            .await
            .map_err(|error| unwrap_error(error, phase))?;
        Ok(self.token_set(answer, Some(before)))
    }

    pub(super) fn method(
        &self,
        metadata: &Metadata,
        phase: Phase,
    ) -> Result<Method, ProviderError> {
        if self.config.client_secret.is_none() {
            // The id alone travels in the body (RFC 6749 section 3.2.1).
            return Ok(Method::Post);
        }
        if let Some(proven) = self.proven.load().as_deref() {
            return Ok(*proven);
        }
        match &metadata.token_auth_methods {
            // Discovery section 3: the default.
            None => Ok(Method::Basic),
            Some(_) if Method::Basic.listed(metadata) => Ok(Method::Basic),
            Some(_) if Method::Post.listed(metadata) => Ok(Method::Post),
            Some(_) => {
                let class = Class::Unsupported(
                    "a client authentication other than client_secret_basic and client_secret_post",
                );
                Err(ProviderError::local(phase, class))
            }
        }
    }

    fn oauth2_client(
        &self,
        metadata: &Metadata,
        method: Method,
        phase: Phase,
    ) -> Result<Client, ProviderError> {
        let url = metadata.token_endpoint.to_string();
        let token_url = TokenUrl::new(url)
            .map_err(|_| ProviderError::local(phase, Class::EndpointRefused("token_endpoint")))?;
        let client = oauth2::Client::new(ClientId::new(self.config.client_id.clone()))
            .set_token_uri(token_url)
            .set_auth_type(match method {
                Method::Basic => AuthType::BasicAuth,
                Method::Post => AuthType::RequestBody,
            });
        Ok(match &self.config.client_secret {
            Some(secret) => {
                let secret = secret.current();
                client.set_client_secret(ClientSecret::new(secret.expose_secret().to_owned()))
            }
            None => client,
        })
    }

    fn token_set(&self, answer: TokenAnswer, before: Option<&TokenSet>) -> TokenSet {
        let now = self.clock.now();
        let fresh = |text: Option<String>| text.filter(|text| !text.is_empty());
        let secret = |text: Option<String>| fresh(text).map(SecretString::from);
        let refresh_token = answer
            .refresh_token
            .filter(|token| !token.secret().is_empty())
            .map(|token| SecretString::from(token.into_secret()))
            .or_else(|| before.and_then(|before| before.refresh_token.clone()));
        let life = answer.expires_in.unwrap_or(match refresh_token {
            Some(_) => LIFE_REFRESHABLE,
            None => LIFE_ALONE,
        });
        TokenSet {
            access_token: SecretString::from(answer.access_token.into_secret()),
            refresh_token,
            id_token: secret(answer.id_token)
                .or_else(|| before.and_then(|before| before.id_token.clone())),
            access_expires_at: now.plus(life),
            received_at: now,
            scope: fresh(answer.scope).or_else(|| before.and_then(|before| before.scope.clone())),
        }
    }
}

fn unwrap_error(
    error: RequestTokenError<ProviderError, BasicErrorResponse>,
    phase: Phase,
) -> ProviderError {
    match error {
        RequestTokenError::Request(error) => error,
        // Unreachable in practice: every answer is judged before this.
        RequestTokenError::ServerResponse(_)
        | RequestTokenError::Parse(..)
        | RequestTokenError::Other(_) => ProviderError {
            sent: Sent::Answered,
            ..ProviderError::local(phase, Class::BadResponse("a member has another type"))
        },
    }
}

/// Sends for the `oauth2` crate and hands it only successful answers, as
/// strict JSON with status 200.
struct JudgingClient<'a> {
    client: &'a HttpClient,
    phase: Phase,
    tries: u32,
}

impl<'c> AsyncHttpClient<'c> for JudgingClient<'_> {
    type Error = ProviderError;
    type Future = BoxFuture<'c, Result<HttpResponse, ProviderError>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let request = Request::from_parts(parts, Bytes::from(body));
            let answer = self
                .client
                .send(request, self.tries)
                .await
                .map_err(|error| error.in_phase(self.phase))?;
            let members = classify::judge(&answer, self.phase)?;
            let mut response = Response::new(Value::Object(members).to_string().into_bytes());
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, json);
            Ok(response)
        })
    }
}

/// A successful answer (RFC 6749 section 5.1), lenient where providers are.
#[derive(Deserialize, Serialize)]
struct TokenAnswer {
    access_token: AccessToken,
    #[serde(default, deserialize_with = "text_or_nothing", skip_serializing)]
    id_token: Option<String>,
    #[serde(default)]
    refresh_token: Option<RefreshToken>,
    #[serde(default, deserialize_with = "seconds", skip_serializing)]
    expires_in: Option<Duration>,
    #[serde(default, deserialize_with = "text_or_nothing", skip_serializing)]
    scope: Option<String>,
}

impl fmt::Debug for TokenAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenAnswer")
    }
}

impl TokenResponse for TokenAnswer {
    type TokenType = BasicTokenType;

    fn access_token(&self) -> &AccessToken {
        &self.access_token
    }

    fn token_type(&self) -> &BasicTokenType {
        &BasicTokenType::Bearer
    }

    fn expires_in(&self) -> Option<Duration> {
        self.expires_in
    }

    fn refresh_token(&self) -> Option<&RefreshToken> {
        self.refresh_token.as_ref()
    }

    fn scopes(&self) -> Option<&Vec<Scope>> {
        None
    }
}

/// A number or a string of one. Zero, negative and unreadable values count as
/// absent: a token that is over on arrival would be refreshed for ever.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let value = match Value::deserialize(deserializer)? {
        Value::String(text) => text.trim().parse::<f64>().ok(),
        Value::Number(number) => number.as_f64(),
        _ => None,
    };
    // The cast saturates, and LIFE_MAX cuts what is left of 1e99.
    let secs = value.filter(|secs| secs.is_finite() && *secs >= 1.0);
    Ok(secs.map(|secs| Duration::from_secs((secs as u64).min(LIFE_MAX))))
}

fn text_or_nothing<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => Some(text),
        _ => None,
    })
}

#[cfg(test)]
mod tests;
