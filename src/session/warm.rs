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
    control: Handle,
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
    /// [`Sessions::last_read`]. Readings that age are repeated on `control`.
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
            control,
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

    /// The session that a ticket leads to, or why there is none.
    pub async fn find(&self, ticket: &Ticket) -> Result<Found, SessionError> {
        let (_, name) = self.key_and_name(ticket)?;
        let Some(hot) = &self.hot else {
            return Ok(self.read(ticket, None).await?.0);
        };
        let key = Key::of(ticket);
        loop {
            let now = Instant::now();
            if let Some(hit) = hot.cache.get(&key, now) {
                return Ok(self.judged(hit.value));
            }
            if let Some(ending) = hot.cache.gone(&key, now) {
                return Ok(Found::Ended(ending));
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
        hot.control.spawn(async move {
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
mod tests {
    use super::super::record::Owner;
    use super::super::sessions::tests::{HOUR, Rig, identity, rig_with, scope, sign_in, tokens};
    use super::super::store::spoiled::SpoiledStore;
    use super::super::store::{Release, StoreError};
    use super::super::ticket::Scope;
    use super::*;
    use crate::base::clock::Clock;
    use crate::base::key_ring::KeyRing;

    const STALE: Duration = Duration::from_secs(30);

    fn rig(age: Duration) -> (Arc<SpoiledStore>, Rig) {
        let clock = Clock::movable();
        let store = Arc::new(SpoiledStore::new(clock.clone()));
        let mut rig = rig_with(&KeyRing::generate(), clock, Some(store.clone()));
        rig.sessions = rig.sessions.caching(age, Handle::current());
        (store, rig)
    }

    #[tokio::test]
    async fn r1_a_session_that_was_read_goes_on_for_a_while_and_others_do_not() {
        let (store, Rig { sessions, .. }) = rig(STALE);
        let (read, _) = sign_in(&sessions, "ann", b"a").await;
        let (unread, _) = sign_in(&sessions, "bob", b"b").await;
        assert!(matches!(sessions.find(&read).await, Ok(Found::Live(_))));
        store.spoil(Some(StoreError::Unavailable("away".into())));
        let error = sessions.find(&read).await.unwrap_err();
        assert!(error.is_unreachable());
        let stale = sessions.last_read(&read).unwrap();
        assert!(stale.is_stale());
        assert!(sessions.last_read(&unread).is_none());
        // A reading of the past is never the ground for a write.
        assert!(sessions.reload(&stale).await.is_err());

        let (store, Rig { sessions, .. }) = rig(Duration::from_millis(1));
        let (read, _) = sign_in(&sessions, "ann", b"a").await;
        sessions.find(&read).await.unwrap();
        store.spoil(Some(StoreError::Unavailable("away".into())));
        tokio::time::sleep(Duration::from_millis(5)).await;
        assert!(sessions.last_read(&read).is_none(), "too long ago");
    }

    #[tokio::test]
    async fn r1_neither_ended_nor_idle_nor_changed_tickets_are_served() {
        let (
            store,
            Rig {
                sessions, clock, ..
            },
        ) = rig(STALE);
        let (out, session) = sign_in(&sessions, "ann", b"a").await;
        let (idle, _) = sign_in(&sessions, "bob", b"b").await;
        let (elsewhere, other) = sign_in(&sessions, "eve", b"c").await;
        for ticket in [&out, &idle, &elsewhere] {
            sessions.find(ticket).await.unwrap();
        }
        let mut changed = idle.clone();
        changed.secret[0] ^= 1;
        // Ended by another replica, and noticed by a read.
        store.tombstone_behind_our_back(other.id).await;
        assert!(matches!(
            sessions.find(&elsewhere).await,
            Ok(Found::Ended(_))
        ));
        store.spoil(Some(StoreError::Unavailable("away".into())));
        sessions.revoke(&session).await.unwrap();
        assert!(sessions.last_read(&out).is_none());
        assert!(sessions.last_read(&elsewhere).is_none());
        assert!(sessions.last_read(&idle).is_some());
        assert!(sessions.last_read(&changed).is_none());
        clock.advance(i64::try_from(HOUR.as_millis()).unwrap());
        assert!(sessions.last_read(&idle).is_none(), "idle by now");
        assert_ne!(session.id, SessionId([0; 16]));
    }

    struct Warmed {
        store: Arc<SpoiledStore>,
        sessions: Arc<Sessions>,
    }

    /// Readings age at once with `aging` zero.
    fn warmed(aging: Duration) -> Warmed {
        let clock = Clock::movable();
        let store = Arc::new(SpoiledStore::new(clock.clone()));
        let rig = rig_with(&KeyRing::generate(), clock, Some(store.clone()));
        let bounds = Bounds {
            bytes: MOST_BYTES,
            usual_bytes: USUAL_BYTES,
            gone: MOST_GONE,
            aging,
            age: AGE,
            grace: STALE,
            gone_age: GONE_AGE,
        };
        let sessions = rig.sessions.caching_within(bounds, Handle::current());
        Warmed {
            store,
            sessions: Arc::new(sessions),
        }
    }

    impl Warmed {
        fn look(&self, ticket: &Ticket) -> Warm {
            self.sessions.warm(ticket, self.sessions.now())
        }

        fn find(&self, ticket: &Ticket) -> tokio::task::JoinHandle<Outcome> {
            let (sessions, ticket) = (Arc::clone(&self.sessions), ticket.clone());
            tokio::spawn(async move { sessions.find(&ticket).await })
        }
    }

    fn is_live(outcome: &Outcome) -> bool {
        matches!(outcome, Ok(Found::Live(_)))
    }

    #[tokio::test]
    async fn a_session_that_is_known_costs_the_store_nothing() {
        let rig = warmed(AGING);
        let (ticket, session) = sign_in(&rig.sessions, "ann", b"a").await;
        assert!(matches!(rig.look(&ticket), Warm::Unknown));
        assert!(is_live(&rig.sessions.find(&ticket).await));
        let calls = rig.store.calls();
        for _ in 0..100 {
            assert!(is_live(&rig.sessions.find(&ticket).await));
            let Warm::Live(same) = rig.look(&ticket) else {
                panic!("it was just read");
            };
            assert_eq!(same.id, session.id);
            rig.sessions.touch(&same).await.unwrap();
        }
        assert_eq!(rig.store.calls(), calls);
        assert_eq!(rig.sessions.cache_figures().hits, 200);
        // Ended here: over with the very next look.
        rig.sessions.revoke(&session).await.unwrap();
        assert!(matches!(rig.look(&ticket), Warm::Unknown));
        let found = rig.sessions.find(&ticket).await;
        assert!(matches!(found, Ok(Found::Ended(Ending::SignedOut))));
    }

    #[tokio::test]
    async fn every_write_of_ours_is_seen_by_the_next_look() {
        let rig = warmed(AGING);
        let (ticket, session) = sign_in(&rig.sessions, "ann", b"a").await;
        let (sessions, owner) = (&rig.sessions, Owner([1; 16]));
        let refreshed = tokens(Some("another"));
        let release = Release {
            owner,
            clear_intent: true,
            retry_at: Timestamp(0),
            fail_class: 0,
        };
        for write in 0..4 {
            assert!(is_live(&sessions.find(&ticket).await));
            assert!(matches!(rig.look(&ticket), Warm::Live(_)));
            match write {
                0 => drop(
                    sessions
                        .claim(&session, owner, STALE, false, Duration::ZERO)
                        .await
                        .unwrap(),
                ),
                1 => sessions.release(&session, release).await.unwrap(),
                2 => {
                    let who = identity("ann of late");
                    sessions.put_identity(&session, &who).await.unwrap();
                }
                _ => {
                    let spent = session.header.rt_fp;
                    let commit = sessions.commit(&session, spent, &refreshed, None);
                    commit.await.unwrap();
                }
            }
            assert!(matches!(rig.look(&ticket), Warm::Unknown), "{write}");
        }
        let Ok(Found::Live(read)) = sessions.find(&ticket).await else {
            panic!("it is live");
        };
        assert_eq!(read.identity.subject, "ann of late");
        assert_ne!(read.header.rt_fp, session.header.rt_fp);
    }

    #[tokio::test]
    async fn a_read_that_is_overtaken_by_an_end_is_not_kept() {
        for here in [false, true] {
            let rig = warmed(AGING);
            let (ticket, session) = sign_in(&rig.sessions, "ann", b"a").await;
            let mut hold = rig.store.hold("load");
            let before = rig.find(&ticket);
            hold.waiting(1).await;
            // The store has answered already, with what is about to change.
            if here {
                rig.sessions.revoke(&session).await.unwrap();
            } else {
                rig.store.tombstone_behind_our_back(session.id).await;
            }
            // Who asks now is not answered with what was read before.
            let after = rig.find(&ticket);
            if !here {
                hold.waiting(2).await;
            }
            drop(hold);
            assert!(is_live(&before.await.unwrap()), "asked before it ended");
            assert!(!is_live(&after.await.unwrap()));
            assert!(!matches!(rig.look(&ticket), Warm::Live(_)));
            assert_eq!(rig.sessions.cache_figures().tainted, 1);
        }
    }

    #[tokio::test]
    async fn callers_share_one_read_and_survive_whoever_began_it() {
        let rig = warmed(AGING);
        let (ticket, _) = sign_in(&rig.sessions, "ann", b"a").await;
        let mut hold = rig.store.hold("load");
        let calls = rig.store.calls();
        let first = rig.find(&ticket);
        hold.waiting(1).await;
        let others = [(); 20].map(|()| rig.find(&ticket));
        tokio::task::yield_now().await;
        assert_eq!(rig.store.calls(), calls + 2, "ticket and session, once");
        first.abort();
        hold.waiting(2).await;
        drop(hold);
        for other in others {
            assert!(is_live(&other.await.unwrap()));
        }
        assert_eq!(rig.store.calls(), calls + 4, "one of them took over");
    }

    #[tokio::test]
    async fn a_ticket_without_a_session_is_asked_about_once_and_a_sign_in_counts_at_once() {
        let rig = warmed(AGING);
        let ticket = rig.sessions.ticket_from_seed(b"a", &scope());
        for _ in 0..10 {
            let found = rig.sessions.find(&ticket).await;
            assert!(matches!(found, Ok(Found::Ended(Ending::Unknown))));
        }
        assert_eq!(rig.store.calls(), 1);
        assert!(matches!(rig.look(&ticket), Warm::Ended(Ending::Unknown)));
        let (same, _) = sign_in(&rig.sessions, "ann", b"a").await;
        assert!(same == ticket);
        assert!(is_live(&rig.sessions.find(&ticket).await));
    }

    #[tokio::test]
    async fn an_old_reading_serves_while_it_is_read_again() {
        let rig = warmed(Duration::ZERO);
        let (ticket, session) = sign_in(&rig.sessions, "ann", b"a").await;
        assert!(is_live(&rig.sessions.find(&ticket).await));
        let mut hold = rig.store.hold("load");
        let calls = rig.store.calls();
        for _ in 0..10 {
            assert!(matches!(rig.look(&ticket), Warm::Live(_)));
        }
        hold.waiting(1).await;
        assert!(matches!(rig.look(&ticket), Warm::Live(_)));
        assert_eq!(rig.store.calls(), calls + 2, "read again once");
        // What is read again is overtaken as any other read.
        rig.store.tombstone_behind_our_back(session.id).await;
        drop(hold);
        assert!(!is_live(&rig.sessions.find(&ticket).await));
    }

    #[tokio::test]
    async fn another_replicas_change_is_seen_and_two_hosts_end_together() {
        let rig = warmed(AGING);
        let (home, session) = sign_in(&rig.sessions, "ann", b"a").await;
        let elsewhere = Scope("files.example.com".into());
        let (other, _) = rig.sessions.add_ticket(&session, &elsewhere).await.unwrap();
        for ticket in [&home, &other] {
            assert!(is_live(&rig.sessions.find(ticket).await));
        }
        rig.store.tombstone_behind_our_back(session.id).await;
        for ticket in [&home, &other] {
            assert!(matches!(rig.look(ticket), Warm::Unknown));
            assert!(!is_live(&rig.sessions.find(ticket).await));
        }
    }

    #[tokio::test]
    async fn other_errors_than_being_away_are_not_glossed_over() {
        for error in [
            StoreError::Corrupt("x".into()),
            StoreError::Credentials("x".into()),
            StoreError::Refused("x".into()),
        ] {
            assert!(!SessionError::Store(error).is_unreachable());
        }
    }
}
