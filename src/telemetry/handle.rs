//! The one handle that everybody gets.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::access_log::AccessLog;
use super::metrics::{Counter, Gauge, Histogram};
use super::session_cache::SessionCacheFigures;
use crate::base::clock::Timestamp;

/// One answered request. Words and numbers only; a mail address, a query and
/// a secret have no place here.
#[derive(Clone, Copy)]
pub struct RequestLine<'a> {
    pub time: Timestamp,
    /// What the error page showed: digits.
    pub reference: &'a [u8],
    pub method: &'a str,
    pub host: &'a str,
    /// As it was written with the host.
    pub port: Option<u16>,
    /// Without the query.
    pub path: &'a str,
    pub status: u16,
    /// Of the response body, where known.
    pub bytes: Option<u64>,
    pub duration: Duration,
    /// An address as text.
    pub client: &'a [u8],
    /// The id of the route; `None` for own endpoints and unknown hosts.
    pub route: Option<&'a str>,
    pub lane: Option<&'static str>,
    /// The rule that decided, counted from 0, or "none"; only on demand.
    pub rule: Option<&'a str>,
    /// "permit", `sign_in` or "deny".
    pub decision: Option<&'static str>,
    /// The reason code of a refusal or an error.
    pub reason: Option<&'static str>,
    /// The reference of the session, never its id and never a name.
    pub session: Option<&'a [u8]>,
}

pub(super) fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

/// Metrics and access log. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Telemetry(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    access_log: Option<AccessLog>,
    session_cache: OnceLock<SessionCache>,
    requests: Counter<3>,
    request_seconds: Histogram<0>,
    decisions: Counter<2>,
    shadow_differences: Counter<3>,
    logins: Counter<3>,
    refreshes: Counter<2>,
    back_channel_logouts: Counter<1>,
    alerts: Counter<2>,
    stale_sessions: Counter<0>,
    state: Gauge<1>,
    store_operations: Counter<3>,
    store_operation_seconds: Histogram<2>,
    upstream_up: Gauge<2>,
    self_test: Gauge<2>,
    self_test_seconds: Gauge<1>,
    provider_up: Gauge<1>,
}

struct SessionCache(Box<dyn Fn() -> SessionCacheFigures + Send + Sync>);

impl std::fmt::Debug for SessionCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionCache")
    }
}

impl Telemetry {
    /// Without an access log, requests are counted only.
    pub fn new(access_log: Option<AccessLog>) -> Self {
        Self(Arc::new(Inner {
            access_log,
            session_cache: OnceLock::new(),
            requests: Counter::new(
                "vestibule_requests_total",
                "Answered requests.",
                ["route", "code_class", "lane"],
            ),
            request_seconds: Histogram::new(
                "vestibule_request_seconds",
                "Time from the head of a request to the end of its answer.",
                [],
            ),
            decisions: Counter::new(
                "vestibule_decisions_total",
                "Decisions of the policy.",
                ["decision", "reason"],
            ),
            shadow_differences: Counter::new(
                "vestibule_shadow_differences_total",
                "Requests that the shadow policy would decide otherwise.",
                ["route", "from", "to"],
            ),
            logins: Counter::new(
                "vestibule_logins_total",
                "Logins by the phase in which they ended.",
                ["phase", "reason", "provider"],
            ),
            refreshes: Counter::new(
                "vestibule_refreshes_total",
                "Token refreshes.",
                ["outcome", "provider"],
            ),
            back_channel_logouts: Counter::new(
                "vestibule_back_channel_logouts_total",
                "Sign-outs that a provider ordered.",
                ["outcome"],
            ),
            alerts: Counter::new(
                "vestibule_alerts_total",
                "Faults that need an operator; the log says what to do.",
                ["alert", "provider"],
            ),
            stale_sessions: Counter::new(
                "vestibule_stale_sessions_total",
                "Requests whose session was served as last read because the store was away.",
                [],
            ),
            state: Gauge::new(
                "vestibule_state",
                "1 for each state that this replica is in; several may hold at once.",
                ["state"],
            ),
            store_operations: Counter::new(
                "vestibule_store_operations_total",
                "Calls to the session store.",
                ["store", "operation", "outcome"],
            ),
            store_operation_seconds: Histogram::new(
                "vestibule_store_operation_seconds",
                "Time that calls to the session store took.",
                ["store", "operation"],
            ),
            self_test: Gauge::new(
                "vestibule_self_test",
                "0 where the last self-test of a provider found something wrong.",
                ["provider", "check"],
            ),
            self_test_seconds: Gauge::new(
                "vestibule_self_test_seconds",
                "When this replica last tested a provider, in seconds since 1970.",
                ["provider"],
            ),
            upstream_up: Gauge::new(
                "vestibule_upstream_up",
                "0 while an upstream counts as down; route is the first that goes there.",
                ["upstream", "route"],
            ),
            provider_up: Gauge::new(
                "vestibule_provider_up",
                "0 while a provider counts as unreachable.",
                ["provider"],
            ),
        }))
    }

