//! One connection on which the server remembers what was read, and tells
//! when it changes.
//!
//! The server tells in the order of its answers, on the same connection, so
//! an answer proves that everything before it was heard. The client library
//! hands each message over before it reads the next one.
//! Limits: keys are told by name only, in whichever database they changed;
//! `SWAPDB` is not told at all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::redis::aio::{MultiplexedConnection, SendError};
use ::redis::{FromRedisValue, PushInfo, PushKind, RedisError, Value};
use futures_util::FutureExt;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::dialer::Dialer;
use super::layout;
use super::live::{Lane, Live, late};
use super::refusal::{Aftermath, aftermath, meaning};
use super::role::{Role, hidden};
use super::wire::{Order, Trouble, Wire};
use crate::base::random;
use crate::session::store::StoreError;
use crate::session::store::changes::Watchers;

const CHECK_EVERY: Duration = Duration::from_secs(1);
/// Within this a sign of life must be answered.
const SIGN_OF_LIFE: Duration = Duration::from_secs(2);
/// From the first packet to the proof that changes are told.
const ATTEMPT: Duration = Duration::from_millis(1500);
/// From the answer of a write until it is heard of.
const TOLD_WITHIN: Duration = Duration::from_millis(700);
const TOKEN_TTL_MILLIS: u64 = 60_000;

/// Why there is no such connection.
#[derive(Debug, thiserror::Error)]
pub enum Unwatched {
    /// The server does not track, forbids us to ask for it, or tells nothing
    /// although it says that it would.
    #[error("{0}")]
    Refused(String),
    /// It may work a moment later.
    #[error(transparent)]
    Failed(StoreError),
}

impl From<Trouble> for Unwatched {
    fn from(trouble: Trouble) -> Self {
        Self::Failed(trouble.meaning(ATTEMPT))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Proving,
    /// The watcher relies on it.
    Watching,
    Lost,
}

/// What the driver of the connection holds: nothing of the connection, which
/// ends when its last user drops it.
struct Ears {
    watchers: Arc<Watchers>,
    prefix: String,
    /// A key of this connection alone, changed to see whether that is told.
    token: String,
    token_changed: Notify,
    stage: Mutex<Stage>,
    /// When the last sign of life that was answered had been asked for.
    known_good: Mutex<Instant>,
    lost: Notify,
}

impl Ears {
    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, push: &PushInfo) {
        match (&push.kind, push.data.first()) {
            (PushKind::Invalidate, Some(Value::Array(keys))) => {
                for key in keys {
                    if let Value::BulkString(key) = key {
                        self.changed(key);
                    }
                }
            }
            // The whole database was emptied.
            (PushKind::Invalidate, _) => self.watchers.everything_changed(),
            (PushKind::Disconnection, _) => self.lose(),
            _ => {}
        }
    }

    fn changed(&self, key: &[u8]) {
        match layout::named(&self.prefix, key) {
            Some(changed) => self.watchers.changed(changed),
            None if key == self.token.as_bytes() => self.token_changed.notify_one(),
            None => {}
        }
    }

    /// The watcher knows when this returns, whoever called first.
    fn lose(&self) {
        let mut stage = self.stage();
        if *stage == Stage::Watching {
            let known_good = self.known_good.lock();
            let known_good = *known_good.unwrap_or_else(PoisonError::into_inner);
            self.watchers.blind(known_good.into_std());
        }
        *stage = Stage::Lost;
        self.lost.notify_one();
    }

    fn good_at(&self, asked_at: Instant) {
        let known_good = self.known_good.lock();
        *known_good.unwrap_or_else(PoisonError::into_inner) = asked_at;
    }
}

pub struct Tracked {
    wire: Wire,
    connection: MultiplexedConnection,
    ears: Arc<Ears>,
}

impl Tracked {
    /// Connects beside `live`, to the same server, and sees that changes made
    /// there are told here. The watcher is told from now on, but relies on
    /// nothing before [`Tracked::begin`].
    pub async fn open(
        dialer: &Dialer,
        live: &Live,
        prefix: &str,
        watchers: &Arc<Watchers>,
    ) -> Result<Self, Unwatched> {
        let attempt = async {
            let began = Instant::now();
            let ears = Arc::new(Ears {
                watchers: Arc::clone(watchers),
                prefix: prefix.to_owned(),
                token: layout::token_key(prefix, random::bytes()),
                token_changed: Notify::new(),
                stage: Mutex::new(Stage::Proving),
                known_good: Mutex::new(began),
                lost: Notify::new(),
            });
            let hear = {
                let ears = Arc::clone(&ears);
                move |push: PushInfo| {
                    ears.hear(&push);
                    Ok::<(), SendError>(())
                }
            };
            let connection = dialer.dial_hearing(&live.address, hear).await;
            let mut connection = connection.map_err(Unwatched::Failed)?;
            track(&mut connection).await?;
            let tracked = Self {
                wire: Wire::new(connection.clone()),
                connection,
                ears,
            };
            tracked.prove(live).await?;
            Ok(tracked)
        };
        timeout(ATTEMPT, attempt)
            .await
            .map_err(|_| Unwatched::Failed(late(ATTEMPT)))?
    }

