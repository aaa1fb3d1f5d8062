//! `sign_out`: the record first, then the cookie, then the provider.

use http::request::Parts as Head;
use http::{Response, StatusCode, header};
use hyper::body::Incoming;
use url::Url;

use super::super::render::{self, Manner, Trouble};
use super::super::service::Inner;
use super::super::sign_in::{cookie_fields, encode};
use super::form::{self, FORM_WAIT};
use super::login::by_own_will;
use super::parameter;
use crate::base::body::Body;
use crate::base::fault::Fault;
use crate::base::kill_point;
use crate::gate::Authentication;
use crate::model::context::{Audience, RequestContext};
use crate::page::{SignOutConfirm, SignedOut};
use crate::session::sessions::Session;
use crate::session::ticket::Ticket;

impl Inner {
    /// GET acts only where the browser vouches that the person came from here
    /// or typed it; anything else gets a page with a button.
    pub(super) async fn sign_out_by_get(
        &self,
        context: &RequestContext,
        manner: Manner,
        head: &Head,
    ) -> Response<Body> {
        let query = context.target.query();
        let (Ok(return_to), Ok(state), Ok(code)) = (
            parameter(query, "rd"),
            parameter(query, "state"),
            parameter(query, "next"),
        ) else {
            return self.bad_request(context, manner);
        };
        let cookies = cookie_fields(&head.headers);
        match self
            .gate
            .recognise(self.scope(context).as_deref(), &cookies)
            .await
        {
            Authentication::SignedIn { session, ticket } => {
                if by_own_will(head) {
                    let return_to = self.after_sign_out(context, return_to.as_deref());
                    let mut response = self
                        .end_session(context, manner, &session, &return_to)
                        .await;
                    self.forget_rounds(head, &mut response);
                    return response;
                }
                self.pages.sign_out_confirm(
                    manner.language,
                    &SignOutConfirm {
                        action: format!("{}/sign_out", self.prefix),
                        csrf: self.logout.csrf_token(&ticket),
                        return_to: return_to.map(|asked| self.safe_return_to(Some(&asked))),
                        form_targets: Vec::new(),
                    },
                )
            }
            Authentication::Anonymous { .. } => {
                // From another host, which ended the session.
                if let Some(code) = code
                    && self.is_public_host(&context.target.authority)
                {
                    match self.logout.passed_on(&code).await {
                        Ok(Some(at_provider)) => {
                            let mut response =
                                render::redirect(StatusCode::SEE_OTHER, at_provider.as_str());
                            self.clear_shown_ticket(context, head, &mut response);
                            return response;
                        }
                        Ok(None) => {}
                        Err(error) => return self.store_problem(context, manner, &error),
                    }
                }
                // Back from the provider, or signed out already.
                let place = state
                    .and_then(|state| self.logout.return_to(&state))
                    .or(return_to);
                self.nobody_to_sign_out(context, manner, head, place.as_deref())
            }
            Authentication::Unavailable { .. } => {
                // Whose it is cannot be read now; the tickets can be ended all
                // the same.
                let tickets = self.gate.tickets(self.scope(context).as_deref(), &cookies);
                match tickets.first() {
                    Some(ticket) if !by_own_will(head) => self.pages.sign_out_confirm(
                        manner.language,
                        &SignOutConfirm {
                            action: format!("{}/sign_out", self.prefix),
                            csrf: self.logout.csrf_token(ticket),
                            return_to: return_to.map(|asked| self.safe_return_to(Some(&asked))),
                            form_targets: Vec::new(),
                        },
                    ),
                    _ => {
                        let return_to = return_to.as_deref();
                        self.end_unread(context, manner, &tickets, return_to).await
                    }
                }
            }
        }
    }

    pub(super) async fn sign_out_by_post(
        &self,
        context: &RequestContext,
        manner: Manner,
        head: &Head,
        body: Incoming,
    ) -> Response<Body> {
        match self.proven_post(context, manner, head, body).await {
            Err(response) => response,
            Ok((Shown::Session(session), return_to)) => {
                let return_to = self.after_sign_out(context, return_to.as_deref());
                let mut response = self
                    .end_session(context, manner, &session, &return_to)
                    .await;
                self.forget_rounds(head, &mut response);
                response
            }
            Ok((Shown::Unread(tickets), return_to)) => {
                let return_to = return_to.as_deref();
                self.end_unread(context, manner, &tickets, return_to).await
            }
            Ok((Shown::Nobody, return_to)) => {
                self.nobody_to_sign_out(context, manner, head, return_to.as_deref())
            }
        }
    }

