//! What follows a decision: the permit goes to the proxy with the identity in
//! headers, a refusal to the renderer.

use http::{Response, StatusCode};

use super::pending::Pending;
use super::render::{self, Manner, Trouble};
use super::service::Inner;
use crate::base::body::Body;
use crate::base::fault::{Blame, Fault};
use crate::gate::TellError;
use crate::listener::{Connection, TunnelCloser};
use crate::model::context::{Audience, RequestContext};
use crate::model::target::Target;
use crate::page::ActionKind;
use crate::policy::Permit;
use crate::proxy::{CookieField, Outbound};
use crate::route::Route;
use crate::session::sessions::Session;

/// A request with its permit.
pub(super) struct Admitted<'a> {
    pub(super) permit: Permit,
    pub(super) route: &'a Route,
    /// What was judged and will be sent.
    pub(super) judged: &'a Target,
    pub(super) session: Option<Session>,
    /// What the upstream gets of the only Cookie field, if that is known.
    pub(super) cookies: Option<&'a CookieField>,
}

impl Inner {
    pub(super) async fn forward(
        &self,
        connection: &Connection,
        context: &RequestContext,
        manner: Manner,
        pending: &mut Pending,
        admitted: Admitted<'_>,
    ) -> Response<Body> {
        let route = admitted.route;
        let equipment = &self.equipment[route.index];
        let identity = match &admitted.session {
            None => None,
            Some(session) => {
                let injection = &equipment.injection;
                match self.gate.tell(&route.config.id, injection, session).await {
                    Ok(ready) => Some(ready),
                    Err(error) => return self.untold(context, manner, route, session, &error),
                }
            }
        };
        let (parts, body) = pending.take();
        let outbound = Outbound {
            target: &self.proxy.targets()[equipment.upstream],
            context,
            judged: admitted.judged,
            connection,
            parts,
            body,
            identity: identity.as_ref(),
            cookies: admitted.cookies,
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
                let trouble = Trouble::new(error.status(), reason, context.reference)
                    .retry_after(error.retry_after());
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

    /// The person may pass, but cannot be told to the upstream.
    fn untold(
        &self,
        context: &RequestContext,
        manner: Manner,
        route: &Route,
        session: &Session,
        error: &TellError,
    ) -> Response<Body> {
        tracing::warn!(
            reference = %context.reference,
            route.name = route.config.id,
            session.reference = session.id.reference(),
            reason = error.reason(),
            detail = %error,
            "identity cannot be put into headers"
        );
        if matches!(error, TellError::Session(_) | TellError::AccessTokenEnded) {
            let trouble = Trouble::of(error.blame(), error.reason(), context.reference)
                .action(ActionKind::TryAgain, self.here(context));
            return render::problem(&self.pages, manner, trouble);
        }
        self.refuse(context, manner, error.reason(), Some(session))
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
