//! The demonstration's identity provider: discovery, two buttons instead of
//! passwords, code with PKCE, rotating refresh tokens, userinfo, sign-out.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use serde_json::json;

use super::accounts::{PEOPLE, Person};
use super::answer;
use super::control::Control;
use super::grants::{Code, Grants};
use super::signing::{BadKey, SigningKey};
use crate::base::body::Body;
use crate::base::bounded_body;

/// Longest form that is read.
const LONGEST_FORM: usize = 32 * 1024;

/// The one client: the gateway.
#[derive(Clone)]
pub struct Client {
    pub id: String,
    pub secret: secrecy::SecretString,
    pub redirect_uri: String,
    /// Everything below it may follow a sign-out.
    pub origin: String,
}

pub struct Provider {
    pub(super) issuer: String,
    pub(super) client: Client,
    pub(super) key: SigningKey,
    pub(super) grants: Arc<Grants>,
    pub(super) control: Arc<Control>,
}

#[derive(Template)]
#[template(path = "authorize.html")]
struct AuthorizePage<'a> {
    people: &'static [Person],
    request: &'a [(String, String)],
}

#[derive(Template)]
#[template(path = "provider_message.html")]
struct MessagePage<'a> {
    title: &'a str,
    message: &'a str,
}

pub(super) type Form = BTreeMap<String, String>;

impl Provider {
    pub fn new(
        issuer: String,
        client: Client,
        grants: Arc<Grants>,
        control: Arc<Control>,
    ) -> Result<Self, BadKey> {
        Ok(Self {
            issuer,
            client,
            key: grants.signing_key()?,
            grants,
            control,
        })
    }

    /// For browsers. A provider that is down has no page of its own: here it
    /// has one that says what stands in its place elsewhere.
    pub async fn answer_browser(&self, request: Request<Incoming>) -> Response<Body> {
        let left = self.control.stopped_for();
        let path = request.uri().path();
        if left.is_zero() || path == "/demo.css" {
            return self.answer(request).await;
        }
        let seconds = left.as_secs() + 1;
        let text = if path == "/end_session" {
            format!(
                "You are signed out at the gateway all the same. Only the sign-out here has to \
                 wait: Demo ID is back in {seconds} seconds, then reload this page."
            )
        } else {
            format!(
                "Nobody can sign in anew, and whoever is signed in stays so. Demo ID is back in \
                 {seconds} seconds, then reload this page. With a provider of your own, your \
                 browser would say here that it cannot reach it."
            )
        };
        message(StatusCode::SERVICE_UNAVAILABLE, "Demo ID is stopped", &text)
    }

