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
