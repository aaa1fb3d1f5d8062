//! Asks the store whether it takes a write and a read: once a second, and at
//! once when something failed. Tells the admin listener, and has done what
//! waited for the store when it is back. Looks at the clock by the way.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use crate::admin::AdminState;
use crate::base::clock::{Clock, StepWatch};
use crate::base::fault::Fault;
use crate::session::sessions::Sessions;
use crate::session::store::health::StoreHealth;

const EVERY: Duration = Duration::from_secs(1);
/// While it is away: soon after it is back.
const EVERY_AWAY: Duration = Duration::from_millis(250);
/// Failures in a row are one reason to look.
const LEAST: Duration = Duration::from_millis(100);
const ADOPT_EVERY: Duration = Duration::from_secs(30);
const MEET_EVERY: Duration = Duration::from_secs(30);

/// Runs until it is dropped. The first contact makes the gateway ready.
pub(super) async fn watch(
    sessions: Arc<Sessions>,
    state: Arc<AdminState>,
    clock: Clock,
    health: Arc<StoreHealth>,
    cookie: String,
) {
    let mut well = None;
    let mut steps = StepWatch::new(&clock);
    // What waits from before the start counts as trouble.
    let mut settled = None;
    let mut adopt_at = Instant::now();
    let mut meet_at = Instant::now();
    loop {
        if let Some(step) = steps.look(&clock) {
            tracing::warn!(
                step_ms = step,
                "the clock was set, or the machine slept: sessions and tokens are judged by the \
                 new time"
            );
        }
        if adopt_at <= Instant::now() {
            sessions.adopt().await;
            adopt_at = Instant::now() + ADOPT_EVERY;
        }
        let failures = health.failures();
        let now_well = match sessions.probe().await {
            Ok(()) => {
                if well == Some(false) {
                    tracing::info!("session store is back");
                }
                true
            }
            Err(error) => {
                if well != Some(false) {
                    tracing::error!(
                        reason = error.reason(),
                        detail = %error,
                        "session store does not work; it is asked again until it does"
                    );
                }
                false
            }
        };
        well = Some(now_well);
        if now_well {
            state.store_reached();
            if meet_at <= Instant::now() {
                meet_at = Instant::now() + MEET_EVERY;
                if let Err(error) = sessions.meet_neighbours(&cookie).await {
                    tracing::debug!(reason = error.reason(), "the neighbours are not known");
                }
            }
            match sessions.settle(settled != Some(failures)).await {
                Ok(()) => settled = Some(failures),
                Err(error) => tracing::debug!(
                    reason = error.reason(),
                    "what waits for the session store waits on"
                ),
            }
            sleep(LEAST).await;
            // An error says that a second passed without a failure.
            let _ = timeout(EVERY - LEAST, health.failed()).await;
        } else {
            state.store_lost();
            sleep(EVERY_AWAY).await;
        }
    }
}
