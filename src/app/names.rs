//! What an operator does with names that belong to somebody.

use super::AppError;
use super::store;
use crate::base::clock::Clock;
use crate::config::checked::Config;
use crate::identity_headers::Pin;
use crate::session::sessions::{Sessions, Settings};

/// Lets the next person who brings the name have it; gateways that run
/// notice within a minute. True if somebody had it.
pub async fn release_name(
    config: &Config,
    kind: &'static str,
    name: &str,
) -> Result<bool, AppError> {
    let clock = Clock::system();
    let Some(joined) = store::join(&config.store, &config.limits, &clock)? else {
        return Ok(false);
    };
    let settings = Settings {
        namespace: joined.namespace,
        lifetime: config.session.lifetime,
        idle_timeout: config.session.idle_timeout,
    };
    let sessions = Sessions::new(joined.store, config.keys.ring.clone(), clock, settings);
    let pin = Pin::of(kind, name);
    Ok(sessions.release_name(pin.kind, &pin.folded).await?)
}
