//! What the store remembers of the ring: marks of the keys that wrote the
//! sessions in it. A ring that has none of them belongs to another store, or
//! was lost; going on would look as if everybody had signed out. A database
//! refuses it.
//!
//! Limits: a ring that lacks some of the keys only earns a warning, and one
//! that lacks all of them an alert where replicas share the store, for
//! replacing keys that leaked must be possible there; and no replica tells
//! others which keys it reads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::record::SessionId;
use super::sessions::{SessionError, Sessions};
use super::store::Digest;
use crate::base::clock::Timestamp;
use crate::base::key_ring::RingKey;

#[derive(Debug, Default)]
pub(super) struct KeyMemory {
    /// The ring and the store belong together; asked until they do.
    agreed: AtomicBool,
    /// The store remembers the writing key until then.
    until: AtomicU64,
}

impl Sessions {
    /// Whether the ring reads anything of what the store remembers, if that
    /// is to be expected. A store without sessions agrees with every ring.
    pub async fn check_keys(&self) -> Result<(), SessionError> {
        let (known, unknown) = self.remembered_keys().await?;
        if known == 0 && unknown > 0 && self.store.is_private() {
            return Err(SessionError::ForeignRing);
        }
        let first = !self.key_memory.agreed.swap(true, Ordering::Relaxed);
        if first && known == 0 && unknown > 0 {
            tracing::error!(
                alert = "key_ring_of_another_store",
                unknown,
                "the key ring (keys.file) has none of the keys that wrote the sessions in the \
                 store: replicas with different keys sign each other's people out; give all of \
                 them one ring, unless the old keys were dropped on purpose"
            );
        } else if first && unknown > 0 {
            tracing::warn!(
                unknown,
                "sessions of keys that the key ring lacks look signed out; \
                 keep a key for session.lifetime after another one began to write"
            );
        }
        Ok(())
    }

    /// How many keys that wrote the store's sessions the ring has, and how
    /// many it lacks.
    pub async fn remembered_keys(&self) -> Result<(usize, usize), SessionError> {
        let remembered = self.store.index_list(self.marks()).await?;
        let ours: Vec<_> = self.ring.all().iter().map(|key| self.mark(key)).collect();
        let known = remembered.iter().filter(|mark| ours.contains(mark)).count();
        Ok((known, remembered.len() - known))
    }

    /// `check_keys` until it succeeded once.
    pub(super) async fn agree_on_keys(&self) -> Result<(), SessionError> {
        if self.key_memory.agreed.load(Ordering::Relaxed) {
            return Ok(());
        }
        self.check_keys().await
    }

    /// Makes the store remember the writing key at least as long as a session
    /// that ends at `expires_at`. Writes once in a quarter of a lifetime.
    pub(super) async fn remember_key(&self, expires_at: Timestamp) -> Result<(), SessionError> {
        if self.key_memory.until.load(Ordering::Relaxed) >= expires_at.0 {
            return Ok(());
        }
        // Asked again each time: meanwhile others may have written.
        self.check_keys().await?;
        let until = expires_at.plus(self.lifetime / 4);
        let mark = self.mark(self.ring.writer());
        self.store.index_add(self.marks(), mark, until).await?;
        self.key_memory.until.store(until.0, Ordering::Relaxed);
        Ok(())
    }

    /// The entry that lists the marks: the same whatever the ring.
    fn marks(&self) -> Digest {
        let context = "vestibule 2026 marks of writing keys";
        Digest(blake3::derive_key(context, self.namespace.as_bytes()))
    }

    /// Tells nothing of the key, and is another one in another store. It has
    /// the length of a session's name because lists hold those.
    fn mark(&self, key: &RingKey) -> SessionId {
        let digest = key.derive("mark of a writing key", &[self.namespace.as_bytes()]);
        let (mark, _) = digest.split_first_chunk().expect("32 bytes hold 16");
        SessionId(*mark)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::sessions::tests::{HOUR, Rig, identity, rig_with, scope, sign_in, tokens};
    use super::*;
    use crate::base::clock::Clock;
    use crate::base::fault::Fault;
    use crate::base::key_ring::KeyRing;
    use crate::session::sessions::NewSession;
    use crate::session::store::Store;

    fn again(rig: &Rig, ring: &str) -> Rig {
        let store: Arc<dyn Store> = Arc::clone(&rig.store);
        rig_with(ring, rig.clock.clone(), Some(store))
    }

    #[tokio::test]
    async fn a_ring_that_reads_nothing_of_the_store_is_refused() {
        let (old, new) = (KeyRing::generate(), KeyRing::generate());
        let first = rig_with(&old, Clock::movable(), None);
        first.sessions.probe().await.unwrap();
        sign_in(&first.sessions, "ann", b"a").await;

        let other = again(&first, &new).sessions;
        let error = other.probe().await.unwrap_err();
        assert_eq!(error.reason(), "key_ring_of_another_store");
        let refused = other
            .create(NewSession {
                identity: &identity("bob"),
                tokens: &tokens(None),
                scope: &scope(),
                seed: b"b",
                user_agent: None,
                began_at: Timestamp(u64::MAX),
            })
            .await;
        assert!(refused.is_err(), "nothing is written with that ring");
        assert!(other.probe().await.is_err(), "nor did it become known");

        let both = again(&first, &format!("{new}{old}")).sessions;
        both.probe().await.unwrap();
        sign_in(&both, "bob", b"b").await;
        // The old key may go, even early; the new one is known by now.
        again(&first, &new).sessions.probe().await.unwrap();
    }

    #[tokio::test]
    async fn an_empty_store_agrees_with_every_ring() {
        let first = rig_with(&KeyRing::generate(), Clock::movable(), None);
        first.sessions.probe().await.unwrap();
        let other = again(&first, &KeyRing::generate());
        other.sessions.probe().await.unwrap();
        // Both agreed while it was empty; the first to write decides.
        sign_in(&first.sessions, "ann", b"a").await;
        let late = other.sessions.remember_key(Timestamp(u64::MAX / 2)).await;
        assert!(matches!(late, Err(SessionError::ForeignRing)));
    }

    #[tokio::test]
    async fn a_key_is_remembered_as_long_as_its_sessions_live() {
        let first = rig_with(&KeyRing::generate(), Clock::movable(), None);
        let day = i64::try_from((HOUR * 24).as_millis()).unwrap();
        sign_in(&first.sessions, "ann", b"a").await;
        // Within the quarter, so not written; then after it.
        for part in [5, 2] {
            first.clock.advance(day / part);
            sign_in(&first.sessions, "bob", b"b").await;
        }
        first.clock.advance(day - 1);
        let other = again(&first, &KeyRing::generate()).sessions;
        assert!(other.probe().await.is_err());
        first.clock.advance(day / 4 + 1);
        other.probe().await.unwrap();
    }
}
