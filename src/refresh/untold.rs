//! Sessions whose claims are too old and whose provider tells no new ones
//! with a refresh. Known to this process only: another one asks once itself.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::base::clock::Timestamp;
use crate::session::record::SessionId;
use crate::session::sessions::Session;

/// Sessions remembered; beyond that all are forgotten and asked about anew.
const MOST: usize = 10_000;

/// When the provider was asked in vain, and how old the claims were then.
#[derive(Debug, Default)]
pub(super) struct Untold(Mutex<HashMap<SessionId, (Timestamp, Timestamp)>>);

impl Untold {
    pub(super) fn note(&self, session: &Session, now: Timestamp) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(session.id, (session.identity.read_at, now));
    }

    /// When the provider last told nothing newer than these claims.
    pub(super) fn asked_at(&self, session: &Session) -> Option<Timestamp> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&session.id)
            .filter(|(read_at, _)| *read_at == session.identity.read_at)
            .map(|(_, asked_at)| *asked_at)
    }
}
