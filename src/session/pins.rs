//! Names that belong to the first person who brought them. The store decides;
//! what it said is remembered for a while, so that a warm session costs no
//! question to it.
//!
//! Limits: after a release the person before may go on for `OURS` in other
//! replicas, and a name that was taken may look so for `TAKEN`.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::sessions::{SessionError, Sessions};
use super::store::Digest;
use crate::base::clock::Timestamp;
use crate::model::identity::Identity;

const OURS: Duration = Duration::from_secs(60);
/// Short, because an operator who released a name wants to see it work.
const TAKEN: Duration = Duration::from_secs(5);
/// While the store is away, what it said last counts this much longer.
const STALE: Duration = Duration::from_secs(60);
/// Answers remembered; beyond that the store is asked more often.
const MOST: usize = 100_000;

/// The form of a pin in the store; a version byte before the digest.
const FORM: u8 = 1;

type Question = ([u8; 32], [u8; 32]);

#[derive(Debug, Clone, Copy)]
struct Answer {
    ours: bool,
    at: Timestamp,
}

#[derive(Debug, Default)]
pub(super) struct Pins {
    answers: Mutex<HashMap<Question, Answer>>,
}

impl Pins {
    /// The map is valid after every single step, so a panic of another
    /// holder does no harm.
    fn answers(&self) -> MutexGuard<'_, HashMap<Question, Answer>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, question: Question, answer: Answer) {
        let mut answers = self.answers();
        if answers.len() >= MOST {
            answers.retain(|_, known| answer.at.since(known.at) < OURS);
            if answers.len() >= MOST {
                answers.clear();
            }
        }
        answers.insert(question, answer);
    }

    fn forget(&self, pin: [u8; 32]) {
        self.answers().retain(|question, _| question.0 != pin);
    }
}

impl Sessions {
    /// Whether `folded` is this person's name: pinned before, or from now on.
    /// Names of one `kind` never meet those of another.
    pub async fn holds_name(
        &self,
        kind: &'static str,
        folded: &str,
        identity: &Identity,
    ) -> Result<bool, SessionError> {
        let held = self.held_until(kind, folded, identity).await?;
        Ok(held.is_some())
    }

    /// As [`Sessions::holds_name`]: until when the answer counts, if the name
    /// is this person's. In the past where the store could not be asked.
    pub async fn held_until(
        &self,
        kind: &'static str,
        folded: &str,
        identity: &Identity,
    ) -> Result<Option<Timestamp>, SessionError> {
        let pin = self.pin_name(kind, folded);
        let person = self.person(&identity.issuer, &identity.subject);
        let known = self.pins.answers().get(&(pin.0, person)).copied();
        let now = self.clock.now();
        let age = |answer: &Answer| now.since(answer.at);
        let fresh = known.filter(|known| age(known) < if known.ours { OURS } else { TAKEN });
        let until = |known: Answer| known.ours.then(|| known.at.plus(OURS));
        if let Some(known) = fresh {
            return Ok(until(known));
        }
        let mut ours = vec![FORM];
        ours.extend(person);
        match self.store.pin(pin, ours.clone()).await {
            Ok(holder) => {
                let ours = *holder == *ours;
                let answer = Answer { ours, at: now };
                self.pins.remember((pin.0, person), answer);
                Ok(until(answer))
            }
            Err(error) => known
                .filter(|known| known.ours && age(known) < OURS + STALE)
                .map(until)
                .ok_or_else(|| error.into()),
        }
    }

    /// Lets the next person who brings the name have it. True if somebody
    /// had it.
    pub async fn release_name(
        &self,
        kind: &'static str,
        folded: &str,
    ) -> Result<bool, SessionError> {
        let pin = self.pin_name(kind, folded);
        let was_pinned = self.store.unpin(pin).await?;
        self.pins.forget(pin.0);
        Ok(was_pinned)
    }

