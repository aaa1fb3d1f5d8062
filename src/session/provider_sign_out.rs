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
mod tests;
