//! Sign-outs that a provider orders: which sessions they mean, and sign-ins
//! that were under way meanwhile.
//!
//! A sign-out leaves a note of its time first, then ends what it finds. A
//! sign-in adds itself to the index first, and reads the notes last. Whichever
//! order the two fall in, one of them sees the other.

use std::time::Duration;

use super::record::SessionId;
use super::sessions::{SessionError, Sessions};
use super::store::Digest;
use crate::base::clock::Timestamp;
use crate::base::key_ring::RingKey;
use crate::base::random;
use crate::model::identity::Identity;

/// A sign-in that began before a note this old has failed by now: longer than
/// a login transaction lives and its exchange takes (`login` sees to it).
pub const NOTES_KEPT: Duration = Duration::from_secs(20 * 60);

/// What the histories of such sessions say.
const ORDERED: &str = "session_ended_by_idp";

/// Whom a provider has signed out.
#[derive(Debug, Clone, Copy)]
pub struct SignOutOrder<'a> {
    pub issuer: &'a str,
    pub subject: Option<&'a str>,
    /// The provider's own session; without it every session of the subject.
    pub provider_session: Option<&'a str>,
}

/// What an index entry is about.
#[derive(Debug, Clone, Copy)]
enum About<'a> {
    /// Every session of a person.
    Person(&'a str),
    /// One session at the provider.
    ProviderSession(&'a str),
    /// Sessions of a person whose provider never named a session of its own:
    /// a sign-out of any session of that person could mean them.
    Unnamed(&'a str),
}

impl<'a> SignOutOrder<'a> {
    fn about(self) -> impl Iterator<Item = About<'a>> {
        let of_subject = match self.provider_session {
            Some(_) => About::Unnamed,
            None => About::Person,
        };
        let named = self.provider_session.map(About::ProviderSession);
        named.into_iter().chain(self.subject.map(of_subject))
    }
}

impl Sessions {
    /// Ends every live session that the order means; tells how many.
    pub async fn sign_out_by_provider(
        &self,
        order: SignOutOrder<'_>,
    ) -> Result<usize, SessionError> {
        let now = self.clock.now();
        for about in order.about() {
            let notes = self.notes(self.ring.writer(), order.issuer, about);
            let until = now.plus(NOTES_KEPT);
            self.store.index_add(notes, note_at(now), until).await?;
        }
        let mut ended = 0;
        for about in order.about() {
            ended += match about {
                About::Person(subject) => {
                    self.revoke_subject_because(order.issuer, subject, ORDERED)
                        .await?
                }
                _ => self.end_all(order.issuer, about).await?,
            };
        }
        Ok(ended)
    }

    /// Makes a session findable for orders. Before it is created.
    pub(super) async fn add_to_orders(
        &self,
        identity: &Identity,
        session: SessionId,
        expires_at: Timestamp,
    ) -> Result<(), SessionError> {
        let index = self.order_index(self.ring.writer(), &identity.issuer, about(identity));
        Ok(self.store.index_add(index, session, expires_at).await?)
    }

    pub(super) async fn remove_from_orders(
        &self,
        identity: &Identity,
        session: SessionId,
    ) -> Result<(), SessionError> {
        for key in self.ring.all() {
            let index = self.order_index(key, &identity.issuer, about(identity));
            self.store.index_remove(index, session).await?;
        }
        Ok(())
    }

    /// Whether the provider has signed this person out since `began`. After
    /// the session was created.
    pub(super) async fn signed_out_since(
        &self,
        identity: &Identity,
        began: Timestamp,
    ) -> Result<bool, SessionError> {
        for key in self.ring.all() {
            for about in [About::Person(&identity.subject), about(identity)] {
                let notes = self.notes(key, &identity.issuer, about);
                let notes = self.store.index_list(notes).await?;
                if notes.iter().any(|note| noted_at(*note) >= began) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    async fn end_all(&self, issuer: &str, about: About<'_>) -> Result<usize, SessionError> {
        let mut ended = 0;
        for key in self.ring.all() {
            let index = self.order_index(key, issuer, about);
            ended += self.end_listed(index, ORDERED).await?;
        }
        Ok(ended)
    }

    fn order_index(&self, key: &RingKey, issuer: &str, about: About<'_>) -> Digest {
        self.index_of("index of provider sessions", key, issuer, about)
    }

    fn notes(&self, key: &RingKey, issuer: &str, about: About<'_>) -> Digest {
        self.index_of("notes of sign-outs", key, issuer, about)
    }

    fn index_of(
        &self,
        purpose: &'static str,
        key: &RingKey,
        issuer: &str,
        about: About<'_>,
    ) -> Digest {
        let (kind, name) = match about {
            About::Person(subject) => ("sub", subject),
            About::ProviderSession(name) => ("sid", name),
            About::Unnamed(subject) => ("sub without sid", subject),
        };
        let parts = [&*self.namespace, issuer, kind, name].map(str::as_bytes);
        Digest(key.derive(purpose, &parts))
    }
}

/// Where a session of this identity is found beside its person's index.
fn about(identity: &Identity) -> About<'_> {
    match &identity.provider_session {
        Some(session) => About::ProviderSession(session),
        None => About::Unnamed(&identity.subject),
    }
}

/// A note is kept as an index entry: its time, then what makes it its own.
fn note_at(at: Timestamp) -> SessionId {
    let mut note = random::bytes::<16>();
    note[..8].copy_from_slice(&at.as_millis().to_be_bytes());
    SessionId(note)
}

fn noted_at(note: SessionId) -> Timestamp {
    let mut millis = [0; 8];
    millis.copy_from_slice(&note.0[..8]);
    Timestamp(u64::from_be_bytes(millis))
}

#[cfg(test)]
mod tests {
    use super::super::sessions::tests::{Rig, identity, rig_with, scope, tokens};
    use super::super::sessions::{Found, NewSession, Session};
    use super::*;
    use crate::base::clock::Clock;
    use crate::base::fault::Fault;
    use crate::base::key_ring::KeyRing;

    const ISSUER: &str = "https://id.test";

    struct Person {
        subject: &'static str,
        provider_session: Option<&'static str>,
        seed: &'static [u8],
    }

    const ANN_ONE: Person = person("ann", Some("one"), b"1");
    const ANN_TWO: Person = person("ann", Some("two"), b"2");
    const ANN_UNNAMED: Person = person("ann", None, b"3");
    const BOB: Person = person("bob", Some("three"), b"4");

    const fn person(
        subject: &'static str,
        provider_session: Option<&'static str>,
        seed: &'static [u8],
    ) -> Person {
        Person {
            subject,
            provider_session,
            seed,
        }
    }

    async fn sign_in(
        sessions: &Sessions,
        person: &Person,
        began_at: Timestamp,
    ) -> Result<Session, SessionError> {
        let mut identity = identity(person.subject);
        identity.issuer = ISSUER.into();
        identity.provider_session = person.provider_session.map(str::to_owned);
        let new = NewSession {
            identity: &identity,
            tokens: &tokens(None),
            scope: &scope(),
            seed: person.seed,
            user_agent: None,
            began_at,
        };
        Ok(sessions.create(new).await?.1)
    }

    fn order<'a>(subject: Option<&'a str>, session: Option<&'a str>) -> SignOutOrder<'a> {
        SignOutOrder {
            issuer: ISSUER,
            subject,
            provider_session: session,
        }
    }

    async fn live(sessions: &Sessions, all: &[Session]) -> Vec<bool> {
        let mut live = Vec::new();
        for session in all {
            live.push(matches!(
                sessions.reload(session).await.unwrap(),
                Found::Live(_)
            ));
        }
        live
    }

    /// Who is left of ann's three sessions and bob's after an order.
    async fn left(order: SignOutOrder<'_>) -> Vec<bool> {
        let Rig {
            sessions, clock, ..
        } = rig_with(&KeyRing::generate(), Clock::movable(), None);
        let mut all = Vec::new();
        for person in [&ANN_ONE, &ANN_TWO, &ANN_UNNAMED, &BOB] {
            all.push(sign_in(&sessions, person, clock.now()).await.unwrap());
        }
        clock.advance(1000);
        let ended = sessions.sign_out_by_provider(order).await.unwrap();
        let left = live(&sessions, &all).await;
        assert_eq!(ended, left.iter().filter(|live| !**live).count());
        assert_eq!(sessions.sign_out_by_provider(order).await.unwrap(), 0);
        left
    }

    #[tokio::test]
    async fn an_order_ends_what_it_means_and_nothing_else() {
        let one_session = left(order(Some("ann"), Some("one"))).await;
        assert_eq!(one_session, [false, true, false, true]);
        let session_alone = left(order(None, Some("one"))).await;
        assert_eq!(session_alone, [false, true, true, true]);
        let person = left(order(Some("ann"), None)).await;
        assert_eq!(person, [false, false, false, true]);
        let unknown = left(order(Some("zoe"), Some("nine"))).await;
        assert_eq!(unknown, [true; 4]);
        let elsewhere = SignOutOrder {
            issuer: "https://other.test",
            ..order(Some("ann"), None)
        };
        assert_eq!(left(elsewhere).await, [true; 4]);
    }

    #[tokio::test]
    async fn row_2_10_the_history_names_the_provider_whatever_the_order_named() {
        for order in [order(Some("ann"), None), order(None, Some("one"))] {
            let Rig {
                sessions, clock, ..
            } = rig_with(&KeyRing::generate(), Clock::movable(), None);
            let sessions = std::sync::Arc::new(sessions);
            sessions.keep_history(&tokio::runtime::Handle::current());
            let session = sign_in(&sessions, &ANN_ONE, clock.now()).await.unwrap();
            sessions.sign_out_by_provider(order).await.unwrap();
            let reference = session.id.reference();
            let mut reasons = Vec::new();
            for _ in 0..200 {
                let history = sessions.history(&reference).await.unwrap();
                reasons = history
                    .into_iter()
                    .filter_map(|entry| entry.reason)
                    .collect();
                if reasons.iter().any(|reason| reason.starts_with("session_")) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            assert!(reasons.contains(&ORDERED.to_owned()), "{reasons:?}");
        }
    }

    #[tokio::test]
    async fn sec_rp_69_a_sign_in_under_way_does_not_outlive_the_order() {
        let Rig {
            sessions, clock, ..
        } = rig_with(&KeyRing::generate(), Clock::movable(), None);
        let began = clock.now();
        clock.advance(1000);
        for order in [order(Some("ann"), None), order(None, Some("three"))] {
            sessions.sign_out_by_provider(order).await.unwrap();
        }
        clock.advance(1000);
        for person in [&ANN_ONE, &ANN_UNNAMED, &BOB] {
            let refused = sign_in(&sessions, person, began).await.unwrap_err();
            assert_eq!(refused.reason(), "session_ended_by_idp");
            // Whoever begins afterwards is welcome.
            sign_in(&sessions, person, clock.now()).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_sign_out_after_the_keys_changed_finds_older_sessions() {
        let (old, new) = (KeyRing::generate(), KeyRing::generate());
        let first = rig_with(&old, Clock::movable(), None);
        let session = sign_in(&first.sessions, &ANN_ONE, first.clock.now())
            .await
            .unwrap();
        let both = format!("{new}{old}");
        let second = rig_with(&both, first.clock.clone(), Some(first.store.clone()));
        let ended = second
            .sessions
            .sign_out_by_provider(order(None, Some("one")))
            .await
            .unwrap();
        assert_eq!(ended, 1);
        assert_eq!(live(&first.sessions, &[session]).await, [false]);
    }
}