    /// That both lead to one server, and that what `live` writes is told here.
    /// A full server refuses the write; then nothing is proved.
    pub async fn prove(&self, live: &Live) -> Result<(), Unwatched> {
        let end = Instant::now() + ATTEMPT;
        let role = timeout_at(end, self.role()).await;
        let role = role.map_err(|_| Unwatched::from(Trouble::Late))?;
        let role = role.map_err(|error| failed(&error))?;
        if !role.takes_writes() {
            let text = "the server is a replica".to_owned();
            return Err(Unwatched::Failed(StoreError::Unavailable(text)));
        }
        let value: [u8; 16] = random::bytes();
        self.write_token(live, &value, end).await?;
        let mut get = ::redis::cmd("GET");
        get.arg(&self.ears.token);
        let read: Option<Vec<u8>> = self.call(Order::Command(&get), end).await?;
        if read.as_deref() != Some(&value) {
            return Err(Unwatched::Failed(StoreError::Unavailable(
                "the address leads to several servers".into(),
            )));
        }
        // An earlier change may have been told late.
        let _ = self.ears.token_changed.notified().now_or_never();
        self.write_token(live, &random::bytes(), end).await?;
        let told = self.ears.token_changed.notified();
        timeout(TOLD_WITHIN, told)
            .await
            .map_err(|_| Unwatched::Refused("it takes CLIENT TRACKING and tells no change".into()))
    }

    async fn write_token(
        &self,
        live: &Live,
        value: &[u8; 16],
        end: Instant,
    ) -> Result<(), Unwatched> {
        let mut set = ::redis::cmd("SET");
        set.arg(&self.ears.token).arg(value);
        set.arg("PX").arg(TOKEN_TTL_MILLIS);
        let order = Order::Command(&set);
        live.call::<()>(Lane::Write, order, false, end).await?;
        Ok(())
    }

    /// From now on the watcher relies on it, unless it is lost already.
    pub fn begin(&self) {
        let mut stage = self.ears.stage();
        if *stage == Stage::Proving {
            *stage = Stage::Watching;
            self.ears.watchers.watching(Duration::MAX);
        }
    }

    /// When this returns, the watcher knows that it is blind.
    pub fn lose(&self) {
        self.ears.lose();
    }

    pub fn is_lost(&self) -> bool {
        *self.ears.stage() == Stage::Lost
    }

    pub async fn call<T: FromRedisValue>(
        &self,
        order: Order<'_>,
        end: Instant,
    ) -> Result<T, Trouble> {
        let lose = |aftermath| {
            if aftermath != Aftermath::Fine {
                self.lose();
            }
        };
        self.wire.call(order, false, end, lose).await
    }

    async fn role(&self) -> Result<Role, RedisError> {
        let ask = Role::command();
        match ask.query_async(&mut self.connection.clone()).await {
            Err(error) if hidden(&error) => Ok(Role::Hidden),
            role => role,
        }
    }

    /// Ends when it is lost, or gives no sign of life in time, or its server
    /// has become a replica.
    pub async fn live(&self) {
        let lives = async {
            loop {
                sleep(CHECK_EVERY).await;
                let asked_at = Instant::now();
                match timeout(SIGN_OF_LIFE, self.role()).await {
                    Ok(Ok(role)) if role.takes_writes() => self.ears.good_at(asked_at),
                    _ => return,
                }
            }
        };
        tokio::select! {
            () = lives => {}
            () = self.ears.lost.notified() => {}
        }
    }
}

fn failed(error: &RedisError) -> Unwatched {
    Unwatched::Failed(meaning(error))
}

async fn track(connection: &mut MultiplexedConnection) -> Result<(), Unwatched> {
    let mut track = ::redis::cmd("CLIENT");
    track.arg("TRACKING").arg("ON");
    match track.exec_async(connection).await {
        Ok(()) => Ok(()),
        Err(error) if aftermath(&error) == Aftermath::Fine => {
            Err(Unwatched::Refused(error.to_string()))
        }
        Err(error) => Err(failed(&error)),
    }
}
