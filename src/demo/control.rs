//! What the buttons of the demonstration do to the provider.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// Shared by the application (which has the buttons) and the provider.
pub struct Control {
    /// Until when the provider does not listen.
    stopped_until: watch::Sender<Option<Instant>>,
    fail_next_refresh: AtomicBool,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            stopped_until: watch::channel(None).0,
            fail_next_refresh: AtomicBool::new(false),
        }
    }
}

impl Control {
    /// The provider closes its port and opens it again after `length`.
    pub fn stop_provider(&self, length: Duration) {
        self.stopped_until
            .send_replace(Some(Instant::now() + length));
    }

    /// Zero while it listens.
    pub fn stopped_for(&self) -> Duration {
        let until = *self.stopped_until.borrow();
        until.map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(Instant::now())
        })
    }

    pub fn stops(&self) -> watch::Receiver<Option<Instant>> {
        self.stopped_until.subscribe()
    }

    /// The next refresh is answered with 500.
    pub fn fail_next_refresh(&self) {
        self.fail_next_refresh.store(true, Ordering::Relaxed);
    }

    pub fn will_fail_refresh(&self) -> bool {
        self.fail_next_refresh.load(Ordering::Relaxed)
    }

    /// Whether this refresh is the one to fail.
    pub fn take_failure(&self) -> bool {
        self.fail_next_refresh.swap(false, Ordering::Relaxed)
    }
}
