//! Sending somebody to the sign-in, from wherever they came.

use std::ops::Deref;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use http::{HeaderMap, Response, StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::entrance::{Entrance, entrance};
use super::render::{self, Manner, Trouble};
use super::service::Inner;
use crate::base::body::Body;
use crate::base::fault::Fault;
use crate::base::header_names::X_FORWARDED_PROTO;
use crate::gate::Authentication;
use crate::login::{Asking, LoginError, NotStarted, Phase, StartRequest};
use crate::model::context::RequestContext;
use crate::model::identity::ProviderId;
use crate::model::origin::Scheme;
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

/// A sign-in that is to begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beginning<'a> {
    pub(super) provider: &'a ProviderId,
    pub(super) after: After<'a>,
    pub(super) asking: Asking,
    /// What the session of this browser ended for, where that is known.
    pub(super) ended: Option<&'static str>,
}

/// Endings by age alone: the person is the same, and so is their provider.
const AGED: [&str; 2] = ["access_token_ended", "identity_too_old"];

/// Longer places to return to are forgotten; the person lands on "/".
pub(super) const RETURN_TO_MAX: usize = 1024;

impl Inner {
    /// What a session lane answers to somebody without a session.
    pub(super) async fn ask_to_sign_in(
        &self,
        context: &RequestContext,
        manner: Manner,
        headers: &HeaderMap,
        ended: Option<&'static str>,
    ) -> Response<Body> {
        let return_to = self.here(context);
        let public_host = self.is_public_host(&context.target.authority);
        let straight_on = self.straight_on();
        let hand_off = self.hand_off_host(context);
        let entrance = entrance(
            manner.audience,
            true,
            straight_on,
            public_host,
            hand_off.as_deref(),
        );
        let at_home = matches!(
            entrance,
            Entrance::SignInPage | Entrance::Start | Entrance::Provider
        );
        if at_home && let Some(provider) = self.known_provider(context, headers, ended).await {
            if !public_host {
                let start = self.start_url(&return_to, Some(&provider));
                return render::redirect(StatusCode::FOUND, &format!("{start}&quiet=1"));
            }
            let beginning = Beginning {
                provider: &provider,
                after: After::Place(&return_to),
                asking: Asking::Nobody,
                ended,
            };
            return self.begin(context, manner, headers, beginning).await;
        }
        match entrance {
            Entrance::HandOff(host) => {
                let path = context.target.path_and_query.as_str();
                let path = self.path_on(host, path);
                let path = path.as_deref().unwrap_or("/");
                self.wish_for_session(headers, host, path, None)
            }
            Entrance::Unauthorized => {
                render::problem(&self.pages, manner, *self.unauthorized(context, ended))
            }
            Entrance::SignInPage => {
                let page = format!("{}/sign_in?rd={}", self.own_url, encode(&return_to));
                render::redirect(StatusCode::FOUND, &page)
            }
            Entrance::Start => {
                render::redirect(StatusCode::FOUND, &self.start_url(&return_to, None))
            }
            Entrance::Provider => {
                let beginning = Beginning {
                    provider: &self.only_provider(),
                    after: After::Place(&return_to),
                    asking: Asking::Usually,
                    ended,
                };
                self.begin(context, manner, headers, beginning).await
            }
        }
    }

    /// 401, and no new state.
    pub(super) fn unauthorized(
        &self,
        context: &RequestContext,
        ended: Option<&'static str>,
    ) -> Box<Trouble> {
        let reason = ended.unwrap_or("sign_in_required");
        let start = self.start_url(&self.here(context), None);
        let mut trouble = Trouble::new(StatusCode::UNAUTHORIZED, reason, context.reference)
            .action(ActionKind::SignIn, start);
        trouble.login_url = Some(match self.hand_off_host(context) {
            Some(host) => format!("{}{}/start?rd=%2F", host.origin, self.prefix),
            None => self.start_url("/", None),
        });
        Box::new(trouble)
    }

    /// The provider that signed this browser in, where only the age of its
    /// session is the matter: it may well do so again without a question.
    /// Never for strangers, who would be sent there twice.
    pub(super) async fn known_provider(
        &self,
        context: &RequestContext,
        headers: &HeaderMap,
        ended: Option<&'static str>,
    ) -> Option<ProviderId> {
        if !ended.is_some_and(|reason| AGED.contains(&reason)) {
            return None;
        }
        let cookies = cookie_fields(headers);
        let scope = self.scope(context);
        match self.gate.recognise(scope.as_deref(), &cookies).await {
            Authentication::SignedIn { session, .. } => Some(session.identity.provider.clone()),
            Authentication::Anonymous { .. } if self.provider_names.len() == 1 => {
                Some(self.only_provider())
            }
            Authentication::Anonymous { .. } | Authentication::Unavailable { .. } => None,
        }
    }

