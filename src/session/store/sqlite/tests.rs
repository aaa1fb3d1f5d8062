use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

use super::*;
use crate::session::record::{Fingerprint, TokenHeader};
use crate::session::store::conformance::{self, Subject};

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn records(clock: &Clock, expires_at: Timestamp) -> NewRecords {
    NewRecords {
        identity: vec![1; 100],
        header: TokenHeader::new(Fingerprint([1; 16]), expires_at, clock.now()),
        tokens: vec![2; 3000],
        listing: vec![3; 100],
        expires_at,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn passes_conformance() {
    let folder = folder();
    let clock = Clock::movable();
    let store = SqliteStore::open(&folder.path().join("db"), clock.clone()).unwrap();
    let failures = conformance::run(&Subject::with_clock(Arc::new(store), clock)).await;
    assert!(failures.is_empty(), "{failures:#?}");
}

#[tokio::test]
async fn a_second_opening_sees_what_the_first_wrote() {
    let folder = folder();
    let path = folder.path().join("db");
    let clock = Clock::movable();
    let first = SqliteStore::open(&path, clock.clone()).unwrap();
    let second = SqliteStore::open(&path, clock.clone()).unwrap();
    assert_eq!(first.namespace(), second.namespace());
    assert_eq!(first.namespace().len(), 32);
    let name = Digest([7; 32]);
    let later = clock.now().plus(Duration::from_secs(60));
    first.put_ticket(name, b"x".to_vec(), later).await.unwrap();
    assert!(second.get_ticket(name).await.unwrap().is_some());
    second.remove_ticket(name).await.unwrap();
    assert!(first.get_ticket(name).await.unwrap().is_none());
    drop((first, second));
    let third = SqliteStore::open(&path, clock).unwrap();
    assert!(third.get_ticket(name).await.unwrap().is_none());
}

#[tokio::test]
async fn the_file_is_for_its_owner_only_and_synced_fully() {
    let folder = folder();
    let path = folder.path().join("db");
    let store = SqliteStore::open(&path, Clock::system()).unwrap();
    store.probe().await.unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.path());
    }
    let settings = store
        .write(None, |db, _| {
            let number = |name: &str| db.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
            Ok((number("synchronous")?, number("auto_vacuum")?))
        })
        .await
        .unwrap();
    assert_eq!(settings, (2, 2), "FULL, INCREMENTAL");
}

/// Layout 1 is layout 2 without two tables, layout 2 is layout 3 without one.
#[tokio::test]
async fn a_file_of_an_older_layout_is_brought_up_and_keeps_what_it_has() {
    let of_2 = "DROP TABLE history; PRAGMA user_version = 2";
    let of_1 = "DROP TABLE history; DROP TABLE put_down; DROP TABLE pin; PRAGMA user_version = 1";
    for (number, layout) in [(1, of_1), (2, of_2)] {
        brought_up_from(number, layout).await;
    }
}

async fn brought_up_from(number: i32, layout: &str) {
    let folder = folder();
    let path = folder.path().join("db");
    let clock = Clock::movable();
    let store = SqliteStore::open(&path, clock.clone()).unwrap();
    let namespace = store.namespace().to_owned();
    let name = Digest([7; 32]);
    let later = clock.now().plus(Duration::from_secs(60));
    store.put_ticket(name, b"x".to_vec(), later).await.unwrap();
    drop(store);
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute_batch(layout).unwrap();
    drop(old);
    let copy = folder.path().join(format!("db-layout-{number}"));
    assert!(!copy.exists());
    // A command beside the gateway leaves an older layout alone.
    let error = SqliteStore::join(&path, clock.clone()).err().unwrap();
    assert!(error.to_string().contains("layout"), "{error}");
    for _ in 0..2 {
        let store = SqliteStore::open(&path, clock.clone()).unwrap();
        assert_eq!(store.namespace(), namespace);
        assert!(store.get_ticket(name).await.unwrap().is_some());
        assert_eq!(store.pin(name, b"a".to_vec()).await.unwrap(), "a");
        assert!(store.take(name).await.unwrap().is_none());
        assert!(store.history(name).await.unwrap().is_empty());
    }
    let mode = std::fs::metadata(&copy).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let copy = rusqlite::Connection::open(&copy).unwrap();
    let layout: i32 = copy
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    let tickets: i32 = copy
        .query_row("SELECT count(*) FROM ticket", [], |row| row.get(0))
        .unwrap();
    assert_eq!((layout, tickets), (number, 1));
    let beside = SqliteStore::join(&path, clock.clone()).unwrap();
    assert!(beside.get_ticket(name).await.unwrap().is_some());
}

