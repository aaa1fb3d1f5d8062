//! Answers of the two demonstration servers.

use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};
use serde_json::Value;

use crate::base::body::Body;

/// The demonstration application is an application: it may run its own script.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'none'";

pub(super) fn content(
    status: StatusCode,
    media_type: &'static str,
    body: impl Into<Body>,
) -> Response<Body> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, media_type),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // With "no-referrer" browsers send "Origin: null" with our own forms.
        (REFERRER_POLICY, "same-origin"),
        (CONTENT_SECURITY_POLICY, POLICY),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

pub(super) fn html(status: StatusCode, template: &impl askama::Template) -> Response<Body> {
    let text = template
        .render()
        .expect("templates of plain values always render");
    content(status, "text/html; charset=utf-8", Body::full(text))
}

pub(super) fn json(status: StatusCode, value: &Value) -> Response<Body> {
    content(status, "application/json", Body::full(value.to_string()))
}

pub(super) fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    content(status, "text/plain; charset=utf-8", Body::full(text))
}

/// 303. An address that cannot stand in a header is a 400.
pub(super) fn redirect(to: &str) -> Response<Body> {
    let Ok(location) = HeaderValue::from_str(to) else {
        return text(StatusCode::BAD_REQUEST, "bad address");
    };
    let mut response = content(StatusCode::SEE_OTHER, "text/plain", Body::Empty);
    response.headers_mut().insert(LOCATION, location);
    response
}
