//! Starting the workers, and ending them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::thread::JoinHandle;
use std::time::Duration;

use ipnet::IpNet;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{Notify, mpsc, watch};

use super::admission::Admission;
use super::bind::{Bound, ListenError, SocketFile};
use super::connection::{Handler, Protocols};
use super::pulse::{Bounds, Stage, sweeps};
use super::spawner::Spawner;
use super::tls::Tls;
use super::tunnels::Tunnels;
use super::worker::{Post, Worker};
use crate::config::checked::{Limits, Runtime};

/// How long clients may learn of the drain by `Connection: close` before
/// idle connections are closed under them.
const CLOSE_SPREAD: Duration = Duration::from_secs(5);
/// How long tunnels may say good-bye once the drain is over.
const LAST_WORDS: Duration = Duration::from_secs(1);

#[derive(Debug, Clone)]
pub struct ServeSettings {
    /// Never zero.
    pub workers: usize,
    pub runtime: Runtime,
    pub limits: Limits,
    /// For every TCP address.
    pub tls: Option<Tls>,
    /// Peers without a limit per address.
    pub trusted: Vec<IpNet>,
}

/// Workers at work. Dropping it ends them at once.
#[derive(Debug)]
pub struct Running {
    stage: watch::Sender<Stage>,
    ended: mpsc::Receiver<()>,
    threads: Vec<JoinHandle<()>>,
    tunnels: Tunnels,
    drain: Duration,
    files: Vec<SocketFile>,
}

impl Bound {
    /// Starts the workers.
    pub fn serve<H: Handler>(
        self,
        handler: Arc<H>,
        settings: &ServeSettings,
    ) -> Result<Running, ListenError> {
        let (stage, stage_seen) = watch::channel(Stage::Running);
        let (end, ended) = mpsc::channel(1);
        let limits = &settings.limits;
        let count = match settings.runtime {
            Runtime::PerCore => settings.workers.max(1),
            Runtime::Shared => 1,
        };
        let admission = Arc::new(Admission::new(
            limits.connections,
            limits.connections_per_address,
            settings.trusted.clone(),
        ));
        let (posts, mailboxes): (Vec<_>, Vec<_>) = (0..count)
            .map(|_| {
                let (mailbox, arrivals) = mpsc::unbounded_channel();
                let post = Arc::new(Post {
                    live: AtomicUsize::new(0),
                    empty: Notify::new(),
                    mailbox,
                });
                (post, arrivals)
            })
            .unzip();
        let mut running = Running {
            stage,
            ended,
            threads: Vec::with_capacity(count),
            tunnels: Tunnels::default(),
            drain: limits.drain,
            files: self.paths,
        };
        let posts: Arc<[Arc<Post>]> = posts.into();
        for (own, arrivals) in mailboxes.into_iter().enumerate() {
            let sockets = self
                .sockets
                .iter()
                .map(|socket| socket.try_clone())
                .collect::<io::Result<Vec<_>>>()
                .map_err(ListenError::Workers)?;
            let worker = Worker {
                handler: handler.clone(),
                protocols: Arc::new(Protocols::new(limits)),
                tls: settings.tls.clone(),
                bounds: Bounds {
                    head: sweeps(limits.head_timeout),
                    keep_alive: sweeps(limits.keep_alive),
                    stalled: sweeps(limits.body_idle),
                },
                spawner: Spawner::new(settings.runtime),
                tunnels: running.tunnels.clone(),
                sockets,
                admission: admission.clone(),
                posts: posts.clone(),
                own,
                arrivals,
                stage: stage_seen.clone(),
            };
            let (runtime, workers, end) = (settings.runtime, settings.workers.max(1), end.clone());
            let thread = std::thread::Builder::new()
                .name(format!("worker-{own}"))
                .spawn(move || {
                    if let Err(error) = run(worker, runtime, workers) {
                        tracing::error!(%error, "a worker cannot start");
                    }
                    drop(end);
                })
                .map_err(ListenError::Workers)?;
            running.threads.push(thread);
        }
        Ok(running)
    }
}

fn run<H: Handler>(worker: Worker<H>, runtime: Runtime, workers: usize) -> io::Result<()> {
    match runtime {
        Runtime::PerCore => {
            let runtime = Builder::new_current_thread()
                .enable_all()
                .build_local(LocalOptions::default())?;
            runtime.block_on(worker.run());
            runtime.shutdown_background();
        }
        Runtime::Shared => {
            let runtime = Builder::new_multi_thread()
                .worker_threads(workers)
                .enable_all()
                .build()?;
            runtime.block_on(worker.run());
            runtime.shutdown_background();
        }
    }
    Ok(())
}

impl Running {
    /// Open tunnels (websockets and other upgrades).
    pub fn tunnels(&self) -> &Tunnels {
        &self.tunnels
    }

    /// Stops accepting, lets requests finish, and ends what is left after
    /// `limits.drain`. Returns when every worker has ended.
    pub async fn drain(mut self) {
        self.files.clear();
        let spread = CLOSE_SPREAD.min(self.drain / 4);
        let steps = [
            (Stage::Closing, spread),
            (Stage::Graceful, self.drain.saturating_sub(spread)),
        ];
        for (stage, length) in steps {
            self.stage.send_replace(stage);
            if self.all_ended(length).await {
                return;
            }
        }
        self.tunnels.close_all();
        if !self.all_ended(LAST_WORDS).await {
            self.stage.send_replace(Stage::Ended);
            self.ended.recv().await;
        }
    }

    /// Waits until every worker has ended.
    pub async fn ended(&mut self) {
        self.ended.recv().await;
    }

    async fn all_ended(&mut self, within: Duration) -> bool {
        // Nothing is ever sent: the channel closes with its last sender.
        tokio::time::timeout(within, self.ended.recv())
            .await
            .is_ok()
    }

    /// Ends everything now and waits for the threads. Blocks.
    pub fn join(mut self) {
        self.stage.send_replace(Stage::Ended);
        for thread in self.threads.drain(..) {
            // A worker that panicked has said so itself.
            let _ = thread.join();
        }
    }
}
