//! The way to one server and the task that keeps it open.
//!
//! The client library stays on a connection that stalls silently and on a
//! primary that became a replica. So the task here builds new connections
//! beside the old ones as soon as one of them is suspected, and swaps them.
//! While there are none, calls fail at once; nothing is sent twice, but for a
//! write that a replica refused.

use std::sync::Arc;
use std::time::Duration;

use ::redis::FromRedisValue;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::advice;
use super::dialer::Dialer;
use super::live::{Answer, Lane, Live, late};
use super::refusal::{Aftermath, aftermath};
use super::role::Role;
use super::source::Source;
use super::wire::{Order, Trouble};
use crate::session::store::StoreError;
use crate::telemetry::Telemetry;

/// From the search for the server to the end of its checks.
const ATTEMPT: Duration = Duration::from_millis(1500);
/// Between attempts to connect: short enough to be back within a second.
const PAUSE_LEAST: Duration = Duration::from_millis(50);
const PAUSE_MOST: Duration = Duration::from_millis(400);
/// How often the server is asked for its role and for a sign of life. Until
/// then a replica that joined is not waited for.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// After this long the connections are renewed, so that a password or an
/// address that was changed shows now and not at the next outage.
const RENEW_AFTER: Duration = Duration::from_secs(30);
/// Connections that lasted this long were no failure.
const LASTED: Duration = Duration::from_secs(2);
/// How often the sentinels are asked whether the primary is another one.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const LOOK_EVERY_WHILE_DOWN: Duration = Duration::from_millis(250);
/// How long calls wait for the successor of a broken connection; whoever
/// comes later than that is refused at once.
const SWAP: Duration = Duration::from_millis(250);
/// How long a replica is read that has lost its primary: it may not know of
/// sign-outs since then.
const ADRIFT_AT_MOST: Duration = Duration::from_secs(30);

#[derive(Clone)]
enum State {
    /// The first attempt is under way: worth waiting for.
    Starting,
    Up(Arc<Live>),
    Down(StoreError),
}

pub struct Link {
    state: watch::Receiver<State>,
    /// Whether replicas are of use for writes: they send us on.
    sends_on: bool,
}

impl Link {
    /// The task lives on `runtime` until the link is dropped. `patience` is
    /// what a sign of life may take.
    pub fn start(
        runtime: &tokio::runtime::Handle,
        dialer: Arc<Dialer>,
        source: Source,
        patience: Duration,
        telemetry: Option<Telemetry>,
    ) -> Self {
        let (sender, state) = watch::channel(State::Starting);
        let sends_on = source.sends_on();
        let keeper = Keeper {
            dialer,
            source,
            patience,
            telemetry,
        };
        runtime.spawn(async move {
            let closed = sender.clone();
            tokio::select! {
                () = keeper.keep(&sender) => {}
                () = closed.closed() => {}
            }
        });
        Self { state, sends_on }
    }

    pub async fn call<T: FromRedisValue>(
        &self,
        lane: Lane,
        order: Order<'_>,
        asking: bool,
        end: Instant,
    ) -> Result<Answer<T>, Trouble> {
        let live = self.live(end).await?;
        if self.sends_on || matches!(lane, Lane::Tracked | Lane::Read) {
            return live.call(lane, order, asking, end).await;
        }
        if live.is_read_only() {
            return Err(Trouble::Away(is_replica()));
        }
        match live.call(lane, order, asking, end).await {
            Err(Trouble::Answer(error)) if aftermath(&error) == Aftermath::ReadOnly => {
                // Nothing was written: the server refuses before it begins.
                match self.successor(&live, end).await {
                    Some(live) => live.call(lane, order, asking, end).await,
                    None => Err(Trouble::Answer(error)),
                }
            }
            answer => answer,
        }
    }

    /// Says where the link leads, now and later.
    pub fn follow(&self) -> Followed {
        Followed(self.state.clone())
    }

    /// Whether calls would be sent.
    pub fn is_up(&self) -> bool {
        matches!(&*self.state.borrow(), State::Up(live) if live.broken_at().is_none())
    }

    async fn live(&self, end: Instant) -> Result<Arc<Live>, Trouble> {
        let mut state = self.state.clone();
        let end = match &*state.borrow() {
            State::Up(live) => match live.broken_at() {
                None => return Ok(Arc::clone(live)),
                Some(at) => end.min(at + SWAP),
            },
            State::Down(error) => return Err(Trouble::Away(error.clone())),
            State::Starting => end,
        };
        let settled = state.wait_for(|state| match state {
            State::Starting => false,
            State::Up(live) => live.broken_at().is_none(),
            State::Down(_) => true,
        });
        match timeout_at(end, settled).await {
            Ok(Ok(state)) => match &*state {
                State::Up(live) => Ok(Arc::clone(live)),
                State::Down(error) => Err(Trouble::Away(error.clone())),
                State::Starting => Err(Trouble::Late),
            },
            Ok(Err(_)) => Err(Trouble::Away(StoreError::Unavailable(
                "connection task ended".into(),
            ))),
            Err(_) => Err(Trouble::Away(StoreError::Unavailable(
                "the server stopped answering".into(),
            ))),
        }
    }

