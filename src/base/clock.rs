//! The one source of wall-clock time.
//!
//! Stored expiries are wall-clock milliseconds; a clock handed in by tests can
//! be moved. Short waits and timeouts use tokio's monotonic time instead.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Milliseconds since 1970-01-01 UTC.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub struct Timestamp(pub u64);

impl Timestamp {
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    pub const fn as_millis(self) -> u64 {
        self.0
    }

    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    #[must_use]
    pub fn plus(self, length: Duration) -> Self {
        let millis = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis))
    }

    #[must_use]
    pub fn minus(self, length: Duration) -> Self {
        let millis = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_sub(millis))
    }

    /// How long ago `earlier` was; zero if it lies in the future.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Cheap to clone. Production uses [`Clock::system`].
#[derive(Debug, Clone, Default)]
pub struct Clock {
    offset_millis: Option<Arc<AtomicI64>>,
}

impl Clock {
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that tests can move with [`Clock::advance`].
    pub fn movable() -> Self {
        Self {
            offset_millis: Some(Arc::new(AtomicI64::new(0))),
        }
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that asks the system"
    )]
    pub fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let millis = i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX);
        let offset = self
            .offset_millis
            .as_ref()
            .map_or(0, |offset| offset.load(Ordering::Relaxed));
        Timestamp(u64::try_from(millis.saturating_add(offset)).unwrap_or(0))
    }

    /// Moves a movable clock; no effect on the system clock.
    pub fn advance(&self, millis: i64) {
        if let Some(offset) = &self.offset_millis {
            offset.fetch_add(millis, Ordering::Relaxed);
        }
    }
}

/// Sees that somebody set the clock: time by the clock and time that passed
/// are compared between two looks.
#[derive(Debug)]
pub struct StepWatch {
    wall: Timestamp,
    monotonic: Instant,
}

/// Smaller steps are what time servers do all day.
const STEP: Duration = Duration::from_secs(30);

impl StepWatch {
    pub fn new(clock: &Clock) -> Self {
        Self {
            wall: clock.now(),
            monotonic: Instant::now(),
        }
    }

    /// By how many milliseconds the clock was set since the last look, if by
    /// more than half a minute; negative: back.
    pub fn look(&mut self, clock: &Clock) -> Option<i64> {
        let before = std::mem::replace(self, Self::new(clock));
        let passed = self.monotonic.saturating_duration_since(before.monotonic);
        let expected = before.wall.plus(passed);
        let millis = |time: Timestamp| i64::try_from(time.0).unwrap_or(i64::MAX);
        let step = millis(self.wall).saturating_sub(millis(expected));
        (u128::from(step.unsigned_abs()) > STEP.as_millis()).then_some(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_seen_both_ways_and_small_ones_are_none() {
        let clock = Clock::movable();
        let mut watch = StepWatch::new(&clock);
        let near = |step: Option<i64>, expected: i64| {
            step.is_some_and(|step| (step - expected).abs() < 5_000)
        };
        assert_eq!(watch.look(&clock), None);
        clock.advance(20_000);
        assert_eq!(watch.look(&clock), None);
        clock.advance(600_000);
        assert!(near(watch.look(&clock), 600_000));
        assert_eq!(watch.look(&clock), None, "told once");
        clock.advance(-3_600_000);
        assert!(near(watch.look(&clock), -3_600_000));
    }
}
