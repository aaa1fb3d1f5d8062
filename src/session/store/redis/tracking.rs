//! Keeps one tracked connection beside a link, to the server that the link
//! leads to.
//!
//! It outlives the connections of the link, which are renewed now and then:
//! each loss empties the cache that relies on it. It ends with the link's way
//! to the server.

use std::sync::Arc;
use std::time::Duration;

use ::redis::FromRedisValue;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::dialer::Dialer;
use super::link::Followed;
use super::live::Live;
use super::tracked::{Tracked, Unwatched};
use super::wire::{Order, Trouble};
use crate::session::store::StoreError;
use crate::session::store::changes::Watchers;
use crate::telemetry::Telemetry;

const PAUSE_LEAST: Duration = Duration::from_millis(50);
const PAUSE_MOST: Duration = Duration::from_secs(2);
/// A server that does not track may be told to at any time.
const PAUSE_WHEN_REFUSED: Duration = Duration::from_secs(10);
/// Connections that lasted this long were no failure.
const LASTED: Duration = Duration::from_secs(5);

pub struct Tracking {
    present: watch::Receiver<Option<Arc<Tracked>>>,
}

impl Tracking {
    /// The task lives on `runtime` until this is dropped.
    pub fn start(
        runtime: &tokio::runtime::Handle,
        dialer: Arc<Dialer>,
        followed: Followed,
        prefix: String,
        watchers: Arc<Watchers>,
        telemetry: Option<Telemetry>,
    ) -> Self {
        let (sender, present) = watch::channel(None);
        let mut keeper = Keeper {
            dialer,
            followed,
            prefix,
            watchers,
            telemetry,
            said: None,
        };
        runtime.spawn(async move {
            let closed = sender.clone();
            tokio::select! {
                () = keeper.keep(&sender) => {}
                () = closed.closed() => {}
            }
        });
        Self { present }
    }

    /// A read whose changes are told afterwards. `None`: nothing watches, and
    /// it should go another way; the watcher knows that already.
    pub async fn call<T: FromRedisValue>(
        &self,
        order: Order<'_>,
        end: Instant,
    ) -> Option<Result<T, Trouble>> {
        let tracked = self.present.borrow().clone()?;
        match tracked.call(order, end).await {
            Err(Trouble::Answer(_)) if tracked.is_lost() => None,
            answer => Some(answer),
        }
    }
}

struct Keeper {
    dialer: Arc<Dialer>,
    followed: Followed,
    prefix: String,
    watchers: Arc<Watchers>,
    telemetry: Option<Telemetry>,
    /// Why nothing was watched, as it was said last.
    said: Option<String>,
}

impl Keeper {
    async fn keep(&mut self, present: &watch::Sender<Option<Arc<Tracked>>>) {
        let mut pause = PAUSE_LEAST;
        self.state(false);
        loop {
            let live = match self.followed.present() {
                Some(live) => live,
                None => self.until_up().await,
            };
            let opened = Tracked::open(&self.dialer, &live, &self.prefix, &self.watchers).await;
            match opened {
                Ok(tracked) => {
                    let began = Instant::now();
                    let tracked = Arc::new(tracked);
                    self.watches();
                    // Reads go over it before the watcher relies on them, and
                    // another way only after it has heard that it is blind.
                    present.send_replace(Some(Arc::clone(&tracked)));
                    tracked.begin();
                    self.watch_over(&tracked, live).await;
                    tracked.lose();
                    present.send_replace(None);
                    self.state(false);
                    if began.elapsed() >= LASTED {
                        pause = PAUSE_LEAST;
                    }
                }
                Err(Unwatched::Failed(error)) => {
                    tracing::debug!(%error, server = %live.address, "changes of sessions are not watched");
                }
                Err(Unwatched::Refused(why)) => {
                    self.complain(&live, why);
                    pause = PAUSE_WHEN_REFUSED;
                }
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MOST);
        }
    }

    async fn until_up(&mut self) -> Arc<Live> {
        loop {
            if let Some(live) = self.followed.next().await {
                return live;
            }
        }
    }

    /// Until it is lost, or the link leads elsewhere.
    async fn watch_over(&mut self, tracked: &Tracked, mut live: Arc<Live>) {
        // One for all rounds: it counts how long nothing has come.
        let mut lives = std::pin::pin!(tracked.live());
        loop {
            tokio::select! {
                () = &mut lives => return,
                next = self.followed.next() => match next {
                    // The same name may be another server by now.
                    Some(next) if next.address == live.address => live = next,
                    _ => return,
                },
            }
            tokio::select! {
                () = &mut lives => return,
                proof = tracked.prove(&live) => match proof {
                    // A full server proves nothing, and changes nothing.
                    Ok(()) | Err(Unwatched::Failed(StoreError::Refused(_))) => {}
                    Err(_) => return,
                },
            }
        }
    }

    fn watches(&mut self) {
        self.state(true);
        if self.said.take().is_some() {
            tracing::info!("session store tells of changes again");
        }
    }

    fn complain(&mut self, live: &Live, why: String) {
        self.state(false);
        if self.said.as_ref() != Some(&why) {
            tracing::warn!(
                server = %live.address,
                why,
                "session store does not tell of changes, so each request reads it; allow CLIENT TRACKING (+client|tracking)"
            );
            self.said = Some(why);
        }
    }

    fn state(&self, watches: bool) {
        if let Some(telemetry) = &self.telemetry {
            telemetry.state("store_unwatched", !watches);
        }
    }
}
