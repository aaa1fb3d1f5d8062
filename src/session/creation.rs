//! How sessions begin: everything is drawn and sealed first, then written,
//! as often as it takes.

use std::sync::Arc;

use super::found::{Known, Notes, Session};
use super::record::{SessionId, TokenHeader};
use super::sessions::{NewSession, SessionError, Sessions};
use super::store::{Loaded, NewRecords, StoreError};
use super::ticket::Ticket;
use super::vault::{DataKey, Listing, TicketRecord, Vault, browser_family};
use crate::base::clock::Timestamp;
use crate::base::random;

/// A session that is made; the store may not know it yet. Writing it again
/// changes nothing.
pub struct Draft {
    pub ticket: Ticket,
    pub session: Session,
    records: NewRecords,
    ticket_record: Vec<u8>,
    began_at: Timestamp,
}

impl Sessions {
    /// A session and its ticket, of which the store knows nothing yet.
    pub fn draft(&self, new: NewSession<'_>) -> Result<Draft, SessionError> {
        let now = self.clock.now();
        let expires_at = now.plus(self.lifetime);
        let id = SessionId(random::bytes());
        let data_key = DataKey::generate();
        let vault = Vault::new(Arc::clone(&self.namespace), id, data_key.clone());
        let rt_fp = vault.fingerprint(new.tokens.refresh_token.as_ref());
        let header = TokenHeader::new(rt_fp, new.tokens.access_expires_at, now);
        let identity = new.identity;
        let listing = Listing {
            issuer: &identity.issuer,
            subject: &identity.subject,
            label: [&identity.username, &identity.email, &identity.name]
                .into_iter()
                .find_map(Option::as_deref),
            created_at: now,
            expires_at,
            browser: new.user_agent.map(browser_family),
        };
        let tokens = vault.seal_tokens(new.tokens, header.version);
        let records = NewRecords {
            identity: vault.seal_identity(identity),
            header: header.clone(),
            tokens: tokens.clone(),
            listing: listing.seal(self.ring.writer(), id, &self.namespace),
            expires_at,
        };
        let ticket = self.ticket_from_seed(new.seed, new.scope);
        let (key, name) = self.key_and_name(&ticket)?;
        let record = TicketRecord {
            session: id,
            data_key,
            created_at: now,
            expires_at,
        };
        Ok(Draft {
            ticket_record: record.seal(key, &ticket.secret, name, &self.namespace),
            session: Session::from(Known {
                id,
                identity: Arc::new(identity.clone()),
                last_use: self.uses.of(&id, header.last_seen, now),
                header,
                created_at: now,
                expires_at,
                ticket: name,
                vault: Arc::new(vault),
                sealed_tokens: tokens.into(),
                identity_bytes: 0,
                notes: Notes::default(),
            }),
            ticket,
            records,
            began_at: new.began_at,
        })
    }

    /// Stores a draft. After an error it may be partly there, and may be
    /// stored again. The ticket comes last: until then nothing leads to what
    /// a crash leaves behind, and it expires.
    pub async fn keep(&self, draft: &Draft) -> Result<(), SessionError> {
        let session = &draft.session;
        let (id, identity, expires_at) = (session.id, &*session.identity, session.expires_at);
        self.remember_key(expires_at).await?;
        let index = self.index(self.ring.writer(), &identity.issuer, &identity.subject);
        self.store.index_add(index, id, expires_at).await?;
        self.add_to_orders(identity, id, expires_at).await?;
        match self.store.create(id, draft.records.clone()).await {
            Ok(()) => {}
            // Perhaps written before, by a call whose answer never came.
            Err(taken @ StoreError::Corrupt(_)) => match self.store.load(id).await? {
                Loaded::Live(stored) if *stored.tokens == *draft.records.tokens => {}
                // Findable since it was written: an order ended it.
                Loaded::Tombstone { .. } => return Err(SessionError::SignedOutMeanwhile),
                Loaded::Live(_) | Loaded::Missing => return Err(taken.into()),
            },
            Err(error) => return Err(error.into()),
        }
        let record = draft.ticket_record.clone();
        self.store
            .put_ticket(session.ticket, record, expires_at)
            .await?;
        if self.signed_out_since(identity, draft.began_at).await? {
            self.revoke(session).await?;
            return Err(SessionError::SignedOutMeanwhile);
        }
        Ok(())
    }

    /// Makes and stores a session.
    pub async fn create(&self, new: NewSession<'_>) -> Result<(Ticket, Session), SessionError> {
        let draft = self.draft(new)?;
        self.keep(&draft).await?;
        Ok((draft.ticket, draft.session))
    }
}