    /// The session of a POST that our own page made: its Origin is ours, or
    /// its form shows the token that only this ticket has. With `rd`.
    pub(super) async fn proven_post(
        &self,
        context: &RequestContext,
        manner: Manner,
        head: &Head,
        body: Incoming,
    ) -> Result<(Shown, Option<String>), Response<Body>> {
        let form = form::read(body, FORM_WAIT)
            .await
            .map_err(|(status, reason)| {
                let trouble = Trouble::new(status, reason, context.reference);
                render::problem(&self.pages, manner, trouble)
            })?;
        let form = std::str::from_utf8(&form).map_err(|_| self.bad_request(context, manner))?;
        let (Ok(csrf), Ok(return_to)) =
            (parameter(Some(form), "csrf"), parameter(Some(form), "rd"))
        else {
            return Err(self.bad_request(context, manner));
        };
        let cookies = cookie_fields(&head.headers);
        match self
            .gate
            .recognise(self.scope(context).as_deref(), &cookies)
            .await
        {
            Authentication::SignedIn { session, ticket } => {
                let token_fits =
                    csrf.is_some_and(|shown| self.logout.csrf_token_fits(&ticket, &shown));
                if token_fits || self.origin_is_own(context, head) {
                    Ok((Shown::Session(session), return_to))
                } else {
                    Err(self.cross_site_post(context, manner))
                }
            }
            Authentication::Anonymous { .. } => Ok((Shown::Nobody, return_to)),
            Authentication::Unavailable { .. } => {
                let tickets = self.gate.tickets(self.scope(context).as_deref(), &cookies);
                let token_fits = csrf.is_some_and(|shown| {
                    let fits = |ticket| self.logout.csrf_token_fits(ticket, &shown);
                    tickets.iter().any(fits)
                });
                if token_fits || self.origin_is_own(context, head) {
                    Ok((Shown::Unread(tickets), return_to))
                } else {
                    Err(self.cross_site_post(context, manner))
                }
            }
        }
    }

    fn cross_site_post(&self, context: &RequestContext, manner: Manner) -> Response<Body> {
        let trouble = Trouble::new(StatusCode::FORBIDDEN, "cross_site_post", context.reference);
        render::problem(&self.pages, manner, trouble)
    }

    /// The store is away and these sessions were not read here before: they
    /// are over in this replica, and the others follow.
    async fn end_unread(
        &self,
        context: &RequestContext,
        manner: Manner,
        tickets: &[Ticket],
        return_to: Option<&str>,
    ) -> Response<Body> {
        if let Err(error) = self.logout.end_unread(tickets).await {
            return self.store_problem(context, manner, &error);
        }
        let return_to = self.after_sign_out(context, return_to);
        let mut response = if self.hand_off_host(context).is_some() {
            self.onward(manner, &self.home_sign_out(&return_to))
        } else {
            self.signed_out(manner, Some(&return_to))
        };
        render::set_cookies(&mut response, &[self.session_cookie(context).clear()]);
        kill_point::at("sign_out", "unanswered");
        response
    }

    async fn end_session(
        &self,
        context: &RequestContext,
        manner: Manner,
        session: &Session,
        return_to: &str,
    ) -> Response<Body> {
        let at_provider = match self.logout.end(session, return_to).await {
            Ok(at_provider) => at_provider,
            Err(error) => return self.store_problem(context, manner, &error),
        };
        let mut response = match at_provider {
            _ if self.hand_off_host(context).is_some() => {
                let home = self.sign_out_at_home(context, at_provider, return_to).await;
                self.onward(manner, &home)
            }
            Some(url) => self.onward(manner, url.as_str()),
            None => self.signed_out(manner, Some(return_to)),
        };
        render::set_cookies(&mut response, &[self.session_cookie(context).clear()]);
        kill_point::at("sign_out", "unanswered");
        response
    }

