//! Against a real server, one per test, on a socket in a temporary folder.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use secrecy::SecretString;

use super::*;
use crate::base::clock::Clock;
use crate::base::key_ring::KeyRing;
use crate::base::random;
use crate::base::secret_file::LiveSecret;
use crate::session::record::{Fingerprint, HEADER_LENGTH, Owner, TokenHeader};
use crate::session::sessions::tests::{leave_traces, secrets};
use crate::session::sessions::{Sessions, Settings};
use crate::session::store::conformance::{self, Subject};

const TIMEOUT: Duration = Duration::from_millis(500);
/// Recovery is promised within a second of the server's return; machines
/// that run tests are slow.
const SOON: Duration = Duration::from_secs(3);

struct Server {
    folder: tempfile::TempDir,
    arguments: Vec<&'static str>,
    process: Option<Child>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// `None`, with a message, where no server is installed and none is required.
fn server(arguments: &[&'static str]) -> Option<Server> {
    let mut server = Server {
        folder: tempfile::tempdir().unwrap(),
        arguments: arguments.to_vec(),
        process: None,
    };
    if server.start() {
        return Some(server);
    }
    let required = std::env::var_os("VESTIBULE_TEST_REQUIRE").unwrap_or_default();
    let required = required.to_string_lossy().contains("redis");
    assert!(!required, "redis-server is required");
    println!("skipped: redis-server is not installed");
    None
}

impl Server {
    fn start(&mut self) -> bool {
        let folder = self.folder.path();
        let process = Command::new("redis-server")
            .args([
                "--port",
                "0",
                "--appendonly",
                "yes",
                "--rdbcompression",
                "no",
            ])
            .arg("--dir")
            .arg(folder)
            .arg("--unixsocket")
            .arg(folder.join("s"))
            .args(&self.arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.process = process.ok();
        self.process.is_some()
    }

    fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    fn signal(&self, name: &str) {
        let id = self.process.as_ref().unwrap().id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &id])
                .status()
                .unwrap()
                .success()
        );
    }

    fn url(&self) -> String {
        format!("redis+unix://{}", self.folder.path().join("s").display())
    }

    fn settings(&self) -> checked::Redis {
        checked::Redis {
            url: self.url().parse().unwrap(),
            username: None,
            password: None,
            sentinel_username: None,
            sentinel_password: None,
            ca_file: None,
            key_prefix: "vestibule".into(),
        }
    }

    async fn store(&self) -> RedisStore {
        let store = RedisStore::new(&self.settings(), TIMEOUT).unwrap();
        back(&store).await;
        store
    }

    async fn command(&self, words: &[&str]) -> Value {
        let client = ::redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut command = ::redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query_async(&mut connection).await.unwrap()
    }
}

