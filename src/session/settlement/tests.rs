use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::super::sessions::tests::{Rig, rig_with, scope, sign_in, tokens};
use super::*;
use crate::base::clock::Clock;
use crate::base::key_ring::KeyRing;
use crate::model::tokens::TokenSet;
use crate::session::record::Owner;
use crate::session::sessions::{Ending, Found, Reach, Session};
use crate::session::store::spoiled::SpoiledStore;
use crate::session::store::{Claimed, Committed, Loaded, Store};
use crate::session::ticket::Ticket;

struct Replica {
    store: Arc<SpoiledStore>,
    ring: String,
    clock: Clock,
}

impl Replica {
    fn new() -> Self {
        let clock = Clock::movable();
        Self {
            store: Arc::new(SpoiledStore::new(clock.clone())),
            ring: KeyRing::generate(),
            clock,
        }
    }

    /// A process; with a folder it keeps a journal.
    fn start(&self, folder: Option<&Path>) -> Sessions {
        let store: Arc<dyn Store> = self.store.clone();
        let Rig { sessions, .. } = rig_with(&self.ring, self.clock.clone(), Some(store));
        let sessions = sessions.caching(Duration::from_secs(30), tokio::runtime::Handle::current());
        match folder {
            Some(folder) => sessions.keeping(Journal::open(folder, "test").unwrap()),
            None => sessions,
        }
    }

    fn away(&self) {
        self.store
            .spoil(Some(StoreError::Unavailable("away".into())));
    }

    fn back(&self) {
        self.store.spoil(None);
    }
}

async fn found(sessions: &Sessions, ticket: &Ticket) -> Result<Session, Ending> {
    match sessions.find(ticket).await.unwrap() {
        Found::Live(session) => Ok(session),
        Found::Ended(ending) => Err(ending),
    }
}

#[tokio::test]
async fn r10_a_sign_out_without_the_store_counts_here_at_once_and_elsewhere_later() {
    let folder = tempfile::tempdir().unwrap();
    let place = Replica::new();
    let here = place.start(Some(folder.path()));
    let elsewhere = place.start(None);
    let (ticket, session) = sign_in(&here, "ann", b"a").await;
    let (other, _) = here.add_ticket(&session, &scope()).await.unwrap();
    place.away();
    assert_eq!(here.sign_out(&session).await.unwrap(), Reach::Here);
    assert_eq!(here.unsettled(), 1);
    assert!(here.settle(true).await.is_err(), "still away");
    place.back();
    // Before it was settled: over here, unknown there.
    for ticket in [&ticket, &other] {
        assert_eq!(found(&here, ticket).await.unwrap_err(), Ending::SignedOut);
        assert!(found(&elsewhere, ticket).await.is_ok());
    }
    here.settle(false).await.unwrap();
    assert_eq!(here.unsettled(), 0);
    for ticket in [&ticket, &other] {
        assert_eq!(
            found(&elsewhere, ticket).await.unwrap_err(),
            Ending::SignedOut
        );
    }
}

#[tokio::test]
async fn r10_a_ticket_that_was_never_read_is_ended_and_survives_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let place = Replica::new();
    let elsewhere = place.start(None);
    let (ticket, session) = sign_in(&elsewhere, "ann", b"a").await;
    let mut revoked = elsewhere.revocations();
    place.away();
    let here = place.start(Some(folder.path()));
    assert_eq!(here.sign_out_unread(&ticket).await.unwrap(), Reach::Here);
    let ended = here.find(&ticket).await.unwrap();
    assert!(matches!(ended, Found::Ended(Ending::SignedOut)));
    let bytes = std::fs::read_dir(folder.path()).unwrap();
    let bytes: Vec<u8> = bytes
        .flat_map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect();
    let text = String::from_utf8_lossy(&bytes);
    assert!(!text.contains(&ticket.text()) && !text.contains("app.example.com"));

    // kill -9, and the store is away still.
    drop(here);
    let here = place.start(Some(folder.path()));
    let ended = here.find(&ticket).await.unwrap();
    assert!(matches!(ended, Found::Ended(Ending::SignedOut)));
    place.back();
    here.settle(true).await.unwrap();
    assert_eq!(
        found(&elsewhere, &ticket).await.unwrap_err(),
        Ending::SignedOut
    );
    assert!(here.ended.has_session(&session.id));
    assert!(revoked.try_recv().is_err(), "the other one was not told");
}