    pub async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let posted = parts.method == Method::POST;
        let form = if posted {
            match bounded_body::read(body, LONGEST_FORM).await {
                Ok(bytes) => form(&bytes),
                Err(_) => return answer::text(StatusCode::PAYLOAD_TOO_LARGE, "too large"),
            }
        } else {
            form(parts.uri.query().unwrap_or_default().as_bytes())
        };
        let answer = match (parts.uri.path(), posted) {
            ("/.well-known/openid-configuration", false) => Ok(self.discovery()),
            ("/jwks", false) => Ok(answer::json(StatusCode::OK, &json!(self.key.key_set()))),
            ("/authorize", false) => Ok(self.ask(&form)),
            ("/authorize", true) => self.decide(&form),
            ("/token", true) => self.token(&parts.headers, &form),
            ("/userinfo", _) => Ok(self.userinfo(&parts.headers)),
            ("/end_session", _) => self.end_session(&form),
            ("/demo.css", false) => Ok(super::application::stylesheet()),
            ("/", false) => Ok(message(
                StatusCode::OK,
                "Demo ID",
                "This is the identity provider of the demonstration. Open the application to sign in.",
            )),
            _ => Ok(message(
                StatusCode::NOT_FOUND,
                "Not here",
                "There is nothing at this address.",
            )),
        };
        answer.unwrap_or_else(|_| {
            // The data folder is full or gone; the person at the console owns it.
            message(
                StatusCode::INTERNAL_SERVER_ERROR,
                "The demonstration cannot write",
                "Its data folder cannot be written.",
            )
        })
    }

    fn discovery(&self) -> Response<Body> {
        let issuer = &self.issuer;
        let document = json!({
            "issuer": issuer,
            "authorization_endpoint": format!("{issuer}/authorize"),
            "token_endpoint": format!("{issuer}/token"),
            "userinfo_endpoint": format!("{issuer}/userinfo"),
            "jwks_uri": format!("{issuer}/jwks"),
            "end_session_endpoint": format!("{issuer}/end_session"),
            "response_types_supported": ["code"],
            "response_modes_supported": ["query"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
            "code_challenge_methods_supported": ["S256"],
            "scopes_supported": ["openid", "profile", "email", "groups", "offline_access"],
            "claims_supported": ["sub", "name", "preferred_username", "email", "email_verified", "groups"],
            "authorization_response_iss_parameter_supported": true,
        });
        answer::json(StatusCode::OK, &document)
    }

    /// What is wrong with an authorization request, if anything: said on a
    /// page if the client is not known, to the client otherwise.
    fn refusal(&self, form: &Form) -> Option<Response<Body>> {
        let of = |name: &str| form.get(name).map_or("", String::as_str);
        if of("client_id") != self.client.id || of("redirect_uri") != self.client.redirect_uri {
            return Some(message(
                StatusCode::BAD_REQUEST,
                "This sign-in link is damaged",
                "It names an application that this demonstration does not know.",
            ));
        }
        let error = if of("response_type") != "code" {
            "unsupported_response_type"
        } else if of("code_challenge").len() != 43 || of("code_challenge_method") != "S256" {
            "invalid_request"
        } else if !of("scope").split(' ').any(|scope| scope == "openid") {
            "invalid_scope"
        } else if of("prompt") == "none" {
            "login_required"
        } else {
            return None;
        };
        Some(self.back(form, &[("error", error)]))
    }

    fn ask(&self, form: &Form) -> Response<Body> {
        if let Some(refusal) = self.refusal(form) {
            return refusal;
        }
        let request: Vec<_> = form
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let page = AuthorizePage {
            people: PEOPLE,
            request: &request,
        };
        answer::html(StatusCode::OK, &page)
    }

    fn decide(&self, form: &Form) -> std::io::Result<Response<Body>> {
        if let Some(refusal) = self.refusal(form) {
            return Ok(refusal);
        }
        let of = |name: &str| form.get(name).map_or("", String::as_str);
        let Some(person) = Person::by_key(of("person")) else {
            return Ok(self.back(form, &[("error", "access_denied")]));
        };
        let code = self.grants.add_code(Code {
            person: person.key.to_owned(),
            redirect_uri: of("redirect_uri").to_owned(),
            challenge: of("code_challenge").to_owned(),
            nonce: form.get("nonce").cloned(),
            expires_at: self.grants.now(),
        })?;
        Ok(self.back(form, &[("code", &code)]))
    }

    /// To the client, with `state` and `iss` (RFC 9207).
    fn back(&self, form: &Form, values: &[(&str, &str)]) -> Response<Body> {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(values);
        if let Some(state) = form.get("state") {
            query.append_pair("state", state);
        }
        query.append_pair("iss", &self.issuer);
        answer::redirect(&format!("{}?{}", self.client.redirect_uri, query.finish()))
    }

    fn userinfo(&self, headers: &HeaderMap) -> Response<Body> {
        let person = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
            .and_then(|token| self.grants.by_access_token(token))
            .and_then(|(grant, _)| Person::by_key(&grant.person));
        match person {
            Some(person) => answer::json(StatusCode::OK, &person.claims().into()),
            None => {
                let error = json!({ "error": "invalid_token" });
                let mut response = answer::json(StatusCode::UNAUTHORIZED, &error);
                response.headers_mut().insert(
                    WWW_AUTHENTICATE,
                    HeaderValue::from_static("Bearer error=\"invalid_token\""),
                );
                response
            }
        }
    }

    /// RP-Initiated Logout: ends the grant that the hint names, then goes
    /// back, if that leads to our client.
    fn end_session(&self, form: &Form) -> std::io::Result<Response<Body>> {
        let hint = form
            .get("id_token_hint")
            .and_then(|token| self.key.verify(token));
        if let Some(sid) = hint.as_ref().and_then(|claims| claims["sid"].as_str()) {
            self.grants.end(sid)?;
        }
        let wanted = form.get("post_logout_redirect_uri");
        let Some(to) = wanted.filter(|to| self.leads_to_client(to)) else {
            return Ok(message(
                StatusCode::OK,
                "You are signed out",
                "Your session at the identity provider has ended.",
            ));
        };
        let Some(state) = form.get("state") else {
            return Ok(answer::redirect(to));
        };
        let separator = if to.contains('?') { '&' } else { '?' };
        let state: String = url::form_urlencoded::byte_serialize(state.as_bytes()).collect();
        Ok(answer::redirect(&format!("{to}{separator}state={state}")))
    }

    fn leads_to_client(&self, to: &str) -> bool {
        let rest = to.strip_prefix(&self.client.origin);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// The last value of each name.
fn form(bytes: &[u8]) -> Form {
    url::form_urlencoded::parse(bytes)
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect()
}

fn message(status: StatusCode, title: &str, message: &str) -> Response<Body> {
    answer::html(status, &MessagePage { title, message })
}
