//! Single flight: callers of the same session join one refresh.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use super::outcome::Freshness;
use crate::session::record::SessionId;

type Result = watch::Receiver<Option<Freshness>>;

/// The refreshes under way in this process.
#[derive(Debug, Clone, Default)]
pub(super) struct Flights {
    by_session: Arc<Mutex<HashMap<SessionId, Result>>>,
}

/// Held by whoever flies; lands the flight even if the task panics.
pub(super) struct Pilot {
    flights: Flights,
    session: SessionId,
    result: watch::Sender<Option<Freshness>>,
}

pub(super) enum Boarding {
    Pilot(Pilot, Result),
    Passenger(Result),
}

impl Flights {
    pub(super) fn board(&self, session: SessionId) -> Boarding {
        let mut flights = self
            .by_session
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match flights.entry(session) {
            Entry::Occupied(entry) => Boarding::Passenger(entry.get().clone()),
            Entry::Vacant(entry) => {
                let (sender, receiver) = watch::channel(None);
                entry.insert(receiver.clone());
                let pilot = Pilot {
                    flights: self.clone(),
                    session,
                    result: sender,
                };
                Boarding::Pilot(pilot, receiver)
            }
        }
    }

    /// How many are in the air: drain waits for zero.
    pub(super) fn count(&self) -> usize {
        self.by_session
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }
}

impl Pilot {
    /// Tells the passengers; later boarders still join until this is dropped.
    pub(super) fn announce(&self, result: Freshness) {
        self.result.send_replace(Some(result));
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        self.flights
            .by_session
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.session);
    }
}