    /// What became of the session of a browser that signed in a moment ago.
    async fn what_became(
        &self,
        context: &RequestContext,
        cookies: &[&[u8]],
        known: Option<&'static str>,
    ) -> Option<&'static str> {
        if known.is_some() || !self.login.signed_in_lately(cookies) {
            return known;
        }
        let scope = self.scope(context);
        match self.gate.recognise(scope.as_deref(), cookies).await {
            Authentication::SignedIn { .. } => Some("session_still_there"),
            Authentication::Anonymous { ended } => ended,
            Authentication::Unavailable { reason, .. } => Some(reason),
        }
    }

    /// 302 to the provider, or the page that says why not.
    pub(super) async fn begin(
        &self,
        context: &RequestContext,
        manner: Manner,
        headers: &HeaderMap,
        beginning: Beginning<'_>,
    ) -> Response<Body> {
        let Beginning {
            provider,
            after,
            asking,
            ended,
        } = beginning;
        self.warn_of_plain_http(context, headers);
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
                asking,
                ended: self.what_became(context, &cookies, ended).await,
            })
            .await;
        match started {
            Ok(started) => {
                let mut response = render::redirect(StatusCode::FOUND, started.location.as_str());
                render::set_cookies(&mut response, &started.set_cookies);
                response
            }
            Err(NotStarted { error, attempt }) => {
                log_start_failure(&attempt, provider, &error);
                self.login_problem(manner, &error, Phase::Start, attempt, after)
            }
        }
    }

    pub(super) fn login_problem(
        &self,
        manner: Manner,
        error: &LoginError,
        phase: Phase,
        reference: String,
        after: After<'_>,
    ) -> Response<Body> {
        let mut trouble = Trouble::of(error.blame(), error.reason(), reference)
            .retry_after(error.retry_after())
            .since(error.outage_since())
            .action(ActionKind::TryAgain, self.start_url(after, None));
        trouble.phase = Some(phase.as_str());
        if let LoginError::Loop { ended, .. } = error {
            trouble.because = Some(ended);
        }
        render::problem(&self.pages, manner, trouble)
    }

    /// Once: what people call `https` arrives as plain http, and nobody whom
    /// we trust says that it was https before. Sign-ins work all the same,
    /// because addresses are made of `public_url`.
    fn warn_of_plain_http(&self, context: &RequestContext, headers: &HeaderMap) {
        if self.public_url.scheme != Scheme::Https || self.plain_http_told.load(Relaxed) {
            return;
        }
        let told_https = headers
            .get_all(X_FORWARDED_PROTO)
            .iter()
            .any(|value| value == "https");
        if (context.peer_trusted && told_https) || self.plain_http_told.swap(true, Relaxed) {
            return;
        }
        tracing::warn!(
            peer = %context.peer_addr,
            peer_trusted = context.peer_trusted,
            told_https,
            "public_url is https, but requests arrive as plain http without an X-Forwarded-Proto \
             that can be trusted; list the proxy in front in server.trusted_proxies and let it \
             send X-Forwarded-Proto: https"
        );
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

fn log_start_failure(attempt: &str, provider: &ProviderId, error: &LoginError) {
    if matches!(error, LoginError::UnknownProvider) {
        // The client's own text, of any length: no name for the log.
        tracing::debug!(
            login.attempt = attempt,
            "sign-in asked for a provider that is not there"
        );
        return;
    }
    let detail = error.to_string();
    tracing::warn!(
        login.attempt = attempt,
        login.phase = Phase::Start.as_str(),
        provider.id = %provider,
        reason = error.reason(),
        detail,
        "sign-in could not start"
    );
}

pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// The Cookie fields of a request. Nearly always there is at most one, which
/// needs no list.
pub(super) enum CookieFields<'a> {
    None,
    One([&'a [u8]; 1]),
    Several(Vec<&'a [u8]>),
}

impl<'a> Deref for CookieFields<'a> {
    type Target = [&'a [u8]];

    fn deref(&self) -> &Self::Target {
        match self {
            Self::None => &[],
            Self::One(field) => field,
            Self::Several(fields) => fields,
        }
    }
}

pub(super) fn cookie_fields(headers: &HeaderMap) -> CookieFields<'_> {
    let fields = headers.get_all(header::COOKIE).iter();
    let mut fields = fields.map(http::HeaderValue::as_bytes);
    match (fields.next(), fields.next()) {
        (None, _) => CookieFields::None,
        (Some(one), None) => CookieFields::One([one]),
        (Some(first), Some(second)) => {
            CookieFields::Several([first, second].into_iter().chain(fields).collect())
        }
    }
}
