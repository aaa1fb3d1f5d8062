//! A TCP proxy that spoils what passes through it: slowly, partly, wrongly or
//! not at all, per direction and per connection, changed while it runs.
//!
//! Knows bytes and connections only. What "packet loss" does to a reader of a
//! TCP stream is a pause until the retransmission, so that is what it makes.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};
use vestibule::base::random;

use super::port;

/// The least that a sender of Linux waits before it sends a segment again.
const RETRANSMISSION: Duration = Duration::from_millis(200);
const READ: usize = 16 * 1024;
/// Chunks on their way in one direction.
const UNDER_WAY: usize = 256;

/// What happens to one connection. The default: everything passes at once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Weather {
    /// Accepted, then reset before a byte passes.
    pub refuse: bool,
    /// Spares connections on which the client has not said this word yet.
    pub only_after: Option<&'static str>,
    pub to_server: Path,
    pub to_client: Path,
}

/// What happens to one direction. Offsets count from the connection's first byte.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Path {
    pub latency: Duration,
    /// Up to this much more, by chance.
    pub jitter: Duration,
    /// Bytes per second.
    pub rate: Option<u64>,
    /// The most bytes that one write carries.
    pub slice: Option<usize>,
    /// Of a hundred segments, how many are sent again.
    pub loss: u8,
    /// Flips one bit of the byte at this offset.
    pub corrupt: Option<u64>,
    /// Nothing passes beyond this offset until the weather changes.
    pub stall: Option<u64>,
    /// After so many bytes the connection ends like this.
    pub end: Option<(u64, End)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// RST to both sides.
    Reset,
    /// FIN to both sides.
    Close,
    /// FIN to the reader of this direction; the other direction goes on.
    HalfClose,
}

impl Weather {
    /// Takes connections and never answers: neither direction carries a byte.
    pub fn stalled() -> Self {
        Self::both(|path| path.stall = Some(0))
    }

    pub fn refused() -> Self {
        Self {
            refuse: true,
            ..Self::default()
        }
    }

    pub fn both(change: impl Fn(&mut Path)) -> Self {
        let mut weather = Self::default();
        change(&mut weather.to_server);
        change(&mut weather.to_client);
        weather
    }

    /// Spares connections on which the client has not said `word`.
    #[must_use]
    pub const fn only_after(mut self, word: &'static str) -> Self {
        self.only_after = Some(word);
        self
    }

    pub fn to_server(change: impl FnOnce(&mut Path)) -> Self {
        let mut weather = Self::default();
        change(&mut weather.to_server);
        weather
    }

    pub fn to_client(change: impl FnOnce(&mut Path)) -> Self {
        let mut weather = Self::default();
        change(&mut weather.to_client);
        weather
    }
}

pub struct Chaos {
    /// Where clients connect.
    pub address: SocketAddr,
    target: SocketAddr,
    shared: Arc<Shared>,
    server: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    weather: watch::Sender<Weather>,
    /// For the next connections, one each, instead of the common weather.
    next: Mutex<VecDeque<Weather>>,
    /// Raised to reset every open connection.
    cuts: watch::Sender<u64>,
    taken: AtomicUsize,
    open: AtomicUsize,
    to_server: AtomicU64,
    to_client: AtomicU64,
}

impl Chaos {
    /// Listens on loopback and leads to `target`.
    pub async fn before(target: SocketAddr) -> Self {
        let chaos = Self {
            address: SocketAddr::from(([127, 0, 0, 1], port::free())),
            target,
            shared: Arc::new(Shared {
                weather: watch::Sender::new(Weather::default()),
                next: Mutex::default(),
                cuts: watch::Sender::new(0),
                taken: AtomicUsize::new(0),
                open: AtomicUsize::new(0),
                to_server: AtomicU64::new(0),
                to_client: AtomicU64::new(0),
            }),
            server: Mutex::new(None),
        };
        chaos.up().await;
        chaos
    }

    /// Every connection, open or to come, meets this from now on. Those that
    /// got a weather of their own keep it.
    pub fn set(&self, weather: Weather) {
        self.shared.weather.send_replace(weather);
    }

    /// The next connection meets this, the one after it the following call's.
    pub fn next(&self, weather: Weather) {
        self.shared.next().push_back(weather);
    }

    pub fn calm(&self) {
        self.shared.next().clear();
        self.set(Weather::default());
    }

