//! Fetching the documents that a provider publishes about itself.

use bytes::Bytes;
use http::header::ACCEPT;
use http::{Request, StatusCode};
use serde_json::{Map, Value};
use url::Url;

use super::client::{Answer, HttpClient};
use super::error::{Class, Phase, ProviderError, Sent};
use super::json;

/// Lost answers of a GET are as good as none: it may be asked again.
pub const TRIES: u32 = 3;

/// GETs a JSON object. Anything but 200 with one is an error.
pub async fn fetch(
    client: &HttpClient,
    url: &Url,
    phase: Phase,
) -> Result<(Map<String, Value>, Answer), ProviderError> {
    let request = Request::get(url.as_str())
        .header(ACCEPT, "application/json")
        .body(Bytes::new())
        .map_err(|_| ProviderError::local(phase, Class::BadResponse("a URL is malformed")))?;
    let answer = get(client, request, phase).await?;
    let status = answer.status.as_u16();
    match json::object(&answer.body) {
        Some(object) => Ok((object, answer)),
        None => Err(ProviderError {
            attempts: answer.attempts,
            ..ProviderError::answered(phase, Class::BadResponse("it is not a JSON object"), status)
        }),
    }
}

/// GETs something; an answer other than 200 is an error.
pub async fn get(
    client: &HttpClient,
    request: Request<Bytes>,
    phase: Phase,
) -> Result<Answer, ProviderError> {
    let answer = client.send(request, TRIES).await.map_err(|error| {
        let mut error = error.in_phase(phase);
        if error.class == Class::OutcomeUnknown {
            error.class = Class::ProviderError;
        }
        error
    })?;
    if answer.status == StatusCode::OK {
        return Ok(answer);
    }
    let limited = answer.retry_after.is_some() && answer.status == StatusCode::FORBIDDEN;
    let class = if answer.status == StatusCode::TOO_MANY_REQUESTS || limited {
        Class::RateLimited
    } else if answer.status.is_redirection() {
        Class::BadResponse("it is a redirect, which is never followed")
    } else {
        Class::ProviderError
    };
    Err(ProviderError {
        retry_after: answer.retry_after,
        attempts: answer.attempts,
        sent: Sent::Answered,
        ..ProviderError::answered(phase, class, answer.status.as_u16())
    })
}
