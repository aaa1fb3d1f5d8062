//! What is told of changes, and that its loss is told too.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::*;
use crate::session::store::changes::Watcher;
use crate::telemetry::Telemetry;

/// A sign of life each second, and two seconds for its answer; and what a
/// machine that runs tests may add.
const BLIND_WITHIN: Duration = Duration::from_millis(3000 + 1500);
const LONG: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Event {
    Ticket(Digest),
    Session(SessionId),
    Everything,
    Watching,
    Blind(Instant),
}

#[derive(Default)]
struct Log(Mutex<Vec<Event>>);

impl Log {
    fn note(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }

    fn take(&self) -> Vec<Event> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    /// Waits for it; what came before it is forgotten.
    async fn until<T>(&self, wanted: impl Fn(&Event) -> Option<T>) -> T {
        let begin = Instant::now();
        loop {
            {
                let mut events = self.0.lock().unwrap();
                if let Some(at) = events.iter().position(|event| wanted(event).is_some()) {
                    let event = events[at];
                    events.drain(..=at);
                    return wanted(&event).unwrap();
                }
                assert!(begin.elapsed() < LONG, "only {events:?}");
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn told(&self, event: Event) {
        self.until(|seen| (*seen == event).then_some(())).await;
    }

    async fn blind(&self) -> Instant {
        self.until(|event| match event {
            Event::Blind(known_good) => Some(*known_good),
            _ => None,
        })
        .await
    }
}

impl Watcher for Log {
    fn ticket_changed(&self, name: Digest) {
        self.note(Event::Ticket(name));
    }

    fn session_changed(&self, id: SessionId) {
        self.note(Event::Session(id));
    }

    fn everything_changed(&self) {
        self.note(Event::Everything);
    }

    fn watching(&self, max_age: Duration) {
        assert_eq!(max_age, Duration::MAX);
        self.note(Event::Watching);
    }

    fn blind(&self, known_good: Instant) {
        self.note(Event::Blind(known_good));
    }
}

fn watched(store: &RedisStore) -> Arc<Log> {
    let log = Arc::new(Log::default());
    store.watch(log.clone());
    log
}

/// The ids of connections that track, or of those that do not.
async fn connections(server: &Server, tracking: bool) -> Vec<String> {
    let Value::BulkString(list) = server.command(&["CLIENT", "LIST"]).await else {
        panic!("no list");
    };
    let list = String::from_utf8(list).unwrap();
    let field = |line: &str, name: &str| {
        let mut words = line.split(' ');
        words.find_map(|word| Some(word.strip_prefix(name)?.to_owned()))
    };
    list.lines()
        .filter(|line| field(line, "cmd=").unwrap() != "client|list")
        .filter(|line| field(line, "flags=").unwrap().contains('t') == tracking)
        .map(|line| field(line, "id=").unwrap())
        .collect()
}

async fn kill(server: &Server, ids: &[String]) {
    for id in ids {
        server.command(&["CLIENT", "KILL", "ID", id]).await;
    }
}

#[tokio::test]
async fn changes_that_others_make_are_told() {
    let Some(server) = server(&[]) else { return };
    let store = server.store().await;
    assert!(
        connections(&server, true).await.is_empty(),
        "nobody watches"
    );
    let log = watched(&store);
    log.told(Event::Watching).await;
    let name = Digest(random::bytes());
    let key = store.key(Entry::Ticket, name);
    for words in [
        &["SET", &key, "a"][..],
        &["SET", &key, "a"],
        &["PEXPIRE", &key, "100000"],
        &["DEL", &key],
        &["SET", &key, "a", "PX", "300"],
    ] {
        // Of a key that is not there, too.
        store.get_ticket(name).await.unwrap();
        server.command(words).await;
        log.told(Event::Ticket(name)).await;
    }
    assert!(store.get_ticket(name).await.unwrap().is_some());
    log.told(Event::Ticket(name)).await;
    assert!(store.get_ticket(name).await.unwrap().is_none(), "expired");

    let id = fresh_id();
    store.create(id, records(10)).await.unwrap();
    let keys = store.session_keys(id);
    for key in [&keys.identity, &keys.tokens] {
        store.load(id).await.unwrap();
        server.command(&["DEL", key]).await;
        log.told(Event::Session(id)).await;
    }
    server.command(&["FLUSHALL"]).await;
    log.told(Event::Everything).await;

    // What ends with the store is its connections too.
    drop(store);
    let begin = Instant::now();
    while !connections(&server, true).await.is_empty() {
        assert!(begin.elapsed() < SOON, "the connection stays");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_killed_connection_is_told_and_fails_no_read() {
    let Some(server) = server(&[]) else { return };
    let store = Arc::new(server.store().await);
    let log = watched(&store);
    log.told(Event::Watching).await;
    let done = Arc::new(AtomicBool::new(false));
    let reads = tokio::spawn({
        let (store, done) = (Arc::clone(&store), Arc::clone(&done));
        async move {
            let mut count = 0;
            while !done.load(Ordering::Relaxed) {
                store.load(fresh_id()).await.unwrap();
                store.get_ticket(Digest(random::bytes())).await.unwrap();
                count += 1;
            }
            count
        }
    });
    for _ in 0..5 {
        let ids = connections(&server, true).await;
        assert_eq!(ids.len(), 1);
        let begin = Instant::now();
        kill(&server, &ids).await;
        let known_good = log.blind().await;
        assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
        assert!(known_good <= Instant::now() && known_good + BLIND_WITHIN > begin);
        log.told(Event::Watching).await;
    }
    done.store(true, Ordering::Relaxed);
    assert!(reads.await.unwrap() > 0);
}

/// They are renewed every half minute, which must not empty the cache.
#[tokio::test]
async fn other_connections_come_and_go_untold() {
    let Some(server) = server(&[]) else { return };
    let store = server.store().await;
    let log = watched(&store);
    log.told(Event::Watching).await;
    for _ in 0..3 {
        let old = connections(&server, false).await;
        kill(&server, &old).await;
        back(&store).await;
        let begin = Instant::now();
        while connections(&server, false).await.len() < 2 {
            assert!(begin.elapsed() < SOON, "no new ones");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    tokio::time::sleep(TIMEOUT).await;
    assert_eq!(log.take(), []);
    assert_eq!(connections(&server, true).await.len(), 1);
}

#[tokio::test]
async fn sec_ses_24_a_server_that_stalls_leaves_nobody_sure() {
    let Some(server) = server(&[]) else { return };
    let store = server.store().await;
    let log = watched(&store);
    log.told(Event::Watching).await;
    server.signal("-STOP");
    let begin = Instant::now();
    let known_good = log.blind().await;
    assert!(begin.elapsed() < BLIND_WITHIN, "{:?}", begin.elapsed());
    assert!(known_good < begin + TIMEOUT, "nothing was heard since");
    assert!(known_good + BLIND_WITHIN > begin);
    server.signal("-CONT");
    log.told(Event::Watching).await;
}

#[tokio::test]
async fn sec_ses_24_a_server_that_restarts_or_follows_another_is_left() {
    let Some(mut server) = server(&[]) else {
        return;
    };
    let store = server.store().await;
    let log = watched(&store);
    log.told(Event::Watching).await;
    server.command(&["REPLICAOF", "127.0.0.1", "1"]).await;
    let begin = Instant::now();
    log.blind().await;
    assert!(begin.elapsed() < BLIND_WITHIN, "{:?}", begin.elapsed());
    server.command(&["REPLICAOF", "NO", "ONE"]).await;
    log.told(Event::Watching).await;
    server.kill();
    log.blind().await;
    server.start();
    log.told(Event::Watching).await;
}

/// What lies between us and the server.
struct Detour {
    settings: checked::Redis,
    /// Nothing comes back on a connection that tracks.
    deaf: Arc<AtomicBool>,
}

impl Detour {
    /// Leads to the servers in turn, and for ever to the last one. `lies`: asks them for something else in
    /// place of tracking, which they grant.
    fn to(servers: &[&Server], lies: bool) -> Self {
        let path = servers[0].folder.path().join("detour");
        let listener = UnixListener::bind(&path).unwrap();
        let deaf = Arc::new(AtomicBool::new(false));
        let sockets: Vec<PathBuf> = servers
            .iter()
            .map(|server| server.folder.path().join("s"))
            .collect();
        let mut settings = servers[0].settings();
        settings.url = format!("redis+unix://{}", path.display()).parse().unwrap();
        let hears = Arc::clone(&deaf);
        tokio::spawn(async move {
            let last = sockets.last().unwrap();
            for socket in sockets.iter().chain(std::iter::repeat(last)) {
                let (near, _) = listener.accept().await.unwrap();
                let far = UnixStream::connect(socket).await.unwrap();
                tokio::spawn(carry(near, far, lies, Arc::clone(&hears)));
            }
        });
        Self { settings, deaf }
    }
}

async fn carry(mut near: UnixStream, mut far: UnixStream, lies: bool, deaf: Arc<AtomicBool>) {
    let (mut there, mut back) = ([0; 4096], [0; 4096]);
    let mut tracks = false;
    loop {
        tokio::select! {
            Ok(length) = near.read(&mut there) => {
                let sent = &mut there[..length];
                if let Some(at) = memchr::memmem::find(sent, b"TRACKING") {
                    tracks = true;
                    if lies {
                        sent[at..at + 8].copy_from_slice(b"NO-EVICT");
                    }
                }
                if length == 0 || far.write_all(sent).await.is_err() {
                    return;
                }
            }
            Ok(length) = far.read(&mut back) => {
                let is_lost = tracks && deaf.load(Ordering::Relaxed);
                if length == 0 || (!is_lost && near.write_all(&back[..length]).await.is_err()) {
                    return;
                }
            }
            else => return,
        }
    }
}

#[tokio::test]
async fn sec_ses_24_a_half_open_connection_is_found_out() {
    let Some(server) = server(&[]) else { return };
    server.store().await;
    let detour = Detour::to(&[&server], false);
    let store = RedisStore::new(&detour.settings, TIMEOUT).unwrap();
    let log = watched(&store);
    log.told(Event::Watching).await;
    detour.deaf.store(true, Ordering::Relaxed);
    let begin = Instant::now();
    let known_good = log.blind().await;
    assert!(begin.elapsed() < BLIND_WITHIN, "{:?}", begin.elapsed());
    assert!(known_good < begin + TIMEOUT);
    // Reads go on over the other connections.
    store.load(fresh_id()).await.unwrap();
    detour.deaf.store(false, Ordering::Relaxed);
    log.told(Event::Watching).await;
}

/// Works without, and says so.
async fn never_watches(settings: &checked::Redis) {
    let telemetry = Telemetry::new(None);
    let store = RedisStore::counted(settings, TIMEOUT, &telemetry).unwrap();
    let log = watched(&store);
    back(&store).await;
    let begin = Instant::now();
    while begin.elapsed() < SOON / 2 {
        store.load(fresh_id()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(log.take(), []);
    let unwatched = "vestibule_state{state=\"store_unwatched\"} 1\n";
    assert!(telemetry.render().contains(unwatched));
}

#[tokio::test]
async fn sec_ses_24_nothing_is_kept_where_changes_would_not_be_told() {
    let users = [
        "--user",
        "gate",
        "on",
        "nopass",
        "~*",
        "&*",
        "+@all",
        "-client|tracking",
    ];
    let Some(server) = server(&users) else { return };
    server.store().await;
    let mut forbidden = server.settings();
    forbidden.username = Some("gate".into());
    forbidden.password = Some(SecretString::from("any".to_owned()).into());
    never_watches(&forbidden).await;
    // It says yes and tells nothing.
    never_watches(&Detour::to(&[&server], true).settings).await;
}

/// One name, two servers: what is written to one is not read from the other.
#[tokio::test]
async fn sec_ses_24_one_address_must_lead_to_one_server() {
    let (Some(first), Some(second)) = (server(&[]), server(&[])) else {
        return;
    };
    first.store().await;
    second.store().await;
    let detour = Detour::to(&[&first, &first, &second], false);
    never_watches(&detour.settings).await;
}
