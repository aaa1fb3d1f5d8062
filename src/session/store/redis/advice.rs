//! What the operator should know about the server, said once.

use std::time::Duration;

use tokio::time::Instant;

use super::live::{Lane, Live};
use super::wire::Order;
use crate::base::fault::Fault;
use crate::session::store::StoreError;
use crate::telemetry::Telemetry;

const PATIENCE: Duration = Duration::from_secs(1);

/// Says what would lose sessions. Servers may forbid the question.
pub async fn give(live: &Live) {
    let mut settings = Vec::new();
    for name in ["maxmemory-policy", "appendonly", "save"] {
        let mut command = ::redis::cmd("CONFIG");
        command.arg("GET").arg(name);
        let end = Instant::now() + PATIENCE;
        let answer = live.call::<Vec<String>>(Lane::Read, Order::Command(&command), false, end);
        let Ok(answer) = answer.await else {
            return;
        };
        settings.push(answer.value.into_iter().nth(1).unwrap_or_default());
    }
    // All our keys expire, so "volatile" means each of them.
    if !["", "noeviction"].contains(&settings[0].as_str()) {
        tracing::warn!(
            server = %live.address,
            policy = settings[0],
            "session store evicts sessions when its memory is full; set maxmemory-policy noeviction"
        );
    }
    if settings[1] != "yes" && settings[2].is_empty() {
        tracing::warn!(
            server = %live.address,
            "session store keeps nothing over a restart: sessions will not survive it; set appendonly yes"
        );
    }
}

/// The present connections work and new ones would not: an outage to come.
pub fn complain(error: &StoreError, telemetry: Option<&Telemetry>) {
    const ALERT: &str = "store_refuses_new_connections";
    if let Some(telemetry) = telemetry {
        telemetry.alert(ALERT, "");
    }
    tracing::error!(
        alert = ALERT,
        reason = error.reason(),
        %error,
        "session store accepts no new connection; the present ones go on"
    );
}
