//! One provider: the conversation of a sign-in, a refresh and a sign-out.

use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use url::Url;

use super::breaker::{Refusal, SETTLED, Stage};
use super::browser_urls::{self, AuthorizationRequest};
use super::claims;
use super::client::{HttpClient, TransportError};
use super::error::{Class, IdTokenFlaw, Phase, ProviderError, Sent};
use super::id_token::{self, Expected, Unverified};
use super::jwks::Keys;
use super::metadata::{Discovery, Metadata};
use super::revocation::Revocation;
use super::token_endpoint::{CodeExchange, TokenEndpoint};
use super::userinfo;
use crate::base::clock::{Clock, Timestamp};
use crate::config::checked::{Limits, Provider as ProviderConfig};
use crate::model::identity::{Groups, Identity, ProviderId};
use crate::model::tokens::TokenSet;

/// A sign-in does not ask first whether a provider is there that gave an
/// answer this lately.
const HEARD_LATELY: Duration = Duration::from_secs(5);
/// How long a sign-in waits for the word of a provider that was silent.
const ASK_PATIENCE: Duration = Duration::from_secs(3);

/// The claims of an ID token that passed every check.
pub struct Verified(Map<String, Value>);

/// A provider of the configuration and everything learnt about it.
pub struct Provider {
    config: Arc<ProviderConfig>,
    client: HttpClient,
    clock: Clock,
    discovery: Discovery,
    keys: Keys,
    token_endpoint: TokenEndpoint,
    revocation: Revocation,
}

impl Provider {
    /// Asks nobody: a provider that is down must not keep the gateway down.
    pub fn new(
        config: ProviderConfig,
        limits: &Limits,
        clock: Clock,
    ) -> Result<Self, ProviderError> {
        let client = HttpClient::new(&config, limits, clock.clone())?;
        let config = Arc::new(config);
        Ok(Self {
            discovery: Discovery::new(Arc::clone(&config), client.clone(), clock.clone()),
            keys: Keys::new(client.clone(), clock.clone()),
            token_endpoint: TokenEndpoint::new(Arc::clone(&config), client.clone(), clock.clone()),
            revocation: Revocation::new(Arc::clone(&config), limits, clock.clone())?,
            config,
            client,
            clock,
        })
    }

    pub fn id(&self) -> &ProviderId {
        &self.config.id
    }

    /// What the sign-in page calls it.
    pub fn name(&self) -> &str {
        &self.config.name
    }

