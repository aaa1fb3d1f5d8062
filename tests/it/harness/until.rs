//! Waiting for a condition, with an end.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Nothing on this machine takes longer unless it is broken.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks `condition` until it gives a value; panics with `what` when patience ends.
pub async fn some<T, F, Fut>(what: &str, mut condition: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition().await {
            return value;
        }
        assert!(Instant::now() < end, "waited in vain: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Asks until `condition` holds.
pub async fn holds(what: &str, mut condition: impl FnMut() -> bool) {
    some(what, || {
        let held = condition();
        async move { held.then_some(()) }
    })
    .await;
}
