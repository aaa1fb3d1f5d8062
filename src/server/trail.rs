//! What is told about a request once it has its answer: one line in the access
//! log, and the counters.

use std::time::Duration;

use http::{HeaderValue, Method, Response};

use super::service::Inner;
use crate::base::body::Body;
use crate::listener::Connection;
use crate::model::context::{RequestContext, RequestRef};
use crate::session::record::SessionReference;
use crate::telemetry::RequestLine;

/// What is told about a request besides its answer, filled on the way; by the
/// access log unless said otherwise.
#[derive(Default)]
pub(super) struct Trail<'a> {
    pub(super) route: Option<&'a str>,
    pub(super) rule: Option<String>,
    pub(super) lane: Option<&'static str>,
    pub(super) decision: Option<&'static str>,
    pub(super) reason: Option<&'static str>,
    pub(super) session: Option<SessionReference>,
    /// The decision header for admins.
    pub(super) trace: Option<HeaderValue>,
}

/// A request and what came of it.
pub(super) struct Answered<'a> {
    pub(super) connection: &'a Connection,
    /// `None` for a request that could not be read.
    pub(super) context: Option<&'a RequestContext>,
    pub(super) reference: RequestRef,
    pub(super) method: &'a Method,
    pub(super) response: &'a Response<Body>,
    pub(super) duration: Duration,
    pub(super) trail: Trail<'a>,
}

impl Inner {
    pub(super) fn log(&self, answered: &Answered<'_>) {
        let trail = &answered.trail;
        let reference = answered.reference.text();
        let connection = answered.connection;
        let client;
        let mut line = RequestLine {
            time: match answered.context {
                Some(context) => context.received_at.plus(answered.duration),
                None => self.contexts.now(),
            },
            reference: reference.as_bytes(),
            method: answered.method.as_str(),
            host: "",
            port: None,
            path: "",
            status: answered.response.status().as_u16(),
            bytes: http_body::Body::size_hint(answered.response.body()).exact(),
            duration: answered.duration,
            client: connection.address_text().as_bytes(),
            route: trail.route,
            rule: trail.rule.as_deref(),
            lane: trail.lane,
            decision: trail.decision,
            reason: trail.reason,
            session: trail.session.as_ref().map(SessionReference::as_bytes),
        };
        if let Some(context) = answered.context {
            line.host = &context.target.authority.host;
            line.port = context.target.authority.port;
            line.path = context.target.path();
            if context.client_addr != connection.address() {
                client = context.client_addr.to_string();
                line.client = client.as_bytes();
            }
        }
        self.telemetry.request(&line);
    }
}
