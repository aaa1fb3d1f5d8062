//! The way to a cluster: which node keeps which slot, one link to each.
//!
//! Nodes are followed where they send us. When one is not to be reached or
//! sends us on, all nodes are asked for the present map, and the one that
//! most of them draw is taken.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::redis::FromRedisValue;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::dialer::{Address, Dialer};
use super::link::Link;
use super::live::{Answer, Lane};
use super::refusal::{Redirect, meaning, redirect};
use super::slot;
use super::slot_map::{Row, SlotMap, beside};
use super::source::Source;
use super::wire::{Order, Trouble};
use crate::base::random;
use crate::config::checked::HostPort;
use crate::session::store::StoreError;
use crate::telemetry::Telemetry;

/// For one node to be reached and to draw the map.
const ANSWER: Duration = Duration::from_millis(700);
/// How many nodes are asked at a time.
const ASKED: usize = 9;
const LOOK_EVERY: Duration = Duration::from_secs(30);
const LOOK_EVERY_WHILE_DOWN: Duration = Duration::from_millis(250);
/// Between looks, however often they are asked for.
const LOOK_PAUSE: Duration = Duration::from_millis(100);
/// A map that is true sends us on once, or twice while a slot moves.
const MOST_HOPS: u32 = 8;
/// While the keys of a session are on their way to another node.
const AGAIN_AFTER: Duration = Duration::from_millis(20);

#[derive(Clone)]
enum State {
    Starting,
    Known(Arc<SlotMap>),
    Unknown(StoreError),
}

pub struct Cluster {
    shared: Arc<Shared>,
    state: watch::Receiver<State>,
}

struct Shared {
    runtime: Handle,
    dialer: Arc<Dialer>,
    seeds: Vec<HostPort>,
    patience: Duration,
    telemetry: Option<Telemetry>,
    links: Mutex<HashMap<HostPort, Arc<Link>>>,
    /// The map is not true any more.
    stale: Notify,
}

impl Cluster {
    /// The task lives on `runtime` until the cluster is dropped.
    pub fn start(
        runtime: &Handle,
        dialer: Arc<Dialer>,
        seeds: Vec<HostPort>,
        patience: Duration,
        telemetry: Option<Telemetry>,
    ) -> Self {
        let (sender, state) = watch::channel(State::Starting);
        let shared = Arc::new(Shared {
            runtime: runtime.clone(),
            dialer,
            seeds,
            patience,
            telemetry,
            links: Mutex::default(),
            stale: Notify::new(),
        });
        let keeper = Arc::clone(&shared);
        runtime.spawn(async move {
            let closed = sender.clone();
            tokio::select! {
                () = keeper.keep(&sender) => {}
                () = closed.closed() => {}
            }
        });
        Self { shared, state }
    }

    pub async fn call<T: FromRedisValue>(
        &self,
        key: &str,
        lane: Lane,
        order: Order<'_>,
        end: Instant,
    ) -> Result<Answer<T>, Trouble> {
        let slot = slot::of(key);
        let mut node = self.keeper_of(slot, end).await?;
        let mut asking = false;
        let mut hops = 0;
        loop {
            let link = self.shared.link(&node);
            let error = match link.call(lane, order, asking, end).await {
                Ok(answer) => return Ok(answer),
                Err(Trouble::Answer(error)) => error,
                Err(trouble) => {
                    self.shared.stale.notify_one();
                    return Err(trouble);
                }
            };
            let again = redirect(&error);
            if again != Some(Redirect::Again) {
                hops += 1;
            }
            if hops > MOST_HOPS || Instant::now() >= end {
                return Err(Trouble::Answer(error));
            }
            match again {
                Some(Redirect::Moved(to)) => {
                    self.shared.stale.notify_one();
                    node = beside(&node, &to).ok_or(Trouble::Answer(error))?;
                    asking = false;
                }
                Some(Redirect::Ask(to)) => {
                    node = beside(&node, &to).ok_or(Trouble::Answer(error))?;
                    asking = true;
                }
                Some(Redirect::Again) => {
                    sleep(AGAIN_AFTER).await;
                    node = self.keeper_of(slot, end).await?;
                    asking = false;
                }
                None => {
                    if matches!(error.code(), Some("CLUSTERDOWN" | "READONLY" | "LOADING")) {
                        self.shared.stale.notify_one();
                    }
                    return Err(Trouble::Answer(error));
                }
            }
        }
    }

