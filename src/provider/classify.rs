//! What an answer of the token endpoint means (RFC 6749 section 5), for
//! providers as they are: errors with status 200, form-encoded answers, one
//! code for several causes told apart by their text.

use serde_json::{Map, Value};
use url::form_urlencoded;

use super::client::Answer;
use super::error::{Class, Phase, ProviderError, Sent};
use super::json;

/// Longest text of the provider that is kept for operators.
const DETAIL_MAX: usize = 200;
/// A word at least this long could be a token and is not kept.
const WORD_MAX: usize = 24;

/// The members of a successful answer, or why there is none.
pub fn judge(answer: &Answer, phase: Phase) -> Result<Map<String, Value>, ProviderError> {
    let fail = |class, detail| ProviderError {
        sent: Sent::Answered,
        attempts: answer.attempts,
        retry_after: answer.retry_after,
        detail,
        ..ProviderError::answered(phase, class, answer.status.as_u16())
    };
    let status = answer.status;
    if status.as_u16() == 429 || (status.as_u16() == 403 && answer.retry_after.is_some()) {
        return Err(fail(Class::RateLimited, None));
    }
    if status.is_server_error() {
        return Err(fail(Class::ProviderError, None));
    }
    if status.is_redirection() {
        let class = Class::BadResponse("it is a redirect, which is never followed");
        return Err(fail(class, None));
    }
    let Some(members) = members(answer).map(nested) else {
        // Whatever is neither JSON nor a form was not written by a token
        // endpoint: an error page, a captive portal, half an answer.
        return Err(fail(Class::ProviderError, None));
    };
    if let Some(code) = error_code(&members) {
        let description = members
            .get("error_description")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let says = description.to_ascii_lowercase();
        let class = match code {
            // Whoever is not let in at all has no grant that could be judged.
            "unauthorized_client" if status.as_u16() == 401 => Class::ClientCredentialsRejected,
            _ => class_of(code, &says, phase),
        };
        return Err(fail(class, Some(detail(code, description))));
    }
    if members.get("ok") == Some(&Value::Bool(false)) {
        return Err(fail(Class::BadResponse("an error without a code"), None));
    }
    if !status.is_success() {
        return Err(fail(Class::BadResponse("an error without a code"), None));
    }
    let token = members.get("access_token").and_then(Value::as_str);
    if token.is_none_or(str::is_empty) {
        return Err(fail(Class::BadResponse("there is no access_token"), None));
    }
    let bearer = members
        .get("token_type")
        .and_then(Value::as_str)
        .is_some_and(|kind| kind.eq_ignore_ascii_case("bearer"));
    if !bearer {
        return Err(fail(Class::BadResponse("token_type is not bearer"), None));
    }
    Ok(members)
}

fn members(answer: &Answer) -> Option<Map<String, Value>> {
    if let Some(members) = json::object(&answer.body) {
        return Some(members);
    }
    let form = matches!(
        answer.media_type.as_str(),
        "application/x-www-form-urlencoded" | "text/plain"
    );
    let text = std::str::from_utf8(&answer.body).ok().filter(|_| form)?;
    let mut members = Map::new();
    for (name, value) in form_urlencoded::parse(text.as_bytes()) {
        let value = Value::String(value.into_owned());
        if members.insert(name.into_owned(), value).is_some() {
            return None;
        }
    }
    let known = members.contains_key("error") || members.contains_key("access_token");
    known.then_some(members)
}

/// Slack answers `ok` and puts the tokens of a person into `authed_user`,
/// with types of its own that are all used as bearer.
fn nested(mut members: Map<String, Value>) -> Map<String, Value> {
    let is_ok = members.get("ok") == Some(&Value::Bool(true));
    if !is_ok || members.contains_key("error") {
        return members;
    }
    if !members.contains_key("access_token")
        && let Some(Value::Object(person)) = members.remove("authed_user")
    {
        members = person;
    }
    let kind = members.get("token_type").and_then(Value::as_str);
    if matches!(kind, Some("user" | "bot")) {
        members.insert("token_type".to_owned(), "bearer".into());
    }
    members
}

fn error_code(members: &Map<String, Value>) -> Option<&str> {
    match members.get("error")? {
        Value::String(code) if code.is_empty() => None,
        Value::String(code) => Some(code),
        Value::Null | Value::Bool(false) => None,
        _ => Some("unreadable"),
    }
}

fn class_of(code: &str, description: &str, phase: Phase) -> Class {
    let refresh = phase == Phase::Refresh;
    let says = |words: &[&str]| words.iter().any(|word| description.contains(word));
    match code {
        "invalid_client"
        | "incorrect_client_credentials"
        | "deleted_client"
        | "invalid_client_id"
        | "bad_client_secret" => Class::ClientCredentialsRejected,
        "unauthorized_client" if says(&["secret", "client credentials"]) => {
            Class::ClientCredentialsRejected
        }
        "redirect_uri_mismatch" => Class::RedirectUriRejected,
        "invalid_scope" => Class::ScopeRejected,
        "server_error" | "temporarily_unavailable" => Class::ProviderError,
        "slow_down" | "ratelimited" => Class::RateLimited,
        "interaction_required" | "login_required" | "consent_required" => {
            Class::InteractionRequired
        }
        "bad_refresh_token" | "invalid_refresh_token" | "token_revoked" | "token_expired" => {
            Class::GrantExpiredOrRevoked
        }
        "bad_verification_code" | "invalid_code" | "code_already_used" => Class::CodeRejected,
        "account_inactive" => Class::SessionEndedByIdp,
        "invalid_grant" if says(&["user disabled", "user is disabled", "account disabled"]) => {
            Class::SessionEndedByIdp
        }
        "invalid_grant" | "unauthorized_client"
            if refresh && says(&["already used", "reuse", "already been used", "stale token"]) =>
        {
            Class::RefreshReused
        }
        "invalid_grant" if refresh => Class::GrantExpiredOrRevoked,
        "unauthorized_client" if refresh && says(&["parse refresh token"]) => {
            Class::UpstreamGrantLost
        }
        "unauthorized_client" | "unsupported_grant_type" if refresh => Class::RefreshNotAllowed,
        "invalid_grant" | "unauthorized_client" if says(&["redirect"]) => {
            Class::RedirectUriRejected
        }
        "invalid_grant" => Class::CodeRejected,
        // Gitea's words for a code that is unknown, spent, or of another
        // PKCE verifier.
        "unauthorized_client" if says(&["client is not authorized", "code challenge"]) => {
            Class::CodeRejected
        }
        "unauthorized_client" | "unsupported_grant_type" | "unsupported_response_type" => {
            Class::ClientNotAllowed
        }
        _ => Class::BadResponse("an error code that we do not know"),
    }
}

/// `code: description`, without words that could be tokens.
fn detail(code: &str, description: &str) -> String {
    let mut out = String::new();
    for word in [code]
        .into_iter()
        .chain(description.split_ascii_whitespace())
    {
        if out.len() + word.len() > DETAIL_MAX {
            break;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        if word.len() > WORD_MAX && word != "incorrect_client_credentials" {
            out.push('…');
        } else {
            out.extend(word.chars().filter(char::is_ascii_graphic));
        }
    }
    out
}

#[cfg(test)]
mod tests;