#[test]
fn a_command_beside_the_gateway_makes_no_database() {
    let folder = folder();
    let path = folder.path().join("db");
    assert!(SqliteStore::join(&path, Clock::system()).is_err());
    assert!(!path.exists());
}

#[test]
fn a_newer_layout_is_refused_with_a_cure() {
    let folder = folder();
    let path = folder.path().join("db");
    drop(SqliteStore::open(&path, Clock::system()).unwrap());
    let other = rusqlite::Connection::open(&path).unwrap();
    other
        .pragma_update(None, "user_version", schema::VERSION + 1)
        .unwrap();
    let error = SqliteStore::open(&path, Clock::system())
        .err()
        .unwrap()
        .to_string();
    assert!(error.contains("newer release"), "{error}");
}

#[test]
fn a_foreign_or_impossible_file_is_refused() {
    let folder = folder();
    let foreign = folder.path().join("foreign");
    let other = rusqlite::Connection::open(&foreign).unwrap();
    other.execute_batch("CREATE TABLE x (y)").unwrap();
    let error = SqliteStore::open(&foreign, Clock::system()).err().unwrap();
    assert!(error.to_string().contains("another program"), "{error}");
    let garbage = folder.path().join("garbage");
    std::fs::write(
        &garbage,
        "not a database, but long enough to look at".repeat(100),
    )
    .unwrap();
    let error = SqliteStore::open(&garbage, Clock::system()).err().unwrap();
    assert!(matches!(error, StoreError::Corrupt(_)), "{error}");
    let nowhere = folder.path().join("absent/db");
    let error = SqliteStore::open(&nowhere, Clock::system()).err().unwrap();
    assert!(error.to_string().contains("absent"), "{error}");
}

#[tokio::test]
async fn one_failed_operation_leaves_the_others_of_its_group() {
    let folder = folder();
    let clock = Clock::movable();
    let store = SqliteStore::open(&folder.path().join("db"), clock.clone()).unwrap();
    let later = clock.now().plus(Duration::from_secs(60));
    let taken = SessionId([1; 16]);
    store.create(taken, records(&clock, later)).await.unwrap();
    let (a, b, c) = tokio::join!(
        store.create(SessionId([2; 16]), records(&clock, later)),
        store.create(taken, records(&clock, later)),
        store.create(SessionId([3; 16]), records(&clock, later)),
    );
    assert!(a.is_ok() && b.is_err() && c.is_ok());
    for id in [2, 3] {
        let loaded = store.load(SessionId([id; 16])).await.unwrap();
        assert!(matches!(loaded, Loaded::Live(_)));
    }
}

#[tokio::test]
async fn sec_ses_25_expired_rows_are_swept_in_batches() {
    let folder = folder();
    let clock = Clock::movable();
    let store = SqliteStore::open(&folder.path().join("db"), clock.clone()).unwrap();
    let soon = clock.now().plus(Duration::from_secs(60));
    let later = clock.now().plus(Duration::from_secs(6000));
    for n in 0..150_u8 {
        let name = Digest([n; 32]);
        let id = SessionId([n; 16]);
        store.put_ticket(name, vec![n], soon).await.unwrap();
        store.create(id, records(&clock, soon)).await.unwrap();
        store.index_add(Digest([0; 32]), id, soon).await.unwrap();
        store.once(name, soon).await.unwrap();
    }
    store
        .put_ticket(Digest([200; 32]), vec![1], later)
        .await
        .unwrap();
    clock.advance(61_000);
    let sweep = || store.write(None, |db, now| statements::sweep(db, now, 100));
    assert!(sweep().await.unwrap());
    assert!(!sweep().await.unwrap());
    let left = store
        .read(|db, _| {
            let count = |table: &str| {
                db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| {
                    row.get::<_, i64>(0)
                })
            };
            Ok([
                count("ticket")?,
                count("session")?,
                count("member")?,
                count("once")?,
            ])
        })
        .await
        .unwrap();
    assert_eq!(left, [1, 0, 0, 0]);
}