    async fn keeper_of(&self, slot: u16, end: Instant) -> Result<HostPort, Trouble> {
        let mut state = self.state.clone();
        let known = state.wait_for(|state| !matches!(state, State::Starting));
        let known = timeout_at(end, known).await.map_err(|_| Trouble::Late)?;
        let away = |text: &str| Trouble::Away(StoreError::Unavailable(text.into()));
        match &*known.map_err(|_| away("connection task ended"))? {
            State::Known(map) => map.keeper_of(slot).cloned().ok_or_else(|| {
                self.shared.stale.notify_one();
                away("no node of the cluster serves the slot")
            }),
            State::Unknown(error) => Err(Trouble::Away(error.clone())),
            State::Starting => Err(Trouble::Late),
        }
    }
}

impl Shared {
    fn link(&self, node: &HostPort) -> Arc<Link> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(link) = links.get(node) {
            return Arc::clone(link);
        }
        let link = Arc::new(Link::start(
            &self.runtime,
            Arc::clone(&self.dialer),
            Source::Node(Address::Tcp(node.clone())),
            self.patience,
            self.telemetry.clone(),
        ));
        links.insert(node.clone(), Arc::clone(&link));
        link
    }

    async fn keep(&self, state: &watch::Sender<State>) {
        let mut map: Option<Arc<SlotMap>> = None;
        loop {
            match self.learn(map.as_deref()).await {
                Ok(learnt) => {
                    self.connect_to(&learnt);
                    let learnt = Arc::new(learnt);
                    state.send_replace(State::Known(Arc::clone(&learnt)));
                    map = Some(learnt);
                }
                // The old map may be true; if not, its nodes say so.
                Err(_) if map.is_some() => {}
                Err(error) => {
                    state.send_replace(State::Unknown(error));
                }
            }
            let every = if map.is_some() && self.all_are_up() {
                LOOK_EVERY
            } else {
                LOOK_EVERY_WHILE_DOWN
            };
            tokio::select! {
                () = self.stale.notified() => sleep(LOOK_PAUSE).await,
                () = sleep(every) => {}
            }
        }
    }

    /// Links to the nodes that keep slots, and to no others.
    fn connect_to(&self, map: &SlotMap) {
        for node in map.keepers() {
            self.link(node);
        }
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|node, _| map.keepers().contains(node));
    }

    fn all_are_up(&self) -> bool {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        links.values().all(|link| link.is_up())
    }

    /// The map that most nodes draw.
    async fn learn(&self, present: Option<&SlotMap>) -> Result<SlotMap, StoreError> {
        let mut nodes = self.seeds.clone();
        nodes.extend(present.into_iter().flat_map(SlotMap::nodes).cloned());
        nodes.sort();
        nodes.dedup();
        let [turn] = random::bytes::<1>();
        let turn = usize::from(turn) % nodes.len().max(1);
        nodes.rotate_left(turn);
        nodes.truncate(ASKED);
        let mut answers: FuturesUnordered<_> = nodes.iter().map(|node| self.ask(node)).collect();
        let mut votes: Vec<(SlotMap, usize)> = Vec::new();
        let mut failure = StoreError::Unavailable("no node of the cluster is known".into());
        while let Some(answer) = answers.next().await {
            let map = match answer {
                Ok(map) => map,
                Err(error) => {
                    failure = error;
                    continue;
                }
            };
            match votes.iter_mut().find(|(other, _)| other.agrees(&map)) {
                Some((_, count)) => *count += 1,
                None => votes.push((map, 1)),
            }
            if let Some(at) = votes.iter().position(|(_, count)| count * 2 > nodes.len()) {
                return Ok(votes.swap_remove(at).0);
            }
        }
        let most = votes.into_iter().max_by_key(|(_, count)| *count);
        most.map(|(map, _)| map).ok_or(failure)
    }

    async fn ask(&self, node: &HostPort) -> Result<SlotMap, StoreError> {
        let answer = async {
            let address = Address::Tcp(node.clone());
            let mut connection = self.dialer.dial(&address).await?;
            let mut command = ::redis::cmd("CLUSTER");
            command.arg("SLOTS");
            let rows: Vec<Row> = command
                .query_async(&mut connection)
                .await
                .map_err(|error| meaning(&error))?;
            Ok(SlotMap::new(node, &rows))
        };
        timeout(ANSWER, answer).await.unwrap_or_else(|_| {
            Err(StoreError::Unavailable(format!(
                "node {node} does not answer"
            )))
        })
    }
}
