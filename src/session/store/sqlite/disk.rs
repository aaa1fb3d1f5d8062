//! What the writer knows of its disk: whether it is full or failing, and what
//! is written all the same.

use std::time::{Duration, Instant};

use super::ballast::Ballast;
use crate::base::kill_point;
use crate::session::store::StoreError;

/// How often a disk in trouble is asked whether it is well again.
const ASK_EVERY: Duration = Duration::from_millis(500);

const FULL: &str = "the disk of the database is full";

/// Whether an operation failed because it found no room.
pub fn found_no_room(error: &StoreError) -> bool {
    matches!(error, StoreError::Refused(text) if text == FULL)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    Full,
    /// Input or output fails.
    Failing,
}

impl Trouble {
    /// What an error of SQLite says of the disk.
    pub fn of(error: &rusqlite::Error) -> Option<Self> {
        match error.sqlite_error_code()? {
            rusqlite::ErrorCode::DiskFull => Some(Self::Full),
            rusqlite::ErrorCode::SystemIoFailure => Some(Self::Failing),
            _ => None,
        }
    }

    /// What callers hear.
    pub fn error(self) -> StoreError {
        StoreError::Refused(match self {
            Self::Full => FULL.into(),
            Self::Failing => "the disk of the database fails".into(),
        })
    }
}

pub struct Disk {
    /// A connection beside the gateway's has none.
    ballast: Option<Ballast>,
    trouble: Option<(Trouble, Instant)>,
}

impl Disk {
    pub fn new(ballast: Option<Ballast>) -> Self {
        let mut disk = Self {
            ballast,
            trouble: None,
        };
        if let Some(Err(error)) = disk.ballast.as_ref().map(Ballast::lay) {
            tracing::error!(%error, "no room for the ballast of the session database");
            if error.kind() == std::io::ErrorKind::StorageFull {
                disk.enters(Trouble::Full);
            }
        }
        disk
    }

    /// Whether something may be written that can wait. Asks the disk again
    /// from time to time.
    pub fn takes_ordinary(&mut self) -> Result<(), StoreError> {
        let Some((trouble, ask_at)) = self.trouble else {
            return Ok(());
        };
        if Instant::now() < ask_at {
            return Err(trouble.error());
        }
        self.trouble = Some((trouble, Instant::now() + ASK_EVERY));
        match (trouble, &self.ballast) {
            // Only a write tells.
            (Trouble::Failing, _) | (Trouble::Full, None) => Ok(()),
            (Trouble::Full, Some(ballast)) => match ballast.lay() {
                Ok(()) => {
                    self.recovers();
                    Ok(())
                }
                Err(_) => Err(trouble.error()),
            },
        }
    }

    /// A write met trouble. True if there is room now that was not there
    /// before: what is needed may be tried again.
    pub fn met(&mut self, trouble: Trouble) -> bool {
        self.enters(trouble);
        let Some(ballast) = self.ballast.as_ref().filter(|_| trouble == Trouble::Full) else {
            return false;
        };
        let thrown = ballast.throw().unwrap_or_else(|error| {
            tracing::error!(%error, "ballast of the session database stays");
            false
        });
        kill_point::at("ballast", "thrown");
        thrown
    }

    /// A commit went through.
    pub fn committed(&mut self) {
        let by_a_write = matches!(self.trouble, Some((Trouble::Failing, _)))
            || (self.trouble.is_some() && self.ballast.is_none());
        if by_a_write {
            self.recovers();
        }
    }

    fn enters(&mut self, trouble: Trouble) {
        if self.trouble.is_some_and(|(known, _)| known == trouble) {
            return;
        }
        // The next ordinary write asks at once: it may have been a moment.
        self.trouble = Some((trouble, Instant::now()));
        match trouble {
            Trouble::Full => tracing::error!(
                "disk of the session database is full: sign-outs and renewals go on in reserved \
                 room, sign-ins wait"
            ),
            Trouble::Failing => tracing::error!(
                "disk of the session database fails: sessions are read, nothing is written until \
                 a write succeeds"
            ),
        }
    }

    fn recovers(&mut self) {
        self.trouble = None;
        tracing::info!("session database takes writes again");
    }
}