    pub fn config(&self) -> &ProviderConfig {
        &self.config
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Provider's clock minus ours in seconds, as of its last answer.
    pub fn clock_offset_secs(&self) -> Option<i64> {
        self.client.clock_offset_secs()
    }

    /// `Some` while the provider counts as unreachable: every call fails at
    /// once, and nothing is sent.
    pub fn outage(&self) -> Option<Refusal> {
        self.client.breaker().refusal()
    }

    /// Asks a provider that counts as unreachable, every few seconds, whether
    /// it is back, so that recovery needs nobody's sign-in. Tells `tell` how
    /// it stands, and again when that changes. Runs until it is dropped.
    pub async fn watch(&self, tell: impl Fn(Option<Refusal>)) {
        let breaker = self.client.breaker();
        let mut stages = breaker.stages();
        loop {
            let stage = *stages.borrow_and_update();
            tell(self.outage());
            match stage {
                Stage::Closed => {
                    // The sender lives as long as `self`.
                    let _ = stages.changed().await;
                }
                Stage::HalfOpen => {
                    tokio::select! {
                        () = tokio::time::sleep(SETTLED) => breaker.settle(),
                        _ = stages.changed() => {}
                    }
                }
                Stage::Open => {
                    tokio::time::sleep_until(breaker.next_look()).await;
                    breaker.looking();
                    self.discovery.probe().await;
                }
            }
        }
    }

    /// The discovery document: fresh, or the last good one.
    pub async fn metadata(&self) -> Result<Arc<Metadata>, ProviderError> {
        self.discovery.metadata().await
    }

    /// Where to send the browser for a code (Core 3.1.2.1). Nobody is sent to
    /// a provider that is not there: one that was not heard of for a while is
    /// asked for its discovery document first.
    pub async fn authorization_url(
        &self,
        request: &AuthorizationRequest<'_>,
    ) -> Result<Url, ProviderError> {
        if let Some(refusal) = self.outage() {
            return Err(TransportError::refused(refusal).in_phase(Phase::Discovery));
        }
        let silent = !self.client.breaker().heard_within(HEARD_LATELY);
        if silent && self.discovery.known().is_some() {
            // Whoever takes the connection is there; what it answers, and
            // when, is the browser's business.
            match self.discovery.ask_again(ASK_PATIENCE).await {
                Err(error) if error.sent == Sent::Not => return Err(error),
                Ok(()) | Err(_) => {}
            }
        }
        let metadata = self.metadata().await?;
        Ok(browser_urls::authorization(
            &self.config,
            &metadata,
            request,
        ))
    }

    /// RFC 9207 section 2.4: `iss` of an authorization response, compared as
    /// plain text; its absence is an error where the provider promises it.
    pub async fn check_response_issuer(&self, iss: Option<&str>) -> Result<(), ProviderError> {
        let fine = match iss {
            Some(iss) => iss == self.config.issuer,
            None => !self.metadata().await?.response_iss,
        };
        match fine {
            true => Ok(()),
            false => Err(ProviderError::local(
                Phase::Callback,
                Class::ResponseIssuerMismatch,
            )),
        }
    }

    /// Spends a code. After an error whose `sent` is `Unknown` or `Answered`
    /// the code must never be sent again.
    pub async fn exchange(&self, exchange: &CodeExchange<'_>) -> Result<TokenSet, ProviderError> {
        let metadata = self.metadata().await?;
        let tokens = self.token_endpoint.exchange(&metadata, exchange).await?;
        tracing::debug!(
            provider.id = %self.config.id,
            token.refreshable = tokens.refresh_token.is_some(),
            "code exchanged"
        );
        Ok(tokens)
    }

    /// The ID token of a sign-in, checked; not yet asked: userinfo.
    pub async fn verify(&self, tokens: &TokenSet, nonce: &str) -> Result<Verified, ProviderError> {
        let token = tokens.id_token.as_ref().ok_or_else(|| {
            ProviderError::local(Phase::IdToken, Class::IdToken(IdTokenFlaw::Missing))
        })?;
        let metadata = self.metadata().await?;
        self.verified_claims(&metadata, token, tokens, Some(nonce))
            .await
            .map(Verified)
    }

    /// Who the tokens of a sign-in are about: the ID token, and userinfo where
    /// the ID token leaves a wanted claim out. Spends nothing, so it may be
    /// tried again.
    pub async fn identity_of(
        &self,
        tokens: &TokenSet,
        verified: &Verified,
    ) -> Result<Identity, ProviderError> {
        let metadata = self.metadata().await?;
        let mut claims = verified.0.clone();
        if let Some(more) = self.more_claims(&metadata, tokens, &claims).await? {
            claims::supplement(&self.config, &mut claims, more);
        }
        claims::identity(&self.config, &claims, self.clock.now())
    }

    #[cfg(test)]
    pub async fn identify(
        &self,
        tokens: &TokenSet,
        nonce: &str,
    ) -> Result<Identity, ProviderError> {
        let verified = self.verify(tokens, nonce).await?;
        self.identity_of(tokens, &verified).await
    }

    /// Whether a sign-in asks for `offline_access`, so that one without it
    /// would ask for less.
    pub async fn asks_for_offline_access(&self) -> bool {
        let metadata = self.metadata().await;
        metadata.is_ok_and(|metadata| browser_urls::asks_offline(&self.config, &metadata))
    }

    /// Spends a refresh token, exactly once. What the answer leaves out stays
    /// as it was; scope is never asked for, so it cannot grow.
    pub async fn refresh(&self, before: &TokenSet) -> Result<TokenSet, ProviderError> {
        let metadata = self.metadata().await?;
        let tokens = self.token_endpoint.refresh(&metadata, before).await?;
        tracing::debug!(provider.id = %self.config.id, "tokens refreshed");
        Ok(tokens)
    }

    /// Who the person is now, after a refresh (Core 12.2): from a new ID
    /// token, else from userinfo. `None` when the provider told nothing new;
    /// an error when it could not be asked. Another
    /// issuer, subject or audience is `SubjectChanged`: the session must end.
    pub async fn reidentify(
        &self,
        tokens: &TokenSet,
        before: &Identity,
    ) -> Result<Option<Identity>, ProviderError> {
        let changed = || ProviderError::local(Phase::IdToken, Class::SubjectChanged);
        let metadata = self.metadata().await?;
        if let Some(token) = &tokens.id_token {
            let told = Unverified::read(token.expose_secret())
                .map_err(|flaw| ProviderError::local(Phase::IdToken, flaw.into()))?;
            // Unproven claims may only ever end the session.
            let same = |name: &str, value: &str| {
                told.claims().get(name).and_then(Value::as_str) == Some(value)
            };
            let ours = id_token::check_audience(told.claims(), &self.config.client_id).is_ok();
            if !ours || !same("iss", &before.issuer) || !same("sub", &before.subject) {
                return Err(changed());
            }
            if is_new(told.claims(), tokens, before) {
                let mut claims = self.verified_claims(&metadata, token, tokens, None).await?;
                match self.more_claims(&metadata, tokens, &claims).await {
                    Ok(Some(more)) => claims::supplement(&self.config, &mut claims, more),
                    Ok(None) => {}
                    Err(error) if error.class == Class::UserinfoSubjectMismatch => {
                        return Err(changed());
                    }
                    // Half an identity would take groups away.
                    Err(error) => return Err(error),
                }
                let mut now = claims::identity(&self.config, &claims, self.clock.now())?;
                now.provider_session = now
                    .provider_session
                    .or_else(|| before.provider_session.clone());
                return Ok(Some(now));
            }
        }
        self.reread(&metadata, tokens, before).await
    }

    /// Tells the provider that nobody needs these tokens any more (RFC 7009),
    /// where it has announced that it wants to know. Takes a few seconds at
    /// most and never fails: whoever calls has ended something, and that is
    /// done already.
    pub async fn revoke(&self, tokens: &TokenSet) {
        if self.outage().is_some() {
            return;
        }
        if let Ok(metadata) = self.metadata().await {
            self.revocation
                .revoke(&metadata, &self.token_endpoint, tokens)
                .await;
        }
    }

    /// Where to send the browser to sign out at the provider too; `None` where
    /// the provider has no such page or was never reached.
    pub async fn end_session_url(
        &self,
        id_token_hint: Option<&SecretString>,
        post_logout_redirect_uri: &str,
        state: Option<&str>,
    ) -> Option<Url> {
        let metadata = match self.discovery.known() {
            Some(metadata) => metadata,
            None => self.metadata().await.ok()?,
        };
        let endpoint = metadata.end_session_endpoint.as_ref()?;
        Some(browser_urls::end_session(
            &self.config,
            endpoint,
            id_token_hint,
            post_logout_redirect_uri,
            state,
        ))
    }

    async fn verified_claims(
        &self,
        metadata: &Metadata,
        token: &SecretString,
        tokens: &TokenSet,
        nonce: Option<&str>,
    ) -> Result<Map<String, Value>, ProviderError> {
        let refused = |class| ProviderError::local(Phase::IdToken, class);
        let token = Unverified::read(token.expose_secret()).map_err(|flaw| refused(flaw.into()))?;
        token.require_type().map_err(|flaw| refused(flaw.into()))?;
        let algorithm = token.algorithm();
        let claims = token.verify(&self.keys, metadata, Phase::IdToken).await?;
        let expected = Expected {
            issuer: &self.config.issuer,
            client_id: &self.config.client_id,
            nonce,
            access_token: Some(tokens.access_token.expose_secret()),
            now: self.clock.now(),
            clock_offset_secs: self.clock_offset_secs(),
        };
        id_token::check_claims(&claims, algorithm, &expected).map_err(refused)?;
        Ok(claims)
    }

    /// Userinfo, where it could complete `claims`.
    async fn more_claims(
        &self,
        metadata: &Metadata,
        tokens: &TokenSet,
        claims: &Map<String, Value>,
    ) -> Result<Option<Map<String, Value>>, ProviderError> {
        match (&metadata.userinfo_endpoint, id_token::subject(claims)) {
            (Some(endpoint), Ok(subject)) if claims::incomplete(&self.config, claims) => {
                let more = self.userinfo(metadata, endpoint, tokens, subject).await?;
                Ok(Some(more))
            }
            _ => Ok(None),
        }
    }

    async fn userinfo(
        &self,
        metadata: &Metadata,
        endpoint: &Url,
        tokens: &TokenSet,
        subject: &str,
    ) -> Result<Map<String, Value>, ProviderError> {
        let Self {
            config,
            client,
            keys,
            ..
        } = self;
        let token = &tokens.access_token;
        userinfo::fetch(config, client, keys, metadata, endpoint, token, subject).await
    }

    /// The identity from userinfo alone, best effort. It counts only when
    /// userinfo tells everything that was known before: otherwise old groups
    /// would be dated as new.
    async fn reread(
        &self,
        metadata: &Metadata,
        tokens: &TokenSet,
        before: &Identity,
    ) -> Result<Option<Identity>, ProviderError> {
        let Some(endpoint) = &metadata.userinfo_endpoint else {
            return Ok(None);
        };
        let told = self.userinfo(metadata, endpoint, tokens, &before.subject);
        let told = match told.await {
            Ok(told) => told,
            Err(error) if error.class == Class::UserinfoSubjectMismatch => {
                return Err(ProviderError {
                    class: Class::SubjectChanged,
                    ..error
                });
            }
            Err(error) => return Err(error),
        };
        let mut now = claims::identity(&self.config, &told, self.clock.now())?;
        now.provider_session = now
            .provider_session
            .or_else(|| before.provider_session.clone());
        Ok(covers(&self.config, &told, &now, before).then_some(now))
    }
}

/// Whether the ID token came with these tokens or stems from an earlier
/// answer: it was issued nearer to their receipt than to the last reading.
/// Both lie minutes apart, clocks differ by at most one.
fn is_new(claims: &Map<String, Value>, tokens: &TokenSet, before: &Identity) -> bool {
    let Some(issued_at) = id_token::issued_at(claims) else {
        return false;
    };
    let halfway = tokens.received_at.since(before.read_at) / 2;
    let boundary: Timestamp = before.read_at.plus(halfway);
    // `iat` has whole seconds.
    issued_at.as_secs() >= boundary.as_secs()
}

fn covers(
    config: &ProviderConfig,
    told: &Map<String, Value>,
    now: &Identity,
    before: &Identity,
) -> bool {
    let groups = match &before.groups {
        Groups::Known(groups) if groups.is_empty() => true,
        _ => claims::find(told, &config.claims.groups).is_some(),
    };
    let kept = |before: &Option<String>, now: &Option<String>| before.is_none() || now.is_some();
    let extra = before
        .claims
        .keys()
        .all(|name| now.claims.contains_key(name));
    groups
        && extra
        && kept(&before.email, &now.email)
        && kept(&before.username, &now.username)
        && kept(&before.name, &now.name)
        && (!before.email_verified || now.email_verified || told.contains_key("email_verified"))
}

#[cfg(test)]
mod tests;
