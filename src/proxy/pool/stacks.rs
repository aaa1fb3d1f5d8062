//! Each thread has a stack of its own, behind a lock that nobody else takes on
//! the request path: the busiest connections stay on top, those at the bottom
//! fall idle and are closed before the upstream would close them.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;

use crate::config::checked::Limits;
use crate::proxy::connect::{Dialer, Protocol, Stream};
use crate::proxy::error::ProxyError;
use crate::proxy::health::Health;
use crate::proxy::http1::Wire;
use crate::proxy::line::{Line, sweeps};
use crate::proxy::sender::Sender;

/// More threads than this share stacks.
pub(super) const SHARDS: usize = 64;
/// How long a request may wait when every connection is in use.
pub(super) const BUSY_WAIT: Duration = Duration::from_secs(1);
pub(super) const BUSY_LOOK: Duration = Duration::from_millis(10);

thread_local! {
    pub(super) static SHARD: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS
    };
}

pub(in crate::proxy) struct Pool {
    dialer: Dialer,
    health: Health,
    connect_timeout: Duration,
    limit: usize,
    pub(super) idle: u32,
    pub(super) body_idle: u32,
    /// Connections of all threads. Changes when one is dialled or ends.
    open: Arc<AtomicUsize>,
    /// The upstream speaks HTTP/2, as far as is known.
    pub(super) multiplexed: AtomicBool,
    pub(super) shards: Box<[Shard]>,
}

/// Alone on its cache lines, so that threads do not slow each other down.
#[repr(align(128))]
pub(super) struct Shard {
    stack: Mutex<Stack>,
    /// One dial at a time, where everybody will share its connection.
    pub(super) dial: Semaphore,
}

impl Default for Shard {
    fn default() -> Self {
        Self {
            stack: Mutex::default(),
            dial: Semaphore::new(1),
        }
    }
}

#[derive(Default)]
pub(super) struct Stack {
    pub(super) entries: Vec<Entry>,
    /// Event streams, out of the way of those who look for a free entry.
    pub(super) aside: Vec<Entry>,
    pub(super) resting: Vec<Wire>,
    /// Of the wires that were dialled here, wherever they are now.
    pub(super) lines: Vec<Arc<Line>>,
    pub(super) sweeping: bool,
}

pub(super) struct Entry {
    pub(super) sender: Sender,
    pub(super) line: Arc<Line>,
    pub(super) made: Instant,
}

/// A place among the open connections.
pub(in crate::proxy) struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pool {
    pub(in crate::proxy) fn new(dialer: Dialer, health: Health, limits: &Limits) -> Self {
        let multiplexed = AtomicBool::new(dialer.is_multiplexed());
        Self {
            dialer,
            multiplexed,
            health,
            connect_timeout: limits.connect_timeout,
            limit: limits.upstream_connections,
            idle: sweeps(limits.upstream_idle),
            body_idle: sweeps(limits.body_idle),
            open: Arc::default(),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
        }
    }

    pub(super) fn place(&self) -> Option<Place> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.limit {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        Some(Place(self.open.clone()))
    }

    pub(super) async fn connect(&self, alone: bool) -> Result<(Stream, Protocol), ProxyError> {
        let attempt = self.health.enter()?;
        let dialled = self.dialer.dial(self.connect_timeout, alone).await;
        attempt.ended(&dialled);
        dialled
    }

    pub(super) fn keep(self: &Arc<Self>, entry: Entry) {
        let shard = SHARD.with(|shard| *shard);
        let mut stack = self.stack(shard);
        stack.entries.push(entry);
        self.look_after(&mut stack, shard);
    }

    pub(super) fn stack(&self, shard: usize) -> MutexGuard<'_, Stack> {
        self.shards[shard]
            .stack
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
