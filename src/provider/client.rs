//! The one outbound HTTP client of a provider: HTTP/1.1, no redirects, no
//! compression, nothing sent twice behind our back, everything bounded.
//!
//! **`internal_url`**: a URL on the issuer's origin is dialled at the internal
//! origin, but keeps the issuer's Host and adds `X-Forwarded-Proto`. Keycloak
//! and authentik build the issuer and the endpoints of their answers from
//! what they see there; with the internal name they would announce themselves
//! as another issuer.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{
    AGE, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, DATE, HOST, RETRY_AFTER, USER_AGENT,
};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::TokioExecutor;
use tokio::time::Instant;
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceBuilder, ServiceExt};
use url::Url;

use super::breaker::{Breaker, BreakerLayer, Refusal};
use super::connector::{DeadlineConnector, connector, failure_class};
use super::error::{Class, Phase, ProviderError, Sent};
use crate::base::body::BoxError;
use crate::base::bounded_body::{self, ReadError};
use crate::base::clock::{Clock, Timestamp};
use crate::base::{header_names, random};
use crate::config::checked::{Limits, Provider as ProviderConfig};
use crate::model::origin::Origin;

/// Nobody waits longer than this because a provider said so.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);

/// Answers without a usable Date header leave the known offset as it is.
const OFFSET_UNKNOWN: i64 = i64::MIN;

/// A complete answer of the provider, whatever its status.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    /// Lower case, without parameters; empty where there was none.
    pub media_type: String,
    pub retry_after: Option<Duration>,
    /// `max-age` of Cache-Control; zero for no-store and no-cache.
    pub max_age: Option<Duration>,
    pub body: Bytes,
    /// How often the request was tried.
    pub attempts: u32,
}

/// Why no complete answer came.
#[derive(Debug, thiserror::Error)]
#[error("{class}")]
pub struct TransportError {
    pub class: Class,
    pub sent: Sent,
    pub attempts: u32,
    pub retry_after: Option<Duration>,
    /// For operators.
    pub detail: Option<String>,
}

impl TransportError {
    fn new(class: Class, sent: Sent) -> Self {
        Self {
            class,
            sent,
            attempts: 1,
            retry_after: None,
            detail: None,
        }
    }

    /// The breaker is open.
    pub fn refused(refusal: Refusal) -> Self {
        let Refusal { since, retry_after } = refusal;
        Self {
            retry_after: Some(retry_after),
            ..Self::new(Class::BreakerOpen { since }, Sent::Not)
        }
    }

    pub fn in_phase(self, phase: Phase) -> ProviderError {
        ProviderError {
            sent: self.sent,
            attempts: self.attempts,
            retry_after: self.retry_after,
            detail: self.detail,
            ..ProviderError::local(phase, self.class)
        }
    }
}

/// One try.
#[derive(Clone)]
pub struct Outbound {
    request: Request<Bytes>,
    /// Without a connection by then there is no more to wait for.
    connected_by: Instant,
    deadline: Instant,
    /// Passes an open breaker.
    pub probe: bool,
}

/// One per provider, so that a slow one cannot use up the calls of another.
#[derive(Clone)]
pub struct HttpClient {
    stack: BoxCloneSyncService<Outbound, Answer, BoxError>,
    connect: Duration,
    total: Duration,
    offset_secs: Arc<AtomicI64>,
    breaker: Breaker,
    provider: Arc<str>,
    probe: bool,
}

impl HttpClient {
    pub fn new(
        config: &ProviderConfig,
        limits: &Limits,
        clock: Clock,
    ) -> Result<Self, ProviderError> {
        let connector = connector(config, limits)?;
        let breaker = Breaker::new(config.id.clone(), limits, clock.clone());
        let offset_secs = Arc::new(AtomicI64::new(OFFSET_UNKNOWN));
        let exchange = Exchange {
            // Without idle connections no request meets one that is closing.
            client: Client::builder(TokioExecutor::new())
                .pool_max_idle_per_host(0)
                .retry_canceled_requests(false)
                .build(connector),
            reach: Arc::new(Reach::new(config)?),
            body_limit: limits.provider_body,
            clock,
            offset_secs: Arc::clone(&offset_secs),
        };
        // The deadline is kept inside `Exchange`, not by a tower layer: only
        // there it is known whether anything was sent when time ran out.
        let stack = ServiceBuilder::new()
            .load_shed()
            .concurrency_limit(limits.provider_parallel)
            .layer(BreakerLayer(breaker.clone()))
            .service(exchange);
        Ok(Self {
            stack: BoxCloneSyncService::new(stack),
            connect: limits.provider_connect,
            total: limits.provider_total,
            offset_secs,
            breaker,
            provider: config.id.0.as_str().into(),
            probe: false,
        })
    }

