//! Warnings while the store is down: one a second with a count, not one a
//! request. The access log has the reason of each request.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::base::fault::Fault;
use crate::session::sessions::SessionError;

const AT_MOST_EVERY: Duration = Duration::from_secs(1);

/// One kind of warning.
pub(super) struct OutageLog {
    began: Instant,
    /// Milliseconds since `began`.
    next: AtomicU64,
    /// Since the last warning that was written.
    count: AtomicU64,
}

impl OutageLog {
    pub(super) fn new() -> Self {
        Self {
            began: Instant::now(),
            next: AtomicU64::new(0),
            count: AtomicU64::new(0),
        }
    }

    pub(super) fn warn(&self, message: &'static str, error: &SessionError) {
        if let Some(requests) = self.due(self.began.elapsed()) {
            tracing::warn!(
                reason = error.reason(),
                detail = %error,
                requests,
                "{message}"
            );
        }
    }

    /// How many requests the warning stands for, if it is time for one.
    fn due(&self, elapsed: Duration) -> Option<u64> {
        self.count.fetch_add(1, Ordering::Relaxed);
        let now = elapsed.as_millis() as u64;
        let next = self.next.load(Ordering::Relaxed);
        let after = now + AT_MOST_EVERY.as_millis() as u64;
        let won = now >= next
            && self
                .next
                .compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        won.then(|| self.count.swap(0, Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_warning_a_second_counts_the_others() {
        let log = OutageLog::new();
        let at = Duration::from_millis;
        assert_eq!(log.due(at(0)), Some(1));
        for moment in 1..1000 {
            assert_eq!(log.due(at(moment)), None, "{moment}");
        }
        assert_eq!(log.due(at(1000)), Some(1000));
        assert_eq!(log.due(at(9000)), Some(1));
    }
}