#[tokio::test]
async fn r11_what_the_store_lost_it_is_told_again() {
    let place = Replica::new();
    let here = place.start(None);
    let (ticket, session) = sign_in(&here, "ann", b"a").await;
    assert_eq!(here.sign_out(&session).await.unwrap(), Reach::Everywhere);
    // A failover to a replica that never heard of it.
    let revived = SpoiledStore::new(place.clock.clone());
    let again = Replica {
        store: Arc::new(revived),
        ring: place.ring.clone(),
        clock: place.clock.clone(),
    };
    let writer = again.start(None);
    let (twin, lost) = sign_in(&writer, "ann", b"a").await;
    assert!(twin == ticket);
    // Sessions are named by chance, so the lost one gets the ended one's name.
    let mut here = here;
    here.store = again.store.clone();
    here.ended
        .add(SignOut {
            whose: Whose::Session(lost.id, None),
            at: place.clock.now(),
            until: lost.expires_at,
        })
        .unwrap();
    here.ended.taken(
        &SignOut {
            whose: Whose::Session(lost.id, None),
            at: place.clock.now(),
            until: lost.expires_at,
        }
        .name(),
        Some(lost.id),
    );
    assert_eq!(found(&here, &twin).await.unwrap_err(), Ending::SignedOut);
    here.settle(false).await.unwrap();
    assert!(
        found(&writer, &twin).await.is_ok(),
        "no trouble was noticed"
    );
    here.settle(true).await.unwrap();
    assert_eq!(found(&writer, &twin).await.unwrap_err(), Ending::SignedOut);
}

fn renewed() -> TokenSet {
    tokens(Some("refresh-token-two"))
}

async fn claimed(sessions: &Sessions, session: &Session) {
    let lease = Duration::from_secs(15);
    let claimed = sessions
        .claim(session, Owner([7; 16]), lease, false, Duration::ZERO)
        .await;
    assert_eq!(claimed.unwrap(), Claimed::Granted);
}

#[tokio::test]
async fn row_1_13_spooled_tokens_come_home_after_a_crash_before_anybody_reads_the_old() {
    let folder = tempfile::tempdir().unwrap();
    let place = Replica::new();
    let here = place.start(Some(folder.path()));
    let (ticket, session) = sign_in(&here, "ann", b"a").await;
    claimed(&here, &session).await;
    place.away();
    let spent = session.header.rt_fp;
    for _ in 0..3 {
        assert!(
            here.commit(&session, spent, &renewed(), None)
                .await
                .is_err()
        );
    }
    assert_eq!((here.spooled(), here.unsettled()), (1, 1));
    drop(here);

    let here = place.start(Some(folder.path()));
    assert_eq!(here.spooled(), 1);
    assert!(here.find(&ticket).await.is_err());
    place.back();
    // Nobody has settled anything: the first read does.
    let read = found(&here, &ticket).await.unwrap();
    assert_ne!(read.header.rt_fp, spent);
    assert!(read.header.intent_fp.is_none());
    let refresh = read.tokens().unwrap().refresh_token.unwrap();
    assert_eq!(
        secrecy::ExposeSecret::expose_secret(&refresh),
        "refresh-token-two"
    );
    assert_eq!(here.unsettled(), 0);
    drop(here);
    assert_eq!(place.start(Some(folder.path())).spooled(), 0);
}

#[tokio::test]
async fn row_1_12_a_spool_gives_way_to_newer_tokens_and_to_a_sign_out() {
    let place = Replica::new();
    let here = place.start(None);
    let elsewhere = place.start(None);
    let (ticket, session) = sign_in(&here, "ann", b"a").await;
    let spent = session.header.rt_fp;
    place.away();
    let failed = here.commit(&session, spent, &renewed(), None).await;
    assert!(failed.is_err());
    place.back();
    let newer = tokens(Some("refresh-token-of-another-replica"));
    let stored = elsewhere.commit(&session, spent, &newer, None).await;
    assert!(matches!(stored, Ok(Committed::Done { .. })));
    here.settle(false).await.unwrap();
    assert_eq!(here.spooled(), 0);
    let read = found(&here, &ticket).await.unwrap();
    assert_eq!(read.tokens().unwrap().scope, newer.scope);

    place.away();
    let spent = read.header.rt_fp;
    assert!(here.commit(&read, spent, &renewed(), None).await.is_err());
    assert_eq!(here.sign_out(&read).await.unwrap(), Reach::Here);
    let after = here.commit(&read, spent, &renewed(), None).await;
    assert_eq!(after.unwrap(), Committed::Gone, "log-out wins");
    place.back();
    here.settle(false).await.unwrap();
    let loaded = place.store.load(read.id).await.unwrap();
    assert!(matches!(loaded, Loaded::Tombstone { .. }));
}

#[tokio::test]
async fn lines_of_another_ring_are_set_aside_and_harm_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let place = Replica::new();
    let here = place.start(Some(folder.path()));
    let (_, session) = sign_in(&here, "ann", b"a").await;
    place.away();
    here.sign_out(&session).await.unwrap();
    drop(here);
    place.back();
    let stranger = Replica::new().start(Some(folder.path()));
    assert_eq!(stranger.unsettled(), 0);
    stranger.settle(true).await.unwrap();
    let damaged = folder.path().join("outage-test.damaged");
    assert_eq!(std::fs::read_to_string(damaged).unwrap().lines().count(), 1);
}
