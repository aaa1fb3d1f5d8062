//! The short way: a request without a body and its answer over an HTTP/1.1
//! connection of our own, in the task of the request.

use http::request::Parts;
use http::{Method, Response};
use hyper::ext::ReasonPhrase;

use super::error::ProxyError;
use super::forward::Proxy;
use super::http1::{Lost, Received, RequestBytes, ResponseHead, Wire};
use super::response;
use super::sender::RESPONSE_HEAD;
use super::survey::Survey;
use super::target::UpstreamTarget;
use crate::base::body::Body;

impl Proxy {
    /// Sends once. A second time only if the first went over a connection that
    /// had served before, and was never written, or the upstream closed it
    /// just then and the request is idempotent (RFC 9110 section 9.2.2).
    /// `None`: the upstream turned out to speak HTTP/2, and nothing was sent.
    pub(super) async fn directly(
        &self,
        target: &UpstreamTarget,
        request: &RequestBytes,
        parts: &mut Parts,
    ) -> Result<Option<Response<Body>>, ProxyError> {
        let mut tried = false;
        let mut resting = target.pool.resting();
        loop {
            let mut wire = if let Some(wire) = resting.take() {
                wire
            // Rare, and its room would be kept for every connection.
            } else if let Some(wire) = Box::pin(target.pool.dial_wire()).await? {
                wire
            } else {
                return Ok(None);
            };
            match exchange(target, &mut wire, request, parts).await {
                Ok(head) => return self.answer(target, wire, head, &parts.method).map(Some),
                Err(lost) if tried || !wire.has_served() => return Err(lost.into()),
                Err(Lost::Unsent(_)) => {}
                Err(Lost::Closed(_)) if parts.method.is_idempotent() => {}
                Err(lost) => return Err(lost.into()),
            }
            tried = true;
        }
    }

    /// The answer as the client may see it. A connection whose answer is
    /// refused is closed.
    fn answer(
        &self,
        target: &UpstreamTarget,
        wire: Wire,
        head: ResponseHead,
        method: &Method,
    ) -> Result<Response<Body>, ProxyError> {
        let there = Survey::of(&head.headers, &self.scrub);
        let length = response::judge(head.status, &head.headers, there)?;
        let framing = response::framing(&head, there, length, *method == Method::HEAD)?;
        let pool = response::stays_open(&head, there, framing).then(|| target.pool.clone());
        let line = wire.line();
        line.response_began(line.turn(), response::is_event_stream(&head.headers));
        let scrub = self.scrub.clone();
        let body = Received::body(wire, framing, pool, move |trailers| {
            response::clean_trailers(trailers, &scrub);
        });
        let mut response = Response::new(body);
        *response.status_mut() = head.status;
        *response.headers_mut() = head.headers;
        let status = response.status();
        let headers = response.headers_mut();
        response::clean(status, headers, there, &self.scrub, self.cookies);
        if let Some(reason) = head.reason
            && let Ok(reason) = ReasonPhrase::try_from(reason)
        {
            response.extensions_mut().insert(reason);
        }
        Ok(response)
    }
}

async fn exchange(
    target: &UpstreamTarget,
    wire: &mut Wire,
    request: &RequestBytes,
    parts: &mut Parts,
) -> Result<ResponseHead, Lost> {
    wire.line().request_began(target.patience, None);
    wire.exchange(request, &mut parts.headers, RESPONSE_HEAD)
        .await
}

impl From<Lost> for ProxyError {
    fn from(lost: Lost) -> Self {
        match lost {
            Lost::TimedOut => Self::Timeout,
            Lost::Unsent(error) | Lost::Closed(error) => Self::broken(error.into()),
            Lost::Broken(error) => Self::broken(error),
        }
    }
}