    /// Counts an answered request and its decision, and writes its line.
    pub fn request(&self, line: &RequestLine<'_>) {
        let class = match line.status / 100 {
            1 => "1xx",
            2 => "2xx",
            3 => "3xx",
            4 => "4xx",
            _ => "5xx",
        };
        let lane = line.lane.unwrap_or_default();
        self.0
            .requests
            .add([line.route.unwrap_or_default(), class, lane]);
        self.0.request_seconds.observe([], line.duration);
        if let Some(decision) = line.decision {
            self.0
                .decisions
                .add([decision, line.reason.unwrap_or_default()]);
        }
        if let Some(access_log) = &self.0.access_log {
            access_log.write(line);
        }
    }

    /// A request that the shadow policy would decide otherwise.
    pub fn shadow_difference(&self, route: &str, from: &'static str, to: &'static str) {
        self.0.shadow_differences.add([route, from, to]);
    }

    /// `reason` is "ok" for a login that succeeded.
    pub fn login(&self, phase: &'static str, reason: &'static str, provider: &str) {
        self.0.logins.add([phase, reason, provider]);
    }

    pub fn refresh(&self, outcome: &'static str, provider: &str) {
        self.0.refreshes.add([outcome, provider]);
    }

    /// `outcome` is "ok", or the reason for which it was refused.
    pub fn back_channel_logout(&self, outcome: &'static str) {
        self.0.back_channel_logouts.add([outcome]);
    }

    pub fn alert(&self, alert: &'static str, provider: &str) {
        self.0.alerts.add([alert, provider]);
    }

    pub fn store_operation(
        &self,
        store: &'static str,
        operation: &'static str,
        ok: bool,
        duration: Duration,
    ) {
        let outcome = if ok { "ok" } else { "error" };
        self.0.store_operations.add([store, operation, outcome]);
        self.0
            .store_operation_seconds
            .observe([store, operation], duration);
    }

    /// A request went on with a session as it was read before an outage.
    pub fn stale_session(&self) {
        self.0.stale_sessions.add([]);
    }

    /// Whom to ask for the figures of the cache of sessions. Only the first
    /// counts: there is one per process.
    pub fn session_cache(&self, figures: impl Fn() -> SessionCacheFigures + Send + Sync + 'static) {
        let _first = self.0.session_cache.set(SessionCache(Box::new(figures)));
    }

    /// Whether this replica is in that state: "healthy", "`store_degraded`",
    /// "draining", …
    pub fn state(&self, state: &'static str, holds: bool) {
        self.0.state.set([state], u64::from(holds));
    }

    pub fn upstream_up(&self, upstream: &str, route: &str, up: bool) {
        self.0.upstream_up.set([upstream, route], u64::from(up));
    }

    pub fn provider_up(&self, provider: &str, up: bool) {
        self.0.provider_up.set([provider], u64::from(up));
    }

    pub fn self_test(&self, provider: &str, check: &'static str, good: bool, at: Timestamp) {
        self.0.self_test.set([provider, check], u64::from(good));
        self.0.self_test_seconds.set([provider], at.as_secs());
    }

    /// Everything in the Prometheus text format 0.0.4.
    pub fn render(&self) -> String {
        let mut out = String::with_capacity(8192);
        out.push_str("# HELP vestibule_build_info The running version.\n");
        out.push_str("# TYPE vestibule_build_info gauge\nvestibule_build_info{version=\"");
        out.push_str(env!("CARGO_PKG_VERSION"));
        out.push_str("\"} 1\n");
        self.0.requests.render(&mut out);
        self.0.request_seconds.render(&mut out);
        self.0.decisions.render(&mut out);
        self.0.shadow_differences.render(&mut out);
        self.0.logins.render(&mut out);
        self.0.refreshes.render(&mut out);
        self.0.back_channel_logouts.render(&mut out);
        self.0.alerts.render(&mut out);
        self.0.stale_sessions.render(&mut out);
        if let Some(SessionCache(figures)) = self.0.session_cache.get() {
            figures().render(&mut out);
        }
        self.0.state.render(&mut out);
        self.0.store_operations.render(&mut out);
        self.0.store_operation_seconds.render(&mut out);
        self.0.upstream_up.render(&mut out);
        self.0.self_test.render(&mut out);
        self.0.self_test_seconds.render(&mut out);
        self.0.provider_up.render(&mut out);
        if let Some(access_log) = &self.0.access_log {
            let name = "vestibule_access_log_dropped_total";
            let dropped = access_log.dropped();
            out.push_str(&format!(
                "# HELP {name} Lines of the access log that were lost.\n\
                 # TYPE {name} counter\n{name} {dropped}\n"
            ));
        }
        out
    }
}

#[cfg(test)]
mod tests;
