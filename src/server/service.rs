//! The request path, one column of steps: parse, own endpoint, route, gate,
//! proxy. One concrete service with plain calls.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;

use super::address_limit::AddressLimit;
use super::context::ContextMaker;
use super::forwarding::Admitted;
use super::in_flight::InFlight;
use super::look::{Look, Looked, LookedAt};
use super::pending::Pending;
use super::place::{Place, place};
use super::render::Trouble;
use super::shadow::Shadow;
use super::sign_in::cookie_fields;
use super::trace::Trace;
use super::trail::{Answered, Trail};
use super::tunnel_guard::TunnelGuard;
use super::upgrade_origin;
use crate::base::body::Body;
use crate::base::clock::Clock;
use crate::base::fault::Fault;
use crate::base::offload::Offload;
use crate::config::checked;
use crate::gate::{Cookies, Gate, Verdict};
use crate::identity_headers::Injection;
use crate::listener::{Connection, Handler};
use crate::login::Login;
use crate::logout::{BackChannel, Logout};
use crate::model::access::Unauthenticated;
use crate::model::context::{RequestContext, RequestRef};
use crate::model::identity::ProviderId;
use crate::model::origin::{Authority, Origin};
use crate::model::target::TargetError;
use crate::page::ActionKind;
use crate::page::Pages;
use crate::proxy::Proxy;
use crate::route::{ReturnTo, ReturnToPolicy, RouteTable};
use crate::session::cookie::SessionCookies;
use crate::telemetry::Telemetry;

/// What the service is made of; `app` puts it together.
pub struct Parts {
    pub clock: Clock,
    /// Where pages are made and sign-ins begun.
    pub offload: Offload,
    pub config: checked::Server,
    pub routes: RouteTable,
    pub gate: Gate,
    pub login: Login,
    pub logout: Logout,
    pub back_channel: BackChannel,
    pub pages: Pages,
    pub pages_auto: bool,
    pub proxy: Proxy,
    /// In the order of the configuration.
    pub equipment: Vec<Equipment>,
    pub telemetry: Telemetry,
    pub session_cookies: SessionCookies,
    pub return_to: ReturnToPolicy,
    /// Id and name, in the order of the configuration.
    pub providers: Vec<(ProviderId, String)>,
    pub limits: checked::Limits,
    pub tunnel_guard: TunnelGuard,
    pub trace: checked::Trace,
    /// Whether the access log names the rule that decided.
    pub log_decisions: bool,
    pub shadow: Option<checked::Shadow>,
}

/// What belongs to a route, made once at start.
pub struct Equipment {
    pub injection: Injection,
    /// Its place in [`Proxy::targets`].
    pub upstream: usize,
}

pub struct Service {
    inner: Arc<Inner>,
}

/// `Err`: what is to be told instead, by page or in JSON.
pub(super) type Answer = Result<Response<Body>, Box<Trouble>>;

pub(super) struct Inner {
    pub(super) contexts: ContextMaker,
    pub(super) offload: Offload,
    pub(super) routes: RouteTable,
    pub(super) gate: Gate,
    pub(super) login: Login,
    pub(super) logout: Logout,
    pub(super) back_channel: BackChannel,
    pub(super) pages: Pages,
    pub(super) pages_auto: bool,
    pub(super) proxy: Proxy,
    pub(super) equipment: Vec<Equipment>,
    pub(super) telemetry: Telemetry,
    pub(super) session_cookies: SessionCookies,
    pub(super) public_url: Origin,
    pub(super) prefix: String,
    /// `{public_url}{prefix}`
    pub(super) own_url: String,
    pub(super) return_to: ReturnToPolicy,
    pub(super) provider_names: Vec<(ProviderId, String)>,
    /// The callback must not be a redirect where the cookie is Strict.
    pub(super) strict_cookie: bool,
    pub(super) start_limit: AddressLimit,
    /// Whether the log was told that https arrives as plain http.
    pub(super) plain_http_told: AtomicBool,
    pub(super) open_lane_limit: AddressLimit,
    in_flight: InFlight,
    pub(super) tunnel_guard: TunnelGuard,
    pub(super) trace: Trace,
    pub(super) log_decisions: bool,
    pub(super) shadow: Option<Shadow>,
}

