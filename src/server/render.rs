//! The one place where errors become answers, by who asked: a page for
//! people, problem+json (RFC 9457) for everything else. The inner text of an
//! error never reaches a client; its reason code and a reference do.

use std::time::Duration;

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};

use super::cross_origin::OwnAnswer;
use crate::base::body::Body;
use crate::base::clock::Timestamp;
use crate::base::fault::Blame;
use crate::model::context::Audience;
use crate::page::{Action, ActionKind, Problem};
use crate::page::{Language, Pages};

/// How this request wants to be answered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    pub audience: Audience,
    pub language: Language,
}

/// What went wrong, in public terms.
#[derive(Debug)]
pub(super) struct Trouble {
    pub status: StatusCode,
    pub reason: &'static str,
    /// Request reference or attempt id.
    pub reference: String,
    /// The step of a sign-in that failed.
    pub phase: Option<&'static str>,
    /// The reason code of what lies behind this one, for people to see.
    pub because: Option<&'static str>,
    pub next: Vec<Action>,
    pub retry_after: Option<Duration>,
    /// Since when what is missing has been missing.
    pub since: Option<Timestamp>,
    pub signed_in_as: Option<String>,
    /// Where an API caller can send a person to sign in.
    pub login_url: Option<String>,
    /// The methods that would do (405).
    pub allow: Option<&'static str>,
}

impl Trouble {
    pub(super) fn new(status: StatusCode, reason: &'static str, reference: impl ToString) -> Self {
        Self {
            status,
            reason,
            reference: reference.to_string(),
            phase: None,
            because: None,
            next: Vec::new(),
            retry_after: None,
            since: None,
            signed_in_as: None,
            login_url: None,
            allow: None,
        }
    }

    pub(super) fn method(reference: impl ToString, allow: &'static str) -> Self {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        Self {
            allow: Some(allow),
            ..Self::new(status, "method_not_allowed", reference)
        }
    }

    /// Status by blame, with the exceptions that have a better one.
    pub(super) fn of(blame: Blame, reason: &'static str, reference: impl ToString) -> Self {
        Self::new(status(blame, reason), reason, reference)
    }

    #[must_use]
    pub(super) fn action(mut self, label: ActionKind, href: impl Into<String>) -> Self {
        let href = href.into();
        self.next.push(Action { label, href });
        self
    }

    #[must_use]
    pub(super) fn since(mut self, since: Option<Timestamp>) -> Self {
        self.since = since;
        self
    }

    #[must_use]
    pub(super) fn retry_after(mut self, after: Option<Duration>) -> Self {
        self.retry_after = after;
        self
    }
}

fn status(blame: Blame, reason: &str) -> StatusCode {
    match (blame, reason) {
        (_, "outcome_unknown") => StatusCode::GATEWAY_TIMEOUT,
        (_, "login_denied" | "login_required") => StatusCode::FORBIDDEN,
        (_, "login_loop") => StatusCode::TOO_MANY_REQUESTS,
        (_, "unknown_provider") => StatusCode::NOT_FOUND,
        (Blame::Client, _) => StatusCode::BAD_REQUEST,
        (
            _,
            "network_unreachable"
            | "provider_unreachable"
            | "rate_limited"
            | "provider_unavailable"
            | "provider_busy",
        ) => StatusCode::SERVICE_UNAVAILABLE,
        (Blame::Provider | Blame::Upstream, _) => StatusCode::BAD_GATEWAY,
        (Blame::Operator, _) => StatusCode::SERVICE_UNAVAILABLE,
        (Blame::Gateway, _) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Where nothing better is known; every 503 says when to come again.
const RETRY_AFTER_UNKNOWN: Duration = Duration::from_secs(5);

pub(super) fn problem(pages: &Pages, manner: Manner, mut trouble: Trouble) -> Response<Body> {
    if trouble.status == StatusCode::SERVICE_UNAVAILABLE {
        trouble.retry_after.get_or_insert(RETRY_AFTER_UNKNOWN);
    }
    let (status, allow) = (trouble.status, trouble.allow);
    let mut response = match manner.audience {
        Audience::Navigation | Audience::Form => pages.problem(
            manner.language,
            &Problem {
                status: trouble.status,
                reason: trouble.reason,
                reference: trouble.reference,
                phase: trouble.phase,
                because: trouble.because,
                next: trouble.next,
                retry_after: trouble.retry_after,
                since: trouble.since,
                form_lost: manner.audience == Audience::Form
                    && trouble.status == StatusCode::UNAUTHORIZED,
                signed_in_as: trouble.signed_in_as,
            },
        ),
        Audience::Api => json(&trouble),
    };
    if status == StatusCode::UNAUTHORIZED {
        response
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(allow) = allow {
        let allow = HeaderValue::from_static(allow);
        response.headers_mut().insert(ALLOW, allow);
    }
    response.extensions_mut().insert(OwnAnswer);
    response
}

fn json(trouble: &Trouble) -> Response<Body> {
    let mut body = serde_json::json!({
        "type": "about:blank",
        "title": trouble.status.canonical_reason().unwrap_or("Error"),
        "status": trouble.status.as_u16(),
        "reason": trouble.reason,
        "reference": trouble.reference,
    });
    if let Some(phase) = trouble.phase {
        body["phase"] = phase.into();
    }
    if let Some(because) = trouble.because {
        body["because"] = because.into();
    }
    if let Some(login_url) = &trouble.login_url {
        body["login_url"] = login_url.as_str().into();
    }
    let mut response = bare(trouble.status);
    *response.body_mut() = Body::full(body.to_string());
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    if let Some(after) = trouble.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
    }
    response
}

/// JSON for scripts; the route's own origins may read it.
pub(super) fn data(body: &serde_json::Value) -> Response<Body> {
    let mut response = bare(StatusCode::OK);
    *response.body_mut() = Body::full(body.to_string());
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.extensions_mut().insert(OwnAnswer);
    response
}

/// An answer of ours without a body; never stored by anybody.
pub(super) fn bare(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        http::header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    headers.insert(
        http::header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    response
}

/// 302 or 303 to an address that was checked; never 307 or 308, which would
/// send a body along.
pub(super) fn redirect(status: StatusCode, location: &str) -> Response<Body> {
    match HeaderValue::from_str(location) {
        Ok(location) => {
            let mut response = bare(status);
            response
                .headers_mut()
                .insert(http::header::LOCATION, location);
            response
        }
        // Only bytes that no checked address has.
        Err(_) => bare(StatusCode::INTERNAL_SERVER_ERROR),
    }
}

pub(super) fn set_cookies(response: &mut Response<Body>, cookies: &[String]) {
    for cookie in cookies {
        let value = HeaderValue::from_str(cookie).expect("our cookies are plain ASCII");
        response
            .headers_mut()
            .append(http::header::SET_COOKIE, value);
    }
}
