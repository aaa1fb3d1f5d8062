//! The two URLs that a browser is sent to: where it asks for a code, and
//! where it signs out at the provider.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::metadata::Metadata;
use crate::config::checked::{OfflineAccess, Provider as ProviderConfig};

/// What one sign-in asks for.
#[derive(Debug)]
pub struct AuthorizationRequest<'a> {
    pub redirect_uri: &'a str,
    pub state: &'a str,
    pub nonce: &'a str,
    /// 43 to 128 unreserved characters (RFC 7636 section 4.1).
    pub pkce_verifier: &'a SecretString,
    /// `none` for a silent sign-in, `login` or `select_account` to force one.
    pub prompt: Option<&'a str>,
    /// Leaves `offline_access` out, because the provider refused it.
    pub without_offline_access: bool,
}

/// OpenID Connect Core 3.1.2.1 with RFC 7636.
pub fn authorization(
    config: &ProviderConfig,
    metadata: &Metadata,
    request: &AuthorizationRequest<'_>,
) -> Url {
    let scope = scopes(config, metadata, request.without_offline_access);
    let challenge = challenge(request.pkce_verifier);
    let mut parameters = vec![
        ("response_type", "code"),
        ("client_id", config.client_id.as_str()),
        ("redirect_uri", request.redirect_uri),
        ("scope", scope.as_str()),
        ("state", request.state),
        ("nonce", request.nonce),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ];
    parameters.extend(request.prompt.map(|prompt| ("prompt", prompt)));
    with_query(&metadata.authorization_endpoint, &parameters)
}

/// OpenID Connect RP-Initiated Logout 1.0 section 2.
pub fn end_session(
    config: &ProviderConfig,
    endpoint: &Url,
    id_token_hint: Option<&SecretString>,
    post_logout_redirect_uri: &str,
    state: Option<&str>,
) -> Url {
    let mut parameters = vec![
        ("client_id", config.client_id.as_str()),
        ("post_logout_redirect_uri", post_logout_redirect_uri),
    ];
    parameters.extend(id_token_hint.map(|hint| ("id_token_hint", hint.expose_secret())));
    parameters.extend(state.map(|state| ("state", state)));
    with_query(endpoint, &parameters)
}

/// Whether the scopes hold `offline_access`.
pub fn asks_offline(config: &ProviderConfig, metadata: &Metadata) -> bool {
    let scopes = scopes(config, metadata, false);
    scopes.split(' ').any(|scope| scope == OFFLINE_ACCESS)
}

const OFFLINE_ACCESS: &str = "offline_access";

/// `openid` first, each scope once, joined by one space.
fn scopes(config: &ProviderConfig, metadata: &Metadata, without_offline: bool) -> String {
    let offered = |scope: &str| metadata.scopes_supported.iter().any(|one| one == scope);
    let never = without_offline || config.offline_access == OfflineAccess::Never;
    let offline = match config.offline_access {
        OfflineAccess::Always => !never,
        OfflineAccess::Never => false,
        OfflineAccess::Auto => !never && offered(OFFLINE_ACCESS),
    };
    let mut scopes = vec!["openid"];
    for scope in &config.scopes {
        let barred = scope == OFFLINE_ACCESS && never;
        if !barred && !scopes.contains(&scope.as_str()) {
            scopes.push(scope);
        }
    }
    if offline && !scopes.contains(&OFFLINE_ACCESS) {
        scopes.push(OFFLINE_ACCESS);
    }
    scopes.join(" ")
}

fn challenge(verifier: &SecretString) -> String {
    let verifier = verifier.expose_secret().as_bytes();
    URL_SAFE_NO_PAD.encode(aws_lc_rs::digest::digest(
        &aws_lc_rs::digest::SHA256,
        verifier,
    ))
}

fn with_query(endpoint: &Url, parameters: &[(&str, &str)]) -> Url {
    let mut url = endpoint.clone();
    let mut query = url.query().map(str::to_owned).unwrap_or_default();
    for (name, value) in parameters {
        if !query.is_empty() {
            query.push('&');
        }
        query.push_str(name);
        query.push('=');
        query.extend(percent_encoding::utf8_percent_encode(value, UNRESERVED));
    }
    url.set_query(Some(&query));
    url
}

/// RFC 3986 unreserved characters stay; a space becomes %20, never "+".
const UNRESERVED: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
