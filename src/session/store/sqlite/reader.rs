//! The threads that read, each with a connection of its own. With a
//! write-ahead log they see the last commit and never wait for the writer.

use std::path::Path;
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{Answer, schema};
use crate::session::store::StoreError;

const THREADS: usize = 2;
/// Reads that may wait.
const QUEUE: usize = 4096;

type Job = Box<dyn FnOnce(&Connection) + Send>;

pub struct Readers {
    queue: SyncSender<Job>,
}

impl Readers {
    /// The threads end when the readers are dropped.
    pub fn start(path: &Path) -> Result<Self, StoreError> {
        let (queue, jobs) = mpsc::sync_channel::<Job>(QUEUE);
        let jobs = Arc::new(Mutex::new(jobs));
        for _ in 0..THREADS {
            let connection = schema::connect(path)?;
            connection.pragma_update(None, "query_only", true)?;
            let jobs = Arc::clone(&jobs);
            std::thread::Builder::new()
                .name("store-reader".into())
                .spawn(move || {
                    loop {
                        // One thread waits in the queue, the others for it.
                        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
                        match job {
                            Ok(job) => job(&connection),
                            Err(mpsc::RecvError) => return,
                        }
                    }
                })
                .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        }
        Ok(Self { queue })
    }

    pub fn submit<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Answer<T>, StoreError> {
        let (sender, answer) = oneshot::channel();
        let job: Job = Box::new(move |connection| {
            // Nobody may be waiting any more; a read leaves nothing behind.
            drop(sender.send(job(connection)));
        });
        match self.queue.try_send(job) {
            Ok(()) => Ok(answer),
            Err(TrySendError::Full(_)) => Err(StoreError::Unavailable(
                "the disk cannot keep up with the reads".into(),
            )),
            Err(TrySendError::Disconnected(_)) => {
                Err(StoreError::Unavailable("database thread ended".into()))
            }
        }
    }
}