    /// Not under a ring key: a pin outlives every key of the ring.
    fn pin_name(&self, kind: &'static str, folded: &str) -> Digest {
        self.pin_digest("vestibule 2026 pin", &[kind, folded])
    }

    fn person(&self, issuer: &str, subject: &str) -> [u8; 32] {
        self.pin_digest("vestibule 2026 holder of a pin", &[issuer, subject])
            .0
    }

    fn pin_digest(&self, context: &'static str, parts: &[&str]) -> Digest {
        let mut hasher = blake3::Hasher::new_derive_key(context);
        for part in std::iter::once(&&*self.namespace).chain(parts) {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part.as_bytes());
        }
        Digest(*hasher.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::sessions::tests::{Rig, identity, rig_with};
    use super::*;
    use crate::base::clock::Clock;
    use crate::base::key_ring::KeyRing;
    use crate::session::store::Store;

    fn rig() -> Rig {
        rig_with(&KeyRing::generate(), Clock::movable(), None)
    }

    async fn holds(rig: &Rig, name: &str, subject: &str) -> bool {
        let person = identity(subject);
        rig.sessions
            .holds_name("username", name, &person)
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_name_belongs_to_the_first_person_until_it_is_released() {
        let rig = rig();
        assert!(holds(&rig, "ann", "1").await);
        assert!(holds(&rig, "ann", "1").await);
        assert!(!holds(&rig, "ann", "2").await);
        assert!(holds(&rig, "ben", "2").await);
        let other_issuer = Identity {
            issuer: "https://other.example.com".into(),
            ..identity("1")
        };
        let same_subject = rig.sessions.holds_name("username", "ann", &other_issuer);
        assert!(!same_subject.await.unwrap());
        let second = identity("2");
        let as_mail = rig.sessions.holds_name("email", "ann", &second);
        assert!(as_mail.await.unwrap(), "another kind of name");
        assert!(rig.sessions.release_name("username", "ann").await.unwrap());
        assert!(holds(&rig, "ann", "2").await);
        assert!(!holds(&rig, "ann", "1").await);
        assert!(!rig.sessions.release_name("username", "zoe").await.unwrap());
    }

    #[tokio::test]
    async fn a_pin_outlives_the_ring_and_is_seen_by_replicas() {
        let first = rig();
        assert!(holds(&first, "ann", "1").await);
        let store: Arc<dyn Store> = Arc::clone(&first.store);
        let other = rig_with(&KeyRing::generate(), first.clock.clone(), Some(store));
        assert!(!holds(&other, "ann", "2").await);
        assert!(holds(&other, "ann", "1").await);
        // A release elsewhere is noticed when the answers are too old.
        first
            .sessions
            .release_name("username", "ann")
            .await
            .unwrap();
        assert!(!holds(&other, "ann", "2").await);
        other.clock.advance(5_000);
        assert!(holds(&other, "ann", "2").await);
        assert!(holds(&other, "ann", "1").await, "not asked again yet");
        other.clock.advance(60_000);
        assert!(!holds(&other, "ann", "1").await);
    }

    #[tokio::test]
    async fn a_warm_answer_costs_the_store_nothing() {
        let rig = rig();
        assert!(holds(&rig, "ann", "1").await);
        // Released behind our back: whoever asked the store would pin anew.
        let pin = rig.sessions.pin_name("username", "ann");
        assert!(rig.store.unpin(pin).await.unwrap());
        for _ in 0..100 {
            assert!(holds(&rig, "ann", "1").await);
        }
        assert!(!rig.store.unpin(pin).await.unwrap());
    }

    #[test]
    fn the_memory_is_bounded() {
        let pins = Pins::default();
        for number in 0..=MOST as u64 {
            let mut question = ([0; 32], [0; 32]);
            question.0[..8].copy_from_slice(&number.to_le_bytes());
            let answer = Answer {
                ours: true,
                at: Timestamp(1),
            };
            pins.remember(question, answer);
        }
        assert!(pins.answers().len() <= MOST);
    }
}
