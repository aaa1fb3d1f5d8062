//! What one host leaves in the store for another: sealed under a ring key and
//! a random code together, found under the code's digest, taken once.

use std::time::Duration;

use zeroize::Zeroizing;

use super::found::{Ending, Found, Known, Session};
use super::record::SessionId;
use super::sessions::{SessionError, Sessions, corrupt};
use super::store::Digest;
use super::ticket::{Scope, Ticket};
use super::vault::{TICKET_LENGTH, TicketRecord, binding};
use crate::base::key_ring::KeyId;
use crate::base::random;
use crate::base::seal::{self, BrokenSeal};

/// Names and opens a value that was left.
pub type Code = [u8; 32];

/// A session that one host left for another. Unprintable: it opens the
/// records.
pub struct Grant {
    record: TicketRecord,
    note: Zeroizing<Vec<u8>>,
}

impl Grant {
    /// What came with it.
    pub fn note(&self) -> &[u8] {
        &self.note
    }

    pub fn session(&self) -> SessionId {
        self.record.session
    }
}

impl Sessions {
    /// Leaves `plain` for whoever brings the code first, within `ttl`.
    pub async fn leave(
        &self,
        purpose: &'static str,
        code: &Code,
        plain: &[u8],
        ttl: Duration,
    ) -> Result<(), SessionError> {
        let name = self.once_name(purpose, code);
        let key = self.ring.writer();
        let sealing = Zeroizing::new(key.derive(purpose, &[code]));
        let mut value = key.id().0.to_vec();
        let bound = binding(&self.namespace, purpose, &name.0);
        value.extend(seal::seal(&sealing, bound, plain));
        let expires_at = self.clock.now().plus(ttl);
        Ok(self.store.put_down(name, value, expires_at).await?)
    }

    /// What was left under the code; nobody gets it again.
    pub async fn take(
        &self,
        purpose: &'static str,
        code: &Code,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, SessionError> {
        let name = self.once_name(purpose, code);
        let Some(value) = self.store.take(name).await? else {
            return Ok(None);
        };
        let open = || {
            let (id, sealed) = value.split_first_chunk().ok_or(BrokenSeal)?;
            let key = self.ring.find(KeyId(*id)).ok_or(BrokenSeal)?;
            let sealing = Zeroizing::new(key.derive(purpose, &[code]));
            seal::open(&sealing, binding(&self.namespace, purpose, &name.0), sealed)
        };
        let plain = open().map_err(corrupt("handed-over"))?;
        Ok(Some(Zeroizing::new(plain)))
    }

    /// Leaves the session itself, with a note.
    pub async fn leave_grant(
        &self,
        session: &Session,
        code: &Code,
        note: &[u8],
        ttl: Duration,
    ) -> Result<(), SessionError> {
        let mut plain = record_of(session).encode(note.len());
        plain.extend_from_slice(note);
        self.leave("session grant", code, &plain, ttl).await
    }

    pub async fn take_grant(&self, code: &Code) -> Result<Option<Grant>, SessionError> {
        let Some(plain) = self.take("session grant", code).await? else {
            return Ok(None);
        };
        let split = plain.split_at_checked(TICKET_LENGTH).ok_or(BrokenSeal);
        let (record, note) = split.map_err(corrupt("handed-over"))?;
        Ok(Some(Grant {
            record: TicketRecord::decode(record).map_err(corrupt("handed-over"))?,
            note: Zeroizing::new(note.to_vec()),
        }))
    }

    /// A new ticket for `scope` to the granted session, unless that ended.
    pub async fn ticket_of_grant(
        &self,
        grant: &Grant,
        scope: &Scope,
    ) -> Result<Result<(Ticket, Session), Ending>, SessionError> {
        // The name is that of the ticket once there is one.
        match self.follow(&grant.record, Digest([0; 32])).await? {
            Found::Live(session) => Ok(Ok(self.add_ticket(&session, scope).await?)),
            Found::Ended(ending) => Ok(Err(ending)),
        }
    }

    /// One more ticket to a session, for another scope. It ends with the
    /// session.
    pub async fn add_ticket(
        &self,
        session: &Session,
        scope: &Scope,
    ) -> Result<(Ticket, Session), SessionError> {
        let ticket = self.ticket_from_seed(&random::bytes::<32>(), scope);
        let (key, name) = self.key_and_name(&ticket)?;
        let record = record_of(session);
        let sealed = record.seal(key, &ticket.secret, name, &self.namespace);
        self.remember_key(session.expires_at).await?;
        self.store
            .put_ticket(name, sealed, session.expires_at)
            .await?;
        let session = Session::from(Known {
            ticket: name,
            ..session.again()
        });
        Ok((ticket, session))
    }
}

fn record_of(session: &Session) -> TicketRecord {
    TicketRecord {
        session: session.id,
        data_key: session.vault.data_key(),
        created_at: session.created_at,
        expires_at: session.expires_at,
    }
}

#[cfg(test)]
mod tests {
    use super::super::sessions::tests::{Rig, rig_with, scope, sign_in};
    use super::*;
    use crate::base::clock::Clock;
    use crate::base::key_ring::KeyRing;