    /// Home's own cookie leads nowhere by now; it is cleared there, on the way
    /// to the provider.
    async fn sign_out_at_home(
        &self,
        context: &RequestContext,
        at_provider: Option<Url>,
        return_to: &str,
    ) -> String {
        let Some(at_provider) = at_provider else {
            return self.home_sign_out(return_to);
        };
        match self.logout.pass_on(&at_provider).await {
            Ok(code) => format!("{}/sign_out?next={code}", self.own_url),
            Err(error) => {
                tracing::warn!(
                    reference = %context.reference,
                    reason = error.reason(),
                    "a sign-out goes to the provider without clearing the cookie at home"
                );
                at_provider.into()
            }
        }
    }

    fn home_sign_out(&self, return_to: &str) -> String {
        format!("{}/sign_out?rd={}", self.own_url, encode(return_to))
    }

    /// Elsewhere. For a form a page that moves on, not a redirect:
    /// `form-action` of our own policy would stop a form that is redirected
    /// to another origin.
    fn onward(&self, manner: Manner, url: &str) -> Response<Body> {
        if manner.audience == Audience::Form {
            self.pages.redirecting(manner.language, url)
        } else {
            render::redirect(StatusCode::SEE_OTHER, url)
        }
    }

    /// The place to go to, as home reads it. The root of another host would
    /// only begin a new sign-in: "/" stands for the page that says what
    /// happened.
    fn after_sign_out(&self, context: &RequestContext, asked: Option<&str>) -> String {
        let asked = asked.filter(|asked| *asked != "/");
        self.return_to_from(context, asked)
    }

    /// There is no session on this host. The person's own may live at home,
    /// which asks before it ends.
    fn nobody_to_sign_out(
        &self,
        context: &RequestContext,
        manner: Manner,
        head: &Head,
        place: Option<&str>,
    ) -> Response<Body> {
        let mut response = if self.hand_off_host(context).is_some() {
            let place = self.after_sign_out(context, place);
            self.onward(manner, &self.home_sign_out(&place))
        } else {
            self.signed_out(manner, place)
        };
        self.clear_shown_ticket(context, head, &mut response);
        response
    }

    /// To the place that was asked for, else the page that says so.
    fn signed_out(&self, manner: Manner, place: Option<&str>) -> Response<Body> {
        let place = self.safe_return_to(place);
        if place == "/" {
            self.pages.signed_out(
                manner.language,
                &SignedOut {
                    sign_in_href: self.start_url("/", None),
                    elsewhere: self.logout.others_follow(),
                },
            )
        } else {
            render::redirect(StatusCode::SEE_OTHER, &place)
        }
    }

    fn clear_shown_ticket(
        &self,
        context: &RequestContext,
        head: &Head,
        response: &mut Response<Body>,
    ) {
        if self.shows_a_ticket(context, head) {
            render::set_cookies(response, &[self.session_cookie(context).clear()]);
            self.forget_rounds(head, response);
        }
    }

    /// Whether there is a cookie to clear. A cross-site request comes without
    /// it (SameSite): clearing it then would let any site sign people out.
    pub(super) fn shows_a_ticket(&self, context: &RequestContext, head: &Head) -> bool {
        let cookies = cookie_fields(&head.headers);
        !self
            .session_cookie(context)
            .find(cookies.iter().copied())
            .is_empty()
    }

    fn origin_is_own(&self, context: &RequestContext, head: &Head) -> bool {
        let mut origins = head.headers.get_all(header::ORIGIN).iter();
        let (Some(origin), None) = (origins.next(), origins.next()) else {
            return false;
        };
        let here = format!(
            "{}://{}",
            self.public_url.scheme.as_str(),
            context.target.authority
        );
        let public = self.public_url.to_string();
        [here, public]
            .iter()
            .any(|own| origin.as_bytes() == own.as_bytes())
    }
}

/// What a form of ours came with.
pub(super) enum Shown {
    Session(Session),
    /// Tickets that the store cannot say anything about now.
    Unread(Vec<Ticket>),
    Nobody,
}
