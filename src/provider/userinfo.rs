//! The userinfo endpoint (OpenID Connect Core 5.3).

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderValue, Request};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use url::Url;

use super::client::{Answer, HttpClient};
use super::document;
use super::error::{Class, IdTokenFlaw, Phase, ProviderError};
use super::id_token::{self, Unverified};
use super::json;
use super::jwks::Keys;
use super::metadata::Metadata;
use crate::config::checked::Provider as ProviderConfig;

/// Asks again this often when the provider is unwell: nothing is spent by it.
const TRIES: u32 = 3;

/// The claims about `subject`. An answer about anybody else is an error.
pub async fn fetch(
    config: &ProviderConfig,
    client: &HttpClient,
    keys: &Keys,
    metadata: &Metadata,
    endpoint: &Url,
    access_token: &SecretString,
    subject: &str,
) -> Result<Map<String, Value>, ProviderError> {
    let answer = ask(client, endpoint, access_token).await?;
    let claims = match answer.media_type.as_str() {
        "application/jwt" => signed(config, keys, metadata, &answer).await?,
        "application/json" => json::object(&answer.body).ok_or_else(|| {
            let class = Class::BadResponse("it is not a JSON object");
            ProviderError::answered(Phase::Userinfo, class, answer.status.as_u16())
        })?,
        _ => {
            let class = Class::BadResponse("it is neither JSON nor a JWT");
            let status = answer.status.as_u16();
            return Err(ProviderError::answered(Phase::Userinfo, class, status));
        }
    };
    // Core 5.3.2: exactly the subject of the ID token, before anything is used.
    if claims.get("sub").and_then(Value::as_str) != Some(subject) {
        let class = Class::UserinfoSubjectMismatch;
        let status = answer.status.as_u16();
        return Err(ProviderError::answered(Phase::Userinfo, class, status));
    }
    Ok(claims)
}

async fn ask(
    client: &HttpClient,
    endpoint: &Url,
    access_token: &SecretString,
) -> Result<Answer, ProviderError> {
    let malformed = || {
        let class = Class::BadResponse("the access token cannot stand in a header");
        ProviderError::local(Phase::Userinfo, class)
    };
    let bearer = format!("Bearer {}", access_token.expose_secret());
    let mut bearer = HeaderValue::try_from(bearer).map_err(|_| malformed())?;
    bearer.set_sensitive(true);
    let mut tries = 0;
    loop {
        tries += 1;
        let request = Request::get(endpoint.as_str())
            .header(ACCEPT, "application/json, application/jwt")
            .header(AUTHORIZATION, bearer.clone())
            .body(Bytes::new())
            .map_err(|_| malformed())?;
        match document::get(client, request, Phase::Userinfo).await {
            Err(error)
                if error.class == Class::ProviderError
                    && error.status.is_none_or(|status| status >= 500)
                    && tries < TRIES => {}
            outcome => return outcome,
        }
    }
}

/// Core 5.3.2: a signed answer is verified like an ID token; `iss` and `aud`
/// are compared where they are present.
async fn signed(
    config: &ProviderConfig,
    keys: &Keys,
    metadata: &Metadata,
    answer: &Answer,
) -> Result<Map<String, Value>, ProviderError> {
    let refused = |flaw: IdTokenFlaw| ProviderError::local(Phase::Userinfo, flaw.into());
    let token = std::str::from_utf8(&answer.body).map_err(|_| refused(IdTokenFlaw::Malformed))?;
    let token = Unverified::read(token.trim()).map_err(refused)?;
    let claims = token.verify(keys, metadata, Phase::Userinfo).await?;
    if claims.get("iss").is_some_and(|iss| *iss != config.issuer) {
        return Err(refused(IdTokenFlaw::Issuer));
    }
    if claims.contains_key("aud") {
        id_token::check_audience(&claims, &config.client_id).map_err(refused)?;
    }
    Ok(claims)
}
