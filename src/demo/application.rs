//! The demonstration application: shows what reaches it through the gateway.

use std::convert::Infallible;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use askama::Template;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::ORIGIN;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use serde_json::json;
use tokio::time::Instant;

use super::control::Control;
use super::grants::Grants;
use super::received::{cookie_names, hidden, person, shown, text};
use super::{answer, websocket};
use crate::base::body::Body;
use crate::base::header_names::{SEC_FETCH_SITE, X_FORWARDED_ACCESS_TOKEN, X_FORWARDED_USER};

/// How long the button stops the provider.
pub const STOP: Duration = Duration::from_secs(30);

/// Ends the sessions of a person at the gateway, as an operator would.
/// Answers how many there were.
pub trait Revoker: Send + Sync {
    fn revoke(&self, issuer: &str, subject: &str) -> BoxFuture<'static, Result<usize, String>>;
}

pub struct Application {
    /// `http://app.localhost:4180`.
    pub origin: String,
    pub issuer: String,
    /// Of the gateway's own endpoints: "/oauth2".
    pub prefix: String,
    pub grants: Arc<Grants>,
    pub control: Arc<Control>,
    /// Set when the gateway stands.
    pub revoker: Arc<OnceLock<Arc<dyn Revoker>>>,
}

#[derive(Template)]
#[template(path = "application.html")]
struct HomePage<'a> {
    prefix: &'a str,
    person: &'a str,
    notice: Option<&'static str>,
    headers: Vec<(String, String)>,
    cookies: Vec<String>,
    stop_seconds: u64,
    token_seconds: u64,
}

#[derive(Template)]
#[template(path = "admin.html")]
struct AdminPage<'a> {
    person: &'a str,
}

impl Application {
    pub async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        if request.method() == Method::POST {
            if !self.is_own_form(request.headers()) {
                return answer::text(StatusCode::FORBIDDEN, "posted by another site");
            }
            return match path.as_str() {
                "/upload" => upload(request.into_body()).await,
                "/provider/stop" => {
                    self.control.stop_provider(STOP);
                    answer::redirect("/?did=stopped")
                }
                "/provider/fail-refresh" => {
                    self.control.fail_next_refresh();
                    answer::redirect("/?did=failing")
                }
                "/session/revoke" => self.revoke(request.headers()).await,
                _ => answer::text(StatusCode::NOT_FOUND, "not found"),
            };
        }
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return answer::text(StatusCode::METHOD_NOT_ALLOWED, "GET or POST");
        }
        match path.as_str() {
            "/" => self.home(&request),
            "/admin" => answer::html(
                StatusCode::OK,
                &AdminPage {
                    person: person(request.headers()),
                },
            ),
            "/status" => self.status(request.headers()),
            "/events" => events(),
            "/echo" => websocket::upgrade(request),
            "/demo.css" => stylesheet(),
            "/demo.js" => answer::content(
                StatusCode::OK,
                "text/javascript; charset=utf-8",
                Body::full(include_str!("templates/demo.js")),
            ),
            _ => answer::text(StatusCode::NOT_FOUND, "not found"),
        }
    }

    fn home(&self, request: &Request<Incoming>) -> Response<Body> {
        let headers = request.headers();
        let page = HomePage {
            prefix: &self.prefix,
            person: person(headers),
            notice: notice(request.uri().query()),
            headers: shown(headers),
            cookies: cookie_names(headers),
            stop_seconds: STOP.as_secs(),
            token_seconds: self.grants.access_token_life().as_secs(),
        };
        answer::html(StatusCode::OK, &page)
    }

    /// Asked for every other second by the page: traffic that makes the
    /// gateway refresh, and what came of it.
    fn status(&self, headers: &HeaderMap) -> Response<Body> {
        let token = text(headers, &X_FORWARDED_ACCESS_TOKEN);
        let grant = self.grants.by_access_token(token);
        let left = grant.as_ref().map(|(_, ends)| {
            let left = ends.since(self.grants.now());
            left.as_secs()
        });
        let status = json!({
            "refreshes": grant.as_ref().map(|(grant, _)| grant.refreshes),
            "access_token": hidden(token),
            "access_token_left": left,
            "access_token_life": self.grants.access_token_life().as_secs(),
            "provider_stopped_for": self.control.stopped_for().as_secs_f64().ceil(),
            "next_refresh_fails": self.control.will_fail_refresh(),
        });
        answer::json(StatusCode::OK, &status)
    }

    async fn revoke(&self, headers: &HeaderMap) -> Response<Body> {
        let Some(revoker) = self.revoker.get() else {
            return answer::redirect("/?did=not-revoked");
        };
        let subject = text(headers, &X_FORWARDED_USER);
        match revoker.revoke(&self.issuer, subject).await {
            Ok(_) => answer::redirect("/?did=revoked"),
            Err(_) => answer::redirect("/?did=not-revoked"),
        }
    }

    /// The gateway's cookie is `SameSite=Lax`, which keeps other sites' forms
    /// out already; an application checks for itself all the same.
    fn is_own_form(&self, headers: &HeaderMap) -> bool {
        match (headers.get(SEC_FETCH_SITE), headers.get(ORIGIN)) {
            (Some(site), _) => site == "same-origin",
            (None, Some(origin)) => origin == self.origin.as_str(),
            (None, None) => true,
        }
    }
}

pub(super) fn stylesheet() -> Response<Body> {
    answer::content(
        StatusCode::OK,
        "text/css; charset=utf-8",
        Body::full(include_str!("templates/demo.css")),
    )
}

/// Counts what arrives and keeps none of it.
async fn upload(mut body: Incoming) -> Response<Body> {
    let started = Instant::now();
    let (mut bytes, mut pieces) = (0, 0);
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return answer::text(StatusCode::BAD_REQUEST, "the upload broke off");
        };
        if let Some(data) = frame.data_ref() {
            bytes += data.len();
            pieces += 1;
        }
    }
    let millis = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    let counted = json!({ "bytes": bytes, "pieces": pieces, "milliseconds": millis });
    answer::json(StatusCode::OK, &counted)
}

/// One event a second, for as long as somebody listens.
fn events() -> Response<Body> {
    let ticks = futures_util::stream::unfold(0_u64, |count| async move {
        if count > 0 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let frame = Frame::data(Bytes::from(format!("data: {count}\n\n")));
        Some((Ok::<_, Infallible>(frame), count + 1))
    });
    let body = StreamBody::new(ticks).map_err(|never| match never {});
    answer::content(StatusCode::OK, "text/event-stream", Body::watched(body))
}

fn notice(query: Option<&str>) -> Option<&'static str> {
    let notice = match query?.strip_prefix("did=")? {
        "stopped" => {
            "The provider is stopped for 30 seconds. You stay signed in; a new sign-in would get a friendly page."
        }
        "failing" => {
            "The next refresh will fail. Watch the counter: the gateway tries again, and you notice nothing."
        }
        "revoked" => "Your session was ended, and you signed in again.",
        "not-revoked" => "The session could not be ended. Is the gateway's store there?",
        _ => return None,
    };
    Some(notice)
}
