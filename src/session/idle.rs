//! When each session was last used, as far as this process saw it. Keeps the
//! store from being written on each request.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::record::SessionId;
use crate::base::clock::Timestamp;

/// Sessions remembered; beyond that the store is written more often.
const MOST: usize = 100_000;
/// Uses closer together than this are one, so that a busy session's entry is
/// not written by all cores all the time.
const AT_ONCE: Duration = Duration::from_millis(100);

/// Of one session; shared by all its readings.
#[derive(Debug)]
pub struct LastUse {
    seen: AtomicU64,
    written: AtomicU64,
}

impl LastUse {
    const fn new(stored: Timestamp) -> Self {
        Self {
            seen: AtomicU64::new(stored.0),
            written: AtomicU64::new(stored.0),
        }
    }

    /// The later of what the store knows and what was seen here.
    pub fn latest(&self, stored: Timestamp) -> Timestamp {
        Timestamp(self.seen.load(Ordering::Relaxed)).max(stored)
    }

    fn written(&self, stored: Timestamp) -> Timestamp {
        Timestamp(self.written.load(Ordering::Relaxed)).max(stored)
    }
}

pub struct LastUses {
    every: Duration,
    uses: Mutex<HashMap<SessionId, Arc<LastUse>>>,
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
    fn uses(&self) -> MutexGuard<'_, HashMap<SessionId, Arc<LastUse>>> {
        self.uses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// That of a session which was just read.
    pub fn of(&self, session: &SessionId, stored: Timestamp, now: Timestamp) -> Arc<LastUse> {
        let mut uses = self.uses();
        if let Some(known) = uses.get(session) {
            return Arc::clone(known);
        }
        if uses.len() >= MOST {
            let seen = |known: &LastUse| Timestamp(known.seen.load(Ordering::Relaxed));
            uses.retain(|_, known| now.since(seen(known)) < self.every);
        }
        let made = Arc::new(LastUse::new(stored));
        if uses.len() < MOST {
            uses.insert(*session, Arc::clone(&made));
        }
        made
    }

    /// Notes a use. True if it is time to write it to the store, which
    /// [`LastUses::may_write`] then grants to one caller.
    pub fn note(&self, known: &LastUse, stored: Timestamp, now: Timestamp) -> bool {
        let seen = Timestamp(known.seen.load(Ordering::Relaxed));
        if now.since(seen) >= AT_ONCE {
            known.seen.fetch_max(now.0, Ordering::Relaxed);
        }
        now.since(known.written(stored)) >= self.every
    }

    /// Only one of several callers at the same moment is told so.
    pub fn may_write(&self, known: &LastUse, stored: Timestamp, now: Timestamp) -> bool {
        let written = known.written.load(Ordering::Relaxed);
        now.since(Timestamp(written).max(stored)) >= self.every
            && known
                .written
                .compare_exchange(written, now.0, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// The write did not happen: the next use tries again.
    pub fn not_written(&self, known: &LastUse, stored: Timestamp) {
        known.written.store(stored.0, Ordering::Relaxed);
    }

    pub fn forget(&self, session: &SessionId) {
        self.uses().remove(session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl LastUses {
        fn noted(&self, known: &LastUse, stored: Timestamp, now: Timestamp) -> bool {
            self.note(known, stored, now) && self.may_write(known, stored, now)
        }
    }

    #[test]
    fn a_use_is_written_once_per_period() {
        let uses = LastUses::new(Duration::from_secs(60));
        let id = SessionId([1; 16]);
        let at = Timestamp::from_secs;
        let known = uses.of(&id, at(1000), at(1000));
        assert!(!uses.noted(&known, at(1000), at(1010)));
        assert_eq!(known.latest(at(1000)), at(1010));
        assert!(uses.noted(&known, at(1000), at(1060)));
        assert!(
            !uses.noted(&known, at(1000), at(1061)),
            "a stale copy of the record"
        );
        uses.not_written(&known, at(1000));
        assert!(uses.noted(&known, at(1000), at(1062)));
        assert!(
            !uses.noted(&known, at(1100), at(1159)),
            "another replica wrote it"
        );
        assert!(uses.note(&known, at(1100), at(1160)));
        assert!(uses.may_write(&known, at(1100), at(1160)));
        assert!(!uses.may_write(&known, at(1100), at(1160)), "one is enough");
        let again = uses.of(&id, at(1000), at(1160));
        assert_eq!(again.latest(at(1000)), at(1160), "another reading of it");
        uses.forget(&id);
        let anew = uses.of(&id, at(5), at(1160));
        assert_eq!(anew.latest(at(5)), at(5));
    }

    #[test]
    fn the_memory_is_bounded() {
        let uses = LastUses::new(Duration::from_secs(60));
        for n in 0..(MOST as u128 + 10) {
            let known = uses.of(&SessionId(n.to_be_bytes()), Timestamp(0), Timestamp(1));
            uses.note(&known, Timestamp(0), Timestamp(1));
        }
        assert_eq!(uses.uses().len(), MOST);
        let late = Timestamp::from_secs(600);
        uses.of(&SessionId([255; 16]), late, late);
        assert_eq!(uses.uses().len(), 1);
    }
}
