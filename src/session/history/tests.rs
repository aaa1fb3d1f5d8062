use super::super::sessions::tests::{Rig, rig_with, sign_in};
use super::*;
use crate::base::clock::Clock;
use crate::base::key_ring::KeyRing;
use crate::session::store::Store;

/// A [`Rig`] whose sessions can be shared with the task that writes.
struct Book {
    sessions: Arc<Sessions>,
    clock: Clock,
    store: Arc<dyn Store>,
}

fn book(ring: &str, clock: Clock, store: Option<Arc<dyn Store>>) -> Book {
    let rig: Rig = rig_with(ring, clock, store);
    Book {
        sessions: Arc::new(rig.sessions),
        clock: rig.clock,
        store: rig.store,
    }
}

async fn written(rig: &Book) {
    let until = tokio::time::Instant::now() + Duration::from_secs(10);
    while rig.sessions.notes_waiting() > 0 {
        assert!(tokio::time::Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

fn failed(rig: &Book, reason: &str) -> Entry {
    Entry::new(rig.clock.now(), Event::SignInFailed)
        .in_phase("exchange")
        .because(reason)
        .at_provider("main")
        .taking(Duration::from_millis(312))
}

#[tokio::test]
async fn row_2_10_what_was_noted_can_be_asked_for_by_its_reference() {
    let rig = book(&KeyRing::generate(), Clock::movable(), None);
    rig.sessions
        .note_attempt("abc", failed(&rig, "passed over"));
    rig.sessions.keep_history(&Handle::current());
    rig.sessions
        .note_attempt("abc", failed(&rig, "rate_limited"));
    rig.clock.advance(5);
    rig.sessions
        .note_attempt("abc", failed(&rig, "code_rejected"));
    written(&rig).await;
    let entries = rig.sessions.history("abc").await.unwrap();
    let reasons: Vec<_> = entries
        .iter()
        .filter_map(|entry| entry.reason.as_deref())
        .collect();
    assert_eq!(reasons, ["rate_limited", "code_rejected"]);
    assert_eq!(entries[0].took_millis, Some(312));
    assert!(rig.sessions.history("abd").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_history_is_bounded_and_forgotten_in_time() {
    let rig = book(&KeyRing::generate(), Clock::movable(), None);
    rig.sessions.keep_history(&Handle::current());
    for number in 0..40 {
        let entry = failed(&rig, &format!("reason_{number}"));
        rig.sessions.note_attempt("abc", entry);
    }
    written(&rig).await;
    let entries = rig.sessions.history("abc").await.unwrap();
    assert_eq!(entries.len(), KEPT);
    assert_eq!(entries[KEPT - 1].reason.as_deref(), Some("reason_39"));
    rig.clock.advance(7 * 24 * 3_600_000 - 60_000);
    assert!(!rig.sessions.history("abc").await.unwrap().is_empty());
    rig.clock.advance(60_001);
    assert!(rig.sessions.history("abc").await.unwrap().is_empty());
}

#[tokio::test]
async fn any_key_of_the_ring_reads_and_nobody_else_does() {
    let (old, new) = (KeyRing::generate(), KeyRing::generate());
    let first = book(&old, Clock::movable(), None);
    first.sessions.keep_history(&Handle::current());
    first.sessions.note_attempt("abc", failed(&first, "a"));
    written(&first).await;
    let store = Arc::clone(&first.store);
    let both = book(
        &format!("{new}{old}"),
        first.clock.clone(),
        Some(Arc::clone(&store)),
    );
    both.sessions.keep_history(&Handle::current());
    both.clock.advance(1);
    both.sessions.note_attempt("abc", failed(&both, "b"));
    written(&both).await;
    let entries = both.sessions.history("abc").await.unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1].reason.as_deref(), Some("b"));
    let other = book(&new, first.clock.clone(), Some(store));
    assert_eq!(other.sessions.history("abc").await.unwrap().len(), 1);
    // Sealed: the store sees neither reasons nor references.
    let name = both
        .sessions
        .history_name(both.sessions.ring.writer(), "abc");
    for sealed in both.store.history(name).await.unwrap() {
        let text = String::from_utf8_lossy(&sealed).into_owned();
        assert!(!text.contains("exchange") && !text.contains("main"));
    }
}

#[tokio::test]
async fn a_session_notes_its_end() {
    let rig = book(&KeyRing::generate(), Clock::movable(), None);
    rig.sessions.keep_history(&Handle::current());
    let (_, session) = sign_in(&rig.sessions, "ann", b"a").await;
    rig.sessions.revoke(&session).await.unwrap();
    written(&rig).await;
    let entries = rig.sessions.history(&session.id.reference()).await.unwrap();
    assert_eq!(entries.len(), 1);
    assert_eq!(entries[0].event, Event::Ended);
    assert_eq!(entries[0].reason.as_deref(), Some("session_signed_out"));
}

#[tokio::test]
async fn a_full_queue_delays_nobody() {
    let rig = book(&KeyRing::generate(), Clock::movable(), None);
    rig.sessions.keep_history(&Handle::current());
    // One thread: the writer cannot run before the loop has ended.
    for _ in 0..QUEUE * 2 {
        rig.sessions.note_attempt("abc", failed(&rig, "a"));
    }
    assert_eq!(rig.sessions.notes_waiting(), QUEUE);
    written(&rig).await;
}
