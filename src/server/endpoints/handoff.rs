//! `handoff`, and `start` for a host that waits for one: how hosts outside
//! the home scope get their tickets.

use std::borrow::Cow;

use http::request::Parts as Head;
use http::{HeaderMap, Method, Response, StatusCode};

use super::super::render::{self, Manner, Trouble};
use super::super::service::Inner;
use super::super::sign_in::{After, Beginning, RETURN_TO_MAX, cookie_fields};
use super::parameter;
use crate::base::body::Body;
use crate::base::fault::Fault;
use crate::base::kill_point;
use crate::gate::Authentication;
use crate::login::{Asking, HandOffError, HandOffRequest, HandedOff, Wish};
use crate::model::context::{Audience, RequestContext};
use crate::model::identity::ProviderId;
use crate::page::ActionKind;
use crate::route::{Route, SessionHost};
use crate::session::cookie::SessionCookie;
use crate::session::sessions::Session;
use crate::session::ticket::Scope;

impl Inner {
    /// The cookie scope of the request's host; `None` where nobody can be
    /// signed in.
    pub(in super::super) fn scope(&self, context: &RequestContext) -> Option<Cow<'_, Scope>> {
        let host = self.routes.session_host(&context.target.authority);
        host.map(|host| match host {
            Cow::Borrowed(host) => Cow::Borrowed(&host.scope),
            Cow::Owned(host) => Cow::Owned(host.scope),
        })
    }

    /// The same for a request that has found its route, which nearly always
    /// knows it.
    pub(in super::super) fn scope_of<'a>(
        &'a self,
        route: &'a Route,
        context: &RequestContext,
    ) -> Option<Cow<'a, Scope>> {
        match &route.scope {
            Some(scope) => Some(Cow::Borrowed(scope)),
            None => self.scope(context),
        }
    }

    pub(super) fn session_cookie(&self, context: &RequestContext) -> &SessionCookie {
        let home = self.session_cookies.home_scope();
        let scope = self.scope(context);
        self.session_cookies.of(scope.as_deref().unwrap_or(home))
    }

    /// The request's host, if sign-ins are handed over to it.
    pub(in super::super) fn hand_off_host(
        &self,
        context: &RequestContext,
    ) -> Option<Cow<'_, SessionHost>> {
        let host = self.routes.session_host(&context.target.authority);
        host.filter(|host| host.hand_off)
    }

    /// A place on this host as a path, "/" where it is none to return to;
    /// `None` where it lies elsewhere.
    pub(in super::super) fn path_on(&self, host: &SessionHost, asked: &str) -> Option<String> {
        let path = match asked.strip_prefix(&host.origin.to_string()) {
            Some("") => "/",
            Some(path) if path.starts_with('/') => path,
            _ => asked,
        };
        if !path.starts_with('/') {
            return None;
        }
        let path = Some(path).filter(|path| path.len() <= RETURN_TO_MAX);
        Some(self.safe_return_to(path))
    }

    /// Sends the browser home with a wish for a session on this host.
    pub(in super::super) fn wish_for_session(
        &self,
        headers: &HeaderMap,
        host: &SessionHost,
        path: &str,
        provider: Option<String>,
    ) -> Response<Body> {
        // One that is not there is asked for at home, and refused there.
        let provider = provider.map(ProviderId);
        let cookies = cookie_fields(headers);
        let (wish, set_cookies) = self.login.wish(&HandOffRequest {
            origin: &host.origin,
            path,
            provider: provider.as_ref(),
            cookies: &cookies,
        });
        let home = self.start_url(After::HandOff(&wish), None);
        let mut response = render::redirect(StatusCode::FOUND, &home);
        render::set_cookies(&mut response, &set_cookies);
        response
    }

    /// `start?h=` at home: hands the session over that this browser has here,
    /// or signs in first and comes back.
    pub(super) async fn start_for_wish(
        &self,
        context: &RequestContext,
        manner: Manner,
        head: &Head,
        sealed: &str,
        chosen: Option<String>,
    ) -> Response<Body> {
        let opened = self.login.open_wish(sealed).and_then(|wish| {
            match self.routes.hand_off_host(&wish.origin) {
                Some(host) => Ok((wish, host)),
                None => Err(HandOffError::UnknownOrigin(wish.origin)),
            }
        });
        let (wish, host) = match opened {
            Ok(opened) => opened,
            Err(error) => {
                // Whoever took long to sign in goes on from where they came.
                let again = match &error {
                    HandOffError::ExpiredWish(wish) => self
                        .routes
                        .hand_off_host(&wish.origin)
                        .map(|host| format!("{}{}", host.origin, wish.path)),
                    _ => None,
                };
                let again = again.as_deref().unwrap_or("/");
                return self.hand_off_failed(context, manner, &error, again);
            }
        };
        let cookies = cookie_fields(&head.headers);
        let home = self.scope(context);
        match self.gate.authenticate(home.as_deref(), &cookies).await {
            Authentication::SignedIn { session, .. } if fits(&session, &wish) => {
                self.hand_over(context, manner, &cookies, &host, &session, &wish)
                    .await
            }
            who @ (Authentication::SignedIn { .. } | Authentication::Anonymous { .. }) => {
                let after = After::HandOff(sealed);
                let wanted = wish.provider.or(chosen.map(ProviderId));
                let ended = match who {
                    Authentication::Anonymous { ended } => ended,
                    _ => None,
                };
                let known = self.known_provider(context, &head.headers, ended).await;
                let known = known.filter(|known| {
                    let wanted = wanted.as_ref();
                    wanted.is_none_or(|wanted| wanted == known)
                });
                let asking = match &known {
                    Some(_) => Asking::Nobody,
                    None => Asking::Usually,
                };
                let provider = match known.or(wanted) {
                    Some(provider) => provider,
                    None if self.straight_on() => self.only_provider(),
                    None => return self.sign_in_page(manner, after, None),
                };
                let beginning = Beginning {
                    provider: &provider,
                    after,
                    asking,
                    ended,
                };
                self.begin(context, manner, &head.headers, beginning).await
            }
            Authentication::Unavailable {
                reason,
                retry_after,
            } => {
                let again = format!("{}{}", host.origin, wish.path);
                let trouble =
                    Trouble::new(StatusCode::SERVICE_UNAVAILABLE, reason, context.reference)
                        .retry_after(Some(retry_after))
                        .action(ActionKind::TryAgain, again);
                render::problem(&self.pages, manner, trouble)
            }
        }
    }

    async fn hand_over(
        &self,
        context: &RequestContext,
        manner: Manner,
        cookies: &[&[u8]],
        host: &SessionHost,
        session: &Session,
        wish: &Wish,
    ) -> Response<Body> {
        let Some(counted) = self.login.count_hand_off(&wish.origin, cookies) else {
            tracing::warn!(
                reference = %context.reference,
                origin = wish.origin,
                session.reference = session.id.reference(),
                "hand-offs go in circles: the host's session cookie does not stick"
            );
            let trouble = Trouble::new(
                StatusCode::TOO_MANY_REQUESTS,
                "login_loop",
                context.reference,
            )
            .retry_after(Some(std::time::Duration::from_secs(60)))
            .action(ActionKind::TryAgain, format!("{}/", host.origin));
            return render::problem(&self.pages, manner, trouble);
        };
        match self.login.grant(session, wish).await {
            Ok(code) => {
                let place = format!("{}{}/handoff?code={code}", host.origin, self.prefix);
                let mut response = render::redirect(StatusCode::SEE_OTHER, &place);
                render::set_cookies(&mut response, &[counted]);
                response
            }
            Err(error) => self.store_problem(context, manner, &error),
        }
    }

    /// `handoff` on the host that waited.
    pub(super) async fn hand_off(
        &self,
        context: &RequestContext,
        manner: Manner,
        head: &Head,
    ) -> Response<Body> {
        let Some(host) = self.hand_off_host(context) else {
            return self.not_found(context, manner);
        };
        let code = parameter(context.target.query(), "code");
        // Nothing but a person's navigation spends a code.
        let (Audience::Navigation, &Method::GET, Ok(Some(code))) =
            (manner.audience, &head.method, code)
        else {
            return self.bad_request(context, manner);
        };
        let cookies = cookie_fields(&head.headers);
        let (origin, scope) = (&host.origin, &host.scope);
        match self.login.redeem(&code, origin, scope, &cookies).await {
            Ok(handed_off) => {
                let before = self
                    .replace_session(context, scope, &cookies, &handed_off)
                    .await;
                let cleared = self.routes.clearing(
                    &context.target.authority,
                    before.as_ref().map(|session| &*session.identity),
                    &handed_off.session.identity,
                );
                let place = self.place_on(&host, &handed_off.path);
                let mut response = render::redirect(StatusCode::SEE_OTHER, &place);
                let mut set = handed_off.set_cookies;
                set.push(self.session_cookies.of(scope).set(&handed_off.ticket));
                set.extend(cleared);
                render::set_cookies(&mut response, &set);
                kill_point::at("hand_off", "unanswered");
                response
            }
            // Asks anew from there; home counts how often.
            Err(HandOffError::Ended { path, .. }) => {
                render::redirect(StatusCode::SEE_OTHER, &self.place_on(&host, &path))
            }
            Err(error) => self.hand_off_failed(context, manner, &error, &format!("{origin}/")),
        }
    }

    /// Checked once more: the configuration may have changed.
    fn place_on(&self, host: &SessionHost, path: &str) -> String {
        let path = self.path_on(host, path);
        format!("{}{}", host.origin, path.as_deref().unwrap_or("/"))
    }

    /// The session that this browser had on this host. Another one than the
    /// new one ends: nobody holds its ticket any more.
    async fn replace_session(
        &self,
        context: &RequestContext,
        scope: &Scope,
        cookies: &[&[u8]],
        handed_off: &HandedOff,
    ) -> Option<Session> {
        let Authentication::SignedIn { session, .. } =
            self.gate.recognise(Some(scope), cookies).await
        else {
            return None;
        };
        if session.id != handed_off.session.id
            && let Err(error) = self.logout.replace(&session).await
        {
            tracing::warn!(
                reference = %context.reference,
                reason = error.reason(),
                "the session before this hand-off could not be ended"
            );
        }
        Some(session)
    }

    /// One page, and no cookie.
    fn hand_off_failed(
        &self,
        context: &RequestContext,
        manner: Manner,
        error: &HandOffError,
        again: &str,
    ) -> Response<Body> {
        if let HandOffError::Session(error) = error {
            return self.store_problem(context, manner, error);
        }
        tracing::info!(
            reference = %context.reference,
            reason = error.reason(),
            detail = %error,
            "sign-in could not be handed over"
        );
        let trouble = Trouble::of(error.blame(), error.reason(), context.reference)
            .action(ActionKind::TryAgain, again);
        render::problem(&self.pages, manner, trouble)
    }
}

fn fits(session: &Session, wish: &Wish) -> bool {
    let wanted = wish.provider.as_ref();
    wanted.is_none_or(|provider| *provider == session.identity.provider)
}
