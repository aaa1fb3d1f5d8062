//! One server, a primary behind sentinels, or a cluster: the same calls.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use ::redis::FromRedisValue;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::cluster::Cluster;
use super::dialer::{Address, Dialer};
use super::link::Link;
use super::live::{Answer, Lane};
use super::source::{Sentinels, Source};
use super::tracked::Tracked;
use super::tracking::Tracking;
use super::wire::Order;
use crate::config::checked::{self, RedisPlace};
use crate::session::store::StoreError;
use crate::session::store::changes::Watchers;
use crate::telemetry::Telemetry;

/// How many calls may await their answer; more would only wait for each other.
const OUTSTANDING: usize = 1024;

/// How long a reading counts where nothing tells of changes.
const UNTOLD_MAX_AGE: Duration = Duration::from_secs(2);

enum Way {
    Link {
        link: Link,
        tracking: OnceLock<Tracking>,
    },
    Cluster(Cluster),
}

pub struct Topology {
    runtime: Handle,
    dialer: Arc<Dialer>,
    telemetry: Option<Telemetry>,
    way: Way,
    places: Semaphore,
}

impl Topology {
    /// Starts connecting in the background. Errors tell of the settings only.
    pub fn start(
        settings: &checked::Redis,
        patience: Duration,
        telemetry: Option<Telemetry>,
    ) -> Result<Self, StoreError> {
        let runtime =
            Handle::try_current().map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let dialer = Arc::new(Dialer::new(settings)?);
        let link = |source| Way::Link {
            link: Link::start(
                &runtime,
                Arc::clone(&dialer),
                source,
                patience,
                telemetry.clone(),
            ),
            tracking: OnceLock::new(),
        };
        let way = match &settings.url.place {
            RedisPlace::Server(host) => link(Source::Fixed(Address::Tcp(host.clone()))),
            RedisPlace::Socket(path) => link(Source::Fixed(Address::Socket(path.clone()))),
            RedisPlace::Sentinel { sentinels, primary } => {
                let dialer = Dialer::of_sentinels(settings)?;
                let sentinels = Sentinels::new(dialer, sentinels.clone(), primary.clone());
                link(Source::Sentinels(Arc::new(sentinels)))
            }
            RedisPlace::Cluster(seeds) => Way::Cluster(Cluster::start(
                &runtime,
                Arc::clone(&dialer),
                seeds.clone(),
                patience,
                telemetry.clone(),
            )),
        };
        Ok(Self {
            runtime,
            dialer,
            telemetry,
            way,
            places: Semaphore::new(OUTSTANDING),
        })
    }

    /// Begins to tell of changes. Of a cluster none is told: readings count
    /// for a moment only.
    pub fn watch(&self, prefix: &str, watchers: &Arc<Watchers>) {
        match &self.way {
            Way::Link { link, tracking } => {
                tracking.get_or_init(|| {
                    Tracking::start(
                        &self.runtime,
                        Arc::clone(&self.dialer),
                        link.follow(),
                        prefix.to_owned(),
                        Arc::clone(watchers),
                        self.telemetry.clone(),
                    )
                });
            }
            Way::Cluster(_) => watchers.watching(UNTOLD_MAX_AGE),
        }
    }

    /// Whether it would tell, by a try; `None` for a cluster.
    pub async fn tells_changes(&self, prefix: &str) -> Option<Result<(), String>> {
        let Way::Link { link, .. } = &self.way else {
            return None;
        };
        let Some(live) = link.follow().present() else {
            return Some(Err("it is away".into()));
        };
        let nobody = Arc::default();
        let tracked = Tracked::open(&self.dialer, &live, prefix, &nobody).await;
        Some(tracked.map(drop).map_err(|error| error.to_string()))
    }

    /// `key` is one of those that the order names: they share a slot.
    pub async fn call<T: FromRedisValue>(
        &self,
        key: &str,
        lane: Lane,
        order: Order<'_>,
        deadline: Duration,
    ) -> Result<Answer<T>, StoreError> {
        let Ok(_place) = self.places.try_acquire() else {
            return Err(StoreError::Unavailable(format!(
                "{OUTSTANDING} calls await their answer already"
            )));
        };
        let end = Instant::now() + deadline;
        let answer = match &self.way {
            Way::Link { link, tracking } => {
                let tracked = match tracking.get() {
                    Some(tracking) if lane == Lane::Tracked => tracking.call(order, end).await,
                    _ => None,
                };
                match tracked {
                    Some(Ok(value)) => Ok(Answer::read(value)),
                    Some(Err(trouble)) => Err(trouble),
                    None => link.call(lane, order, false, end).await,
                }
            }
            Way::Cluster(cluster) => cluster.call(key, lane, order, end).await,
        };
        answer.map_err(|trouble| trouble.meaning(deadline))
    }
}
