//! `backchannel_logout`: a provider speaks, not a browser. It gets a status
//! and a word, never a page (Back-Channel Logout 1.0 section 2.8).

use http::request::Parts as Head;
use http::{HeaderValue, Response, StatusCode, header};
use hyper::body::Incoming;

use super::super::render;
use super::super::service::Inner;
use super::form::{self, FORM_WAIT};
use super::parameter;
use crate::base::body::Body;
use crate::base::fault::Fault;
use crate::model::context::RequestContext;

const FORM: &str = "application/x-www-form-urlencoded";

impl Inner {
    pub(super) async fn back_channel_logout(
        &self,
        context: &RequestContext,
        head: &Head,
        body: Incoming,
    ) -> Response<Body> {
        let refused = |status, reason| answer(status, Some(reason));
        if !is_form(head) || context.target.query().is_some() {
            return refused(StatusCode::BAD_REQUEST, "bad_request");
        }
        let form = match form::read(body, FORM_WAIT).await {
            Ok(form) => form,
            Err((status, reason)) => return refused(status, reason),
        };
        let token = std::str::from_utf8(&form)
            .map_err(|_| ())
            .and_then(|form| parameter(Some(form), "logout_token"));
        let Ok(Some(token)) = token else {
            return refused(StatusCode::BAD_REQUEST, "bad_request");
        };
        let Err(error) = self.back_channel.sign_out(token).await else {
            return answer(StatusCode::OK, None);
        };
        if error.is_final() {
            tracing::warn!(
                reference = %context.reference,
                reason = error.reason(),
                detail = %error,
                "a logout token was refused"
            );
            return refused(StatusCode::BAD_REQUEST, error.reason());
        }
        tracing::error!(
            reference = %context.reference,
            reason = error.reason(),
            detail = %error,
            "the provider's sign-out could not be carried out; it was told to try again"
        );
        let mut response = refused(StatusCode::SERVICE_UNAVAILABLE, error.reason());
        let soon = HeaderValue::from_static("2");
        response.headers_mut().insert(header::RETRY_AFTER, soon);
        response
    }
}

fn is_form(head: &Head) -> bool {
    let mut types = head.headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(only), None) = (types.next(), types.next()) else {
        return false;
    };
    only.to_str().is_ok_and(|text| {
        let media_type = text.split(';').next().unwrap_or_default();
        media_type.trim().eq_ignore_ascii_case(FORM)
    })
}

fn answer(status: StatusCode, reason: Option<&'static str>) -> Response<Body> {
    let mut response = render::bare(status);
    if let Some(reason) = reason {
        let error = serde_json::json!({
            "error": "invalid_request",
            "error_description": reason,
        });
        *response.body_mut() = Body::full(error.to_string());
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
    }
    let never = HeaderValue::from_static("no-store");
    response.headers_mut().insert(header::CACHE_CONTROL, never);
    response
}
