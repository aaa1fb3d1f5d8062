//! Passive health of one upstream: after several connects in a row that
//! failed it counts as down, and requests that would have to connect fail at
//! once instead of waiting. After a pause one request at a time may try; the
//! first connect that succeeds heals it.
//!
//! Connections that are open are used all the same: what answers is not down.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::error::ProxyError;
use crate::config::checked::Limits;
use crate::telemetry::Telemetry;

/// While another request tries, and nobody knows how long it will.
const WHILE_TRYING: Duration = Duration::from_secs(1);

pub(super) struct Health {
    /// As the configuration spells it.
    upstream: String,
    /// The first route that goes there.
    route: String,
    telemetry: Telemetry,
    /// Zero: never down.
    failures: u32,
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// In a row.
    failed: u32,
    down: Option<Down>,
}

struct Down {
    until: Instant,
    trying: bool,
}

/// Leave to connect once. Dropped without a word (the client has gone), it
/// proves nothing.
pub(super) struct Attempt<'a> {
    health: &'a Health,
    /// The one that tries while the upstream is down.
    probe: bool,
}

impl Health {
    pub(super) fn new(
        upstream: String,
        route: String,
        limits: &Limits,
        telemetry: Telemetry,
    ) -> Self {
        telemetry.upstream_up(&upstream, &route, true);
        Self {
            upstream,
            route,
            telemetry,
            failures: limits.upstream_failures,
            pause: limits.upstream_pause,
            state: Mutex::default(),
        }
    }

    /// Leave to connect, or [`ProxyError::Down`].
    pub(super) fn enter(&self) -> Result<Attempt<'_>, ProxyError> {
        self.enter_at(Instant::now())
    }

    fn enter_at(&self, now: Instant) -> Result<Attempt<'_>, ProxyError> {
        let mut state = self.state();
        let probe = match &mut state.down {
            None => false,
            Some(down) => {
                let left = down.until.saturating_duration_since(now);
                if down.trying || !left.is_zero() {
                    let retry_after = if down.trying { WHILE_TRYING } else { left };
                    return Err(ProxyError::Down { retry_after });
                }
                down.trying = true;
                true
            }
        };
        Ok(Attempt {
            health: self,
            probe,
        })
    }

    /// The state is valid after every single step, so a panic of another
    /// holder does no harm.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn succeeded(&self) {
        let was_down = {
            let mut state = self.state();
            state.failed = 0;
            state.down.take().is_some()
        };
        if was_down {
            self.telemetry
                .upstream_up(&self.upstream, &self.route, true);
            tracing::info!(
                upstream = self.upstream,
                route.name = self.route,
                "upstream is back"
            );
        }
    }

    fn failed(&self, probe: bool, error: &ProxyError, now: Instant) {
        let goes_down = {
            let mut state = self.state();
            state.failed = state.failed.saturating_add(1);
            if self.failures == 0 || state.failed < self.failures {
                return;
            }
            let until = now + self.pause;
            match &mut state.down {
                Some(down) => {
                    down.until = until;
                    down.trying &= !probe;
                    false
                }
                None => {
                    state.down = Some(Down {
                        until,
                        trying: false,
                    });
                    true
                }
            }
        };
        if goes_down {
            self.telemetry
                .upstream_up(&self.upstream, &self.route, false);
            tracing::warn!(
                upstream = self.upstream,
                route.name = self.route,
                detail = %error,
                "upstream counts as down; requests fail at once and one at a time tries again"
            );
        }
    }
}

impl std::fmt::Debug for Attempt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attempt")
            .field("upstream", &self.health.upstream)
            .field("probe", &self.probe)
            .finish()
    }
}

