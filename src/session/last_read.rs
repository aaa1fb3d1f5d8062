//! Live sessions as they were read last, for when the store cannot answer.
//! Never asked while it can, and never for a write.

use super::cache::{Bounds, Cache};
use super::found::Session;
use super::sessions::Sessions;
use super::ticket::Ticket;
use crate::base::random;

/// Sessions remembered, and their bytes.
const MOST: usize = 100_000;
const MOST_BYTES: usize = 256 * 1024 * 1024;
/// Beside the sealed records: what a session takes by being one.
const OVERHEAD: usize = 1024;

/// Of the whole ticket: a right name with a wrong secret finds nothing.
type Key = [u8; 32];

pub(super) struct LastRead {
    key: [u8; 32],
    sessions: Cache<Key, Session>,
}

impl LastRead {
    /// `age`: how old a reading may be. Zero: nothing is remembered.
    pub(super) fn new(age: std::time::Duration) -> Self {
        Self {
            key: random::bytes(),
            sessions: Cache::new(Bounds {
                entries: MOST,
                bytes: MOST_BYTES,
                age,
            }),
        }
    }

    fn key(&self, ticket: &Ticket) -> Key {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        ticket.feed(&mut hasher);
        *hasher.finalize().as_bytes()
    }

    pub(super) fn put(&self, ticket: &Ticket, session: &Session) {
        let weight = session.sealed_tokens.len() + 2 * session.identity_bytes + OVERHEAD;
        self.sessions.put(self.key(ticket), session.clone(), weight);
    }

    pub(super) fn forget(&self, ticket: &Ticket) {
        self.sessions.remove(&self.key(ticket));
    }

    pub(super) fn forget_session(&self, session: &super::record::SessionId) {
        self.sessions.remove_where(|known| known.id == *session);
    }
}

impl Sessions {
    /// The ticket's session as it was read last, if that is not too long ago
    /// and it has not ended as far as this process can tell. For reads, and
    /// only after `find` said that the store cannot be reached.
    pub fn last_read(&self, ticket: &Ticket) -> Option<Session> {
        let session = self.last_read.sessions.get(&self.last_read.key(ticket))?;
        let ended = self.ended.has_ticket(&session.ticket)
            || self.ended.has_session(&session.id)
            || self.ending(&session).is_some();
        (!ended).then(|| session.as_stale())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::record::SessionId;
    use super::super::sessions::tests::{HOUR, Rig, rig_with, sign_in};
    use super::super::sessions::{Found, SessionError};
    use super::super::store::StoreError;
    use super::super::store::spoiled::SpoiledStore;
    use crate::base::clock::Clock;
    use crate::base::key_ring::KeyRing;

    const STALE: Duration = Duration::from_secs(30);

    fn rig(age: Duration) -> (Arc<SpoiledStore>, Rig) {
        let clock = Clock::movable();
        let store = Arc::new(SpoiledStore::new(clock.clone()));
        let mut rig = rig_with(&KeyRing::generate(), clock, Some(store.clone()));
        rig.sessions = rig.sessions.serving_stale(age);
        (store, rig)
    }

    #[tokio::test]
    async fn r1_a_session_that_was_read_goes_on_for_a_while_and_others_do_not() {
        let (store, Rig { sessions, .. }) = rig(STALE);
        let (read, _) = sign_in(&sessions, "ann", b"a").await;
        let (unread, _) = sign_in(&sessions, "bob", b"b").await;
        assert!(matches!(sessions.find(&read).await, Ok(Found::Live(_))));
        store.spoil(Some(StoreError::Unavailable("away".into())));
        let error = sessions.find(&read).await.unwrap_err();
        assert!(error.is_unreachable());
        let stale = sessions.last_read(&read).unwrap();
        assert!(stale.is_stale());
        assert!(sessions.last_read(&unread).is_none());
        // A reading of the past is never the ground for a write.
        assert!(sessions.reload(&stale).await.is_err());

        let (store, Rig { sessions, .. }) = rig(Duration::from_millis(1));
        let (read, _) = sign_in(&sessions, "ann", b"a").await;
        sessions.find(&read).await.unwrap();
        store.spoil(Some(StoreError::Unavailable("away".into())));
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(sessions.last_read(&read).is_none(), "too long ago");
    }

    #[tokio::test]
    async fn r1_neither_ended_nor_idle_nor_changed_tickets_are_served() {
        let (
            store,
            Rig {
                sessions, clock, ..
            },
        ) = rig(STALE);
        let (out, session) = sign_in(&sessions, "ann", b"a").await;
        let (idle, _) = sign_in(&sessions, "bob", b"b").await;
        let (elsewhere, other) = sign_in(&sessions, "eve", b"c").await;
        for ticket in [&out, &idle, &elsewhere] {
            sessions.find(ticket).await.unwrap();
        }
        let mut changed = idle.clone();
        changed.secret[0] ^= 1;
        // Ended by another replica, and noticed by a read.
        store.tombstone_behind_our_back(other.id).await;
        assert!(matches!(
            sessions.find(&elsewhere).await,
            Ok(Found::Ended(_))
        ));
        store.spoil(Some(StoreError::Unavailable("away".into())));
        sessions.revoke(&session).await.unwrap();
        assert!(sessions.last_read(&out).is_none());
        assert!(sessions.last_read(&elsewhere).is_none());
        assert!(sessions.last_read(&idle).is_some());
        assert!(sessions.last_read(&changed).is_none());
        clock.advance(i64::try_from(HOUR.as_millis()).unwrap());
        assert!(sessions.last_read(&idle).is_none(), "idle by now");
        assert_ne!(session.id, SessionId([0; 16]));
    }

    #[tokio::test]
    async fn other_errors_than_being_away_are_not_glossed_over() {
        for error in [
            StoreError::Corrupt("x".into()),
            StoreError::Credentials("x".into()),
            StoreError::Refused("x".into()),
        ] {
            assert!(!SessionError::Store(error).is_unreachable());
        }
    }
}