/// Waits until the store answers; tells how long that took.
async fn back(store: &RedisStore) -> Duration {
    let begin = Instant::now();
    loop {
        match store.probe().await {
            Ok(()) => return begin.elapsed(),
            Err(error) => assert!(begin.elapsed() < SOON * 3, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn until_error(store: &RedisStore) -> StoreError {
    let begin = Instant::now();
    loop {
        if let Err(error) = store.probe().await {
            return error;
        }
        assert!(begin.elapsed() < SOON * 3, "goes on working");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn records(length: usize) -> NewRecords {
    let now = Clock::system().now();
    NewRecords {
        identity: vec![1; length],
        header: TokenHeader::new(Fingerprint([1; 16]), now, now),
        tokens: vec![2; length],
        listing: vec![3; 100],
        expires_at: now.plus(Duration::from_secs(600)),
    }
}

fn fresh_id() -> SessionId {
    SessionId(random::bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn passes_conformance() {
    let Some(server) = server(&[]) else { return };
    let store = Arc::new(server.store().await);
    let failures = conformance::run(&Subject::in_real_time(store)).await;
    assert!(failures.is_empty(), "{failures:#?}");
}

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

#[tokio::test]
async fn signs_in_as_a_user_and_says_when_it_may_not() {
    let Some(server) = server(&[
        "--user",
        "default",
        "off",
        "--user",
        "gate",
        "on",
        ">secret-word",
        "~vestibule:*",
        "+@all",
        "-@dangerous",
        "--user",
        "operator",
        "on",
        ">operator-word",
        "+@all",
    ]) else {
        return;
    };
    let mut settings = server.settings();
    settings.username = Some("gate".into());
    let file = server.folder.path().join("password");
    write_private(&file, "secret-word");
    settings.password = Some(LiveSecret::in_file(file.clone()).unwrap());
    let store = RedisStore::new(&settings, TIMEOUT).unwrap();
    back(&store).await;
    store.create(fresh_id(), records(10)).await.unwrap();
    // A rotation: the next connection is made with the new password.
    let operator = format!("{}?user=operator&pass=operator-word", server.url());
    let operator = ::redis::Client::open(operator).unwrap();
    let mut operator = operator.get_multiplexed_async_connection().await.unwrap();
    let mut change = ::redis::cmd("ACL");
    change.arg(&["SETUSER", "gate", "resetpass", ">third-word"]);
    change.exec_async(&mut operator).await.unwrap();
    write_private(&file, "third-word");
    let mut kill = ::redis::cmd("CLIENT");
    kill.arg(&["KILL", "USER", "gate"]);
    kill.exec_async(&mut operator).await.unwrap();
    until_error(&store).await;
    back(&store).await;
    store.create(fresh_id(), records(10)).await.unwrap();
    settings.password = Some(SecretString::from("another-word".to_owned()).into());
    let store = RedisStore::new(&settings, TIMEOUT).unwrap();
    let error = store.probe().await.unwrap_err();
    assert!(matches!(error, StoreError::Credentials(_)), "{error:?}");
    assert!(!error.to_string().contains("another-word"));
}

fn write_private(path: &std::path::Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

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

/// A cluster refuses a script or a read whose keys lie in several slots.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_takes_every_operation() {
    let [port, bus] = [(), ()].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let number = |listener: std::net::TcpListener| {
        let port = listener.local_addr().unwrap().port();
        port.to_string().leak() as &'static str
    };
    let Some(server) = server(&[
        "--cluster-enabled",
        "yes",
        "--bind",
        "127.0.0.1",
        "--port",
        number(port),
        "--cluster-port",
        number(bus),
    ]) else {
        return;
    };
    let store = RedisStore::new(&server.settings(), TIMEOUT).unwrap();
    let begin = Instant::now();
    loop {
        let error = until_error(&store).await.to_string();
        if error.contains("slot not served") {
            break;
        }
        assert!(begin.elapsed() < SOON * 3, "{error}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server
        .command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"])
        .await;
    back(&store).await;
    let failures = conformance::run(&Subject::in_real_time(Arc::new(store))).await;
    assert!(failures.is_empty(), "{failures:#?}");
}

#[tokio::test]
async fn a_script_that_the_server_forgot_is_sent_again() {
    let Some(server) = server(&[]) else { return };
    let store = server.store().await;
    let id = fresh_id();
    store.create(id, records(10)).await.unwrap();
    server.command(&["SCRIPT", "FLUSH"]).await;
    assert!(store.tombstone(id, Timestamp(7)).await.unwrap());
}

#[tokio::test]
async fn settings_that_cannot_work_are_refused_at_once() {
    let settings = checked::Redis {
        url: "rediss://localhost".parse().unwrap(),
        username: None,
        password: None,
        sentinel_username: None,
        sentinel_password: None,
        ca_file: Some("/absent/ca.pem".into()),
        key_prefix: "v".into(),
    };
    assert!(RedisStore::new(&settings, TIMEOUT).is_err());
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

fn openssl(folder: &std::path::Path, arguments: &str) -> bool {
    let status = Command::new("openssl")
        .args(arguments.split(' '))
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

#[tokio::test]
async fn speaks_tls_with_the_authority_it_was_given_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("ext"), "subjectAltName=DNS:localhost,IP:127.0.0.1").unwrap();
    let authority = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2";
    let made = openssl(
        at,
        &format!("{authority} -subj /CN=ca -keyout ca.key -out ca.pem"),
    ) && openssl(
        at,
        &format!("{authority} -subj /CN=other -keyout o.key -out o.pem"),
    ) && openssl(
        at,
        "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=x \
             -keyout s.key -out s.csr"
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" ")
            .as_str(),
    ) && openssl(
        at,
        "x509 -req -in s.csr -CA ca.pem -CAkey ca.key -days 2 -extfile ext -out s.pem",
    );
    if !made {
        println!("skipped: openssl is not installed");
        return;
    }
    // The server cannot take a socket of ours, nor tell which port it chose.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let text = |name: &str| at.join(name).display().to_string().leak() as &'static str;
    let Some(server) = server(&[
        "--tls-port",
        port.to_string().leak(),
        "--bind",
        "127.0.0.1",
        "--tls-auth-clients",
        "no",
        "--tls-cert-file",
        text("s.pem"),
        "--tls-key-file",
        text("s.key"),
        "--tls-ca-cert-file",
        text("ca.pem"),
    ]) else {
        return;
    };
    let mut settings = server.settings();
    settings.url = format!("rediss://localhost:{port}/0").parse().unwrap();
    settings.ca_file = Some(at.join("ca.pem"));
    let store = RedisStore::new(&settings, TIMEOUT).unwrap();
    back(&store).await;
    settings.ca_file = Some(at.join("o.pem"));
    let other = RedisStore::new(&settings, TIMEOUT).unwrap();
    assert!(matches!(
        other.probe().await,
        Err(StoreError::Unavailable(_))
    ));
    settings.ca_file = None;
    let system = RedisStore::new(&settings, TIMEOUT).unwrap();
    assert!(system.probe().await.is_err());
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

mod tracking;
