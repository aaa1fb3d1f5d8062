//! What a store tells of changes, so that what was read from it may be kept
//! and used again without asking.
//!
//! Rules for a store: a change is told after readers can see it and, where
//! this process made it, before the call that made it answers. Reads whose
//! changes are told are possible before `watching`; `blind` comes before a
//! read goes any other way. A reading that began earlier than the last
//! `watching`, `blind` or `everything_changed` is kept by nobody.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use super::Digest;
use crate::session::record::SessionId;

/// What was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    Ticket(Digest),
    Session(SessionId),
}

/// Told of changes, whoever made them: this process or another one. Called
/// from a store's own tasks, so it must not block.
pub trait Watcher: Send + Sync {
    /// What `get_ticket` answers may have changed.
    fn ticket_changed(&self, name: Digest);

    /// What `load` answers may have changed.
    fn session_changed(&self, id: SessionId);

    /// Anything may have changed: nothing that was read before counts.
    fn everything_changed(&self);

    /// From now on every change is told. `max_age`: how long a reading counts
    /// even so; `Duration::MAX` where nothing goes untold.
    fn watching(&self, max_age: Duration);

    /// From now on nothing is told. Until `known_good` all changes would
    /// have been heard of.
    fn blind(&self, known_good: Instant);
}

/// Those whom a store tells. One that comes late is told at once whether the
/// store watches.
#[derive(Default)]
pub struct Watchers {
    inner: RwLock<Inner>,
}

#[derive(Default)]
struct Inner {
    all: Vec<Arc<dyn Watcher>>,
    watching: Option<Duration>,
}

impl Watchers {
    /// Valid after every single step, so a panic of another holder does no
    /// harm.
    fn each(&self, tell: impl Fn(&dyn Watcher)) {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.all.iter().for_each(|watcher| tell(&**watcher));
    }

    pub fn add(&self, watcher: Arc<dyn Watcher>) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(max_age) = inner.watching {
            watcher.watching(max_age);
        }
        inner.all.push(watcher);
    }

    pub fn is_empty(&self) -> bool {
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        inner.all.is_empty()
    }

    pub fn changed(&self, what: Changed) {
        match what {
            Changed::Ticket(name) => self.ticket_changed(name),
            Changed::Session(id) => self.session_changed(id),
        }
    }

    pub fn ticket_changed(&self, name: Digest) {
        self.each(|watcher| watcher.ticket_changed(name));
    }

    pub fn session_changed(&self, id: SessionId) {
        self.each(|watcher| watcher.session_changed(id));
    }

    pub fn everything_changed(&self) {
        self.each(|watcher| watcher.everything_changed());
    }

    pub fn watching(&self, max_age: Duration) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.watching = Some(max_age);
        inner
            .all
            .iter()
            .for_each(|watcher| watcher.watching(max_age));
    }

    pub fn blind(&self, known_good: Instant) {
        let mut inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        inner.watching = None;
        inner
            .all
            .iter()
            .for_each(|watcher| watcher.blind(known_good));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Writes down what it is told.
    #[derive(Default)]
    pub(crate) struct Notes(pub(crate) Mutex<Vec<String>>);

    impl Notes {
        fn note(&self, text: String) {
            self.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(text);
        }
    }

    impl Watcher for Notes {
        fn ticket_changed(&self, name: Digest) {
            self.note(format!("ticket {}", name.0[0]));
        }

        fn session_changed(&self, id: SessionId) {
            self.note(format!("session {}", id.0[0]));
        }

        fn everything_changed(&self) {
            self.note("everything".to_owned());
        }

        fn watching(&self, max_age: Duration) {
            self.note(format!("watching {}", max_age.as_secs()));
        }

        fn blind(&self, _: Instant) {
            self.note("blind".to_owned());
        }
    }

    #[test]
    fn everybody_is_told_and_who_comes_late_learns_how_things_stand() {
        let watchers = Watchers::default();
        assert!(watchers.is_empty());
        let (first, late, last) = (
            Arc::new(Notes::default()),
            Arc::new(Notes::default()),
            Arc::new(Notes::default()),
        );
        watchers.add(first.clone());
        watchers.watching(Duration::from_secs(2));
        watchers.add(late.clone());
        watchers.ticket_changed(Digest([1; 32]));
        watchers.session_changed(SessionId([2; 16]));
        watchers.everything_changed();
        watchers.blind(Instant::now());
        watchers.add(last.clone());
        let told = |notes: &Notes| notes.0.lock().unwrap().clone();
        let all = ["watching 2", "ticket 1", "session 2", "everything", "blind"];
        assert_eq!(told(&first), all);
        assert_eq!(told(&late), all);
        assert!(told(&last).is_empty());
    }
}