impl Attempt<'_> {
    /// What came of it. An upstream with a wrong certificate is there.
    pub(super) fn ended<T>(self, result: &Result<T, ProxyError>) {
        self.ended_at(result, Instant::now());
    }

    fn ended_at<T>(mut self, result: &Result<T, ProxyError>, now: Instant) {
        let probe = std::mem::take(&mut self.probe);
        match result {
            Err(error @ (ProxyError::Unreachable(_) | ProxyError::ConnectTimeout)) => {
                self.health.failed(probe, error, now);
            }
            _ => self.health.succeeded(),
        }
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.probe
            && let Some(down) = &mut self.health.state().down
        {
            down.trying = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GAUGE: &str = "vestibule_upstream_up{upstream=\"http://a\",route=\"files\"}";

    fn health(failures: u32) -> Health {
        let limits = Limits {
            upstream_failures: failures,
            upstream_pause: Duration::from_secs(10),
            ..Limits::default()
        };
        Health::new(
            "http://a".to_owned(),
            "files".to_owned(),
            &limits,
            Telemetry::new(None),
        )
    }

    fn gauge(health: &Health) -> String {
        let text = health.telemetry.render();
        let line = text.lines().find(|line| line.starts_with(GAUGE)).unwrap();
        line.rsplit(' ').next().unwrap().to_owned()
    }

    fn fail_at(health: &Health, now: Instant) {
        let attempt = health.enter_at(now).expect("may connect");
        attempt.ended_at::<()>(&Err(ProxyError::ConnectTimeout), now);
    }

    fn succeed_at(health: &Health, now: Instant) {
        let attempt = health.enter_at(now).expect("may connect");
        attempt.ended_at(&Ok(()), now);
    }

    fn seconds_left(health: &Health, now: Instant) -> Option<u64> {
        match health.enter_at(now) {
            Err(ProxyError::Down { retry_after }) => Some(retry_after.as_secs()),
            _ => None,
        }
    }

    #[test]
    fn row_u1_down_after_failures_in_a_row_and_healed_by_the_first_success() {
        let health = health(3);
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        fail_at(&health, start);
        fail_at(&health, start);
        succeed_at(&health, start);
        fail_at(&health, start);
        fail_at(&health, start);
        assert_eq!(seconds_left(&health, start), None);
        assert_eq!(gauge(&health), "1");
        fail_at(&health, start);
        assert_eq!(seconds_left(&health, start), Some(10));
        assert_eq!(gauge(&health), "0");
        assert_eq!(seconds_left(&health, at(4)), Some(6));
        let probe = health.enter_at(at(10)).unwrap();
        assert_eq!(seconds_left(&health, at(10)), Some(1), "one at a time");
        probe.ended_at::<()>(&Err(ProxyError::ConnectTimeout), at(15));
        assert_eq!(seconds_left(&health, at(15)), Some(10));
        succeed_at(&health, at(25));
        assert_eq!(seconds_left(&health, at(25)), None);
        assert_eq!(gauge(&health), "1");
        fail_at(&health, at(26));
        assert_eq!(seconds_left(&health, at(26)), None, "counted anew");
    }

    #[test]
    fn row_u1_a_probe_whose_client_goes_away_lets_the_next_one_try() {
        let health = health(1);
        let start = Instant::now();
        let later = start + Duration::from_secs(10);
        fail_at(&health, start);
        drop(health.enter_at(later));
        let next = health.enter_at(later).unwrap();
        assert!(next.probe);
    }

    #[test]
    fn row_u1_a_late_failure_does_not_take_the_place_of_the_probe() {
        let health = health(1);
        let start = Instant::now();
        let later = start + Duration::from_secs(10);
        let slow = health.enter_at(start).unwrap();
        fail_at(&health, start);
        let _probe = health.enter_at(later).unwrap();
        slow.ended_at::<()>(&Err(ProxyError::ConnectTimeout), later);
        assert!(seconds_left(&health, later + Duration::from_secs(60)).is_some());
    }

    #[test]
    fn row_u1_certificates_and_zero_never_make_an_upstream_down() {
        let now = Instant::now();
        let never = health(0);
        (0..50).for_each(|_| fail_at(&never, now));
        assert_eq!(seconds_left(&never, now), None);
        let once = health(1);
        let fault = super::super::upstream_tls::TlsFault::Expired;
        let error = ProxyError::Tls(fault, "over".into());
        once.enter_at(now)
            .ok()
            .unwrap()
            .ended_at::<()>(&Err(error), now);
        assert_eq!(seconds_left(&once, now), None);
    }
}