impl Service {
    pub fn new(parts: Parts) -> Self {
        let server = parts.config;
        let shadow = parts
            .shadow
            .as_ref()
            .map(|shadow| Shadow::new(shadow, parts.clock.clone(), parts.telemetry.clone()));
        let contexts = ContextMaker::new(parts.clock, server.trusted_proxies, &server.public_url);
        let strict_cookie = {
            let home = parts.session_cookies.home_scope();
            parts.session_cookies.of(home).same_site == checked::SameSite::Strict
        };
        Self {
            inner: Arc::new(Inner {
                contexts,
                offload: parts.offload,
                routes: parts.routes,
                gate: parts.gate,
                login: parts.login,
                logout: parts.logout,
                back_channel: parts.back_channel,
                pages: parts.pages,
                pages_auto: parts.pages_auto,
                proxy: parts.proxy,
                equipment: parts.equipment,
                telemetry: parts.telemetry,
                session_cookies: parts.session_cookies,
                own_url: format!("{}{}", server.public_url, server.prefix),
                public_url: server.public_url,
                prefix: server.prefix,
                return_to: parts.return_to,
                provider_names: parts.providers,
                strict_cookie,
                plain_http_told: AtomicBool::new(false),
                start_limit: AddressLimit::new(
                    NonZeroU32::new(parts.limits.login_starts_per_minute)
                        .unwrap_or(NonZeroU32::MIN),
                ),
                open_lane_limit: AddressLimit::new(
                    NonZeroU32::new(parts.limits.open_requests_per_minute)
                        .unwrap_or(NonZeroU32::MIN),
                ),
                in_flight: InFlight::new(parts.limits.in_flight),
                tunnel_guard: parts.tunnel_guard,
                trace: Trace::new(parts.trace),
                log_decisions: parts.log_decisions,
                shadow,
            }),
        }
    }
}

