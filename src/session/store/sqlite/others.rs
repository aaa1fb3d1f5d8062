//! Whether another process wrote to the file: a gateway that takes over or
//! hands over, or a command beside this one. What it changed is not told, so
//! everything may have changed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use crate::session::store::changes::Watchers;

/// How long a change of another process may go unnoticed, unless it also
/// keeps our own writes waiting.
const LOOK_EVERY: Duration = Duration::from_secs(1);

pub struct Others {
    watchers: Arc<Watchers>,
    /// A number that changes with each commit of another connection.
    seen: Option<i64>,
    known_good: Instant,
    look_at: Instant,
}

impl Others {
    /// Tells of changes from now on.
    pub fn watch(connection: &Connection, watchers: Arc<Watchers>) -> rusqlite::Result<Self> {
        let seen = Some(version(connection)?);
        watchers.watching(Duration::MAX);
        let now = Instant::now();
        Ok(Self {
            watchers,
            seen,
            known_good: now,
            look_at: now + LOOK_EVERY,
        })
    }

    pub fn look_at(&self) -> Instant {
        self.look_at
    }

    pub fn look(&mut self, connection: &Connection) {
        let now = Instant::now();
        self.look_at = now + LOOK_EVERY;
        match (self.seen, version(connection)) {
            (Some(seen), Ok(version)) if seen == version => self.known_good = now,
            (Some(_), Ok(version)) => {
                self.seen = Some(version);
                self.known_good = now;
                self.watchers.everything_changed();
            }
            (None, Ok(version)) => {
                self.seen = Some(version);
                self.known_good = now;
                self.watchers.watching(Duration::MAX);
            }
            (Some(_), Err(error)) => {
                self.seen = None;
                self.watchers.blind(self.known_good);
                tracing::warn!(%error, "cannot see whether another process changed the session database");
            }
            (None, Err(_)) => {}
        }
    }
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("PRAGMA data_version")?
        .query_row([], |row| row.get(0))
}
