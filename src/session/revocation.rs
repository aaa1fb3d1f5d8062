//! How sessions end on purpose: here at once, in the store as soon as it
//! takes it, and for good.

use tokio::sync::broadcast;

use super::ended::{SignOut, Whose};
use super::found::{Ending, Session};
use super::record::SessionId;
use super::sessions::{SessionError, Sessions};
use super::store::changes::Watcher;
use super::store::{Digest, StoreError};
use super::ticket::Ticket;
use crate::base::fault::Fault;

/// Where a session that was ended is known to be over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    Everywhere,
    /// In this replica. The store could not be told yet; the others follow
    /// when it is back.
    Here,
}

impl Sessions {
    /// Ends the session and with it every ticket, on every host. Tickets of
    /// other scopes than the one at hand lead to its tombstone until they
    /// expire.
    pub async fn sign_out(&self, session: &Session) -> Result<Reach, SessionError> {
        self.end(session, Ending::SignedOut.reason()).await
    }

    /// As [`Sessions::sign_out`], for those who need not know how far it got.
    pub async fn revoke(&self, session: &Session) -> Result<(), SessionError> {
        self.sign_out(session).await.map(|_| ())
    }

    /// As [`Sessions::revoke`], with the reason for the session's history.
    pub async fn revoke_because(
        &self,
        session: &Session,
        reason: &str,
    ) -> Result<(), SessionError> {
        self.end(session, reason).await.map(|_| ())
    }

    async fn end(&self, session: &Session, reason: &str) -> Result<Reach, SessionError> {
        let sign_out = SignOut {
            whose: Whose::Session(session.id, Some(session.ticket)),
            at: self.clock.now(),
            until: session.expires_at,
        };
        // Before the store is asked: nobody gets in here while it thinks.
        self.begin(&sign_out)?;
        self.forget(session.id);
        self.note_ended(session.id, reason);
        match self.store.tombstone(session.id, sign_out.at).await {
            Ok(_) => {
                self.ended.taken(&sign_out.name(), Some(session.id));
                if self.store.is_private() {
                    self.strike_if_kept(&sign_out).await;
                } else {
                    // A failover may lose it, and a crash must not forget
                    // that there is something to tell again.
                    let _already_told = self.write_sign_out_down(&sign_out).await;
                }
                self.tidy(session).await;
                Ok(Reach::Everywhere)
            }
            Err(error) => self.later(&sign_out, error).await,
        }
    }

    /// Ends the session of a ticket that cannot be read now because the store
    /// is away: the ticket is over here at once, and its session when the
    /// store can say which one it is.
    pub async fn sign_out_unread(&self, ticket: &Ticket) -> Result<Reach, SessionError> {
        let (_, name) = self.key_and_name(ticket)?;
        let now = self.clock.now();
        let sign_out = SignOut {
            whose: Whose::Ticket(name, ticket.clone()),
            at: now,
            until: now.plus(self.lifetime),
        };
        self.begin(&sign_out)?;
        self.forget_ticket(name);
        match self.write_sign_out_down(&sign_out).await {
            Ok(()) => Ok(Reach::Here),
            Err(error) => Err(StoreError::Unavailable(error.to_string()).into()),
        }
    }

    fn begin(&self, sign_out: &SignOut) -> Result<(), SessionError> {
        self.ended.add(sign_out.clone()).map(|_| ()).map_err(|_| {
            SessionError::Store(StoreError::Unavailable(
                "too many sign-outs wait for it already".into(),
            ))
        })
    }

    async fn later(&self, sign_out: &SignOut, error: StoreError) -> Result<Reach, SessionError> {
        if self.write_sign_out_down(sign_out).await.is_err() {
            // Neither the store nor the disk took it: nothing lasting can be
            // promised, so nothing is. In this process the session has ended.
            return Err(error.into());
        }
        tracing::warn!(
            reason = error.reason(),
            detail = %error,
            "a sign-out waits for the session store; other replicas follow when it is back"
        );
        match error {
            // Waits too, but whoever asked must hear of it.
            StoreError::Corrupt(_) => Err(error.into()),
            _ => Ok(Reach::Here),
        }
    }