impl Handler for Service {
    /// No `async fn`, which would move the request once more.
    fn handle(
        &self,
        connection: &Connection,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Body>> + Send {
        let started = Instant::now();
        let inner = &self.inner;
        let mut pending = Pending::new(request);
        async move {
            let request = pending.request();
            let reference = inner.contexts.reference();
            let method = request.method().clone();
            let mut trail = Trail::default();
            let look = Look::at(request.headers());
            let made = inner.contexts.make(connection, request, &look, reference);
            let audience = match &made {
                Ok(context) => context.audience,
                Err(_) => look.audience(&method),
            };
            let looked = look.keep(connection);
            let place = inner.in_flight.enter();
            let answer = match &made {
                _ if place.is_none() => Err(overloaded(reference, &mut trail)),
                Ok(context) => {
                    inner
                        .answer(connection, context, &looked, &mut pending, &mut trail)
                        .await
                }
                Err(error) => Err(malformed(reference, error, &mut trail)),
            };
            let manner = looked.manner(audience);
            let mut response = match answer {
                Ok(response) => response,
                // In place: what waits elsewhere is what there is too much of.
                Err(trouble) if place.is_none() => inner.problem(manner, *trouble),
                Err(trouble) => inner.tell(manner, trouble).await,
            };
            drop(place);
            inner.trace.mark(&mut response, trail.trace.take());
            if let Ok(context) = &made {
                inner.share(context, &looked.asker, &mut response);
            }
            inner.log(&Answered {
                connection,
                context: made.as_ref().ok(),
                reference,
                method: &method,
                response: &response,
                duration: started.elapsed(),
                trail,
            });
            response
        }
    }
}

impl Inner {
    async fn answer<'a>(
        self: &'a Arc<Self>,
        connection: &Connection,
        context: &RequestContext,
        looked: &Looked,
        pending: &mut Pending,
        trail: &mut Trail<'a>,
    ) -> Answer {
        let trouble = |status, reason| Trouble::new(status, reason, context.reference);
        let route = match place(&self.routes, &self.prefix, &context.target) {
            Place::Route(route) => route,
            Place::Own(endpoint) => {
                trail.decision = Some("own");
                let manner = looked.manner(context.audience);
                return self.own_beside(endpoint, context, manner, pending).await;
            }
            Place::Refused(error) => return Err(malformed(context.reference, &error, trail)),
            Place::UnknownHost => {
                // The page that says so is to look like one.
                if let Some(asset) = self.pages.asset(context.target.path()) {
                    trail.decision = Some("own");
                    return Ok(asset);
                }
                trail.decision = Some("unknown_host");
                let trouble = trouble(StatusCode::MISDIRECTED_REQUEST, "unknown_host");
                return Err(trouble.into());
            }
            Place::NoRoute => {
                trail.decision = Some("no_route");
                return Err(trouble(StatusCode::NOT_FOUND, "no_route").into());
            }
        };
        trail.route = Some(&route.config.id);
        let prefixed;
        let judged = if route.config.prefix.is_empty() {
            context
        } else {
            match context.judged_for(&route.config.prefix) {
                Ok(judged) => {
                    prefixed = judged;
                    &*prefixed
                }
                Err(error) => return Err(malformed(context.reference, &error, trail)),
            }
        };
        let fields;
        let cookies = match &looked.cookies {
            LookedAt::Known(known) => Cookies::Seen(&known.seen),
            LookedAt::Absent => Cookies::Fields(&[]),
            LookedAt::Unknown => {
                fields = cookie_fields(pending.headers());
                Cookies::Fields(&fields)
            }
        };
        let scope = self.scope_of(route, context);
        let verdict = self
            .gate
            .admit(route, judged, pending.headers(), scope.as_deref(), cookies)
            .await;
        let headers = pending.headers();
        self.observe(context, &judged.target, headers, route, &verdict, trail);
        match verdict {
            Verdict::Admitted { permit, session } => {
                trail.lane = Some(permit.lane().as_str());
                if let Err(wait) = self.within_open_limit(&permit, context) {
                    trail.decision = Some("limited");
                    trail.reason = Some("too_many_requests");
                    let trouble = trouble(StatusCode::TOO_MANY_REQUESTS, "too_many_requests");
                    return Err(trouble.retry_after(Some(wait)).into());
                }
                trail.decision = Some("permit");
                trail.session = session.as_ref().map(|session| session.reference());
                if session.is_some()
                    && looked.upgrade
                    && upgrade_origin::is_foreign(pending.headers(), context, &self.return_to)
                {
                    trail.decision = Some("deny");
                    trail.reason = Some("upgrade_cross_site");
                    // Of the policy, which permitted.
                    trail.trace = None;
                    return Err(trouble(StatusCode::FORBIDDEN, "upgrade_cross_site").into());
                }
                if let Some(session) = &session
                    && let Some(response) =
                        self.changed_hands(context, route, session, pending.headers_mut())
                {
                    return Ok(response);
                }
                // What changed hands lost some of its cookies just now.
                let cookies = looked
                    .passed_on()
                    .filter(|_| !route.config.identity.clear_on_arrival);
                let request = Admitted {
                    permit,
                    route,
                    cookies,
                    judged: &judged.target,
                    session,
                };
                self.forward(connection, context, pending, request).await
            }
            Verdict::SignIn {
                unauthenticated,
                ended,
            } => {
                trail.decision = Some("sign_in");
                trail.reason = ended;
                let allowed = unauthenticated == Unauthenticated::Auto;
                let manner = looked.manner(context.audience);
                self.ask_beside(context, manner, pending, allowed, ended)
                    .await
            }
            Verdict::Denied { reason, session } => {
                trail.decision = Some("deny");
                trail.reason = Some(reason.reason());
                trail.session = session.as_ref().map(|session| session.reference());
                Err(self.refusal(context, reason.reason(), session.as_ref()))
            }
            Verdict::Unavailable {
                reason,
                retry_after,
            } => {
                trail.decision = Some("unavailable");
                trail.reason = Some(reason);
                let trouble = trouble(StatusCode::SERVICE_UNAVAILABLE, reason)
                    .retry_after(Some(retry_after))
                    .action(ActionKind::TryAgain, self.here(context));
                Err(trouble.into())
            }
        }
    }

    pub(super) fn is_public_host(&self, authority: &Authority) -> bool {
        self.routes.is_public_host(authority)
    }

    /// A place of ours to return to, or "/".
    pub(super) fn safe_return_to(&self, asked: Option<&str>) -> String {
        asked.map_or_else(
            || "/".to_owned(),
            |asked| ReturnTo::check(asked, &self.return_to).as_str().to_owned(),
        )
    }
}

fn overloaded(reference: RequestRef, trail: &mut Trail<'_>) -> Box<Trouble> {
    trail.decision = Some("overloaded");
    let trouble = Trouble::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", reference);
    Box::new(trouble.retry_after(Some(Duration::from_secs(1))))
}

fn malformed(reference: RequestRef, error: &TargetError, trail: &mut Trail<'_>) -> Box<Trouble> {
    trail.decision = Some("malformed");
    trail.reason = Some(error.reason());
    Box::new(match error {
        TargetError::Trace => {
            Trouble::method(reference, "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")
        }
        _ => Trouble::new(StatusCode::BAD_REQUEST, error.reason(), reference),
    })
}