    /// Resets every open connection; new ones are taken.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Listens again, on the same port.
    pub async fn up(&self) {
        let listener = TcpListener::bind(self.address)
            .await
            .expect("the proxy's port is free");
        let shared = Arc::clone(&self.shared);
        let target = self.target;
        let server = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            loop {
                let Ok((client, _)) = listener.accept().await else {
                    continue;
                };
                connections.spawn(Arc::clone(&shared).connection(client, target));
                while connections.try_join_next().is_some() {}
            }
        });
        *self.server.lock().expect("server") = Some(server);
    }

    /// New connections are refused by the system, open ones are reset.
    pub async fn down(&self) {
        self.cut();
        super::until::holds("the connections are cut", || self.open() == 0).await;
        let server = self.server.lock().expect("server").take();
        if let Some(server) = server {
            server.abort();
            drop(server.await);
        }
    }

    /// Connections taken since the start.
    pub fn taken(&self) -> usize {
        self.shared.taken.load(Ordering::Relaxed)
    }

    pub fn open(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// Bytes carried to the server and to the client.
    pub fn carried(&self) -> (u64, u64) {
        (
            self.shared.to_server.load(Ordering::Relaxed),
            self.shared.to_client.load(Ordering::Relaxed),
        )
    }
}

impl Drop for Chaos {
    fn drop(&mut self) {
        if let Some(server) = self.server.lock().ok().and_then(|mut server| server.take()) {
            server.abort();
        }
    }
}

/// How a connection ends by order.
enum Cut {
    Reset,
    Close,
}

/// Where the weather of one connection is looked up.
#[derive(Clone)]
struct Sky {
    own: Option<Weather>,
    common: watch::Receiver<Weather>,
    said: Arc<Mutex<Said>>,
}

impl Sky {
    fn path(&self, side: fn(&Weather) -> &Path) -> Path {
        let common = self.common.borrow();
        let weather = self.own.as_ref().unwrap_or(&common);
        match weather.only_after {
            Some(word) if !self.said.lock().expect("said").contains(word) => Path::default(),
            _ => side(weather).clone(),
        }
    }

    /// Ends when the weather may have changed; never for a weather of one's own.
    async fn changed(&mut self) {
        if self.own.is_some() || self.common.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The beginning of what the client sent.
#[derive(Default)]
struct Said(Vec<u8>);

impl Said {
    fn hear(&mut self, bytes: &[u8]) {
        let room = READ.saturating_sub(self.0.len()).min(bytes.len());
        self.0.extend_from_slice(&bytes[..room]);
    }

    fn contains(&self, word: &str) -> bool {
        self.0
            .windows(word.len())
            .any(|part| part == word.as_bytes())
    }
}

impl Shared {
    fn next(&self) -> MutexGuard<'_, VecDeque<Weather>> {
        self.next.lock().expect("next")
    }

    async fn connection(self: Arc<Self>, client: TcpStream, target: SocketAddr) {
        self.taken.fetch_add(1, Ordering::Relaxed);
        self.open.fetch_add(1, Ordering::Relaxed);
        let _counted = Counted(&self.open);
        let mut cuts = self.cuts.subscribe();
        cuts.mark_unchanged();
        let own = self.next().pop_front();
        let said = Arc::default();
        let sky = || Sky {
            own: own.clone(),
            common: self.weather.subscribe(),
            said: Arc::clone(&said),
        };
        let refuse = own
            .as_ref()
            .map_or_else(|| self.weather.borrow().refuse, |own| own.refuse);
        if refuse {
            reset_when_dropped(&client);
            return;
        }
        let Ok(server) = TcpStream::connect(target).await else {
            reset_when_dropped(&client);
            return;
        };
        drop((client.set_nodelay(true), server.set_nodelay(true)));
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let up = pump(
            &mut from_client,
            &mut to_server,
            sky(),
            |weather| &weather.to_server,
            Some(&said),
            &self.to_server,
        );
        let down = pump(
            &mut from_server,
            &mut to_client,
            sky(),
            |weather| &weather.to_client,
            None,
            &self.to_client,
        );
        let outcome = tokio::select! {
            outcome = async { tokio::try_join!(up, down) } => outcome.err(),
            _ = cuts.changed() => Some(Cut::Reset),
        };
        if let Some(Cut::Reset) = outcome {
            reset_when_dropped(from_client.as_ref());
            reset_when_dropped(from_server.as_ref());
            // Dropped as usual they would say goodbye first.
            to_client.forget();
            to_server.forget();
        }
    }
}

struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn reset_when_dropped(stream: &TcpStream) {
    socket2::SockRef::from(stream)
        .set_linger(Some(Duration::ZERO))
        .expect("linger");
}

type Side = fn(&Weather) -> &Path;

/// Carries one direction until its end. Reading and writing are apart, so that
/// latency delays bytes without holding back those behind them.
async fn pump(
    from: &mut OwnedReadHalf,
    to: &mut OwnedWriteHalf,
    sky: Sky,
    side: Side,
    heard_in: Option<&Mutex<Said>>,
    carried: &AtomicU64,
) -> Result<(), Cut> {
    let (chunks, mut due) = mpsc::channel(UNDER_WAY);
    let other = sky.clone();
    let (read, written) = tokio::join!(reading(from, chunks, sky, side, heard_in), async {
        let outcome = writing(to, &mut due, other, side, carried).await;
        // Nothing more is written: whoever still sends is heard, not stored.
        while outcome.is_ok() && due.recv().await.is_some() {}
        due.close();
        outcome
    });
    written.and(read)
}

async fn reading(
    from: &mut OwnedReadHalf,
    chunks: mpsc::Sender<(Instant, Vec<u8>)>,
    sky: Sky,
    side: Side,
    heard_in: Option<&Mutex<Said>>,
) -> Result<(), Cut> {
    let mut buffer = vec![0; READ];
    let mut last_due = Instant::now();
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read.map_err(|_| Cut::Reset)?,
            () = chunks.closed() => return Ok(()),
        };
        if read == 0 {
            return Ok(());
        }
        if let Some(said) = heard_in {
            said.lock().expect("said").hear(&buffer[..read]);
        }
        let path = sky.path(side);
        let mut wait = path.latency + path.jitter.mul_f64(chance());
        while chance() * 100.0 < f64::from(path.loss) {
            wait += RETRANSMISSION;
        }
        // Bytes never overtake each other.
        last_due = last_due.max(Instant::now() + wait);
        if chunks
            .send((last_due, buffer[..read].to_vec()))
            .await
            .is_err()
        {
            return Ok(());
        }
    }
}

