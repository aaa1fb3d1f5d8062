//! What the store remembers of an attempt or a session.

use std::time::Duration;

use super::AppError;
use super::store;
use crate::base::clock::Clock;
use crate::config::checked::Config;
use crate::session::history::Entry;
use crate::session::sessions::SessionError;
use crate::session::store::StoreError;

/// A first connection may take longer than an operation.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(200);

/// Reads beside a gateway that may be running; makes no database. Oldest
/// first; empty where nothing is known.
pub async fn history(config: &Config, reference: &str) -> Result<Vec<Entry>, AppError> {
    let Some(sessions) = store::join(config, Clock::system())? else {
        return Ok(Vec::new());
    };
    let until = tokio::time::Instant::now() + PATIENCE;
    loop {
        match sessions.history(reference).await {
            Err(SessionError::Store(StoreError::Unavailable(_)))
                if tokio::time::Instant::now() < until =>
            {
                tokio::time::sleep(PAUSE).await;
            }
            Err(SessionError::Store(error)) => return Err(error.into()),
            outcome => return Ok(outcome?),
        }
    }
}
