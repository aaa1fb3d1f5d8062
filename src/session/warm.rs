//! Tickets become sessions without asking the store, where that may be; where
//! not, once for all who ask at the same time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::found::{Ending, Found, Session};
use super::hot::{Boarding, Bounds, Entry, Gone, HotCache, Key, Landing, Pilot};
use super::own_writes::OwnWrites;
use super::record::SessionId;
use super::sessions::{SessionError, Sessions, corrupt};
use super::store::Digest;
use super::ticket::Ticket;
use super::vault::TicketRecord;
use crate::base::clock::Timestamp;
use crate::base::fault::Fault;
use crate::base::offload::Offload;
use crate::telemetry::SessionCacheFigures;

const MOST_BYTES: u64 = 256 * 1024 * 1024;
/// A session with its tokens.
const USUAL_BYTES: u64 = 4096;
/// Tickets without a session that are remembered.
const MOST_GONE: u64 = 8192;
const AGE: Duration = Duration::from_secs(60);
const AGING: Duration = Duration::from_secs(50);
const GONE_AGE: Duration = Duration::from_secs(10);
/// A reading off the path that failed is not tried again sooner.
const REREAD_PAUSE: Duration = Duration::from_secs(1);

/// What a read of a ticket comes to, for all who wait for it.
pub(super) type Outcome = Result<Found, SessionError>;

/// The cache of this process and what belongs to it.
pub(super) struct Hot {
    pub(super) cache: Arc<HotCache<Session, Outcome>>,
    max_stale: Duration,
    offload: Offload,
}

/// What is known of a ticket without asking anybody.
#[derive(Debug)]
pub enum Warm {
    Live(Session),
    Ended(Ending),
    /// The store must be asked.
    Unknown,
}

impl Entry for Session {
    fn name(&self) -> Digest {
        self.ticket
    }

    fn session(&self) -> Option<SessionId> {
        Some(self.id)
    }

    fn bytes(&self) -> usize {
        (**self).bytes()
    }
}

impl Sessions {
    /// Keeps sessions that were read, as long as the store tells of changes;
    /// and those that were true at most `max_stale` ago for
    /// [`Sessions::last_read`]. Readings for requests are done on `control`.
    #[must_use]
    pub fn caching(self, max_stale: Duration, control: Handle) -> Self {
        let bounds = Bounds {
            bytes: MOST_BYTES,
            usual_bytes: USUAL_BYTES,
            gone: MOST_GONE,
            aging: AGING,
            age: AGE,
            grace: max_stale,
            gone_age: GONE_AGE,
        };
        self.caching_within(bounds, control)
    }

    fn caching_within(mut self, bounds: Bounds, control: Handle) -> Self {
        let max_stale = bounds.grace;
        let cache = Arc::new(HotCache::new(bounds));
        self.store.watch(cache.clone());
        self.store = Arc::new(OwnWrites::new(self.store, cache.clone()));
        self.hot = Some(Hot {
            cache,
            max_stale,
            offload: Offload::to(control),
        });
        self
    }

    /// What is known of a ticket. Asks nobody and waits for nothing.
    pub fn warm(self: &Arc<Self>, ticket: &Ticket, now: Timestamp) -> Warm {
        let Some(hot) = &self.hot else {
            return Warm::Unknown;
        };
        let (key, instant) = (Key::of(ticket), Instant::now());
        let Some(hit) = hot.cache.get(&key, instant) else {
            return match hot.cache.gone(&key, instant) {
                Some(ending) => Warm::Ended(ending),
                None => Warm::Unknown,
            };
        };
        if hit.aging {
            self.reread(hot, ticket, key);
        }
        match self.ending_at(&hit.value, now) {
            None => Warm::Live(hit.value),
            Some(ending) => Warm::Ended(ending),
        }
    }

    /// As [`Sessions::find`], for requests: what the store answers has to be
    /// opened and parsed, which takes milliseconds with thousands of groups,
    /// and workers have other things to do.
    pub async fn find_beside(self: &Arc<Self>, ticket: &Ticket) -> Outcome {
        let Some(hot) = &self.hot else {
            return self.find(ticket).await;
        };
        if let Some(found) = self.found(hot, &Key::of(ticket)) {
            return Ok(found);
        }
        let (sessions, ticket) = (Arc::clone(self), ticket.clone());
        let reading = async move { sessions.find(&ticket).await };
        hot.offload.run(reading).await
    }

