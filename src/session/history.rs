//! What happened to a sign-in or a session, kept for the operator who asks
//! `why`: a few entries for each reference, sealed under the ring.
//!
//! Best effort and never waited for: a note goes into a bounded queue, a task
//! on the control runtime writes it. What does not fit is dropped.
//!
//! No entry holds a token, a code, a name or an address; the names of the
//! places are digests of references, which lead nowhere.

use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;
use tokio::sync::mpsc;

use super::record::SessionId;
use super::sessions::{Session, SessionError, Sessions};
use super::store::Digest;
use crate::base::clock::Timestamp;
use crate::base::fault::Fault;
use crate::base::key_ring::RingKey;
use crate::base::seal::{self, Binding};

/// Entries kept for one reference.
const KEPT: usize = 16;
/// How long they can be asked for: attempts from their last entry, sessions
/// from their end.
const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 3600);
/// Notes that may wait to be written.
const QUEUE: usize = 1024;

/// What happened. Stored by name: never rename, only add.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// Of an attempt; `link` is the session.
    SignedIn,
    /// Of an attempt, in `phase`.
    SignInFailed,
    /// Of an attempt: the gateway started it anew by itself; `link` is the
    /// new one.
    SignInRestarted,
    /// Of a session; `link` is the attempt.
    Began,
    /// `until` is the end of the new access token.
    Refreshed,
    /// The session goes on; `until` is when it is tried again.
    RefreshFailed,
    /// By `reason`.
    Ended,
}

/// One step of a sign-in that was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    pub phase: String,
    pub took_millis: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    pub at: Timestamp,
    pub event: Event,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its id in the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// The reference of something else that is worth a look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_millis: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<Step>,
}

impl Entry {
    pub fn new(at: Timestamp, event: Event) -> Self {
        Self {
            at,
            event,
            phase: None,
            reason: None,
            provider: None,
            link: None,
            until: None,
            took_millis: None,
            steps: Vec::new(),
        }
    }

    #[must_use]
    pub fn because(mut self, reason: &str) -> Self {
        self.reason = Some(reason.to_owned());
        self
    }

    #[must_use]
    pub fn in_phase(mut self, phase: &str) -> Self {
        self.phase = Some(phase.to_owned());
        self
    }

    #[must_use]
    pub fn at_provider(mut self, id: &str) -> Self {
        self.provider = Some(id.to_owned());
        self
    }

    #[must_use]
    pub fn leading_to(mut self, reference: &str) -> Self {
        self.link = Some(reference.to_owned());
        self
    }

    #[must_use]
    pub fn until(mut self, until: Timestamp) -> Self {
        self.until = Some(until);
        self
    }

    #[must_use]
    pub fn taking(mut self, length: Duration) -> Self {
        self.took_millis = u64::try_from(length.as_millis()).ok();
        self
    }
}

struct Note {
    reference: String,
    entry: Entry,
    expires_at: Timestamp,
}

/// The way into the queue; closed until [`Sessions::keep_history`].
#[derive(Default)]
pub(super) struct Notes {
    queue: OnceLock<mpsc::Sender<Note>>,
    /// In the queue or being written.
    waiting: AtomicUsize,
}

impl Sessions {
    /// From now on notes are written, by a task on `control` that ends with
    /// these sessions. Without this call they are passed over.
    pub fn keep_history(self: &Arc<Self>, control: &Handle) {
        let (queue, mut notes) = mpsc::channel::<Note>(QUEUE);
        if self.notes.queue.set(queue).is_err() {
            return;
        }
        let sessions = Arc::downgrade(self);
        control.spawn(async move {
            while let Some(note) = notes.recv().await {
                let Some(sessions) = sessions.upgrade() else {
                    return;
                };
                if let Err(error) = sessions.write_note(&note).await {
                    tracing::debug!(
                        reason = error.reason(),
                        history.reference = note.reference,
                        "an entry of a history was not kept"
                    );
                }
                sessions.notes.waiting.fetch_sub(1, Ordering::Relaxed);
            }
        });
    }

    /// Notes something about an attempt. Only attempts whose state opened
    /// may be named: whoever starts sign-ins in masses must not fill the
    /// store.
    pub fn note_attempt(&self, attempt: &str, entry: Entry) {
        let expires_at = entry.at.plus(REMEMBERED);
        self.note(attempt.to_owned(), entry, expires_at);
    }

    pub fn note_session(&self, session: &Session, entry: Entry) {
        let expires_at = session.expires_at.max(entry.at).plus(REMEMBERED);
        self.note(session.id.reference(), entry, expires_at);
    }

    /// Where only the id is known; it cannot last longer than `lifetime`.
    pub(super) fn note_ended(&self, session: SessionId, reason: &str) {
        let now = self.clock.now();
        let entry = Entry::new(now, Event::Ended).because(reason);
        self.note(
            session.reference(),
            entry,
            now.plus(self.lifetime).plus(REMEMBERED),
        );
    }

    fn note(&self, reference: String, entry: Entry, expires_at: Timestamp) {
        let Some(queue) = self.notes.queue.get() else {
            return;
        };
        let note = Note {
            reference,
            entry,
            expires_at,
        };
        self.notes.waiting.fetch_add(1, Ordering::Relaxed);
        if queue.try_send(note).is_err() {
            self.notes.waiting.fetch_sub(1, Ordering::Relaxed);
            tracing::debug!("too many entries of histories wait; one was dropped");
        }
    }

    /// Notes that are not written yet.
    pub fn notes_waiting(&self) -> usize {
        self.notes.waiting.load(Ordering::Relaxed)
    }

    async fn write_note(&self, note: &Note) -> Result<(), SessionError> {
        let key = self.ring.writer();
        let name = self.history_name(key, &note.reference);
        let plain = serde_json::to_vec(&note.entry).expect("an entry has only JSON's own forms");
        let sealed = seal::seal(&history_key(key), self.history_binding(&name), &plain);
        let added = self
            .store
            .history_add(name, sealed, KEPT, note.expires_at)
            .await;
        Ok(added?)
    }

    /// What is known of an attempt id or the reference of a session, oldest
    /// first. Entries that a later release wrote are passed over.
    pub async fn history(&self, reference: &str) -> Result<Vec<Entry>, SessionError> {
        let mut entries = Vec::new();
        for key in self.ring.all() {
            let name = self.history_name(key, reference);
            for sealed in self.store.history(name).await? {
                let plain = seal::open(&history_key(key), self.history_binding(&name), &sealed);
                let entry = plain
                    .ok()
                    .and_then(|plain| serde_json::from_slice::<Entry>(&plain).ok());
                entries.extend(entry);
            }
        }
        entries.sort_by_key(|entry| entry.at);
        Ok(entries)
    }

    fn history_name(&self, key: &RingKey, reference: &str) -> Digest {
        let parts = [&*self.namespace, reference].map(str::as_bytes);
        Digest(key.derive("name of a history", &parts))
    }

    fn history_binding<'a>(&'a self, name: &'a Digest) -> Binding<'a> {
        Binding {
            namespace: &self.namespace,
            kind: "history",
            name: &name.0,
        }
    }
}

fn history_key(key: &RingKey) -> zeroize::Zeroizing<[u8; 32]> {
    zeroize::Zeroizing::new(key.derive("history", &[]))
}

#[cfg(test)]
mod tests;
