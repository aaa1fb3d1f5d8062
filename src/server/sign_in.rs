//! Sending somebody to the sign-in, from wherever they came.

use std::time::Duration;

use http::{HeaderMap, Response, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::entrance::{Entrance, entrance};
use super::render::{self, Manner, Trouble};
use super::service::Inner;
use crate::base::body::Body;
use crate::base::fault::Fault;
use crate::login::{LoginError, StartRequest};
use crate::model::context::RequestContext;
use crate::model::identity::ProviderId;
use crate::page::ActionKind;

/// What follows a sign-in.
#[derive(Debug, Clone, Copy)]
pub(super) enum After<'a> {
    /// A place that was checked.
    Place(&'a str),
    /// A host that waits for the session; its wish, still sealed.
    HandOff(&'a str),
}

impl<'a> From<&'a str> for After<'a> {
    fn from(place: &'a str) -> Self {
        Self::Place(place)
    }
}

impl<'a> From<&'a String> for After<'a> {
    fn from(place: &'a String) -> Self {
        Self::Place(place)
    }
}

/// Longer places to return to are forgotten; the person lands on "/".
pub(super) const RETURN_TO_MAX: usize = 1024;

impl Inner {
    /// What a session lane answers to somebody without a session.
    pub(super) async fn ask_to_sign_in(
        &self,
        context: &RequestContext,
        manner: Manner,
        headers: &HeaderMap,
        redirect_allowed: bool,
        ended: Option<&'static str>,
    ) -> Response<Body> {
        let return_to = self.here(context);
        let public_host = self.is_public_host(&context.target.authority);
        let straight_on = self.straight_on();
        let hand_off = self.hand_off_host(context);
        match entrance(
            manner.audience,
            redirect_allowed,
            straight_on,
            public_host,
            hand_off.as_deref(),
        ) {
            Entrance::HandOff(host) => {
                let path = context.target.path_and_query.as_str();
                let path = self.path_on(host, path);
                let path = path.as_deref().unwrap_or("/");
                self.wish_for_session(headers, host, path, None)
            }
            Entrance::Unauthorized => {
                let mut trouble = Trouble::new(
                    StatusCode::UNAUTHORIZED,
                    ended.unwrap_or("sign_in_required"),
                    context.reference,
                )
                .action(ActionKind::SignIn, self.start_url(&return_to, None));
                trouble.login_url = Some(match hand_off {
                    Some(host) => format!("{}{}/start?rd=%2F", host.origin, self.prefix),
                    None => self.start_url("/", None),
                });
                render::problem(&self.pages, manner, trouble)
            }
            Entrance::SignInPage => {
                let page = format!("{}/sign_in?rd={}", self.own_url, encode(&return_to));
                render::redirect(StatusCode::FOUND, &page)
            }
            Entrance::Start => {
                render::redirect(StatusCode::FOUND, &self.start_url(&return_to, None))
            }
            Entrance::Provider => {
                let provider = self.only_provider();
                self.begin(context, manner, headers, &provider, &return_to, None)
                    .await
            }
        }
    }

    /// 302 to the provider, or the page that says why not.
    pub(super) async fn begin<'a>(
        &self,
        context: &RequestContext,
        manner: Manner,
        headers: &HeaderMap,
        provider: &ProviderId,
        after: impl Into<After<'a>>,
        prompt: Option<&'static str>,
    ) -> Response<Body> {
        let after = after.into();
        let own_proxy = self.contexts.trusts(context.client_addr);
        if !own_proxy && !self.start_limit.allows(context.client_addr) {
            let trouble = Trouble::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_sign_ins",
                context.reference,
            )
            .retry_after(Some(Duration::from_secs(10)))
            .action(ActionKind::TryAgain, self.start_url(after, None));
            return render::problem(&self.pages, manner, trouble);
        }
        let cookies = cookie_fields(headers);
        let (return_to, hand_off) = match after {
            After::Place(place) => (place, None),
            After::HandOff(h) => ("/", Some(h)),
        };
        let started = self
            .login
            .start(StartRequest {
                provider,
                return_to,
                hand_off,
                cookies: &cookies,
                prompt,
            })
            .await;
        match started {
            Ok(started) => {
                let mut response = render::redirect(StatusCode::FOUND, started.location.as_str());
                render::set_cookies(&mut response, &started.set_cookies);
                response
            }
            Err(error) => {
                let reference = context.reference.to_string();
                log_start_failure(&reference, provider, &error);
                self.login_problem(manner, &error, reference, after)
            }
        }
    }

    pub(super) fn login_problem(
        &self,
        manner: Manner,
        error: &LoginError,
        reference: String,
        after: After<'_>,
    ) -> Response<Body> {
        let trouble = Trouble::of(error.blame(), error.reason(), reference)
            .retry_after(error.retry_after())
            .since(error.outage_since())
            .action(ActionKind::TryAgain, self.start_url(after, None));
        render::problem(&self.pages, manner, trouble)
    }

    /// Where this request wanted to go, as a place to return to.
    pub(super) fn here(&self, context: &RequestContext) -> String {
        self.return_to_from(context, Some(context.target.path_and_query.as_str()))
    }

    /// A place of ours, or "/". A path is one of the host that was asked, and
    /// the sign-in may finish on another.
    pub(super) fn return_to_from(&self, context: &RequestContext, asked: Option<&str>) -> String {
        let authority = &context.target.authority;
        let place = asked.filter(|asked| asked.starts_with('/') && !self.is_public_host(authority));
        let place = place.map(|path| {
            let scheme = self.public_url.scheme.as_str();
            format!("{scheme}://{authority}{path}")
        });
        let place = place.as_deref().or(asked);
        if place.is_some_and(|place| place.len() > RETURN_TO_MAX) {
            return "/".to_owned();
        }
        self.safe_return_to(place)
    }

    pub(super) fn start_url<'a>(
        &self,
        after: impl Into<After<'a>>,
        provider: Option<&ProviderId>,
    ) -> String {
        let own_url = &self.own_url;
        let mut url = match after.into() {
            After::HandOff(h) => format!("{own_url}/start?h={}", encode(h)),
            After::Place(place) if self.straight_on() || provider.is_some() => {
                format!("{own_url}/start?rd={}", encode(place))
            }
            After::Place(place) => format!("{own_url}/sign_in?rd={}", encode(place)),
        };
        if let Some(provider) = provider {
            url.push_str("&provider=");
            url.push_str(&encode(&provider.0));
        }
        url
    }

    /// One provider and `pages.sign_in = "auto"`: no page in between.
    pub(super) fn straight_on(&self) -> bool {
        self.pages_auto && self.provider_names.len() == 1
    }

    pub(super) fn only_provider(&self) -> ProviderId {
        self.provider_names[0].0.clone()
    }
}

fn log_start_failure(reference: &str, provider: &ProviderId, error: &LoginError) {
    if matches!(error, LoginError::UnknownProvider) {
        // The client's own text, of any length: no name for the log.
        tracing::debug!(reference, "sign-in asked for a provider that is not there");
        return;
    }
    let detail = error.to_string();
    tracing::warn!(
        reference,
        login.phase = "start",
        provider.id = %provider,
        reason = error.reason(),
        detail,
        "sign-in could not start"
    );
}

pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

pub(super) fn cookie_fields(headers: &HeaderMap) -> Vec<&[u8]> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .map(http::HeaderValue::as_bytes)
        .collect()
}
