//! The way of one request to its upstream and of the answer back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::sender::Unanswered;
use http::header::{self, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body as _;
use hyper::body::Incoming;

use super::error::ProxyError;
use super::hop_by_hop;
use super::last_body::LastBody;
use super::line::{Line, Turn};
use super::pool::{Sent, Watch};
use super::request_body::{BodyWatch, WatchedBody};
use super::request_head::{NO_LENGTH, Rewrite};
use super::streams::Answering;
use super::survey::{Field, Survey};
use super::target::{self, UpstreamTarget};
use super::upgrade::Wanted;
use super::upstream_tls::UnusableUpstream;
use super::{response, tunnel};
use crate::base::body::Body;
use crate::config::checked::{Limits, Route};
use crate::identity_headers::{ReadyHeaders, ScrubList};
use crate::listener::Connection;
use crate::model::context::RequestContext;
use crate::model::target::Target;
use crate::policy::Permit;
use crate::telemetry::Telemetry;

/// How many fields of ours a request gets, as a rule.
const FIELDS_OF_OURS: usize = 12;

/// What is left of a Cookie field for an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CookieField {
    /// Holds nothing of ours: the field is sent as it is.
    Unchanged,
    Kept(HeaderValue),
    /// Held only ours: the field is dropped.
    Nothing,
}

/// Which cookies are the gateway's own.
#[derive(Debug, Clone, Copy)]
pub struct CookieFilter {
    /// Takes our cookies out of one Cookie field.
    pub strip: fn(&[u8]) -> CookieField,
    /// Whether a Set-Cookie value names a cookie of ours.
    pub is_own: fn(&[u8]) -> bool,
}

/// One request that policy let pass.
pub struct Outbound<'a> {
    pub target: &'a UpstreamTarget,
    pub context: &'a RequestContext,
    /// What the permit is for, and what is sent.
    pub judged: &'a Target,
    pub connection: &'a Connection,
    /// As received, with the extensions that hyper put in.
    pub parts: Parts,
    pub body: Incoming,
    /// What the upstream learns of the person; absent on public lanes.
    pub identity: Option<&'a ReadyHeaders>,
    /// What is left of its only Cookie field, for callers who know it: then it
    /// is not read here.
    pub cookies: Option<&'a CookieField>,
}

/// The head of an answer, and the connection that it came on.
struct Answered {
    response: Response<Answering>,
    line: Arc<Line>,
    turn: Turn,
}

/// The door of the module.
pub struct Proxy {
    targets: Vec<UpstreamTarget>,
    pub(super) scrub: Arc<ScrubList>,
    pub(super) cookies: CookieFilter,
    websocket_idle: Duration,
    body_idle: Duration,
}

impl Proxy {
    pub fn new(
        routes: &[Route],
        limits: &Limits,
        scrub: ScrubList,
        cookies: CookieFilter,
        telemetry: &Telemetry,
    ) -> Result<Self, UnusableUpstream> {
        Ok(Self {
            targets: target::compile(routes, limits, telemetry)?,
            scrub: Arc::new(scrub),
            cookies,
            websocket_idle: limits.websocket_idle,
            body_idle: limits.body_idle,
        })
    }

    /// In the order of the routes.
    pub fn targets(&self) -> &[UpstreamTarget] {
        &self.targets
    }

