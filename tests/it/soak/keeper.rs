//! Where the sessions of the walk are kept, and what befalls that place.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::sleep;

use super::{pick, random_up_to};
use crate::harness::chaos::{Chaos, Weather};
use crate::harness::redis::Redis;
use crate::harness::sentinels::Sentinels;

pub(super) enum Keeper {
    /// One Redis, and a proxy before it for each gateway.
    Alone(Mutex<Redis>, Vec<Chaos>),
    /// A primary and a replica that trade places.
    Pair(Mutex<Sentinels>),
}

impl Keeper {
    pub(super) async fn alone(gateways: usize) -> Self {
        let redis = Redis::start().await;
        let mut paths = Vec::new();
        for _ in 0..gateways {
            paths.push(Chaos::before(redis.address()).await);
        }
        Self::Alone(Mutex::new(redis), paths)
    }

    pub(super) async fn pair() -> Self {
        Self::Pair(Mutex::new(Sentinels::start().await))
    }

    /// Lines for `[redis]` of one gateway.
    pub(super) async fn lines(&self, gateway: usize) -> String {
        match self {
            Self::Alone(_, paths) => Redis::lines_through(&paths[gateway]),
            Self::Pair(sentinels) => sentinels.lock().await.lines(),
        }
    }

    /// How often another server took over, by whoever's doing.
    pub(super) async fn failovers(&self) -> u64 {
        match self {
            Self::Alone(..) => 0,
            Self::Pair(sentinels) => sentinels.lock().await.failovers().await,
        }
    }

    /// True if a server died for good and another took its place.
    pub(super) async fn misfortune(&self) -> bool {
        match self {
            Self::Alone(redis, paths) => {
                alone(redis, &paths[pick(paths.len())]).await;
                false
            }
            Self::Pair(sentinels) => pair(&mut *sentinels.lock().await).await,
        }
    }
}

async fn alone(redis: &Mutex<Redis>, path: &Chaos) {
    match pick(5) {
        0 => path.cut(),
        1 => {
            path.set(Weather::stalled());
            sleep(Duration::from_millis(300 + random_up_to(1500))).await;
            path.calm();
        }
        2 => {
            let slow = Duration::from_millis(40);
            path.set(Weather::both(|path| path.latency = slow));
            sleep(Duration::from_secs(1)).await;
            path.calm();
        }
        3 => {
            let mut redis = redis.lock().await;
            redis.kill();
            sleep(Duration::from_millis(random_up_to(500))).await;
            redis.restart().await;
        }
        _ => {
            let redis = redis.lock().await;
            redis.stall();
            sleep(Duration::from_millis(300 + random_up_to(1500))).await;
            redis.go_on();
        }
    }
}

async fn pair(sentinels: &mut Sentinels) -> bool {
    match pick(4) {
        0 => {
            // Too short to be taken for a death.
            sentinels.primary.stall();
            sleep(Duration::from_millis(100 + random_up_to(500))).await;
            sentinels.primary.go_on();
            false
        }
        1 => {
            sentinels.replica.kill();
            sleep(Duration::from_millis(random_up_to(500))).await;
            sentinels.replica.restart().await;
            sentinels.primary.replicas(1).await;
            false
        }
        2 => {
            let words = ["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"];
            sentinels.primary.command(&words).await;
            false
        }
        _ => {
            sentinels.trade_places().await;
            true
        }
    }
}
