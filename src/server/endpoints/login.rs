//! `sign_in`, `start` and `callback`.

use http::request::Parts as Head;
use http::{Method, Response, StatusCode, header};
use hyper::body::Incoming;

use super::super::render::{self, Manner, Trouble};
use super::super::service::Inner;
use super::super::sign_in::{After, Beginning, cookie_fields};
use super::parameter;
use super::sign_out::Shown;
use crate::base::body::Body;
use crate::base::fault::{Blame, Fault};
use crate::base::header_names::{SEC_FETCH_DEST, SEC_FETCH_MODE, SEC_FETCH_SITE, SEC_PURPOSE};
use crate::base::kill_point;
use crate::gate::Authentication;
use crate::login::{Asking, CallbackRequest, CameBack, Failed, SignedIn};
use crate::model::context::RequestContext;
use crate::model::identity::ProviderId;
use crate::page::{ActionKind, Choice, SignIn, SignInNotice, SwitchAccount};

impl Inner {
    /// The page with the providers. With a live session: whoever comes from
    /// our own pages or by hand wants another account; anybody else is asked.
    pub(super) async fn sign_in(
        &self,
        context: &RequestContext,
        manner: Manner,
        head: &Head,
    ) -> Response<Body> {
        let Ok(return_to) = parameter(context.target.query(), "rd") else {
            return self.bad_request(context, manner);
        };
        let return_to = self.return_to_from(context, return_to.as_deref());
        let cookies = cookie_fields(&head.headers);
        match self
            .gate
            .authenticate(self.scope(context).as_deref(), &cookies)
            .await
        {
            Authentication::SignedIn { session, ticket } => {
                if !by_own_will(head) {
                    return self.pages.switch_account(
                        manner.language,
                        &SwitchAccount {
                            person: super::person(&session.identity),
                            continue_href: return_to,
                            switch_action: format!("{}/sign_in", self.prefix),
                            csrf: self.logout.csrf_token(&ticket),
                            form_targets: Vec::new(),
                        },
                    );
                }
                if let Err(error) = self.logout.end(&session, &return_to).await {
                    return self.store_problem(context, manner, &error);
                }
                let notice = Some(SignInNotice::SignedOut);
                let mut response = self.sign_in_page(manner, &return_to, notice);
                render::set_cookies(&mut response, &[self.session_cookie(context).clear()]);
                self.forget_rounds(head, &mut response);
                response
            }
            Authentication::Anonymous { .. } if self.hand_off_host(context).is_some() => {
                self.start(context, manner, head).await
            }
            // Only that host may begin: the cookie of the transaction stays there.
            Authentication::Anonymous { ended: None }
                if self.straight_on() && !self.is_public_host(&context.target.authority) =>
            {
                self.start(context, manner, head).await
            }
            Authentication::Anonymous { ended: None } if self.straight_on() => {
                let beginning = Beginning {
                    provider: &self.only_provider(),
                    after: After::Place(&return_to),
                    asking: Asking::Usually,
                    ended: None,
                };
                self.begin(context, manner, &head.headers, beginning).await
            }
            Authentication::Anonymous { ended } => {
                let notice = ended.map(|_| SignInNotice::SessionEnded);
                self.sign_in_page(manner, &return_to, notice)
            }
            // Signing in needs the store too, and says so itself.
            Authentication::Unavailable { .. } => self.sign_in_page(manner, &return_to, None),
        }
    }

