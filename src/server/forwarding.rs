//! What follows a decision: the permit goes to the proxy with the identity in
//! headers, a refusal to the renderer.

use http::StatusCode;

use super::pending::Pending;
use super::render::Trouble;
use super::service::{Answer, Inner};
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
        pending: &mut Pending,
        admitted: Admitted<'_>,
    ) -> Answer {
        let route = admitted.route;
        let equipment = &self.equipment[route.index];
        let identity = match &admitted.session {
            None => None,
            Some(session) => {
                let injection = &equipment.injection;
                match self.gate.tell(&route.config.id, injection, session).await {
                    Ok(ready) => Some(ready),
                    Err(error) => return Err(self.untold(context, route, session, &error)),
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
                Ok(response)
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
                Err(trouble.into())
            }
        }
    }

    /// The person may pass, but cannot be told to the upstream.
    fn untold(
        &self,
        context: &RequestContext,
        route: &Route,
        session: &Session,
        error: &TellError,
    ) -> Box<Trouble> {
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
            return trouble.into();
        }
        self.refusal(context, error.reason(), Some(session))
    }

    /// 403: signed in or not, this may not pass. Never a login loop.
    pub(super) fn refusal(
        &self,
        context: &RequestContext,
        reason: &'static str,
        session: Option<&Session>,
    ) -> Box<Trouble> {
        let mut trouble = Trouble::new(StatusCode::FORBIDDEN, reason, context.reference);
        if let Some(session) = session {
            trouble.signed_in_as = Some(super::endpoints::person(&session.identity));
            let switch = format!("{}/sign_in", self.own_url);
            trouble = trouble.action(ActionKind::SwitchAccount, switch);
        }
        trouble.into()
    }
}
