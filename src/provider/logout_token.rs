//! Logout tokens, checked duty by duty (OpenID Connect Back-Channel Logout
//! 1.0, section 2.6). Whatever can be judged without a signature is judged
//! first: a flood of nonsense costs no cryptography and no key fetch.

use std::time::Duration;

use serde_json::{Map, Value};

use super::conversation::Provider;
use super::error::{IdTokenFlaw, Phase, ProviderError};
use super::id_token::{self, Unverified};
use super::registry::Providers;
use crate::base::clock::Timestamp;
use crate::base::fault::{Blame, Fault};

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// How far the clocks may differ.
const LEEWAY_SECS: u64 = 60;
/// An older token is a replay or a clock that is wrong: providers send it at
/// once, and the longest retry that is known ends within two minutes.
const AGE_MAX_SECS: u64 = 300;
/// Nothing can bring a token back after this long: it is too old by then.
pub const REMEMBER: Duration = Duration::from_secs(AGE_MAX_SECS + 2 * LEEWAY_SECS);
/// Longest `jti` and `sid`, in bytes.
const NAME_MAX: usize = 1024;

/// Whom a provider has signed out. Proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogoutRequest {
    pub issuer: String,
    /// `sub`: without a session, everything of this person.
    pub subject: Option<String>,
    /// `sid`: the one session at the provider.
    pub session: Option<String>,
    /// `jti`: each token counts once.
    pub id: String,
}

#[derive(Debug, thiserror::Error)]
pub enum LogoutTokenError {
    #[error("the logout token is refused: {0}")]
    Token(IdTokenFlaw),
    #[error("the logout token is of no provider of ours, or for another client")]
    Stranger,
    #[error("its events do not say that this is a back-channel logout")]
    Events,
    #[error("it has a nonce, so it was made to be an ID token")]
    Nonce,
    #[error("it has no jti, or one that is too long")]
    Id,
    #[error("it says neither sub nor sid, or says them in another form")]
    Whom,
    #[error("it is too old, or from the future")]
    Age,
    /// The provider's keys could not be had: this says nothing of the token.
    #[error(transparent)]
    Provider(ProviderError),
}

impl Fault for LogoutTokenError {
    fn blame(&self) -> Blame {
        match self {
            Self::Provider(error) => error.blame(),
            _ => Blame::Client,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Token(flaw) => flaw.reason(),
            Self::Stranger => "logout_token_stranger",
            Self::Events => "logout_token_events",
            Self::Nonce => "logout_token_nonce",
            Self::Id => "logout_token_jti",
            Self::Whom => "logout_token_whom",
            Self::Age => "logout_token_age",
            Self::Provider(error) => error.reason(),
        }
    }
}

impl Providers {
    /// Reads and proves a logout token of whichever provider sent it.
    pub async fn logout_request(
        &self,
        token: &str,
        now: Timestamp,
    ) -> Result<LogoutRequest, LogoutTokenError> {
        let token = Unverified::read(token).map_err(LogoutTokenError::Token)?;
        if !token.is_of_type(&["jwt", "logout+jwt"]) {
            return Err(LogoutTokenError::Token(IdTokenFlaw::Type));
        }
        let claimed = token.claims();
        let issuer = claimed.get("iss").and_then(Value::as_str);
        let provider = self
            .iter()
            .filter(|provider| issuer == Some(&provider.config().issuer))
            .find(|provider| {
                id_token::check_audience(claimed, &provider.config().client_id).is_ok()
            })
            .ok_or(LogoutTokenError::Stranger)?;
        let request = judge(claimed, now)?;
        provider.prove(token).await?;
        Ok(request)
    }
}

impl Provider {
    async fn prove(&self, token: Unverified<'_>) -> Result<(), LogoutTokenError> {
        let metadata = self.metadata().await.map_err(LogoutTokenError::Provider)?;
        let proven = token.verify(self.keys(), &metadata, Phase::Logout).await;
        match proven {
            Ok(_) => Ok(()),
            Err(error) => Err(match error.class {
                super::Class::IdToken(flaw) => LogoutTokenError::Token(flaw),
                _ => LogoutTokenError::Provider(error),
            }),
        }
    }
}

/// Steps 3 to 6 and 8: everything that the claims themselves must say.
fn judge(claims: &Map<String, Value>, now: Timestamp) -> Result<LogoutRequest, LogoutTokenError> {
    let event = claims.get("events").and_then(|events| events.get(EVENT));
    if !event.is_some_and(Value::is_object) {
        return Err(LogoutTokenError::Events);
    }
    if claims.contains_key("nonce") {
        return Err(LogoutTokenError::Nonce);
    }
    check_age(claims, now)?;
    let name = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if !text.is_empty() && text.len() <= NAME_MAX => {
            Ok(Some(text.clone()))
        }
        Some(_) => Err(()),
    };
    let id = name("jti").ok().flatten().ok_or(LogoutTokenError::Id)?;
    let (Ok(subject), Ok(session)) = (name("sub"), name("sid")) else {
        return Err(LogoutTokenError::Whom);
    };
    if subject.is_none() && session.is_none() {
        return Err(LogoutTokenError::Whom);
    }
    let issuer = claims.get("iss").and_then(Value::as_str);
    Ok(LogoutRequest {
        issuer: issuer.unwrap_or_default().to_owned(),
        subject,
        session,
        id,
    })
}

/// `iat` is a must, `exp` came with the final text and not every provider
/// sends it: the age alone bounds how long a token can be used.
fn check_age(claims: &Map<String, Value>, now: Timestamp) -> Result<(), LogoutTokenError> {
    let issued = id_token::issued_at(claims).ok_or(LogoutTokenError::Age)?;
    let expires = match claims.get("exp") {
        None => u64::MAX,
        Some(_) => id_token::expires_at(claims)
            .ok_or(LogoutTokenError::Age)?
            .as_secs(),
    };
    let (now, issued) = (now.as_secs(), issued.as_secs());
    let fits = issued <= now.saturating_add(LEEWAY_SECS)
        && now <= issued.saturating_add(AGE_MAX_SECS + LEEWAY_SECS)
        && now < expires.saturating_add(LEEWAY_SECS);
    fits.then_some(()).ok_or(LogoutTokenError::Age)
}

#[cfg(test)]
mod tests;