    pub(super) fn sign_in_page<'a>(
        &self,
        manner: Manner,
        after: impl Into<After<'a>>,
        notice: Option<SignInNotice>,
    ) -> Response<Body> {
        let after = after.into();
        let choices = self
            .provider_names
            .iter()
            .map(|(id, name)| Choice {
                label: name.clone(),
                href: {
                    let start = self.start_url(after, Some(id));
                    // Whoever wants another account must be asked, though
                    // the provider still knows the old one.
                    if notice == Some(SignInNotice::SignedOut) {
                        format!("{start}&switch=1")
                    } else {
                        start
                    }
                },
            })
            .collect();
        self.pages
            .sign_in(manner.language, &SignIn { choices, notice })
    }

    /// "Use another account" of the page above.
    pub(super) async fn switch_account(
        &self,
        context: &RequestContext,
        manner: Manner,
        head: &Head,
        body: Incoming,
    ) -> Response<Body> {
        match self.proven_post(context, manner, head, body).await {
            Err(response) => response,
            Ok((shown, _)) => {
                let ended = match shown {
                    Shown::Session(session) => self.logout.end(&session, "/").await.map(|_| ()),
                    Shown::Unread(tickets) => self.logout.end_unread(&tickets).await,
                    Shown::Nobody => Ok(()),
                };
                if let Err(error) = ended {
                    return self.store_problem(context, manner, &error);
                }
                let mut response = self.sign_in_page(manner, "/", Some(SignInNotice::SignedOut));
                if self.shows_a_ticket(context, head) {
                    render::set_cookies(&mut response, &[self.session_cookie(context).clear()]);
                }
                self.forget_rounds(head, &mut response);
                response
            }
        }
    }

    pub(super) async fn start(
        &self,
        context: &RequestContext,
        manner: Manner,
        head: &Head,
    ) -> Response<Body> {
        let query = context.target.query();
        let (Ok(return_to), Ok(provider), Ok(switch), Ok(quiet), Ok(wish)) = (
            parameter(query, "rd"),
            parameter(query, "provider"),
            parameter(query, "switch"),
            parameter(query, "quiet"),
            parameter(query, "h"),
        ) else {
            return self.bad_request(context, manner);
        };
        // The transaction's cookie belongs to the host that talks to the
        // provider.
        if !self.is_public_host(&context.target.authority) {
            let asked = return_to.as_deref().unwrap_or("/");
            if let Some(host) = self.hand_off_host(context)
                && let Some(path) = self.path_on(&host, asked)
            {
                return self.wish_for_session(&head.headers, &host, &path, provider);
            }
            let return_to = self.return_to_from(context, Some(return_to.as_deref().unwrap_or("/")));
            let provider = provider.map(ProviderId);
            let url = self.start_url(&return_to, provider.as_ref());
            return render::redirect(StatusCode::FOUND, &url);
        }
        if let Some(wish) = wish {
            return self
                .start_for_wish(context, manner, head, &wish, provider)
                .await;
        }
        let return_to = self.safe_return_to(return_to.as_deref());
        let provider = match provider {
            Some(id) => ProviderId(id),
            None if self.provider_names.len() == 1 => self.only_provider(),
            None => return self.sign_in_page(manner, &return_to, None),
        };
        let asking = match (switch, quiet) {
            (Some(_), _) => Asking::Anew,
            (None, Some(_)) if self.knows(context, head, &provider).await => Asking::Nobody,
            (None, _) => Asking::Usually,
        };
        let beginning = Beginning {
            provider: &provider,
            after: After::Place(&return_to),
            asking,
            ended: None,
        };
        self.begin(context, manner, &head.headers, beginning).await
    }

    /// Whether this browser shows a session that the provider began.
    async fn knows(&self, context: &RequestContext, head: &Head, provider: &ProviderId) -> bool {
        let cookies = cookie_fields(&head.headers);
        let scope = self.scope(context);
        let who = self.gate.recognise(scope.as_deref(), &cookies).await;
        matches!(who, Authentication::SignedIn { session, .. } if session.identity.provider == *provider)
    }

    pub(super) async fn callback(
        &self,
        context: &RequestContext,
        manner: Manner,
        head: &Head,
        provider: Option<&str>,
    ) -> Response<Body> {
        let cookies = cookie_fields(&head.headers);
        let request = CallbackRequest {
            provider,
            query: context.target.query(),
            cookies: &cookies,
            user_agent: head
                .headers
                .get(header::USER_AGENT)
                .and_then(|value| value.to_str().ok()),
        };
        match self.login.callback(request).await {
            CameBack::SignedIn(signed_in) => {
                self.welcome(context, manner, &cookies, *signed_in).await
            }
            CameBack::Again(started) => {
                let mut response = render::redirect(StatusCode::FOUND, started.location.as_str());
                render::set_cookies(&mut response, &started.set_cookies);
                response
            }
            CameBack::Failed(failed) => self.login_failed(context, manner, &cookies, *failed).await,
        }
    }

    async fn welcome(
        &self,
        context: &RequestContext,
        manner: Manner,
        cookies: &[&[u8]],
        signed_in: SignedIn,
    ) -> Response<Body> {
        let mut ticket = signed_in.ticket;
        let before = match self
            .gate
            .recognise(self.scope(context).as_deref(), cookies)
            .await
        {
            Authentication::SignedIn {
                session,
                ticket: shown,
            } => {
                // Another tab was faster: its session stays, because requests
                // with its ticket are under way.
                let (before, after) = (&session.identity, &signed_in.session.identity);
                let stays = session.created_at >= signed_in.started_at
                    && (&before.provider, &before.issuer, &before.subject)
                        == (&after.provider, &after.issuer, &after.subject);
                // Otherwise the one that this browser had is replaced, whoever's
                // it was. Nobody holds the other ticket any more.
                let superfluous = if stays { &signed_in.session } else { &session };
                if shown != ticket
                    && let Err(error) = self.logout.replace(superfluous).await
                {
                    tracing::warn!(
                        reference = %context.reference,
                        reason = error.reason(),
                        "the other session of this browser could not be ended"
                    );
                }
                if stays {
                    ticket = shown;
                }
                Some(session)
            }
            Authentication::Anonymous { .. } | Authentication::Unavailable { .. } => None,
        };
        let cleared = self.routes.clearing(
            &context.target.authority,
            before.as_ref().map(|session| &*session.identity),
            &signed_in.session.identity,
        );
        // Once more: the configuration may have changed since the start.
        let return_to = match &signed_in.hand_off {
            Some(wish) => self.start_url(After::HandOff(wish), None),
            None => self.safe_return_to(Some(&signed_in.return_to)),
        };
        let mut response = if self.strict_cookie {
            self.pages.redirecting(manner.language, &return_to)
        } else {
            render::redirect(StatusCode::SEE_OTHER, &return_to)
        };
        let mut set = signed_in.set_cookies;
        set.push(self.session_cookie(context).set(&ticket));
        set.extend(cleared);
        render::set_cookies(&mut response, &set);
        kill_point::at("login", "unanswered");
        response
    }

    async fn login_failed(
        &self,
        context: &RequestContext,
        manner: Manner,
        cookies: &[&[u8]],
        failed: Failed,
    ) -> Response<Body> {
        let return_to = self.safe_return_to(failed.return_to.as_deref());
        let after = match &failed.hand_off {
            Some(wish) => After::HandOff(wish),
            None => After::Place(&return_to),
        };
        if failed.had_succeeded() {
            // A later sign-in of this browser took its place.
            let scope = self.scope(context);
            let who = self.gate.recognise(scope.as_deref(), cookies).await;
            if matches!(who, Authentication::SignedIn { .. }) {
                let place = match after {
                    After::HandOff(_) => self.start_url(after, None),
                    After::Place(place) => place.to_owned(),
                };
                return render::redirect(StatusCode::SEE_OTHER, &place);
            }
        }
        let reference = failed
            .attempt
            .unwrap_or_else(|| context.reference.to_string());
        self.login_problem(manner, &failed.error, failed.phase, reference, after)
    }

    /// Who signs out by hand goes in no circle.
    pub(super) fn forget_rounds(&self, head: &Head, response: &mut Response<Body>) {
        let cookies = cookie_fields(&head.headers);
        if let Some(forgotten) = self.login.forget_rounds(&cookies) {
            render::set_cookies(response, &[forgotten]);
        }
    }

    pub(super) fn bad_request(&self, context: &RequestContext, manner: Manner) -> Response<Body> {
        let trouble = Trouble::of(Blame::Client, "bad_request", context.reference);
        render::problem(&self.pages, manner, trouble)
    }

    pub(super) fn store_problem(
        &self,
        context: &RequestContext,
        manner: Manner,
        error: &dyn Fault,
    ) -> Response<Body> {
        tracing::error!(
            reference = %context.reference,
            reason = error.reason(),
            detail = %error,
            "session store failed"
        );
        let trouble = Trouble::of(error.blame(), error.reason(), context.reference)
            .retry_after(Some(std::time::Duration::from_secs(2)))
            .action(ActionKind::TryAgain, self.here(context));
        render::problem(&self.pages, manner, trouble)
    }
}

/// The browser says that this navigation comes from our own pages or from the
/// address bar. Where it says nothing, the answer is no. A picture, a script
/// or a prefetch is nobody's will: an application's own pages may hold
/// pictures that other people put there.
pub(super) fn by_own_will(head: &Head) -> bool {
    let only = |name: &http::HeaderName, wanted: &[&[u8]]| {
        let mut values = head.headers.get_all(name).iter();
        match (values.next(), values.next()) {
            (Some(value), None) => wanted.contains(&value.as_bytes()),
            _ => false,
        }
    };
    head.method == Method::GET
        && only(&SEC_FETCH_SITE, &[b"same-origin", b"none"])
        && only(&SEC_FETCH_MODE, &[b"navigate"])
        && only(&SEC_FETCH_DEST, &[b"document"])
        && !head.headers.contains_key(SEC_PURPOSE)
}

#[cfg(test)]
mod tests;
