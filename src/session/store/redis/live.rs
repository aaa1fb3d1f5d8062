//! The connections to one server, as long as they are the ones in use.
//!
//! Two: what waits for replicas holds up everything behind it on the same
//! connection, so durable writes have one of their own.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use ::redis::FromRedisValue;
use tokio::sync::{Mutex, Notify};
use tokio::time::Instant;

use super::dialer::{Address, Dialer};
use super::refusal::{Aftermath, aftermath};
use super::role::{Role, hidden};
use super::wire::{Order, Trouble, Wire};
use crate::session::store::StoreError;

/// How long a durable write waits for a replica.
const REPLICA_PATIENCE: Duration = Duration::from_millis(100);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// A read whose later changes are told, where something watches; else as
    /// any read.
    Tracked,
    Read,
    Write,
    /// Answered when a replica has it too, if there is one.
    Durable,
}

/// An answer, and whether a durable write is where it should be. Of other
/// calls it says nothing.
pub struct Answer<T> {
    pub value: T,
    pub is_copied: bool,
}

impl<T> Answer<T> {
    pub const fn read(value: T) -> Self {
        Self {
            value,
            is_copied: true,
        }
    }
}

/// What the replicas confirmed of the durable connection's writes.
#[derive(Default)]
struct Confirmed {
    /// All writes up to this one were asked about.
    writes: usize,
    by_a_replica: bool,
}

pub struct Live {
    pub address: Address,
    plain: Wire,
    durable: Wire,
    replicas: AtomicUsize,
    /// Durable writes that were answered.
    written: AtomicUsize,
    confirmed: Mutex<Confirmed>,
    copies_are_late: AtomicBool,
    read_only: AtomicBool,
    broken_at: OnceLock<Instant>,
    suspected: Notify,
}

impl Live {
    /// Connects, and sees whether the server would do its work.
    pub async fn open(
        dialer: &Dialer,
        address: Address,
        end: Instant,
    ) -> Result<(Self, Role), StoreError> {
        let (plain, durable) =
            futures_util::future::try_join(dialer.dial(&address), dialer.dial(&address)).await?;
        let live = Self {
            address,
            plain: Wire::new(plain),
            durable: Wire::new(durable),
            replicas: AtomicUsize::new(0),
            written: AtomicUsize::new(0),
            confirmed: Mutex::default(),
            copies_are_late: AtomicBool::new(false),
            read_only: AtomicBool::new(false),
            broken_at: OnceLock::new(),
            suspected: Notify::new(),
        };
        let patience = end.saturating_duration_since(Instant::now());
        let role = live.check(end).await;
        Ok((live, role.map_err(|trouble| trouble.meaning(patience))?))
    }

    /// Asks for the role, and on both connections for a sign of life. A
    /// server that is loading tells its role, but answers no ping.
    pub async fn check(&self, end: Instant) -> Result<Role, Trouble> {
        let ping = ::redis::cmd("PING");
        let ask = Role::command();
        let (role, plain, durable) = tokio::join!(
            self.plain
                .call(Order::Command(&ask), false, end, |aftermath| self
                    .suspect(aftermath)),
            self.sign_of_life(&self.plain, &ping, end),
            self.sign_of_life(&self.durable, &ping, end),
        );
        let role = match role {
            Ok(role) => role,
            Err(Trouble::Answer(error)) if hidden(&error) => Role::Hidden,
            Err(trouble) => return Err(trouble),
        };
        plain?;
        durable?;
        self.replicas.store(role.replicas(), Ordering::Relaxed);
        if !role.takes_writes() {
            self.read_only.store(true, Ordering::Relaxed);
        }
        Ok(role)
    }

    async fn sign_of_life(
        &self,
        wire: &Wire,
        ping: &::redis::Cmd,
        end: Instant,
    ) -> Result<(), Trouble> {
        let answer = wire.call::<()>(Order::Command(ping), false, end, |aftermath| {
            self.suspect(aftermath);
        });
        match answer.await {
            Err(Trouble::Answer(error)) if aftermath(&error) == Aftermath::Fine => Ok(()),
            answer => answer,
        }
    }