#[tokio::test]
async fn a_changed_header_is_corrupt_not_a_panic() {
    let folder = folder();
    let clock = Clock::movable();
    let store = SqliteStore::open(&folder.path().join("db"), clock.clone()).unwrap();
    let id = SessionId([1; 16]);
    let later = clock.now().plus(Duration::from_secs(60));
    store.create(id, records(&clock, later)).await.unwrap();
    store
        .write(None, |db, _| {
            Ok(db.execute("UPDATE session SET header = x'00ff'", [])?)
        })
        .await
        .unwrap();
    assert!(matches!(store.load(id).await, Err(StoreError::Corrupt(_))));
}

#[tokio::test]
async fn what_was_answered_is_in_the_files() {
    let folder = folder();
    let clock = Clock::movable();
    let store = SqliteStore::open(&folder.path().join("db"), clock.clone()).unwrap();
    let later = clock.now().plus(Duration::from_secs(60));
    let id = SessionId([1; 16]);
    store.create(id, records(&clock, later)).await.unwrap();
    store.tombstone(id, clock.now()).await.unwrap();
    // As after a kill: copied while the first still has everything open.
    let copy = tempfile::tempdir().unwrap();
    for file in ["db", "db-wal"] {
        std::fs::copy(folder.path().join(file), copy.path().join(file)).unwrap();
    }
    let again = SqliteStore::open(&copy.path().join("db"), clock).unwrap();
    let loaded = again.load(id).await.unwrap();
    assert!(matches!(loaded, Loaded::Tombstone { .. }), "{loaded:?}");
}

#[tokio::test]
async fn a_full_disk_refuses_writes_and_recovers() {
    let folder = folder();
    let clock = Clock::movable();
    let store = SqliteStore::open(&folder.path().join("db"), clock.clone()).unwrap();
    let later = clock.now().plus(Duration::from_secs(60));
    let id = SessionId([1; 16]);
    store.create(id, records(&clock, later)).await.unwrap();
    let limit = |pages: i64| {
        store.write(None, move |db, _| {
            let set = format!("PRAGMA max_page_count = {pages}");
            Ok(db.query_row(&set, [], |row| row.get::<_, i64>(0))?)
        })
    };
    // SQLite never goes below the present size.
    limit(1).await.unwrap();
    let large = vec![1; 1 << 20];
    let full = store
        .put_ticket(Digest([1; 32]), large.clone(), later)
        .await;
    assert!(matches!(full, Err(StoreError::Refused(_))), "{full:?}");
    let (full, fits) = tokio::join!(
        store.put_ticket(Digest([1; 32]), large.clone(), later),
        store.tombstone(id, clock.now()),
    );
    assert!(matches!(full, Err(StoreError::Refused(_))), "{full:?}");
    fits.unwrap();
    let loaded = store.load(id).await.unwrap();
    assert!(
        matches!(loaded, Loaded::Tombstone { .. }),
        "signing out works"
    );
    limit(1 << 30).await.unwrap();
    store
        .put_ticket(Digest([1; 32]), large, later)
        .await
        .unwrap();
}

