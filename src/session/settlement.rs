//! When the store is back: what waited for it is done, and what it may have
//! lost is told again.

use super::ended::{SignOut, Whose};
use super::journal::{Entries, Journal, Name};
use super::sessions::{SessionError, Sessions};
use super::store::StoreError;
use super::vault::TicketRecord;
use super::waiting::Waiting;
use crate::base::fault::Fault;
use crate::base::kill_point;

impl Sessions {
    /// Keeps what waits for the store on disk from now on, and takes up what
    /// waits there already.
    #[must_use]
    pub fn keeping(mut self, journal: Journal) -> Self {
        let (good, bad) = self.take_up(journal.entries());
        if good > 0 {
            tracing::info!(
                entries = good,
                "sign-outs and renewed tokens wait on disk for the session store"
            );
        }
        self.journal = Some(journal);
        self.unreadable = bad;
        self
    }

    /// Names of those that do not open.
    fn take_up(&self, entries: Entries) -> (usize, Vec<Name>) {
        let mut bad = Vec::new();
        let mut good = 0;
        for (name, sealed) in entries {
            match self.open_waiting(&name, &sealed) {
                Ok(Waiting::SignOut(sign_out)) if sign_out.name() == name => {
                    // What finds no room stays on disk for the next start.
                    good += usize::from(self.ended.add(sign_out).is_ok());
                }
                Ok(Waiting::Tokens(spooled)) if spooled.name() == name => {
                    good += usize::from(self.spool.add(spooled));
                }
                Ok(_) | Err(_) => bad.push(name),
            }
        }
        (good, bad)
    }

    /// What this process alone knows and the store does not have yet.
    pub fn unsettled(&self) -> usize {
        self.ended.waiting() + self.spool.len()
    }

    /// Sign-outs that only this process knows.
    pub fn sign_outs_waiting(&self) -> usize {
        self.ended.waiting()
    }

    /// Does what waited. `trouble`: something went wrong with the store since
    /// the last time, so that it may have lost what it took last. Stops at
    /// the first sign that the store is away again.
    pub async fn settle(&self, trouble: bool) -> Result<(), SessionError> {
        for name in &self.unreadable {
            self.set_aside(*name).await;
        }
        for sign_out in self.ended.due(trouble) {
            self.settle_sign_out(&sign_out).await?;
        }
        for spooled in self.spool.all() {
            self.settle_tokens(spooled).await?;
        }
        for name in self.ended.let_go(self.clock.now()) {
            if self.journal_holds(&name) {
                self.strike(name).await;
            }
        }
        Ok(())
    }

    /// What processes of this installation left in the folder that run no
    /// longer. Seldom anything; asked seldom.
    pub async fn adopt(&self) {
        let Some(journal) = &self.journal else {
            return;
        };
        match journal.adopt().await {
            Ok(entries) => {
                let (good, bad) = self.take_up(entries);
                for name in bad {
                    self.set_aside(name).await;
                }
                if good > 0 {
                    tracing::info!(
                        entries = good,
                        "took over what another process left waiting for the session store"
                    );
                }
            }
            Err(error) => tracing::warn!(
                %error,
                "what other processes may have left waiting for the store cannot be read"
            ),
        }
    }

    async fn settle_sign_out(&self, sign_out: &SignOut) -> Result<(), SessionError> {
        let session = match &sign_out.whose {
            Whose::Session(id, _) => Some(*id),
            Whose::Ticket(name, ticket) => {
                let (key, _) = self.key_and_name(ticket)?;
                let opened = self.store.get_ticket(*name).await?.map(|sealed| {
                    TicketRecord::open(key, &ticket.secret, *name, &self.namespace, &sealed)
                });
                match opened {
                    None => None,
                    Some(Ok(record)) => Some(record.session),
                    Some(Err(_)) => {
                        tracing::error!(
                            "a ticket that was signed out opens no record, nothing is left to end"
                        );
                        None
                    }
                }
            }
        };
        let mut was_live = false;
        kill_point::at("sign_out_replay", "before");
        if let Some(id) = session {
            was_live = match self.store.tombstone(id, sign_out.at).await {
                Err(error @ StoreError::Corrupt(_)) => {
                    tracing::error!(reason = error.reason(), "a sign-out cannot be stored");
                    false
                }
                other => other?,
            };
            self.forget(id);
        }
        kill_point::at("sign_out_replay", "after");
        let name = sign_out.name();
        let waited = self.ended.taken(&name, session);
        if was_live {
            let reference = session.map(|id| id.reference()).unwrap_or_default();
            if waited {
                tracing::info!(
                    session.reference = reference,
                    "a sign-out that waited for the session store is done"
                );
            } else {
                tracing::warn!(
                    session.reference = reference,
                    "the session store had lost a sign-out; it was told again"
                );
            }
        }
        Ok(())
    }

    pub(super) fn journal_holds(&self, name: &Name) -> bool {
        let journal = self.journal.as_ref();
        journal.is_some_and(|journal| journal.holds(name))
    }
}

#[cfg(test)]
mod tests;