    fn found(&self, hot: &Hot, key: &Key) -> Option<Found> {
        let now = Instant::now();
        if let Some(hit) = hot.cache.get(key, now) {
            return Some(self.judged(hit.value));
        }
        hot.cache.gone(key, now).map(Found::Ended)
    }

    /// The session that a ticket leads to, or why there is none.
    pub async fn find(&self, ticket: &Ticket) -> Result<Found, SessionError> {
        let (_, name) = self.key_and_name(ticket)?;
        let Some(hot) = &self.hot else {
            return Ok(self.read(ticket, None).await?.0);
        };
        let key = Key::of(ticket);
        loop {
            if let Some(found) = self.found(hot, &key) {
                return Ok(found);
            }
            match hot.cache.board(key, name) {
                Boarding::Pilot(pilot) => return self.fly(ticket, pilot).await,
                Boarding::Passenger(mut result) => {
                    if let Ok(landed) = result.wait_for(Option::is_some).await
                        && let Some(outcome) = landed.clone()
                    {
                        return outcome;
                    }
                    // Whoever read it went away: somebody else reads.
                }
            }
        }
    }

    async fn fly(&self, ticket: &Ticket, pilot: Pilot<'_, Session, Outcome>) -> Outcome {
        let (outcome, landing) = match self.read(ticket, Some(&pilot)).await {
            Ok((found, session)) => {
                let landing = match &found {
                    Found::Live(session) => Landing::Live(session.clone()),
                    Found::Ended(ending) => Landing::Gone(Gone {
                        name: self.key_and_name(ticket)?.1,
                        session,
                        ending: *ending,
                    }),
                };
                (Ok(found), landing)
            }
            Err(error) => (Err(error), Landing::Nothing),
        };
        pilot.land(landing, outcome.clone());
        outcome
    }

    /// Asks the store. Also tells the session to which the ticket leads or
    /// led.
    async fn read(
        &self,
        ticket: &Ticket,
        pilot: Option<&Pilot<'_, Session, Outcome>>,
    ) -> Result<(Found, Option<SessionId>), SessionError> {
        let (key, name) = self.key_and_name(ticket)?;
        if self.ended.has_ticket(&name) {
            return Ok((Found::Ended(Ending::SignedOut), None));
        }
        let Some(sealed) = self.store.get_ticket(name).await? else {
            return Ok((Found::Ended(Ending::Unknown), None));
        };
        let record = TicketRecord::open(key, &ticket.secret, name, &self.namespace, &sealed)
            .map_err(corrupt("ticket"))?;
        if let Some(pilot) = pilot {
            pilot.bind(record.session);
        }
        Ok((self.follow(&record, name).await?, Some(record.session)))
    }

    /// The reading is old: repeated while the old one still serves.
    fn reread(self: &Arc<Self>, hot: &Hot, ticket: &Ticket, key: Key) {
        if !hot.cache.reread_begins(key) {
            return;
        }
        let (sessions, ticket) = (Arc::clone(self), ticket.clone());
        hot.offload.detach(async move {
            let Some(hot) = &sessions.hot else { return };
            if let Ok((_, name)) = sessions.key_and_name(&ticket)
                && let Boarding::Pilot(pilot) = hot.cache.board(key, name)
                && let Err(error) = sessions.fly(&ticket, pilot).await
            {
                tracing::debug!(
                    reason = error.reason(),
                    "a session in use could not be read again; its last reading serves on"
                );
                tokio::time::sleep(REREAD_PAUSE).await;
            }
            hot.cache.reread_ends(&key);
        });
    }

    /// The ticket's session as it was read last, if that was known to be true
    /// not too long ago and it has not ended as far as this process can tell.
    /// For reads, and only after `find` said that the store cannot be reached.
    pub fn last_read(&self, ticket: &Ticket) -> Option<Session> {
        let hot = self.hot.as_ref()?;
        if hot.max_stale.is_zero() {
            return None;
        }
        let key = Key::of(ticket);
        let session = hot.cache.last_read(&key, Instant::now(), hot.max_stale)?;
        let ended = self.ended.has_ticket(&session.ticket)
            || self.ended.has_session(&session.id)
            || self.ending(&session).is_some();
        (!ended).then(|| session.as_stale())
    }

    /// What is kept with a session has grown.
    pub fn reweigh(&self, session: &Session) {
        if let Some(hot) = &self.hot {
            hot.cache.reweigh(&session.ticket);
        }
    }

    /// For the metrics.
    pub fn cache_figures(&self) -> SessionCacheFigures {
        self.hot
            .as_ref()
            .map(|hot| hot.cache.figures())
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
