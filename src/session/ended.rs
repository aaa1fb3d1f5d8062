//! Sessions that this process ended: known before the store is asked, so that
//! none of them comes back here, whatever a store that was away or lost its
//! last writes says.
//!
//! An entry waits until the store took it, and is then told to the store
//! again for a while, for a failover may lose the last writes.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::journal::Name;
use super::record::SessionId;
use super::store::Digest;
use super::ticket::Ticket;
use crate::base::clock::Timestamp;

/// How long an ended session stays known after the store took it.
const KEPT: Duration = Duration::from_secs(300);
/// When the store is told again although nothing seems to have happened: a
/// change of primaries may go unnoticed.
const TOLD_AGAIN: [Duration; 3] = [
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(240),
];
/// Entries that wait; beyond that an outage refuses sign-outs.
const MOST_WAITING: usize = 20_000;
/// Entries altogether; beyond that the oldest that the store has go.
const MOST: usize = 50_000;

/// Whose session ended.
#[derive(Clone)]
pub(super) enum Whose {
    /// With the ticket at hand, which is over even while the store cannot
    /// say where it leads.
    Session(SessionId, Option<Digest>),
    /// The store was away, and this ticket was never read here: its record
    /// says later which session it is.
    Ticket(Digest, Ticket),
}

#[derive(Clone)]
pub(super) struct SignOut {
    pub whose: Whose,
    pub at: Timestamp,
    /// Nothing is left to end after this.
    pub until: Timestamp,
}

impl SignOut {
    pub(super) fn name(&self) -> Name {
        match &self.whose {
            Whose::Session(id, _) => session_name(id),
            Whose::Ticket(digest, _) => {
                blake3::derive_key("vestibule 2026 ended ticket", &digest.0)
            }
        }
    }
}

fn session_name(id: &SessionId) -> Name {
    blake3::derive_key("vestibule 2026 ended session", &id.0)
}

struct Entry {
    sign_out: SignOut,
    /// The session, where a ticket's is known by now.
    session: Option<SessionId>,
    /// When the store took it.
    taken: Option<Instant>,
    told_again: usize,
}

#[derive(Default)]
struct Inner {
    entries: HashMap<Name, Entry>,
    sessions: HashSet<SessionId>,
    tickets: HashSet<Digest>,
    waiting: usize,
}

/// Too many wait already.
#[derive(Debug)]
pub(super) struct TooMany;

#[derive(Default)]
pub(super) struct Ended {
    inner: Mutex<Inner>,
    /// Entries, so that the usual request takes no lock.
    count: AtomicUsize,
}

impl Ended {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn none(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    pub(super) fn has_session(&self, id: &SessionId) -> bool {
        !self.none() && self.inner().sessions.contains(id)
    }

    pub(super) fn has_ticket(&self, ticket: &Digest) -> bool {
        !self.none() && self.inner().tickets.contains(ticket)
    }

    /// From now on it is over here. True if it waits for the store already.
    pub(super) fn add(&self, sign_out: SignOut) -> Result<bool, TooMany> {
        let mut inner = self.inner();
        let name = sign_out.name();
        if let Some(known) = inner.entries.get_mut(&name) {
            let waits = known.taken.is_none();
            known.taken = None;
            inner.waiting += usize::from(!waits);
            return Ok(waits);
        }
        if inner.waiting >= MOST_WAITING {
            return Err(TooMany);
        }
        if inner.entries.len() >= MOST {
            let taken = inner.entries.iter();
            let oldest = taken
                .filter_map(|(name, entry)| Some((entry.taken?, *name)))
                .min();
            if let Some((_, name)) = oldest {
                inner.remove(&name);
            }
        }
        match &sign_out.whose {
            Whose::Session(id, ticket) => {
                inner.sessions.insert(*id);
                inner.tickets.extend(ticket);
            }
            Whose::Ticket(digest, _) => drop(inner.tickets.insert(*digest)),
        }
        let entry = Entry {
            session: None,
            sign_out,
            taken: None,
            told_again: 0,
        };
        inner.entries.insert(name, entry);
        inner.waiting += 1;
        self.count.store(inner.entries.len(), Ordering::Release);
        Ok(false)
    }

    /// The store has it. `session`: whose the ticket was. True if it waited.
    pub(super) fn taken(&self, name: &Name, session: Option<SessionId>) -> bool {
        let mut inner = self.inner();
        let Some(entry) = inner.entries.get_mut(name) else {
            return false;
        };
        let waited = entry.taken.is_none();
        entry.taken.get_or_insert_with(Instant::now);
        entry.session = entry.session.or(session);
        inner.waiting -= usize::from(waited);
        inner.sessions.extend(session);
        waited
    }

    /// What the store is to be told now. `trouble`: since the last time
    /// something went wrong with it.
    pub(super) fn due(&self, trouble: bool) -> Vec<SignOut> {
        self.due_at(Instant::now(), trouble)
    }

    fn due_at(&self, moment: Instant, trouble: bool) -> Vec<SignOut> {
        if self.none() {
            return Vec::new();
        }
        let mut inner = self.inner();
        let mut due = Vec::new();
        for entry in inner.entries.values_mut() {
            let again = entry.taken.is_some_and(|taken| {
                let next = TOLD_AGAIN.get(entry.told_again);
                next.is_some_and(|next| moment.duration_since(taken) >= *next)
            });
            entry.told_again += usize::from(again);
            if entry.taken.is_none() || trouble || again {
                due.push(entry.sign_out.clone());
            }
        }
        due
    }

    /// Lets go of what the store has had for long, and of what is over by
    /// itself; their names.
    pub(super) fn let_go(&self, now: Timestamp) -> Vec<Name> {
        self.let_go_at(Instant::now(), now)
    }

    fn let_go_at(&self, moment: Instant, now: Timestamp) -> Vec<Name> {
        if self.none() {
            return Vec::new();
        }
        let mut inner = self.inner();
        let over = inner.entries.iter().filter(|(_, entry)| {
            let taken = entry.taken;
            entry.sign_out.until <= now
                || taken.is_some_and(|taken| moment.duration_since(taken) >= KEPT)
        });
        let over: Vec<Name> = over.map(|(name, _)| *name).collect();
        for name in &over {
            inner.remove(name);
        }
        self.count.store(inner.entries.len(), Ordering::Release);
        over
    }

    /// Sign-outs that the store does not have yet.
    pub(super) fn waiting(&self) -> usize {
        if self.none() { 0 } else { self.inner().waiting }
    }
}

impl Inner {
    fn remove(&mut self, name: &Name) {
        let Some(entry) = self.entries.remove(name) else {
            return;
        };
        self.waiting -= usize::from(entry.taken.is_none());
        match &entry.sign_out.whose {
            Whose::Session(id, ticket) => {
                self.sessions.remove(id);
                if let Some(ticket) = ticket {
                    self.tickets.remove(ticket);
                }
            }
            Whose::Ticket(digest, _) => drop(self.tickets.remove(digest)),
        }
        // Unless the session itself has an entry of its own.
        if let Some(id) = entry.session
            && !self.entries.contains_key(&session_name(&id))
        {
            self.sessions.remove(&id);
        }
    }
}

#[cfg(test)]
mod tests;
