//! Who am I: the page at the prefix, and `userinfo` for scripts.

use std::time::Duration;

use http::request::Parts as Head;
use http::{Response, StatusCode};

use super::super::render::{self, Manner, Trouble};
use super::super::service::Inner;
use super::super::sign_in::cookie_fields;
use crate::base::body::Body;
use crate::gate::Authentication;
use crate::model::context::RequestContext;
use crate::model::identity::{Groups, Identity};
use crate::page::{ActionKind, WhoAmI};
use crate::session::sessions::Session;
use crate::session::ticket::Ticket;

impl Inner {
    pub(super) async fn who_am_i(
        &self,
        context: &RequestContext,
        manner: Manner,
        head: &Head,
    ) -> Response<Body> {
        match self.signed_in(context, manner, head).await {
            Ok((session, ticket)) => {
                let identity = &session.identity;
                self.pages.who_am_i(
                    manner.language,
                    &WhoAmI {
                        name: identity.name.clone(),
                        username: identity.username.clone(),
                        email: identity.email.clone(),
                        groups: match &identity.groups {
                            Groups::Known(groups) => Some(groups.clone()),
                            Groups::Unknown => None,
                        },
                        provider: self.provider_name(identity),
                        signed_in_at: Some(session.created_at),
                        expires_in: session.expires_at.since(context.received_at),
                        sign_out_action: format!("{}/sign_out", self.prefix),
                        csrf: self.logout.csrf_token(&ticket),
                        form_targets: Vec::new(),
                    },
                )
            }
            Err(response) => response,
        }
    }

    pub(super) async fn user_info(
        &self,
        context: &RequestContext,
        manner: Manner,
        head: &Head,
    ) -> Response<Body> {
        match self.signed_in(context, manner, head).await {
            Ok((session, _)) => {
                let identity = &session.identity;
                let groups = match &identity.groups {
                    Groups::Known(groups) => serde_json::json!(groups),
                    Groups::Unknown => serde_json::Value::Null,
                };
                let body = serde_json::json!({
                    "user": identity.subject,
                    "email": identity.verified_email(),
                    "groups": groups,
                    "preferredUsername": identity.username,
                    "provider": identity.provider,
                    "expires_in": session.expires_at.since(context.received_at).as_secs(),
                });
                render::data(&body)
            }
            Err(response) => response,
        }
    }

    /// Whether somebody is signed in, for scripts that ask again and again:
    /// it asks no provider, renews nothing and does not count as a use, so
    /// that an open tab does not keep a session alive.
    pub(super) async fn session_state(
        &self,
        context: &RequestContext,
        manner: Manner,
        head: &Head,
    ) -> Response<Body> {
        let cookies = cookie_fields(&head.headers);
        let authentication = self
            .gate
            .recognise(self.scope(context).as_deref(), &cookies)
            .await;
        drop(cookies);
        match authentication {
            Authentication::SignedIn { session, .. } => {
                let ends_at = self.gate.ends_at(&session);
                render::data(&serde_json::json!({
                    "signed_in": true,
                    "user": session.identity.subject,
                    "provider": session.identity.provider,
                    "expires_at": ends_at.as_secs(),
                    "expires_in": ends_at.since(context.received_at).as_secs(),
                }))
            }
            Authentication::Anonymous { .. } => render::data(&serde_json::json!({
                "signed_in": false,
                "login_url": self.start_url("/", None),
            })),
            Authentication::Unavailable {
                reason,
                retry_after,
            } => self.unavailable(context, manner, reason, retry_after),
        }
    }

    /// 503: nobody can say who this is.
    fn unavailable(
        &self,
        context: &RequestContext,
        manner: Manner,
        reason: &'static str,
        retry_after: Duration,
    ) -> Response<Body> {
        let trouble = Trouble::new(StatusCode::SERVICE_UNAVAILABLE, reason, context.reference)
            .retry_after(Some(retry_after))
            .action(ActionKind::TryAgain, self.here(context));
        render::problem(&self.pages, manner, trouble)
    }

    /// The session of this request, or the answer for somebody without one.
    pub(super) async fn signed_in(
        &self,
        context: &RequestContext,
        manner: Manner,
        head: &Head,
    ) -> Result<(Session, Ticket), Response<Body>> {
        let cookies = cookie_fields(&head.headers);
        let authentication = self
            .gate
            .authenticate(self.scope(context).as_deref(), &cookies)
            .await;
        drop(cookies);
        match authentication {
            Authentication::SignedIn { session, ticket } => Ok((session, ticket)),
            Authentication::Anonymous { ended } => Err(self
                .ask_to_sign_in(context, manner, &head.headers, ended)
                .await),
            Authentication::Unavailable {
                reason,
                retry_after,
            } => Err(self.unavailable(context, manner, reason, retry_after)),
        }
    }

    fn provider_name(&self, identity: &Identity) -> String {
        self.provider_names
            .iter()
            .find(|(id, _)| *id == identity.provider)
            .map_or_else(|| identity.provider.to_string(), |(_, name)| name.clone())
    }
}

/// How a page names a person: the first of name, username, mail, subject.
pub(crate) fn person(identity: &Identity) -> String {
    [&identity.name, &identity.username, &identity.email]
        .into_iter()
        .flatten()
        .find(|text| !text.is_empty())
        .unwrap_or(&identity.subject)
        .clone()
}
