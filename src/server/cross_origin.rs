//! CORS on answers of our own: a script of the route's own origins may read
//! why a call failed and whether somebody is signed in. Nobody else may, and
//! an origin is never echoed because it was sent.
//!
//! Answers of applications are not touched: their CORS is their own.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    VARY,
};
use http::{HeaderValue, Response};

use super::place::{Place, place};
use super::service::Inner;
use crate::base::body::Body;
use crate::model::context::RequestContext;

/// Marks an answer that the gateway made itself, not an application.
#[derive(Debug, Clone, Copy)]
pub(super) struct OwnAnswer;

/// What a request says of the page that its script belongs to. Of several
/// Origin fields none counts.
pub(super) struct Asker(pub(super) Option<HeaderValue>);

impl Inner {
    /// Lets the route's own origins read `response` if it is an error of
    /// ours, or one of the endpoints for scripts.
    pub(super) fn share(
        &self,
        context: &RequestContext,
        asker: &Asker,
        response: &mut Response<Body>,
    ) {
        if response.extensions().get::<OwnAnswer>().is_none() {
            return;
        }
        let headers = response.headers_mut();
        headers.append(VARY, HeaderValue::from_static("Origin"));
        let Some(origin) = &asker.0 else { return };
        if !self.may_read(context, origin.as_bytes()) {
            return;
        }
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(
            ACCESS_CONTROL_ALLOW_CREDENTIALS,
            HeaderValue::from_static("true"),
        );
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("Retry-After, WWW-Authenticate"),
        );
    }

    fn may_read(&self, context: &RequestContext, origin: &[u8]) -> bool {
        let target = &context.target;
        match place(&self.routes, &self.prefix, target) {
            Place::Own(endpoint) => {
                endpoint.is_for_scripts() && self.routes.is_origin_at(&target.authority, origin)
            }
            Place::Route(route) => self.routes.is_origin_of(route, origin),
            Place::UnknownHost | Place::Refused(_) | Place::NoRoute => false,
        }
    }
}
