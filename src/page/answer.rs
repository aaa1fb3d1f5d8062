//! The headers of a page: nothing may be loaded, framed, cached or sent
//! elsewhere that is not named here.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    RETRY_AFTER, VARY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderValue, Response, StatusCode};

use super::Language;
use super::branding::Asset;
use crate::base::body::Body;
use crate::base::header_names::CROSS_ORIGIN_OPENER_POLICY;

/// A page with every header it needs. `form_targets` are origins beyond our
/// own that a form of this page may end at: Chromium applies `form-action`
/// to the redirects that follow a POST as well.
pub(super) fn page(
    status: StatusCode,
    language: Language,
    form_targets: &[String],
    html: String,
) -> Response<Body> {
    let mut response = Response::new(Body::full(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_LANGUAGE, language.tag()),
        (VARY, "Accept-Language"),
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CROSS_ORIGIN_OPENER_POLICY, "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(CONTENT_SECURITY_POLICY, policy(form_targets));
    response
}

pub(super) fn retry_after(response: &mut Response<Body>, wait: Duration) {
    // Rounded up: a client that comes a moment too early is refused again.
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from(seconds));
}

/// `current` says whether the address named the version that we hold. Another
/// version (a page of a replica that is being replaced) gets our bytes, but
/// nobody keeps them under the wrong name.
pub(super) fn asset(asset: &Asset, current: bool) -> Response<Body> {
    let mut response = Response::new(Body::Full(Bytes::clone(&asset.bytes)));
    let headers = response.headers_mut();
    let caching = if current {
        "public, max-age=31536000, immutable"
    } else {
        "no-store"
    };
    for (name, value) in [
        (CONTENT_TYPE, asset.media_type),
        (CACHE_CONTROL, caching),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // A logo may be an SVG; opened by itself it must not run anything.
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn policy(form_targets: &[String]) -> HeaderValue {
    let mut text = String::from(
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'self'",
    );
    for target in form_targets.iter().filter(|target| is_origin(target)) {
        write!(text, " {target}").expect("writing to a string succeeds");
    }
    HeaderValue::from_str(&text).expect("only checked origins were added")
}

/// Scheme, host and port and nothing else; so that no target can add a
/// directive of its own.
fn is_origin(text: &str) -> bool {
    let rest = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|authority| crate::model::origin::Authority::parse(authority).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csp(targets: &[&str]) -> String {
        let targets: Vec<String> = targets.iter().map(|&target| target.to_owned()).collect();
        policy(&targets).to_str().unwrap().to_owned()
    }

    #[test]
    fn sec_ses_31_policy_is_closed() {
        let policy = csp(&[]);
        assert!(policy.starts_with("default-src 'none';"));
        assert!(policy.contains("frame-ancestors 'none'"));
        assert!(policy.contains("base-uri 'none'"));
        assert!(policy.ends_with("form-action 'self'"));
        assert!(!policy.contains("script-src"));
        assert!(!policy.contains("unsafe"));
    }

    #[test]
    fn form_targets_are_origins_only() {
        assert!(
            csp(&["https://id.example.com", "http://id.localhost:4180"])
                .ends_with("form-action 'self' https://id.example.com http://id.localhost:4180")
        );
        for bad in [
            "*",
            "https://a.example; script-src *",
            "https://a.example/path",
            "https://a.example b.example",
            "https://a.example\r\nx: y",
            "javascript:alert(1)",
            "https:",
            "https://",
        ] {
            assert!(csp(&[bad]).ends_with("form-action 'self'"), "{bad}");
        }
    }

    #[test]
    fn waiting_is_rounded_up() {
        let mut response = Response::new(Body::Empty);
        retry_after(&mut response, Duration::from_millis(1200));
        assert_eq!(response.headers()[RETRY_AFTER], "2");
    }
}