    /// Sends the request and returns the answer as soon as its head is here.
    /// With a 101 comes a `TunnelCloser` among its extensions.
    pub async fn forward(
        &self,
        permit: Permit,
        outbound: Outbound<'_>,
    ) -> Result<Response<Body>, ProxyError> {
        let Outbound {
            target,
            context,
            judged,
            connection,
            mut parts,
            body,
            identity,
            cookies,
        } = outbound;
        // A tunnel to anywhere, and an echo of headers that scripts may not
        // see: neither is a way to an application.
        if parts.method == Method::CONNECT || parts.method == Method::TRACE {
            return Err(ProxyError::MethodRefused);
        }
        // What an open lane is told must not depend on who asks.
        let identity = identity.filter(|_| permit.carries_identity());
        let there = Survey::of(&parts.headers, &self.scrub);
        let wanted = if there.has(Field::UPGRADE) {
            Wanted::read(&parts, !body.is_end_stream())?
        } else {
            None
        };
        if wanted.is_some() && !permit.upgrade_allowed() {
            return Err(ProxyError::UpgradeRefused);
        }
        let had_length = there.has(Field::CONTENT_LENGTH);
        let rewrite = Rewrite {
            context,
            connection,
            scrub: &self.scrub,
            cookies: self.cookies,
            passed_on: cookies,
            drop_cookies: permit.drops_cookies(),
            own_host: target.host.as_ref(),
            stripped: target.stripped.as_ref(),
            identity,
        };
        if wanted.is_none() && body.is_end_stream() && !target.pool.is_multiplexed() {
            let bytes = rewrite.bytes(&parts, there, judged);
            if let Some(answer) = self.directly(target, &bytes, &mut parts).await? {
                return Ok(answer);
            }
        }
        let expects_continue = there.has(Field::EXPECT)
            && hop_by_hop::has_token(&parts.headers, &header::EXPECT, b"100-continue");
        let mut headers = HeaderMap::with_capacity(parts.headers.len() + FIELDS_OF_OURS);
        rewrite.write(&parts.headers, there, &mut headers);
        parts.headers = headers;
        parts.version = Version::HTTP_11;
        parts.uri = Uri::from(judged.path_and_query.clone());
        if let Some(wanted) = wanted {
            return Box::pin(self.upgrade(target, connection, parts, wanted)).await;
        }
        // The client's half of an upgrade is not the upstream's business.
        parts.extensions.clear();
        let (body, watch) = self.body(target, &mut parts, body, had_length, expects_continue)?;
        let mut request = Request::from_parts(parts, body);
        if let (Some(watch), true) = (&watch, expects_continue) {
            let expect = HeaderValue::from_static("100-continue");
            request.headers_mut().insert(header::EXPECT, expect);
            let watch = watch.clone();
            hyper::ext::on_informational(&mut request, move |interim| {
                if interim.status() == StatusCode::CONTINUE {
                    watch.go();
                }
            });
        }
        let answered = exchange(target, request, watch.as_ref()).await?;
        // A stream of HTTP/2 keeps to itself what comes late.
        let alone = answered.response.version() != Version::HTTP_2;
        let held = watch.filter(|_| alone && expects_continue);
        let ends = held.is_some_and(|watch| watch.answered());
        let line = answered.line.clone();
        let response = self.received(answered)?;
        Ok(match ends {
            true => response.map(|body| LastBody::on(line, body)),
            false => response,
        })
    }

    /// Frames the request anew: an exact length, or chunked.
    fn body(
        &self,
        target: &UpstreamTarget,
        parts: &mut Parts,
        body: Incoming,
        had_length: bool,
        expects_continue: bool,
    ) -> Result<(Body, Option<Arc<BodyWatch>>), ProxyError> {
        if body.is_end_stream() {
            if had_length {
                parts
                    .headers
                    .insert(header::CONTENT_LENGTH, NO_LENGTH.clone());
            }
            return Ok((Body::Empty, None));
        }
        match (body.size_hint().exact(), target.max_body) {
            (Some(length), Some(limit)) if length > limit => {
                return Err(ProxyError::BodyTooLarge { limit });
            }
            (Some(length), _) => {
                let length = HeaderValue::from(length);
                parts.headers.insert(header::CONTENT_LENGTH, length);
            }
            (None, _) => {
                let chunked = HeaderValue::from_static("chunked");
                parts.headers.insert(header::TRANSFER_ENCODING, chunked);
            }
        }
        let watch = Arc::new(BodyWatch::new(target.max_body));
        let body = WatchedBody::new(body, watch.clone(), self.scrub.clone(), expects_continue);
        Ok((Body::watched(body), Some(watch)))
    }

    /// A response as the client may see it.
    fn received(&self, answered: Answered) -> Result<Response<Body>, ProxyError> {
        let Answered {
            response,
            line,
            turn,
        } = answered;
        let there = Survey::of(response.headers(), &self.scrub);
        // A stream ends when its response is dropped, and its connection,
        // which others use, knows nothing of a single exchange.
        let shared = response.version() == Version::HTTP_2;
        if let Err(error) = response::judge(response.status(), response.headers(), there) {
            if !shared {
                line.refuse(turn);
            }
            return Err(error);
        }
        if !shared {
            line.response_began(turn, response::is_event_stream(response.headers()));
        }
        let (scrub, cookies) = (&self.scrub, self.cookies);
        Ok(response::rewrite(
            response,
            there,
            scrub,
            cookies,
            self.body_idle,
        ))
    }