    pub async fn call<T: FromRedisValue>(
        &self,
        lane: Lane,
        order: Order<'_>,
        asking: bool,
        end: Instant,
    ) -> Result<Answer<T>, Trouble> {
        let durable = lane == Lane::Durable;
        let wire = if durable { &self.durable } else { &self.plain };
        let value = wire.call(order, asking, end, |aftermath| self.suspect(aftermath));
        let value = value.await?;
        let is_copied = !durable || self.is_copied(end).await;
        Ok(Answer { value, is_copied })
    }

    /// Whether a replica has what the durable connection wrote, if there is
    /// a replica. One question at a time: it covers every write that was
    /// answered before it was asked.
    async fn is_copied(&self, end: Instant) -> bool {
        if self.replicas.load(Ordering::Relaxed) == 0 {
            return true;
        }
        let ours = self.written.fetch_add(1, Ordering::Relaxed) + 1;
        let Ok(mut confirmed) = tokio::time::timeout_at(end, self.confirmed.lock()).await else {
            return false;
        };
        if confirmed.writes >= ours {
            return confirmed.by_a_replica;
        }
        let writes = self.written.load(Ordering::Relaxed);
        let mut wait = ::redis::cmd("WAIT");
        wait.arg(1).arg(REPLICA_PATIENCE.as_millis() as u64);
        let copies: Result<usize, _> = self
            .durable
            .call(Order::Command(&wait), false, end, |aftermath| {
                self.suspect(aftermath);
            })
            .await;
        let by_a_replica = match copies {
            Ok(0) => {
                self.count_replicas(end).await;
                false
            }
            Ok(_) => true,
            // It may not be asked: as if there were no replicas.
            Err(Trouble::Answer(error)) => hidden(&error),
            Err(_) => false,
        };
        *confirmed = Confirmed {
            writes,
            by_a_replica,
        };
        self.note(by_a_replica);
        by_a_replica
    }

    /// A replica that left is no reason to fail for what is written from now
    /// on. What was written while it was there stays unconfirmed: a server
    /// that asks for replicas itself (`min-replicas-to-write`) took it for
    /// the sake of the one that left.
    async fn count_replicas(&self, end: Instant) {
        let ask = Role::command();
        let role = self.plain.call(Order::Command(&ask), false, end, |_| {});
        if let Ok(role) = role.await {
            let role: Role = role;
            self.replicas.store(role.replicas(), Ordering::Relaxed);
        }
    }

    fn note(&self, copied: bool) {
        let were_late = self.copies_are_late.swap(!copied, Ordering::Relaxed);
        match (were_late, copied) {
            (false, false) => tracing::warn!(
                server = %self.address,
                "the session store's replica does not keep up: refreshes are postponed, and a failover now could lose sign-ins"
            ),
            (true, true) => {
                tracing::info!(server = %self.address, "the session store's replica keeps up again");
            }
            _ => {}
        }
    }

    fn suspect(&self, aftermath: Aftermath) {
        match aftermath {
            Aftermath::Fine => return,
            Aftermath::Refusing => {}
            Aftermath::ReadOnly => self.read_only.store(true, Ordering::Relaxed),
            Aftermath::Broken => {
                self.broken_at.get_or_init(Instant::now);
            }
        }
        self.suspected.notify_one();
    }

    pub async fn suspected(&self) {
        self.suspected.notified().await;
    }

    pub fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::Relaxed)
    }

    /// Since when nothing comes from it.
    pub fn broken_at(&self) -> Option<Instant> {
        self.broken_at.get().copied()
    }
}

/// A trouble of a connection that is not in use yet.
pub fn late(deadline: Duration) -> StoreError {
    Trouble::Late.meaning(deadline)
}