async fn writing(
    to: &mut OwnedWriteHalf,
    due: &mut mpsc::Receiver<(Instant, Vec<u8>)>,
    mut sky: Sky,
    side: Side,
    carried: &AtomicU64,
) -> Result<(), Cut> {
    let mut offset = 0;
    while let Some((at, chunk)) = due.recv().await {
        sleep_until(at).await;
        let mut rest = &chunk[..];
        while !rest.is_empty() {
            let path = sky.path(side);
            let room = |limit: Option<u64>| {
                limit.map_or(usize::MAX, |limit| {
                    usize::try_from(limit.saturating_sub(offset)).unwrap_or(usize::MAX)
                })
            };
            if let Some((after, end)) = path.end
                && after <= offset
            {
                return ended(to, end).await;
            }
            if room(path.stall) == 0 {
                sky.changed().await;
                continue;
            }
            let length = rest
                .len()
                .min(room(path.stall))
                .min(room(path.end.map(|end| end.0)))
                .min(path.slice.unwrap_or(usize::MAX))
                // A slow path carries little at a time, ten times a second.
                .min(path.rate.map_or(usize::MAX, |rate| {
                    usize::try_from(rate / 10).unwrap_or(usize::MAX).max(1)
                }));
            let (now, later) = rest.split_at(length);
            let mut piece = now.to_vec();
            if let Some(at) = path.corrupt.and_then(|at| at.checked_sub(offset))
                && let Some(byte) = usize::try_from(at).ok().and_then(|at| piece.get_mut(at))
            {
                *byte ^= 1;
            }
            to.write_all(&piece).await.map_err(|_| Cut::Reset)?;
            rest = later;
            offset += length as u64;
            carried.fetch_add(length as u64, Ordering::Relaxed);
            if let Some(rate) = path.rate {
                sleep(Duration::from_secs_f64(length as f64 / rate as f64)).await;
            }
            // The end comes with the last byte, not with the one after it.
            if let Some((after, end)) = path.end
                && after <= offset
            {
                return ended(to, end).await;
            }
        }
    }
    // The sender is done; a stalled path does not tell even that.
    while sky.path(side).stall.is_some_and(|stall| stall <= offset) {
        sky.changed().await;
    }
    drop(to.shutdown().await);
    Ok(())
}

async fn ended(to: &mut OwnedWriteHalf, end: End) -> Result<(), Cut> {
    match end {
        End::Reset => Err(Cut::Reset),
        End::Close => Err(Cut::Close),
        End::HalfClose => {
            drop(to.shutdown().await);
            Ok(())
        }
    }
}

/// Between zero and one.
fn chance() -> f64 {
    f64::from(u32::from_le_bytes(random::bytes::<4>())) / (f64::from(u32::MAX) + 1.0)
}
