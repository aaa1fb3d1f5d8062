//! One connection and what is known of its health.
//!
//! Each call has a deadline, and each call is a watchman: two time-outs in a
//! row, or a second in which no command got its answer, condemn the
//! connection. The library itself would stay on it for as long as the system
//! keeps the socket.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use ::redis::aio::{ConnectionLike, MultiplexedConnection};
use ::redis::{
    Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisFuture, ScriptInvocation, Value,
};
use tokio::time::{Instant, timeout_at};

use super::refusal::{Aftermath, aftermath, meaning};
use crate::session::store::StoreError;

/// Without any answer while one is awaited.
const SILENCE: Duration = Duration::from_secs(1);
const TIMEOUTS_ALLOWED: u32 = 2;

#[derive(Clone, Copy)]
pub enum Order<'a> {
    Command(&'a Cmd),
    Script(&'a ScriptInvocation<'a>),
}

/// Why there is no answer.
#[derive(Debug)]
pub enum Trouble {
    Answer(RedisError),
    Late,
    /// Nothing was sent.
    Away(StoreError),
}

impl Trouble {
    pub fn meaning(self, deadline: Duration) -> StoreError {
        match self {
            Self::Answer(error) => meaning(&error),
            Self::Late => {
                StoreError::Unavailable(format!("no answer within {} ms", deadline.as_millis()))
            }
            Self::Away(error) => error,
        }
    }
}

pub struct Wire {
    connection: MultiplexedConnection,
    born: Instant,
    /// Milliseconds after `born`.
    answered: AtomicU64,
    /// In a row.
    timeouts: AtomicU32,
}

impl Wire {
    pub fn new(connection: MultiplexedConnection) -> Self {
        Self {
            connection,
            born: Instant::now(),
            answered: AtomicU64::new(0),
            timeouts: AtomicU32::new(0),
        }
    }

    pub async fn call<T: FromRedisValue>(
        &self,
        order: Order<'_>,
        asking: bool,
        end: Instant,
        condemn: impl Fn(Aftermath),
    ) -> Result<T, Trouble> {
        let started = Instant::now();
        let answer = async {
            if asking {
                run(order, &mut Asking(self.connection.clone())).await
            } else {
                run(order, &mut self.connection.clone()).await
            }
        };
        let mut answer = std::pin::pin!(answer);
        let mut watch = started + SILENCE;
        loop {
            match timeout_at(watch.min(end), &mut answer).await {
                Ok(answer) => return self.judge(answer, condemn),
                Err(_) if watch < end => {
                    let answered =
                        self.born + Duration::from_millis(self.answered.load(Ordering::Relaxed));
                    if answered.max(started).elapsed() >= SILENCE {
                        condemn(Aftermath::Broken);
                    }
                    watch += SILENCE / 4;
                }
                Err(_) => {
                    let in_a_row = self.timeouts.fetch_add(1, Ordering::Relaxed) + 1;
                    if in_a_row >= TIMEOUTS_ALLOWED {
                        condemn(Aftermath::Broken);
                    }
                    return Err(Trouble::Late);
                }
            }
        }
    }

    fn judge<T>(
        &self,
        answer: Result<T, RedisError>,
        condemn: impl Fn(Aftermath),
    ) -> Result<T, Trouble> {
        let aftermath = answer.as_ref().map_or_else(aftermath, |_| Aftermath::Fine);
        if aftermath != Aftermath::Broken {
            self.timeouts.store(0, Ordering::Relaxed);
            let age = u64::try_from(self.born.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.answered.store(age, Ordering::Relaxed);
        }
        if aftermath != Aftermath::Fine {
            condemn(aftermath);
        }
        answer.map_err(Trouble::Answer)
    }
}

async fn run<T: FromRedisValue>(
    order: Order<'_>,
    connection: &mut (impl ConnectionLike + Send),
) -> Result<T, RedisError> {
    match order {
        Order::Command(command) => command.query_async(connection).await,
        Order::Script(script) => script.invoke_async(connection).await,
    }
}

/// Tells a node that is taking over a slot that we were sent to it.
struct Asking(MultiplexedConnection);

impl ConnectionLike for Asking {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let mut both = Pipeline::with_capacity(2);
            both.cmd("ASKING").add_command(command.clone());
            // Of the two answers the second; an error in it stays a value
            // and is found by the caller.
            let mut values = self.0.req_packed_commands(&both, 1, 1).await?;
            values.pop().ok_or_else(|| {
                RedisError::from((ErrorKind::UnexpectedReturnType, "no answer after ASKING"))
            })
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.0.req_packed_commands(pipeline, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.0.get_db()
    }
}
