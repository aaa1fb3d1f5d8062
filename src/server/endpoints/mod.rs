//! Own endpoints below `server.prefix`: a table of exact paths. Whatever else
//! lies below the prefix is 404, never upstream.

mod account;
mod back_channel;
mod form;
mod handoff;
mod login;
mod sign_out;

pub(super) use account::person;

use http::request::Parts as Head;
use http::{Method, Response, StatusCode};
use hyper::body::Incoming;

use super::render::{self, Manner, Trouble};
use super::service::{Answer, Inner};
use crate::base::body::Body;
use crate::model::context::RequestContext;

/// What the gateway answers itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    WhoAmI,
    SignIn,
    Start,
    /// With the id of the provider, where there are several.
    Callback(Option<String>),
    HandOff,
    SignOut,
    BackChannelLogout,
    UserInfo,
    /// Whether somebody is signed in, and until when.
    Session,
    Asset,
    Ping,
    Robots,
    Unknown,
}

impl Endpoint {
    /// `path`: what follows the prefix. Only `public_url`'s host talks to the
    /// provider.
    pub(super) fn find(path: &str, public_host: bool) -> Self {
        match path {
            "" | "/" => Self::WhoAmI,
            "/sign_in" => Self::SignIn,
            "/start" => Self::Start,
            "/callback" if public_host => Self::Callback(None),
            "/handoff" if !public_host => Self::HandOff,
            "/sign_out" => Self::SignOut,
            "/backchannel_logout" if public_host => Self::BackChannelLogout,
            "/userinfo" => Self::UserInfo,
            "/session" => Self::Session,
            _ if path.starts_with("/static/") => Self::Asset,
            _ => match path.strip_prefix("/callback/") {
                Some(id) if public_host && !id.is_empty() && !id.contains('/') => {
                    Self::Callback(Some(id.to_owned()))
                }
                _ => Self::Unknown,
            },
        }
    }

    /// Whether it takes `method`; 405 otherwise. What is not there is 404 for
    /// every method.
    pub fn takes(&self, method: &Method) -> bool {
        *self == Self::Unknown
            || self
                .allow()
                .split(", ")
                .any(|allowed| allowed == method.as_str())
    }

    /// Scripts of the route's origins may read its answers.
    pub(super) fn is_for_scripts(&self) -> bool {
        matches!(self, Self::Session | Self::UserInfo)
    }

    /// Signing out, also to sign in as somebody else.
    pub(super) fn ends_sessions(&self) -> bool {
        matches!(self, Self::SignOut | Self::SignIn)
    }

    fn allow(&self) -> &'static str {
        match self {
            Self::SignIn | Self::SignOut => "GET, HEAD, POST",
            Self::BackChannelLogout => "POST",
            _ => "GET, HEAD",
        }
    }
}

impl Inner {
    pub(super) async fn own(
        &self,
        endpoint: Endpoint,
        context: &RequestContext,
        manner: Manner,
        head: Head,
        body: Incoming,
    ) -> Response<Body> {
        match (&endpoint, &head.method) {
            (Endpoint::SignOut, &Method::POST) => {
                self.sign_out_by_post(context, manner, &head, body).await
            }
            (Endpoint::SignIn, &Method::POST) => {
                self.switch_account(context, manner, &head, body).await
            }
            (Endpoint::BackChannelLogout, &Method::POST) => {
                self.back_channel_logout(context, &head, body).await
            }
            _ => {
                self.own_without_body(endpoint, context, manner, &head)
                    .await
            }
        }
    }

    pub(super) async fn own_without_body(
        &self,
        endpoint: Endpoint,
        context: &RequestContext,
        manner: Manner,
        head: &Head,
    ) -> Response<Body> {
        match endpoint {
            Endpoint::WhoAmI => self.who_am_i(context, manner, head).await,
            Endpoint::UserInfo => self.user_info(context, manner, head).await,
            Endpoint::Session => self.session_state(context, manner, head).await,
            Endpoint::SignIn => self.sign_in(context, manner, head).await,
            Endpoint::Start => self.start(context, manner, head).await,
            Endpoint::Callback(id) => self.callback(context, manner, head, id.as_deref()).await,
            Endpoint::HandOff => self.hand_off(context, manner, head).await,
            Endpoint::SignOut => self.sign_out_by_get(context, manner, head).await,
            // Answered before, or only to a POST, which goes another way.
            Endpoint::Asset
            | Endpoint::Ping
            | Endpoint::Robots
            | Endpoint::BackChannelLogout
            | Endpoint::Unknown => self.not_found(context, manner),
        }
    }

    fn not_found(&self, context: &RequestContext, manner: Manner) -> Response<Body> {
        self.problem(manner, not_found(context))
    }

    /// Where there is nothing to work off: what was made at the start, what
    /// is not there, and methods that will not do.
    pub(super) fn at_hand(
        &self,
        endpoint: &Endpoint,
        context: &RequestContext,
        method: &Method,
    ) -> Option<Answer> {
        match endpoint {
            _ if !endpoint.takes(method) => {
                Some(Err(
                    Trouble::method(context.reference, endpoint.allow()).into()
                ))
            }
            Endpoint::Asset => {
                let asset = self.pages.asset(context.target.path());
                Some(asset.ok_or_else(|| not_found(context).into()))
            }
            Endpoint::Ping => Some(Ok(text("OK\n"))),
            Endpoint::Robots => Some(Ok(text("User-agent: *\nDisallow: /\n"))),
            Endpoint::Unknown => Some(Err(not_found(context).into())),
            _ => None,
        }
    }
}

fn not_found(context: &RequestContext) -> Trouble {
    Trouble::new(StatusCode::NOT_FOUND, "no_route", context.reference)
}

fn text(body: &'static str) -> Response<Body> {
    let mut response = render::bare(StatusCode::OK);
    *response.body_mut() = Body::full(body);
    response.headers_mut().insert(
        http::header::CONTENT_TYPE,
        http::HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

/// The one value of `name` in a query or form; `Err` if it comes twice.
pub(super) fn parameter(query: Option<&str>, name: &str) -> Result<Option<String>, ()> {
    let mut found = None;
    for (key, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        if key == name && found.replace(value.into_owned()).is_some() {
            return Err(());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_path_15_own_endpoints_are_exact() {
        assert_eq!(Endpoint::find("/start", false), Endpoint::Start);
        assert_eq!(Endpoint::find("/callback", false), Endpoint::Unknown);
        assert_eq!(Endpoint::find("/handoff", false), Endpoint::HandOff);
        assert_eq!(Endpoint::find("/handoff", true), Endpoint::Unknown);
        assert_eq!(Endpoint::find("/callback", true), Endpoint::Callback(None));
        assert_eq!(
            Endpoint::find("/callback/a", true),
            Endpoint::Callback(Some("a".into()))
        );
        for path in [
            "/start/",
            "/Start",
            "/callback/",
            "/callback/a/b",
            "/auth/x",
            "//start",
        ] {
            assert_eq!(Endpoint::find(path, true), Endpoint::Unknown, "{path}");
        }
    }

    #[test]
    fn sec_red_22_a_repeated_parameter_is_refused() {
        assert_eq!(parameter(Some("rd=/a"), "rd"), Ok(Some("/a".into())));
        assert_eq!(parameter(Some("rd=/a&rd=/b"), "rd"), Err(()));
        assert_eq!(parameter(Some("x=1"), "rd"), Ok(None));
    }
}
