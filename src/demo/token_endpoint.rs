//! The token endpoint of the demonstration's provider (RFC 6749 section 3.2).

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use secrecy::ExposeSecret;
use serde_json::json;
use subtle::ConstantTimeEq;

use super::accounts::Person;
use super::answer;
use super::grants::Issued;
use super::provider::{Form, Provider};
use crate::base::body::Body;

impl Provider {
    pub(super) fn token(
        &self,
        headers: &HeaderMap,
        form: &Form,
    ) -> std::io::Result<Response<Body>> {
        if !self.is_our_client(headers) {
            let mut response = token_error(StatusCode::UNAUTHORIZED, "invalid_client");
            response.headers_mut().insert(
                WWW_AUTHENTICATE,
                HeaderValue::from_static("Basic realm=\"demo\""),
            );
            return Ok(response);
        }
        let of = |name: &str| form.get(name).map_or("", String::as_str);
        let bad_grant = || token_error(StatusCode::BAD_REQUEST, "invalid_grant");
        match of("grant_type") {
            "authorization_code" => {
                let code = self.grants.take_code(of("code"))?.filter(|code| {
                    code.redirect_uri == of("redirect_uri")
                        && code.challenge == challenge(of("code_verifier"))
                });
                let Some(code) = code else {
                    return Ok(bad_grant());
                };
                let issued = self.grants.begin(&code.person)?;
                Ok(self.tokens(&issued, code.nonce.as_deref()))
            }
            "refresh_token" if self.control.take_failure() => Ok(token_error(
                StatusCode::INTERNAL_SERVER_ERROR,
                "server_error",
            )),
            "refresh_token" => Ok(match self.grants.refresh(of("refresh_token"))? {
                Some(issued) => self.tokens(&issued, None),
                None => bad_grant(),
            }),
            _ => Ok(token_error(
                StatusCode::BAD_REQUEST,
                "unsupported_grant_type",
            )),
        }
    }

    fn tokens(&self, issued: &Issued, nonce: Option<&str>) -> Response<Body> {
        let Some(person) = Person::by_key(&issued.person) else {
            return token_error(StatusCode::BAD_REQUEST, "invalid_grant");
        };
        let now = self.grants.now().as_secs();
        let mut claims = person.claims();
        claims.insert("iss".to_owned(), json!(self.issuer));
        claims.insert("aud".to_owned(), json!(self.client.id));
        claims.insert("iat".to_owned(), json!(now));
        claims.insert("exp".to_owned(), json!(now + 300));
        claims.insert("auth_time".to_owned(), json!(issued.signed_in_at.as_secs()));
        claims.insert("sid".to_owned(), json!(issued.grant));
        if let Some(nonce) = nonce {
            claims.insert("nonce".to_owned(), json!(nonce));
        }
        let answer = json!({
            "access_token": issued.access_token,
            "token_type": "Bearer",
            "expires_in": self.grants.access_token_life().as_secs(),
            "refresh_token": issued.refresh_token,
            "id_token": self.key.sign(&claims.into()),
            "scope": "openid profile email groups offline_access",
        });
        answer::json(StatusCode::OK, &answer)
    }

    /// `client_secret_basic`: both halves are form-encoded first (RFC 6749
    /// section 2.3.1).
    fn is_our_client(&self, headers: &HeaderMap) -> bool {
        let given = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Basic "))
            .and_then(|text| STANDARD.decode(text).ok())
            .and_then(|bytes| String::from_utf8(bytes).ok());
        let Some((id, secret)) = given.as_deref().and_then(|text| text.split_once(':')) else {
            return false;
        };
        let secret = url::form_urlencoded::parse(secret.as_bytes())
            .next()
            .map(|(name, _)| name.into_owned())
            .unwrap_or_default();
        let right = self.client.secret.expose_secret().as_bytes();
        id == self.client.id && bool::from(secret.as_bytes().ct_eq(right))
    }
}

/// S256 (RFC 7636 section 4.6).
fn challenge(verifier: &str) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, verifier.as_bytes());
    URL_SAFE_NO_PAD.encode(digest)
}

fn token_error(status: StatusCode, error: &str) -> Response<Body> {
    answer::json(status, &json!({ "error": error }))
}