/// A database with a hundred sessions in it, closed.
async fn well_used(path: &std::path::Path, clock: &Clock) {
    let store = SqliteStore::open(path, clock.clone()).unwrap();
    let later = clock.now().plus(Duration::from_secs(6000));
    for n in 0..100 {
        let id = SessionId([n; 16]);
        store.create(id, records(clock, later)).await.unwrap();
    }
    drop(store);
    // The threads close their connections after the last handle is gone. Of
    // two that close at once neither may see that it is the last, and the log
    // stays; whoever comes and goes alone takes it along.
    let log = path.with_file_name("db-wal");
    while log.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
        let last = rusqlite::Connection::open(path).unwrap();
        // Busy while one of the threads is still there.
        let _busy = last.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
    }
}

#[tokio::test]
async fn g9_a_damaged_file_stops_the_start_and_names_itself_and_the_cure() {
    let folder = folder();
    let path = folder.path().join("db");
    let clock = Clock::movable();
    well_used(&path, &clock).await;
    let whole = std::fs::read(&path).unwrap();
    let cut = |length: usize| whole[..length].to_vec();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    let zeroed = |from: usize| {
        let mut bytes = whole.clone();
        bytes[from..from + 4096].fill(0);
        bytes
    };
    let cases = [
        ("emptied", Vec::new()),
        ("a few bytes", cut(10)),
        ("the first page", cut(4096)),
        ("half", cut(whole.len() / 2)),
        ("all but a page", cut(whole.len() - 4096)),
        ("its name", flipped(3)),
        ("the length", flipped(31)),
        ("type of a tree page", flipped(4096 * 2)),
        ("a tree page", zeroed(4096 * 3)),
    ];
    for (what, bytes) in cases {
        std::fs::write(&path, &bytes).unwrap();
        let error = SqliteStore::open(&path, clock.clone())
            .err()
            .unwrap_or_else(|| panic!("{what}: was opened"));
        let text = error.to_string();
        assert!(matches!(error, StoreError::Corrupt(_)), "{what}: {text}");
        for part in [path.to_str().unwrap(), "restore", "move it"] {
            assert!(text.contains(part), "{what}: {text}");
        }
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "{what}: was changed");
    }
    std::fs::write(&path, &whole).unwrap();
    let store = SqliteStore::open(&path, clock.clone()).unwrap();
    let loaded = store.load(SessionId([99; 16])).await.unwrap();
    assert!(matches!(loaded, Loaded::Live(_)));
    drop(store);
    // Moved away on purpose is no damage.
    let elsewhere = folder.path().join("elsewhere");
    for suffix in ["", "-wal", "-shm"] {
        let from = folder.path().join(format!("db{suffix}"));
        if from.exists() {
            std::fs::rename(from, elsewhere.with_extension(suffix)).unwrap();
        }
    }
    SqliteStore::open(&path, clock).unwrap();
}

#[tokio::test]
async fn what_another_process_writes_is_noticed_and_what_we_write_is_told() {
    use crate::session::store::changes::tests::Notes;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sessions.db");
    let ours = SqliteStore::open(&path, Clock::system()).unwrap();
    let notes = Arc::new(Notes::default());
    ours.watch(notes.clone());
    let told = || std::mem::take(&mut *notes.0.lock().unwrap());
    let later = Clock::system().now().plus(Duration::from_secs(60));
    let name = Digest([7; 32]);
    ours.put_ticket(name, vec![1], later).await.unwrap();
    ours.probe().await.unwrap();
    tokio::time::sleep(Duration::from_millis(1300)).await;
    let always = format!("watching {}", Duration::MAX.as_secs());
    assert_eq!(
        told(),
        [always, "ticket 7".to_owned()],
        "nothing of our own"
    );

    let theirs = SqliteStore::join(&path, Clock::system()).unwrap();
    theirs.put_ticket(name, vec![2], later).await.unwrap();
    let begin = Instant::now();
    let noticed = loop {
        let told = told();
        if !told.is_empty() {
            break told;
        }
        assert!(begin.elapsed() < Duration::from_secs(4), "never noticed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(noticed, ["everything"]);

    // Before our next write is answered, if that comes first.
    theirs.remove_ticket(name).await.unwrap();
    ours.put_ticket(Digest([8; 32]), vec![1], later)
        .await
        .unwrap();
    assert_eq!(told(), ["everything", "ticket 8"]);
}