    /// Without a journal memory has to do; the start said so.
    async fn write_sign_out_down(&self, sign_out: &SignOut) -> std::io::Result<()> {
        let Some(journal) = &self.journal else {
            return Ok(());
        };
        let sealed = self.seal_sign_out(sign_out);
        let kept = journal.keep(sign_out.name(), sealed).await;
        if let Err(error) = &kept {
            tracing::error!(
                %error,
                "a sign-out that waits for the session store could not be written to disk; a \
                 crash now would lose it"
            );
        }
        kept
    }

    /// A sign-out that waited, and that somebody asked for once more.
    async fn strike_if_kept(&self, sign_out: &SignOut) {
        if self.journal_holds(&sign_out.name()) {
            self.strike(sign_out.name()).await;
        }
    }

    /// The tombstone alone decides; the rest only saves room.
    async fn tidy(&self, session: &Session) {
        let (issuer, subject) = (&session.identity.issuer, &session.identity.subject);
        let tidied = async {
            for key in self.ring.all() {
                let index = self.index(key, issuer, subject);
                self.store.index_remove(index, session.id).await?;
            }
            self.remove_from_orders(&session.identity, session.id)
                .await?;
            Ok::<_, SessionError>(self.store.remove_ticket(session.ticket).await?)
        };
        if let Err(error) = tidied.await {
            tracing::debug!(
                reason = error.reason(),
                "an ended session left entries behind"
            );
        }
    }

    /// Ends every session of a person; tells how many were live.
    pub async fn revoke_subject(&self, issuer: &str, subject: &str) -> Result<usize, SessionError> {
        let reason = Ending::SignedOut.reason();
        self.revoke_subject_because(issuer, subject, reason).await
    }

    /// As [`Sessions::revoke_subject`], with the reason for the histories.
    pub(super) async fn revoke_subject_because(
        &self,
        issuer: &str,
        subject: &str,
        reason: &str,
    ) -> Result<usize, SessionError> {
        let mut ended = 0;
        for key in self.ring.all() {
            let index = self.index(key, issuer, subject);
            ended += self.end_listed(index, reason).await?;
        }
        Ok(ended)
    }

    /// Ends every session of an index; tells how many were live.
    pub(super) async fn end_listed(
        &self,
        index: Digest,
        reason: &str,
    ) -> Result<usize, SessionError> {
        let mut ended = 0;
        let now = self.clock.now();
        for session in self.store.index_list(index).await? {
            let was_live = self.store.tombstone(session, now).await?;
            ended += usize::from(was_live);
            if was_live {
                self.note_ended(session, reason);
            }
            let sign_out = SignOut {
                whose: Whose::Session(session, None),
                at: now,
                until: now.plus(self.lifetime),
            };
            // Where there is no room, a failover may lose it.
            if self.ended.add(sign_out.clone()).is_ok() {
                self.ended.taken(&sign_out.name(), None);
            }
            self.forget(session);
            self.store.index_remove(index, session).await?;
        }
        Ok(ended)
    }

    /// Every session that this process ends from now on; those that end by
    /// time or elsewhere are not told.
    pub fn revocations(&self) -> broadcast::Receiver<SessionId> {
        self.revoked.subscribe()
    }

    fn forget_ticket(&self, name: Digest) {
        if let Some(hot) = &self.hot {
            hot.cache.ticket_changed(name);
        }
    }

    pub(super) fn forget(&self, session: SessionId) {
        self.uses.forget(&session);
        if let Some(hot) = &self.hot {
            hot.cache.session_changed(session);
        }
        // An error says that nobody listens.
        let _ = self.revoked.send(session);
    }
}
