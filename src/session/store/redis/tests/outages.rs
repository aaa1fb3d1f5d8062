//! A server that is gone, silent, full or no primary any more.

use super::*;

#[tokio::test]
async fn sec_ses_24_needs_no_server_at_start_and_recovers_from_a_crash() {
    // With "everysec" a server on a slow disk puts writes off for up to two
    // seconds, and a crash loses them.
    let Some(mut server) = server(&["--appendfsync", "always"]) else {
        return;
    };
    server.kill();
    let store = RedisStore::new(&server.settings(), TIMEOUT).unwrap();
    assert!(matches!(
        store.probe().await,
        Err(StoreError::Unavailable(_))
    ));
    let begin = Instant::now();
    assert!(store.load(fresh_id()).await.is_err());
    assert!(begin.elapsed() < TIMEOUT, "fails fast while down");

    server.start();
    assert!(back(&store).await < SOON);
    let id = fresh_id();
    store.create(id, records(10)).await.unwrap();

    server.kill();
    let error = until_error(&store).await;
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    server.start();
    assert!(back(&store).await < SOON);
    assert!(matches!(store.load(id).await.unwrap(), Loaded::Live(_)));
}

#[tokio::test]
async fn sec_ses_24_recovers_from_a_silent_stall() {
    let Some(server) = server(&[]) else { return };
    let store = server.store().await;
    server.signal("-STOP");
    let error = until_error(&store).await;
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    // After the second time-out and a failed attempt beside it, no call waits.
    let begin = Instant::now();
    loop {
        let one = Instant::now();
        assert!(store.load(fresh_id()).await.is_err());
        if one.elapsed() < TIMEOUT / 4 {
            break;
        }
        assert!(begin.elapsed() < SOON * 3, "never fails fast");
    }
    server.signal("-CONT");
    assert!(back(&store).await < SOON);
}

#[tokio::test]
async fn sec_ses_24_leaves_a_primary_that_became_a_replica() {
    let Some(server) = server(&[]) else { return };
    let store = server.store().await;
    server.command(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let error = until_error(&store).await;
    assert!(matches!(error, StoreError::Refused(_)), "{error}");
    server.command(&["REPLICAOF", "NO", "ONE"]).await;
    assert!(back(&store).await < SOON);
}

#[tokio::test]
async fn sec_ses_24_full_memory_refuses_sign_ins_but_not_sign_outs() {
    let Some(server) = server(&[]) else { return };
    let store = server.store().await;
    let (id, claimed, failed) = (fresh_id(), fresh_id(), fresh_id());
    for id in [id, claimed, failed] {
        store.create(id, records(10)).await.unwrap();
    }
    let claim = Claim {
        rt_fp: Fingerprint([1; 16]),
        owner: Owner([1; 16]),
        lease: Duration::from_secs(60),
        last_try: false,
        grace: Duration::ZERO,
    };
    let granted = store.claim(failed, claim).await.unwrap();
    assert_eq!(granted, Claimed::Granted);
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let error = store.create(fresh_id(), records(10)).await.unwrap_err();
    assert!(matches!(error, StoreError::Refused(_)), "{error:?}");
    // An attempt that failed is given back: nobody waits for its lease, and
    // its token counts as unspent.
    let release = Release {
        owner: claim.owner,
        clear_intent: true,
        retry_at: Timestamp(0),
        fail_class: 0,
    };
    store.release(failed, release).await.unwrap();
    assert!(
        store.claim(claimed, claim).await.is_err(),
        "the token is not spent"
    );
    assert!(matches!(
        store.load(claimed).await.unwrap(),
        Loaded::Live(_)
    ));
    assert!(store.tombstone(id, Timestamp(7)).await.unwrap());
    let loaded = store.load(id).await.unwrap();
    assert!(matches!(loaded, Loaded::Tombstone { .. }), "{loaded:?}");
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
    assert!(store.create(id, records(10)).await.is_err(), "stays ended");
    let other = Claim {
        owner: Owner([2; 16]),
        ..claim
    };
    let granted = store.claim(failed, other).await.unwrap();
    assert_eq!(granted, Claimed::Granted);
}

/// What eviction or an operator took makes signing out no harder.
#[tokio::test]
async fn full_memory_lets_half_a_session_end() {
    let Some(server) = server(&[]) else { return };
    let store = server.store().await;
    let id = fresh_id();
    store.create(id, records(10)).await.unwrap();
    let keys = store.session_keys(id);
    server
        .command(&["DEL", &keys.identity, &keys.listing])
        .await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    assert!(store.tombstone(id, Timestamp(7)).await.unwrap());
    let loaded = store.load(id).await.unwrap();
    assert!(matches!(loaded, Loaded::Tombstone { .. }), "{loaded:?}");
}

#[tokio::test]
async fn r3_more_calls_than_can_wait_are_refused_at_once() {
    let Some(server) = server(&[]) else { return };
    let store = server.store().await;
    server.signal("-STOP");
    let calls = (0..1200).map(|_| async {
        let begin = Instant::now();
        let error = store.load(fresh_id()).await.unwrap_err();
        (error.to_string(), begin.elapsed())
    });
    let answers = futures_util::future::join_all(calls).await;
    server.signal("-CONT");
    let (waited, refused): (Vec<_>, Vec<_>) = answers
        .iter()
        .partition(|(error, _)| !error.contains("await their answer already"));
    assert_eq!((waited.len(), refused.len()), (1024, 176));
    for (error, took) in refused {
        assert!(*took < TIMEOUT / 2, "{error}: {took:?}");
    }
    // Their places are free again.
    back(&store).await;
}

/// Calls that have more time than the watchdog end the wait for those that
/// come after them.
#[tokio::test]
async fn r2_a_second_of_silence_opens_the_circuit() {
    let Some(server) = server(&[]) else { return };
    let store = Arc::new(server.store().await);
    server.signal("-STOP");
    let begin = Instant::now();
    let slow = tokio::spawn({
        let store = Arc::clone(&store);
        async move { store.tombstone(fresh_id(), Timestamp(7)).await }
    });
    tokio::time::sleep(Duration::from_millis(1600)).await;
    let fast = Instant::now();
    let error = store.load(fresh_id()).await.unwrap_err();
    assert!(
        fast.elapsed() < TIMEOUT / 2,
        "{error}: {:?}",
        fast.elapsed()
    );
    assert!(slow.await.unwrap().is_err());
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    server.signal("-CONT");
    assert!(back(&store).await < SOON);
}
