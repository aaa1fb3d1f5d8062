//! Who am I: the page at the prefix, and `userinfo` for scripts.

use http::request::Parts as Head;
use http::{HeaderValue, Response, StatusCode, header};

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
                let mut response = render::bare(StatusCode::OK);
                *response.body_mut() = Body::full(body.to_string());
                response.headers_mut().insert(
                    header::CONTENT_TYPE,
                    HeaderValue::from_static("application/json"),
                );
                response
            }
            Err(response) => response,
        }
    }

    /// The session of this request, or the answer for somebody without one.
    pub(super) async fn signed_in(
        &self,
        context: &RequestContext,
        manner: Manner,
        head: &Head,
    ) -> Result<(Box<Session>, Ticket), Response<Body>> {
        let cookies = cookie_fields(&head.headers);
        let authentication = self.gate.authenticate(self.scope(context), &cookies).await;
        drop(cookies);
        match authentication {
            Authentication::SignedIn { session, ticket } => Ok((session, ticket)),
            Authentication::Anonymous { ended } => Err(self
                .ask_to_sign_in(context, manner, &head.headers, true, ended)
                .await),
            Authentication::Unavailable {
                reason,
                retry_after,
            } => {
                let trouble =
                    Trouble::new(StatusCode::SERVICE_UNAVAILABLE, reason, context.reference)
                        .retry_after(Some(retry_after))
                        .action(ActionKind::TryAgain, self.here(context));
                Err(render::problem(&self.pages, manner, trouble))
            }
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
