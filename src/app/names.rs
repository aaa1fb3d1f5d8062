//! What an operator does with names that belong to somebody.

use super::AppError;
use super::store;
use crate::base::clock::Clock;
use crate::config::checked::Config;
use crate::identity_headers::Pin;

/// Lets the next person who brings the name have it; gateways that run
/// notice within a minute. True if somebody had it.
pub async fn release_name(
    config: &Config,
    kind: &'static str,
    name: &str,
) -> Result<bool, AppError> {
    let Some(sessions) = store::join(config, Clock::system())? else {
        return Ok(false);
    };
    let pin = Pin::of(kind, name);
    Ok(sessions.release_name(pin.kind, &pin.folded).await?)
}