    pub const fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// The same client for finding out whether the provider is back.
    #[must_use]
    pub fn probing(&self) -> Self {
        Self {
            probe: true,
            ..self.clone()
        }
    }

    /// The same client for a question that is worth no more time than this.
    #[must_use]
    pub fn hasty(&self, total: Duration) -> Self {
        Self {
            total: self.total.min(total),
            ..self.clone()
        }
    }

    /// Sends `request`, and again, at most `tries` times in all, as long as
    /// nothing of it has left. Both deadlines cover all tries: nobody waits
    /// longer for a provider that is not there because it is asked again.
    pub async fn send(
        &self,
        request: Request<Bytes>,
        tries: u32,
    ) -> Result<Answer, TransportError> {
        // A probe comes again by itself.
        let tries = if self.probe { 1 } else { tries };
        let connected_by = Instant::now() + self.connect.min(self.total);
        let deadline = Instant::now() + self.total;
        let mut attempts = 0;
        loop {
            attempts += 1;
            let outbound = Outbound {
                request: request.clone(),
                connected_by,
                deadline,
                probe: self.probe,
            };
            let mut error = match self.stack.clone().oneshot(outbound).await {
                Ok(mut answer) => {
                    answer.attempts = attempts;
                    return Ok(answer);
                }
                Err(error) => match error.downcast::<TransportError>() {
                    Ok(error) => *error,
                    Err(_) => TransportError::new(Class::ProviderBusy, Sent::Not),
                },
            };
            error.attempts = attempts;
            let again = error.sent == Sent::Not
                && error.class == Class::NetworkUnreachable
                && attempts < tries;
            let pause = Duration::from_millis(u64::from(attempts) * 100 + jitter_millis());
            if !again || Instant::now() + pause >= connected_by {
                return Err(error);
            }
            tracing::info!(
                provider.id = %self.provider,
                attempt = attempts,
                path = request.uri().path(),
                reason = error.class.reason(),
                detail = error.detail,
                "no connection to the provider, trying again"
            );
            tokio::time::sleep(pause).await;
        }
    }

    /// Provider's clock minus ours in seconds, as of the last answer that had
    /// a Date header.
    pub fn clock_offset_secs(&self) -> Option<i64> {
        let offset = self.offset_secs.load(Ordering::Relaxed);
        (offset != OFFSET_UNKNOWN).then_some(offset)
    }
}

fn jitter_millis() -> u64 {
    u64::from(random::bytes::<1>()[0]) / 2
}

#[derive(Clone)]
struct Exchange {
    client: Client<DeadlineConnector, Full<Bytes>>,
    reach: Arc<Reach>,
    body_limit: usize,
    clock: Clock,
    offset_secs: Arc<AtomicI64>,
}

impl Service<Outbound> for Exchange {
    type Response = Answer;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Answer, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, outbound: Outbound) -> Self::Future {
        let this = self.clone();
        Box::pin(async move { this.exchange(outbound).await.map_err(BoxError::from) })
    }
}

impl Exchange {
    async fn exchange(self, outbound: Outbound) -> Result<Answer, TransportError> {
        let mut request = self.reach.direct(outbound.request)?;
        let connection = capture_connection(&mut request);
        let sent = || match connection.connection_metadata().is_some() {
            true => Sent::Unknown,
            false => Sent::Not,
        };
        let work = async {
            let response = self.client.request(request).await.map_err(|error| {
                if error.is_connect() {
                    let (class, detail) = failure_class(&error);
                    TransportError {
                        detail,
                        ..TransportError::new(class, Sent::Not)
                    }
                } else {
                    TransportError::new(Class::OutcomeUnknown, sent())
                }
            })?;
            self.receive(response).await
        };
        let mut work = std::pin::pin!(work);
        for limit in [outbound.connected_by, outbound.deadline] {
            if let Ok(outcome) = tokio::time::timeout_at(limit, &mut work).await {
                return outcome;
            }
            if sent() == Sent::Not {
                let late = TransportError::new(Class::NetworkUnreachable, Sent::Not);
                return Err(late);
            }
        }
        Err(TransportError::new(Class::OutcomeUnknown, Sent::Unknown))
    }

