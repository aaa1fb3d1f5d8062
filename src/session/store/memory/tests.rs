use super::*;
use crate::session::store::conformance::{self, Subject};

#[tokio::test(flavor = "multi_thread")]
async fn passes_conformance() {
    let clock = Clock::movable();
    let store = Arc::new(MemoryStore::new(clock.clone()));
    let failures = conformance::run(&Subject::with_clock(store, clock)).await;
    assert!(failures.is_empty(), "{failures:#?}");
}

#[tokio::test]
async fn what_readers_see_is_told_when_it_changes() {
    use super::super::changes::tests::Notes;

    let store = MemoryStore::new(Clock::movable());
    let notes = Arc::new(Notes::default());
    store.watch(notes.clone());
    let (name, id) = (Digest([1; 32]), SessionId([2; 16]));
    store
        .put_ticket(name, vec![1], Timestamp(u64::MAX))
        .await
        .unwrap();
    store.remove_ticket(name).await.unwrap();
    store.tombstone(id, Timestamp(1)).await.unwrap();
    store.touch(id, Timestamp(1)).await.unwrap();
    let told = notes.0.lock().unwrap().join(", ");
    let always = Duration::MAX.as_secs();
    let expected = format!("watching {always}, ticket 1, ticket 1, session 2, session 2");
    assert_eq!(told, expected);
}
