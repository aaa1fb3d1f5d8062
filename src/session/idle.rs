//! When each session was last used, as far as this process saw it. Keeps the
//! store from being written on each request.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::record::SessionId;
use crate::base::clock::Timestamp;

/// Sessions remembered; beyond that the store is written more often.
const MOST: usize = 100_000;

#[derive(Clone, Copy)]
struct Use {
    seen: Timestamp,
    written: Timestamp,
}

pub struct LastUses {
    every: Duration,
    uses: Mutex<HashMap<SessionId, Use>>,
}

impl LastUses {
    /// `every`: how far the store may lag behind.
    pub fn new(every: Duration) -> Self {
        Self {
            every,
            uses: Mutex::default(),
        }
    }

    /// The map is valid after every single step, so a panic of another
    /// holder does no harm.
    fn uses(&self) -> MutexGuard<'_, HashMap<SessionId, Use>> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The later of what the store knows and what was seen here.
    pub fn latest(&self, session: &SessionId, stored: Timestamp) -> Timestamp {
        let seen = self.uses().get(session).map(|known| known.seen);
        seen.map_or(stored, |seen| seen.max(stored))
    }

    /// Notes a use; true if it is time to write it to the store. Only one of
    /// several callers at the same moment is told so.
    pub fn note(&self, session: &SessionId, stored: Timestamp, now: Timestamp) -> bool {
        let mut uses = self.uses();
        if uses.len() >= MOST && !uses.contains_key(session) {
            let every = self.every;
            uses.retain(|_, known| now.since(known.seen) < every);
            if uses.len() >= MOST {
                return now.since(stored) >= every;
            }
        }
        let known = uses.entry(*session).or_insert(Use {
            seen: stored,
            written: stored,
        });
        known.seen = known.seen.max(now);
        known.written = known.written.max(stored);
        let due = now.since(known.written) >= self.every;
        if due {
            known.written = now;
        }
        due
    }

    /// The write did not happen: the next use tries again.
    pub fn not_written(&self, session: &SessionId, stored: Timestamp) {
        if let Some(known) = self.uses().get_mut(session) {
            known.written = stored;
        }
    }

    pub fn forget(&self, session: &SessionId) {
        self.uses().remove(session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_written_once_per_period() {
        let uses = LastUses::new(Duration::from_secs(60));
        let id = SessionId([1; 16]);
        let at = Timestamp::from_secs;
        assert!(!uses.note(&id, at(1000), at(1010)));
        assert_eq!(uses.latest(&id, at(1000)), at(1010));
        assert!(uses.note(&id, at(1000), at(1060)));
        assert!(
            !uses.note(&id, at(1000), at(1061)),
            "a stale copy of the record"
        );
        uses.not_written(&id, at(1000));
        assert!(uses.note(&id, at(1000), at(1062)));
        assert!(
            !uses.note(&id, at(1100), at(1159)),
            "another replica wrote it"
        );
        assert!(uses.note(&id, at(1100), at(1160)));
        uses.forget(&id);
        assert_eq!(uses.latest(&id, at(5)), at(5));
    }

    #[test]
    fn the_memory_is_bounded() {
        let uses = LastUses::new(Duration::from_secs(60));
        for n in 0..(MOST as u128 + 10) {
            uses.note(&SessionId(n.to_be_bytes()), Timestamp(0), Timestamp(1));
        }
        assert_eq!(uses.uses().len(), MOST);
        let late = Timestamp::from_secs(600);
        uses.note(&SessionId([255; 16]), late, late);
        assert_eq!(uses.uses().len(), 1);
    }
}