    async fn upgrade(
        &self,
        target: &UpstreamTarget,
        connection: &Connection,
        mut parts: Parts,
        wanted: Wanted,
    ) -> Result<Response<Body>, ProxyError> {
        wanted.announce(&mut parts.headers);
        let mut request = Request::from_parts(parts, Body::Empty);
        let client = hyper::upgrade::on(&mut request);
        request.extensions_mut().clear();
        let watch = Watch {
            patience: target.patience,
            body: None,
            repeatable: false,
            alone: true,
            since: None,
        };
        // Never on a connection that was used before: there would be no
        // second try.
        let sent = target.pool.send_fresh(request, watch).await?;
        let Sent {
            line, turn, answer, ..
        } = sent;
        let mut answer = answer.map_err(|error| failed(error, &line, None))?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            let response = answer;
            return self.received(Answered {
                response,
                line,
                turn,
            });
        }
        wanted.judge(answer.headers())?;
        let upstream = hyper::upgrade::on(&mut answer);
        let (tunnel, closer) = connection.tunnels.open();
        tokio::spawn(tunnel::run(client, upstream, tunnel, self.websocket_idle));
        let (mut parts, _) = answer.into_parts();
        parts.extensions.clear();
        parts.extensions.insert(closer);
        let there = Survey::of(&parts.headers, &self.scrub);
        let headers = &mut parts.headers;
        response::clean(parts.status, headers, there, &self.scrub, self.cookies);
        parts.headers.remove(header::CONTENT_LENGTH);
        wanted.announce(&mut parts.headers);
        Ok(Response::from_parts(parts, Body::Empty))
    }
}

/// Sends once. A second time only if the first try was never written, or if
/// the upstream closed the connection just then and the request has no body
/// and is idempotent (RFC 9110 section 9.2.2).
async fn exchange(
    target: &UpstreamTarget,
    request: Request<Body>,
    body: Option<&Arc<BodyWatch>>,
) -> Result<Answered, ProxyError> {
    let mut watch = Watch {
        patience: target.patience,
        body,
        repeatable: body.is_none() && request.method().is_idempotent(),
        alone: false,
        since: None,
    };
    // To make a connection is rare, and its room would be kept for every one.
    let first = match target.pool.send_pooled(request, watch) {
        Ok(sent) => Sent {
            line: sent.line,
            turn: sent.turn,
            answer: sent.answer.await,
            copy: sent.copy,
            fresh: sent.fresh,
        },
        Err(request) => Box::pin(target.pool.send_fresh(request, watch)).await?,
    };
    let (line, turn) = (first.line, first.turn);
    let mut error = match first.answer {
        Ok(response) => {
            return Ok(Answered {
                response,
                line,
                turn,
            });
        }
        Err(error) => error,
    };
    let request = match error.take_request() {
        _ if first.fresh => None,
        Some(request) => Some(request),
        None => first.copy.filter(|_| !timed_out(&error, &line)),
    };
    let Some(request) = request else {
        return Err(failed(error, &line, body));
    };
    if target.pool.is_multiplexed() && line.has_ended() {
        watch.since = Some(Instant::now());
    }
    let Sent {
        line, turn, answer, ..
    } = Box::pin(target.pool.send_fresh(request, watch)).await?;
    match answer {
        Ok(response) => Ok(Answered {
            response,
            line,
            turn,
        }),
        Err(error) => Err(failed(error, &line, body)),
    }
}

fn timed_out(error: &Unanswered, line: &Line) -> bool {
    matches!(error, Unanswered::TimedOut) || line.timed_out()
}

fn failed(error: Unanswered, line: &Line, body: Option<&Arc<BodyWatch>>) -> ProxyError {
    let late = timed_out(&error, line);
    match (body, error) {
        (Some(body), _) if body.too_large() => ProxyError::BodyTooLarge {
            limit: body.limit(),
        },
        (Some(body), _) if body.broken() => ProxyError::BodyBroken,
        (Some(body), _) if late && !body.ended() => ProxyError::BodyStalled,
        (_, Unanswered::Failed(error)) if !late => ProxyError::broken(error.into_error().into()),
        _ => ProxyError::Timeout,
    }
}