    const SOON: Duration = Duration::from_secs(30);

    fn elsewhere() -> Scope {
        Scope("files.example.com".into())
    }

    async fn signed_in() -> (Rig, Ticket, Session) {
        let rig = rig_with(&KeyRing::generate(), Clock::movable(), None);
        let (ticket, session) = sign_in(&rig.sessions, "ann", b"seed").await;
        (rig, ticket, session)
    }

    fn live(found: Found) -> Option<SessionId> {
        match found {
            Found::Live(session) => Some(session.id),
            Found::Ended(_) => None,
        }
    }

    #[tokio::test]
    async fn one_session_has_a_ticket_per_scope_and_all_end_with_it() {
        let (rig, home, session) = signed_in().await;
        let (other, same) = rig
            .sessions
            .add_ticket(&session, &elsewhere())
            .await
            .unwrap();
        assert_eq!(same.id, session.id);
        assert!(home != other);
        for ticket in [&home, &other] {
            let found = rig.sessions.find(ticket).await.unwrap();
            assert_eq!(live(found), Some(session.id));
        }
        let text = rig.sessions.ticket_text(&other);
        assert!(rig.sessions.open_ticket(&[&text], &scope()).is_none());
        assert!(rig.sessions.open_ticket(&[&text], &elsewhere()).is_some());
        let text = rig.sessions.ticket_text(&home);
        assert!(rig.sessions.open_ticket(&[&text], &elsewhere()).is_none());
        // Ending it by either ticket ends both.
        rig.sessions.revoke(&same).await.unwrap();
        for ticket in [&home, &other] {
            assert_eq!(live(rig.sessions.find(ticket).await.unwrap()), None);
        }
    }

    #[tokio::test]
    async fn a_grant_is_taken_once_and_within_its_time() {
        let (rig, _, session) = signed_in().await;
        let sessions = &rig.sessions;
        let leave = async |code: Code| {
            let left = sessions.leave_grant(&session, &code, b"note", SOON);
            left.await.unwrap();
        };
        leave([1; 32]).await;
        assert!(sessions.take_grant(&[2; 32]).await.unwrap().is_none());
        let grant = sessions.take_grant(&[1; 32]).await.unwrap().unwrap();
        assert_eq!(grant.note(), b"note");
        assert!(sessions.take_grant(&[1; 32]).await.unwrap().is_none());
        let (ticket, _) = sessions
            .ticket_of_grant(&grant, &elsewhere())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            live(sessions.find(&ticket).await.unwrap()),
            Some(session.id)
        );
        leave([3; 32]).await;
        rig.clock.advance(31_000);
        assert!(sessions.take_grant(&[3; 32]).await.unwrap().is_none());
    }

    #[tokio::test]
    async fn a_grant_of_an_ended_session_gives_no_ticket() {
        let (rig, _, session) = signed_in().await;
        let sessions = &rig.sessions;
        sessions
            .leave_grant(&session, &[1; 32], b"", SOON)
            .await
            .unwrap();
        sessions.revoke(&session).await.unwrap();
        let grant = sessions.take_grant(&[1; 32]).await.unwrap().unwrap();
        let outcome = sessions
            .ticket_of_grant(&grant, &elsewhere())
            .await
            .unwrap();
        assert!(matches!(outcome, Err(Ending::SignedOut)));
    }

    #[tokio::test]
    async fn a_replica_with_another_writing_key_opens_what_was_left() {
        let (one, two) = (KeyRing::generate(), KeyRing::generate());
        let clock = Clock::movable();
        let first = rig_with(&(one.clone() + &two), clock.clone(), None);
        let sessions = &first.sessions;
        sessions.leave("p", &[1; 32], b"x", SOON).await.unwrap();
        let second = rig_with(&(two + &one), clock, Some(first.store));
        let taken = second.sessions.take("p", &[1; 32]).await.unwrap();
        assert_eq!(&**taken.unwrap(), b"x");
    }
}
