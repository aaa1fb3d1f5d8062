//! What lies in the server.

use super::*;

#[tokio::test]
async fn sec_ses_24_values_that_are_not_ours_are_corrupt() {
    let Some(server) = server(&[]) else { return };
    let store = server.store().await;
    let id = fresh_id();
    let keys = store.session_keys(id);
    server.command(&["SET", &keys.identity, "x"]).await;
    for value in ["x", "\0", "\0too short for a time", "\u{1}cut off"] {
        server.command(&["SET", &keys.tokens, value]).await;
        let loaded = store.load(id).await;
        assert!(matches!(loaded, Err(StoreError::Corrupt(_))), "{loaded:?}");
    }
    let touched = store.touch(id, Timestamp(1)).await;
    assert!(
        matches!(touched, Err(StoreError::Corrupt(_))),
        "{touched:?}"
    );
    // Of another kind: a read of several keys passes over it.
    server.command(&["DEL", &keys.tokens]).await;
    server.command(&["RPUSH", &keys.tokens, "x"]).await;
    assert!(matches!(store.load(id).await.unwrap(), Loaded::Missing));
    let touched = store.touch(id, Timestamp(1)).await;
    assert!(
        matches!(touched, Err(StoreError::Corrupt(_))),
        "{touched:?}"
    );
    store.probe().await.unwrap();
}

#[tokio::test]
async fn half_of_an_evicted_session_is_missing_and_stays_so() {
    let Some(server) = server(&[]) else { return };
    let store = server.store().await;
    for half in [0, 1] {
        let id = fresh_id();
        store.create(id, records(10)).await.unwrap();
        let keys = store.session_keys(id);
        let dropped = [&keys.identity, &keys.tokens][half];
        server.command(&["DEL", dropped]).await;
        store.put_identity(id, vec![4; 10]).await.unwrap();
        let commit = Commit {
            spent_fp: Fingerprint([1; 16]),
            new_fp: Fingerprint([2; 16]),
            access_exp: Timestamp(1),
            received_at: Timestamp(1),
            identity: Some(vec![5; 10]),
            tokens: vec![6; 10],
        };
        store.commit(id, commit).await.unwrap();
        assert!(matches!(store.load(id).await.unwrap(), Loaded::Missing));
        assert!(store.create(id, records(10)).await.is_err());
    }
}

/// Whether `change` wrote to the key: what fails a watched transaction is
/// what invalidates in tracking connections.
async fn writes_to(
    server: &Server,
    key: &str,
    change: impl Future<Output = Result<(), StoreError>>,
) -> bool {
    let client = ::redis::Client::open(server.url()).unwrap();
    let mut watcher = client.get_multiplexed_async_connection().await.unwrap();
    let mut watch = ::redis::cmd("WATCH");
    let _: () = watch.arg(key).query_async(&mut watcher).await.unwrap();
    change.await.unwrap();
    let mut transaction = ::redis::pipe();
    transaction.atomic().cmd("PING");
    let done: Option<Vec<String>> = transaction.query_async(&mut watcher).await.unwrap();
    done.is_none()
}

#[tokio::test]
async fn only_a_new_identity_invalidates_the_identity() {
    let Some(server) = server(&[]) else { return };
    let store = server.store().await;
    let id = fresh_id();
    store.create(id, records(10)).await.unwrap();
    let SessionKeys {
        identity, tokens, ..
    } = store.session_keys(id);
    let touch = || store.touch(id, Clock::system().now().plus(SOON));
    assert!(writes_to(&server, &tokens, touch()).await);
    assert!(!writes_to(&server, &identity, touch()).await);
    let commit = Commit {
        spent_fp: Fingerprint([1; 16]),
        new_fp: Fingerprint([1; 16]),
        access_exp: Timestamp(1),
        received_at: Timestamp(1),
        identity: None,
        tokens: vec![6; 10],
    };
    let renewal = async { store.commit(id, commit).await.map(drop) };
    assert!(!writes_to(&server, &identity, renewal).await);
    let replaced = store.put_identity(id, vec![9; 10]);
    assert!(writes_to(&server, &identity, replaced).await);
}

fn sessions(store: RedisStore) -> Sessions {
    let settings = Settings {
        namespace: "vestibule".into(),
        lifetime: Duration::from_secs(3600),
        idle_timeout: Duration::from_secs(600),
    };
    let ring = KeyRing::parse(&KeyRing::generate()).unwrap();
    Sessions::new(Arc::new(store), ring, Clock::system(), settings)
}

#[tokio::test]
async fn keys_may_be_replaced_where_replicas_share_the_store() {
    let Some(server) = server(&[]) else { return };
    leave_traces(&sessions(server.store().await)).await;
    let other = sessions(server.store().await);
    other.probe().await.unwrap();
    leave_traces(&other).await;
}

fn files(folder: &std::path::Path, dumps: &mut Vec<Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files(&entry.path(), dumps);
        } else if kind.is_file() {
            dumps.push(std::fs::read(entry.path()).unwrap());
        }
    }
}

#[tokio::test]
async fn sec_ses_22_a_dump_of_the_server_tells_nothing() {
    let Some(server) = server(&[]) else { return };
    let sessions = sessions(server.store().await);
    let tickets = leave_traces(&sessions).await;
    server.command(&["SAVE"]).await;
    let mut dumps = Vec::new();
    files(server.folder.path(), &mut dumps);
    let total: usize = dumps.iter().map(Vec::len).sum();
    assert!(
        dumps.len() >= 3 && total > 5_000,
        "log and snapshot are there"
    );
    for secret in tickets.iter().flat_map(secrets) {
        for dump in &dumps {
            let found = memchr::memmem::find(dump, &secret);
            assert!(found.is_none(), "{}", String::from_utf8_lossy(&secret));
        }
    }
}

#[tokio::test]
async fn sec_ses_25_every_key_expires() {
    let Some(server) = server(&[]) else { return };
    let sessions = sessions(server.store().await);
    leave_traces(&sessions).await;
    let Value::Array(keys) = server.command(&["KEYS", "*"]).await else {
        panic!("no list");
    };
    assert!(keys.len() >= 5, "{keys:?}");
    for key in keys {
        let Value::BulkString(key) = key else {
            panic!("no name")
        };
        let key = String::from_utf8(key).unwrap();
        assert!(key.starts_with("vestibule:"));
        let Value::Int(left) = server.command(&["PTTL", &key]).await else {
            panic!("no number");
        };
        // A lifetime; a quarter more for the marks of the keys.
        assert!((1..=4_500_000).contains(&left), "{key}: {left}");
    }
}

async fn used_memory(server: &Server) -> usize {
    let Value::BulkString(text) = server.command(&["INFO", "memory"]).await else {
        panic!("no text");
    };
    let text = String::from_utf8(text).unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("used_memory:"));
    line.unwrap().trim().parse().unwrap()
}

/// What the server needs for a session beyond the bytes of its records.
#[tokio::test]
async fn a_session_costs_little_more_than_its_bytes() {
    const SESSIONS: usize = 10_000;
    let Some(server) = server(&[]) else { return };
    let store = Arc::new(server.store().await);
    store.create(fresh_id(), records(500)).await.unwrap();
    let before = used_memory(&server).await;
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for _ in 0..SESSIONS / 100 {
                    store.create(fresh_id(), records(500)).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let each = (used_memory(&server).await - before) / SESSIONS;
    println!("memory of a session: {each} bytes");
    let own = HEADER_LENGTH + 500 + 500 + 100;
    assert!(each < own + 580, "{each} bytes for {own}");
}
