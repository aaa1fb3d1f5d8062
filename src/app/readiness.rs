//! Asks the store once a second whether it takes a write and a read, and
//! tells the admin listener. Looks at the clock by the way.

use std::sync::Arc;
use std::time::Duration;

use crate::admin::AdminState;
use crate::base::clock::{Clock, StepWatch};
use crate::base::fault::Fault;
use crate::session::sessions::Sessions;

const EVERY: Duration = Duration::from_secs(1);

/// Runs until it is dropped. The first contact makes the gateway ready.
pub(super) async fn watch(sessions: Arc<Sessions>, state: Arc<AdminState>, clock: Clock) {
    let mut well = None;
    let mut steps = StepWatch::new(&clock);
    loop {
        if let Some(step) = steps.look(&clock) {
            tracing::warn!(
                step_ms = step,
                "the clock was set, or the machine slept: sessions and tokens are judged by the \
                 new time"
            );
        }
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
                        "session store does not work; it is asked again every second"
                    );
                }
                false
            }
        };
        well = Some(now_well);
        if now_well {
            state.store_reached();
        } else {
            state.store_lost();
        }
        tokio::time::sleep(EVERY).await;
    }
}
