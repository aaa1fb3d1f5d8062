//! Scripts and formats of records.

use super::*;

#[tokio::test]
async fn a_script_that_the_server_forgot_is_sent_again() {
    let Some(server) = server(&[]) else { return };
    let store = server.store().await;
    let id = fresh_id();
    store.create(id, records(10)).await.unwrap();
    server.command(&["SCRIPT", "FLUSH"]).await;
    assert!(store.tombstone(id, Timestamp(7)).await.unwrap());
}

/// Without the times that the two clocks set differently.
fn comparable(loaded: Loaded) -> Option<TokenHeader> {
    let Loaded::Live(session) = loaded else {
        return None;
    };
    let mut header = session.header;
    header.sent_at = Timestamp(u64::from(header.sent_at.0 > 0));
    header.lease_until = Timestamp(u64::from(header.lease_until.0 > 0));
    Some(header)
}

fn comparable_claim(claimed: Claimed) -> Claimed {
    match claimed {
        Claimed::Busy { .. } => Claimed::Busy {
            lease_until: Timestamp(0),
        },
        Claimed::Unknown { tries, .. } => Claimed::Unknown {
            tries,
            sent_at: Timestamp(0),
        },
        other => other,
    }
}

#[tokio::test]
async fn the_scripts_do_what_the_rules_say() {
    let Some(server) = server(&[]) else { return };
    let scripts = server.store().await;
    let rules = crate::session::store::memory::MemoryStore::new(Clock::system());
    for _ in 0..40 {
        let id = fresh_id();
        let new = records(10);
        scripts.create(id, new.clone()).await.unwrap();
        rules.create(id, new).await.unwrap();
        for _ in 0..25 {
            let [what, owner, token, next, flag, long, wait] = random::bytes::<7>();
            let owner = Owner([owner % 3; 16]);
            let fingerprint = |byte: u8| Fingerprint([byte % 3; 16]);
            let far = Clock::system().now().plus(Duration::from_secs(3600));
            match what % 5 {
                0..=2 => {
                    let claim = Claim {
                        rt_fp: fingerprint(token),
                        owner,
                        lease: Duration::from_secs(u64::from(long % 2) * 3600),
                        last_try: flag % 2 == 0,
                        grace: Duration::from_secs(u64::from(wait % 3 == 0) * 3600),
                    };
                    let left = scripts.claim(id, claim).await.unwrap();
                    let right = rules.claim(id, claim).await.unwrap();
                    assert_eq!(comparable_claim(left), comparable_claim(right), "{claim:?}");
                }
                3 => {
                    let release = Release {
                        owner,
                        clear_intent: flag % 2 == 0,
                        retry_at: if wait % 8 == 0 { far } else { Timestamp(0) },
                        fail_class: long,
                    };
                    scripts.release(id, release).await.unwrap();
                    rules.release(id, release).await.unwrap();
                }
                _ => {
                    let commit = Commit {
                        spent_fp: fingerprint(token),
                        new_fp: fingerprint(next),
                        access_exp: far,
                        received_at: Timestamp(u64::from(wait)),
                        identity: (flag % 2 == 0).then(|| vec![long; 20]),
                        tokens: vec![next; 20],
                    };
                    let left = scripts.commit(id, commit.clone()).await.unwrap();
                    assert_eq!(left, rules.commit(id, commit).await.unwrap());
                }
            }
            let left = comparable(scripts.load(id).await.unwrap());
            let right = comparable(rules.load(id).await.unwrap());
            assert_eq!(left, right);
        }
    }
}

/// What a gateway of the first format wrote serves on, and every change of
/// its header brings it up.
#[tokio::test]
async fn records_of_format_1_are_read_and_brought_up() {
    let Some(server) = server(&[]) else { return };
    let store = server.store().await;
    let client = ::redis::Client::open(server.url()).unwrap();
    let mut raw = client.get_multiplexed_async_connection().await.unwrap();
    let claim = Claim {
        rt_fp: Fingerprint([1; 16]),
        owner: Owner([1; 16]),
        lease: TIMEOUT,
        last_try: false,
        grace: Duration::ZERO,
    };
    for change in 0..4 {
        let id = fresh_id();
        let new = records(10);
        store.create(id, new.clone()).await.unwrap();
        let mut old = new.header.encode()[..99].to_vec();
        old[0] = 1;
        old.extend(&new.tokens);
        let mut set = ::redis::cmd("SET");
        set.arg(store.session_keys(id).tokens)
            .arg(old)
            .arg("KEEPTTL");
        let _: () = set.query_async(&mut raw).await.unwrap();
        let expected = TokenHeader {
            received_at: Timestamp(0),
            ..new.header
        };
        let live = || async {
            match store.load(id).await.unwrap() {
                Loaded::Live(session) => session,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(live().await.header, expected);
        match change {
            0 => store.touch(id, Timestamp(u64::MAX >> 1)).await.unwrap(),
            1 => drop(store.claim(id, claim).await.unwrap()),
            2 => {
                store.claim(id, claim).await.unwrap();
                let release = Release {
                    owner: claim.owner,
                    clear_intent: true,
                    retry_at: Timestamp(0),
                    fail_class: 1,
                };
                store.release(id, release).await.unwrap();
                assert_eq!(live().await.header.failures, 1);
            }
            _ => {
                let commit = Commit {
                    spent_fp: claim.rt_fp,
                    new_fp: Fingerprint([2; 16]),
                    access_exp: Timestamp(1),
                    received_at: Timestamp(5),
                    identity: None,
                    tokens: new.tokens.clone(),
                };
                store.commit(id, commit).await.unwrap();
                assert_eq!(live().await.header.received_at, Timestamp(5));
            }
        }
        assert_eq!(live().await.tokens, new.tokens, "change {change}");
    }
}