    /// Connections that take writes, in place of `refused`.
    async fn successor(&self, refused: &Arc<Live>, end: Instant) -> Option<Arc<Live>> {
        let mut state = self.state.clone();
        let settled = state.wait_for(|state| match state {
            State::Up(live) => {
                !Arc::ptr_eq(live, refused) && !live.is_read_only() && live.broken_at().is_none()
            }
            _ => false,
        });
        match &*timeout_at(end, settled).await.ok()?.ok()? {
            State::Up(live) => Some(Arc::clone(live)),
            _ => None,
        }
    }
}

/// Keeps the link open as long as it lives.
pub struct Followed(watch::Receiver<State>);

impl Followed {
    /// The next connections after those that this told of last, or `None`
    /// when there are none any more.
    pub async fn next(&mut self) -> Option<Arc<Live>> {
        if self.0.changed().await.is_err() {
            return std::future::pending().await;
        }
        self.present()
    }

    /// The present connections.
    pub fn present(&mut self) -> Option<Arc<Live>> {
        match &*self.0.borrow_and_update() {
            State::Up(live) => Some(Arc::clone(live)),
            State::Starting | State::Down(_) => None,
        }
    }
}

fn is_replica() -> StoreError {
    StoreError::Refused("the server is a replica".into())
}

/// Keeps one good pair of connections in the state.
struct Keeper {
    dialer: Arc<Dialer>,
    source: Source,
    patience: Duration,
    telemetry: Option<Telemetry>,
}

impl Keeper {
    async fn keep(&self, state: &watch::Sender<State>) {
        let mut pause = PAUSE_LEAST;
        let mut advised = false;
        let mut complained = false;
        let mut adrift_since = None;
        let mut present: Option<Arc<Live>> = None;
        loop {
            match self.connect().await {
                Ok((live, role)) => {
                    if std::mem::take(&mut complained) {
                        tracing::info!("session store accepts new connections again");
                    }
                    if role == (Role::Replica { following: false }) {
                        adrift_since.get_or_insert_with(Instant::now);
                    } else {
                        adrift_since = None;
                    }
                    if adrift_since.is_some_and(|at: Instant| at.elapsed() > ADRIFT_AT_MOST) {
                        present = None;
                        state.send_replace(State::Down(is_replica()));
                    } else {
                        let live = Arc::new(live);
                        state.send_replace(State::Up(Arc::clone(&live)));
                        if !std::mem::replace(&mut advised, true) {
                            advice::give(&live).await;
                        }
                        present = Some(live);
                    }
                }
                Err(error) => {
                    present = present.filter(|live| live.broken_at().is_none());
                    if present.is_some() {
                        if !std::mem::replace(&mut complained, true) {
                            advice::complain(&error, self.telemetry.as_ref());
                        }
                    } else {
                        state.send_replace(State::Down(error));
                    }
                }
            }
            let began = Instant::now();
            if let Some(live) = &present {
                self.watch_over(live).await;
            }
            // A server that breaks or refuses each connection is not flooded.
            if began.elapsed() >= LASTED {
                pause = PAUSE_LEAST;
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MOST);
        }
    }

    async fn connect(&self) -> Result<(Live, Role), StoreError> {
        let end = Instant::now() + ATTEMPT;
        let attempt = async {
            let address = self.source.find().await?;
            let moved = self.source.moved(&address, LOOK_EVERY_WHILE_DOWN);
            tokio::select! {
                live = Live::open(&self.dialer, address.clone(), end) => live,
                () = moved => Err(StoreError::Unavailable("the primary moves".into())),
            }
        };
        timeout(ATTEMPT, attempt).await.map_err(|_| late(ATTEMPT))?
    }

    /// Until `live` should be replaced, or was in use for so long that it is
    /// time to see whether a new one would work.
    async fn watch_over(&self, live: &Live) {
        let end = Instant::now() + RENEW_AFTER;
        let moved = async { self.source.moved(&live.address, LOOK_EVERY).await };
        let checked = async {
            while Instant::now() < end {
                sleep(CHECK_EVERY).await;
                loop {
                    match live.check(Instant::now() + self.patience).await {
                        Ok(role) if role.takes_writes() || self.source.sends_on() => break,
                        // Once more at once: the second time-out in a row
                        // condemns it.
                        Err(Trouble::Late) => {}
                        _ => return,
                    }
                }
            }
        };
        tokio::select! {
            () = live.suspected() => {}
            () = moved => {}
            () = checked => {}
            () = sleep(PAUSE_MOST), if live.is_read_only() && !self.source.sends_on() => {}
        }
    }
}
