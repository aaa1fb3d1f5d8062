//! What follows a decision: the permit goes to the proxy with the identity in
//! headers, a refusal to the renderer.

use http::request::Parts as Head;
use http::{Response, StatusCode};
use hyper::body::Incoming;

use super::render::{self, Manner, Trouble};
use super::service::Inner;
use crate::base::body::Body;
use crate::base::fault::{Blame, Fault};
use crate::identity_headers::{InjectError, ReadyHeaders, user_id};
use crate::listener::{Connection, TunnelCloser};
use crate::model::context::{Audience, RequestContext};
use crate::page::ActionKind;
use crate::policy::Permit;
use crate::proxy::Outbound;
use crate::route::Route;
use crate::session::sessions::{Session, SessionError};

/// The person is known but cannot be told to the upstream.
#[derive(Debug, thiserror::Error)]
enum HeadersError {
    #[error(transparent)]
    Inject(#[from] InjectError),
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl HeadersError {
    fn reason(&self) -> &'static str {
        match self {
            Self::Inject(error) => error.reason(),
            Self::Session(error) => error.reason(),
        }
    }
}

/// A request with its permit.
pub(super) struct Admitted<'a> {
    pub(super) permit: Permit,
    pub(super) route: &'a Route,
    pub(super) session: Option<Box<Session>>,
}

impl Inner {
    pub(super) async fn forward(
        &self,
        connection: &Connection,
        context: &RequestContext,
        manner: Manner,
        head: Head,
        body: Incoming,
        admitted: Admitted<'_>,
    ) -> Response<Body> {
        let route = admitted.route;
        let identity = match &admitted.session {
            None => None,
            Some(session) => match self.identity_headers(route, session) {
                Ok(ready) => Some(ready),
                Err(error) => {
                    tracing::warn!(
                        reference = %context.reference,
                        route.name = route.config.id,
                        reason = error.reason(),
                        detail = %error,
                        "identity cannot be put into headers"
                    );
                    return self.refuse(context, manner, error.reason(), Some(session));
                }
            },
        };
        let outbound = Outbound {
            target: &self.proxy.targets()[self.equipment[&route.config.id].upstream],
            context,
            connection,
            parts: head,
            body,
            identity: identity.as_ref(),
        };
        match self.proxy.forward(admitted.permit, outbound).await {
            Ok(mut response) => {
                let closer = response.extensions_mut().remove::<TunnelCloser>();
                if let (Some(closer), Some(session)) = (closer, admitted.session) {
                    self.tunnel_guard.guard(session, closer);
                }
                response
            }
            Err(error) => {
                let (reason, detail) = (error.reason(), error.to_string());
                match error.blame() {
                    Blame::Client => tracing::debug!(
                        reference = %context.reference, route.name = route.config.id,
                        reason, detail, "request not forwarded"
                    ),
                    _ => tracing::warn!(
                        reference = %context.reference, route.name = route.config.id,
                        reason, detail, "request not forwarded"
                    ),
                }
                let trouble = Trouble::new(error.status(), reason, context.reference);
                let retryable = context.audience == Audience::Navigation;
                let trouble = if retryable {
                    trouble.action(ActionKind::TryAgain, self.here(context))
                } else {
                    trouble
                };
                render::problem(&self.pages, manner, trouble)
            }
        }
    }

    /// What the upstream is told about the person.
    fn identity_headers(
        &self,
        route: &Route,
        session: &Session,
    ) -> Result<ReadyHeaders, HeadersError> {
        let injection = &self.equipment[&route.config.id].injection;
        let several = self.provider_names.len() > 1;
        let tokens = if injection.wants_access_token() {
            Some(session.tokens()?)
        } else {
            None
        };
        let access_token = tokens.as_ref().map(|tokens| &tokens.access_token);
        let user = user_id(&session.identity, several);
        Ok(injection.render(&session.identity, access_token, &user)?)
    }

    /// 403: signed in or not, this may not pass. Never a login loop.
    pub(super) fn refuse(
        &self,
        context: &RequestContext,
        manner: Manner,
        reason: &'static str,
        session: Option<&Session>,
    ) -> Response<Body> {
        let mut trouble = Trouble::new(StatusCode::FORBIDDEN, reason, context.reference);
        if let Some(session) = session {
            trouble.signed_in_as = Some(super::endpoints::person(&session.identity));
            let switch = format!("{}/sign_in", self.own_url);
            trouble = trouble.action(ActionKind::SwitchAccount, switch);
        }
        render::problem(&self.pages, manner, trouble)
    }
}