    async fn receive(
        &self,
        response: http::Response<hyper::body::Incoming>,
    ) -> Result<Answer, TransportError> {
        let (parts, body) = response.into_parts();
        let now = self.clock.now();
        // An answer from a cache carries the Date of long ago.
        if let Some(date) = header_date(&parts.headers, &DATE)
            && !parts.headers.contains_key(AGE)
        {
            let ours = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
            self.offset_secs
                .store(date.saturating_sub(ours), Ordering::Relaxed);
        }
        let encoded = parts
            .headers
            .get_all(CONTENT_ENCODING)
            .iter()
            .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
        if encoded {
            let class = Class::BadResponse("it is compressed, which was not asked for");
            return Err(TransportError::new(class, Sent::Answered));
        }
        let body =
            bounded_body::read(body, self.body_limit)
                .await
                .map_err(|error| match error {
                    ReadError::TooLarge { .. } => {
                        TransportError::new(Class::BadResponse("it is too large"), Sent::Answered)
                    }
                    ReadError::Broken(_) => {
                        TransportError::new(Class::OutcomeUnknown, Sent::Unknown)
                    }
                })?;
        Ok(Answer {
            status: parts.status,
            media_type: media_type(&parts.headers),
            retry_after: retry_after(&parts.headers, now),
            max_age: max_age(&parts.headers),
            body,
            attempts: 1,
        })
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn media_type(headers: &HeaderMap) -> String {
    text(headers, &CONTENT_TYPE)
        .and_then(|value| value.split(';').next())
        .map(|value| value.trim().to_ascii_lowercase())
        .unwrap_or_default()
}

fn header_date(headers: &HeaderMap, name: &http::HeaderName) -> Option<i64> {
    let date = httpdate::parse_http_date(text(headers, name)?).ok()?;
    let since = date.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = text(headers, &RETRY_AFTER)?.trim();
    let secs = match value.parse::<u64>() {
        Ok(secs) => secs,
        Err(_) => {
            let date = u64::try_from(header_date(headers, &RETRY_AFTER)?).ok()?;
            date.saturating_sub(now.as_secs())
        }
    };
    Some(Duration::from_secs(secs).min(RETRY_AFTER_MAX))
}

fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let mut found = None;
    for value in headers.get_all(CACHE_CONTROL) {
        for directive in value.to_str().ok()?.split(',') {
            let directive = directive.trim().to_ascii_lowercase();
            if directive == "no-store" || directive == "no-cache" {
                return Some(Duration::ZERO);
            }
            if let Some(secs) = directive.strip_prefix("max-age=") {
                found = secs.trim_matches('"').parse().ok().map(Duration::from_secs);
            }
        }
    }
    found
}

/// Where a URL is dialled.
struct Reach {
    issuer: Url,
    internal: Option<Origin>,
}

impl Reach {
    fn new(config: &ProviderConfig) -> Result<Self, ProviderError> {
        let issuer = Url::parse(&config.issuer).map_err(|_| {
            ProviderError::local(
                Phase::Configuration,
                Class::Configuration("issuer is not a URL"),
            )
        })?;
        Ok(Self {
            issuer,
            internal: config.internal_url.clone(),
        })
    }

    fn direct(&self, request: Request<Bytes>) -> Result<Request<Full<Bytes>>, TransportError> {
        let malformed = || TransportError::new(Class::BadResponse("a URL is malformed"), Sent::Not);
        let (mut parts, body) = request.into_parts();
        parts.headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("vestibule/", env!("CARGO_PKG_VERSION"))),
        );
        let url = Url::parse(&parts.uri.to_string()).map_err(|_| malformed())?;
        if let Some(internal) = &self.internal
            && url.origin() == self.issuer.origin()
        {
            let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
            let host = HeaderValue::from_str(host).map_err(|_| malformed())?;
            parts.headers.insert(HOST, host);
            let scheme = HeaderValue::from_str(url.scheme()).map_err(|_| malformed())?;
            parts
                .headers
                .insert(header_names::X_FORWARDED_PROTO, scheme);
            let path = &url[url::Position::BeforePath..url::Position::AfterQuery];
            parts.uri = format!("{internal}{path}")
                .parse::<Uri>()
                .map_err(|_| malformed())?;
        }
        Ok(Request::from_parts(parts, Full::new(body)))
    }
}

#[cfg(test)]
mod tests;
