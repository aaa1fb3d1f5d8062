//! What waits on disk for the store, as bytes: sealed under the ring, bound
//! to the installation and to the entry's name.

use zeroize::Zeroizing;

use super::ended::{SignOut, Whose};
use super::journal::Name;
use super::record::{Fingerprint, SessionId};
use super::sessions::Sessions;
use super::spool::Spooled;
use super::store::{Commit, Digest};
use super::ticket::{Scope, TEXT_LENGTH, Ticket};
use super::vault::binding;
use crate::base::clock::Timestamp;
use crate::base::key_ring::KeyId;
use crate::base::seal::{self, BrokenSeal};

const SESSION: u8 = 1;
const TICKET: u8 = 2;
const TOKENS: u8 = 3;
const PURPOSE: &str = "waits for the store";

pub(super) enum Waiting {
    SignOut(SignOut),
    Tokens(Spooled),
}

impl Sessions {
    pub(super) fn seal_sign_out(&self, sign_out: &SignOut) -> Vec<u8> {
        let mut plain = Zeroizing::new(Vec::with_capacity(256));
        let kind = match &sign_out.whose {
            Whose::Session(..) => SESSION,
            Whose::Ticket(..) => TICKET,
        };
        plain.push(kind);
        for time in [sign_out.at, sign_out.until] {
            plain.extend_from_slice(&time.0.to_be_bytes());
        }
        match &sign_out.whose {
            Whose::Session(id, ticket) => {
                plain.extend_from_slice(&id.0);
                plain.extend(ticket.iter().flat_map(|ticket| ticket.0));
            }
            Whose::Ticket(_, ticket) => {
                plain.extend_from_slice(Zeroizing::new(ticket.text()).as_bytes());
                plain.extend_from_slice(ticket.scope().0.as_bytes());
            }
        }
        self.seal_waiting(&sign_out.name(), &plain)
    }

    pub(super) fn seal_spooled(&self, spooled: &Spooled) -> Vec<u8> {
        let commit = &spooled.commit;
        let mut plain = Zeroizing::new(Vec::with_capacity(commit.tokens.len() + 256));
        plain.push(TOKENS);
        plain.extend_from_slice(&spooled.session.0);
        plain.extend_from_slice(&spooled.until.0.to_be_bytes());
        plain.extend_from_slice(&commit.spent_fp.0);
        plain.extend_from_slice(&commit.new_fp.0);
        for time in [commit.access_exp, commit.received_at] {
            plain.extend_from_slice(&time.0.to_be_bytes());
        }
        plain.extend_from_slice(&(commit.tokens.len() as u64).to_be_bytes());
        plain.extend_from_slice(&commit.tokens);
        // Without one nothing follows: a sealed identity is never empty.
        plain.extend_from_slice(commit.identity.as_deref().unwrap_or_default());
        self.seal_waiting(&spooled.name(), &plain)
    }

    /// key id 2 | seal
    fn seal_waiting(&self, name: &Name, plain: &[u8]) -> Vec<u8> {
        let key = self.ring.writer();
        let sealing = Zeroizing::new(key.derive(PURPOSE, &[]));
        let mut out = key.id().0.to_vec();
        let bound = binding(&self.namespace, "waiting", name);
        out.extend(seal::seal(&sealing, bound, plain));
        out
    }

    pub(super) fn open_waiting(&self, name: &Name, sealed: &[u8]) -> Result<Waiting, BrokenSeal> {
        let (id, sealed) = sealed.split_first_chunk().ok_or(BrokenSeal)?;
        let key = self.ring.find(KeyId(*id)).ok_or(BrokenSeal)?;
        let sealing = Zeroizing::new(key.derive(PURPOSE, &[]));
        let bound = binding(&self.namespace, "waiting", name);
        let plain = Zeroizing::new(seal::open(&sealing, bound, sealed)?);
        let mut fields = Fields(&plain);
        let [kind] = fields.take()?;
        if kind == TOKENS {
            return Ok(Waiting::Tokens(tokens(&mut fields)?));
        }
        let (at, until) = (fields.time()?, fields.time()?);
        let whose = match kind {
            SESSION => {
                let id = SessionId(fields.take()?);
                Whose::Session(id, fields.take().ok().map(Digest))
            }
            TICKET => {
                let (ticket, scope) = fields.0.split_at_checked(TEXT_LENGTH).ok_or(BrokenSeal)?;
                let text = |bytes| std::str::from_utf8(bytes).map_err(|_| BrokenSeal);
                let scope = Scope(text(scope)?.to_owned());
                let ticket = Ticket::parse(text(ticket)?, &self.keys, &scope);
                let ticket = ticket.map_err(|_| BrokenSeal)?;
                let digest = ticket.digest(&self.keys).ok_or(BrokenSeal)?;
                Whose::Ticket(digest, ticket)
            }
            _ => return Err(BrokenSeal),
        };
        Ok(Waiting::SignOut(SignOut { whose, at, until }))
    }
}

fn tokens(fields: &mut Fields<'_>) -> Result<Spooled, BrokenSeal> {
    let session = SessionId(fields.take()?);
    let until = fields.time()?;
    let spent_fp = Fingerprint(fields.take()?);
    let new_fp = Fingerprint(fields.take()?);
    let (access_exp, received_at) = (fields.time()?, fields.time()?);
    let length = usize::try_from(fields.time()?.0).map_err(|_| BrokenSeal)?;
    let (tokens, identity) = fields.0.split_at_checked(length).ok_or(BrokenSeal)?;
    let identity = (!identity.is_empty()).then(|| identity.to_vec());
    Ok(Spooled {
        session,
        until,
        commit: Commit {
            spent_fp,
            new_fp,
            access_exp,
            received_at,
            identity,
            tokens: tokens.to_vec(),
        },
    })
}

struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], BrokenSeal> {
        let (field, rest) = self.0.split_first_chunk().ok_or(BrokenSeal)?;
        self.0 = rest;
        Ok(*field)
    }

    fn time(&mut self) -> Result<Timestamp, BrokenSeal> {
        Ok(Timestamp(u64::from_be_bytes(self.take()?)))
    }
}
