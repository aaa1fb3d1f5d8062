//! The one thread that writes. It commits in groups: one sync of the disk
//! pays for everything that waited meanwhile, and nobody is answered before.

use std::sync::mpsc::{self, RecvTimeoutError, SyncSender, TrySendError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{Answer, statements};
use crate::base::clock::Clock;
use crate::base::kill_point;
use crate::session::store::StoreError;

/// Operations in one commit.
const GROUP: usize = 128;
/// How long a group under load waits to grow to the size of the last one.
const GATHER: Duration = Duration::from_millis(2);
/// Operations that may wait; beyond that the disk cannot keep up.
const QUEUE: usize = 4096;
/// How often expired rows are looked for, and how many go at a time.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
const SWEEP_AGAIN: Duration = Duration::from_millis(250);
const SWEEP_ROWS: usize = 100;

/// Runs inside the transaction, or is told why there is none; returns what to
/// do after the commit, which is told why that failed if it did.
type Job = Box<dyn FnOnce(Result<&Connection, StoreError>) -> Reply + Send>;
type Reply = Box<dyn FnOnce(Result<(), StoreError>)>;

pub struct Writer {
    queue: SyncSender<Job>,
}

impl Writer {
    /// The thread ends when the writer is dropped.
    pub fn start(connection: Connection, clock: Clock) -> Result<Self, StoreError> {
        let (queue, jobs) = mpsc::sync_channel(QUEUE);
        std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || run(&connection, &jobs, &clock))
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self { queue })
    }

    pub fn submit<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Answer<T>, StoreError> {
        let (sender, answer) = oneshot::channel();
        let job: Job = Box::new(move |transaction| {
            let outcome = transaction.and_then(|connection| in_savepoint(connection, job));
            Box::new(move |committed: Result<(), StoreError>| {
                let outcome = outcome.and_then(|answer| committed.map(|()| answer));
                // The caller may have gone; the write stands all the same.
                drop(sender.send(outcome));
            })
        });
        match self.queue.try_send(job) {
            Ok(()) => Ok(answer),
            Err(TrySendError::Full(_)) => Err(StoreError::Unavailable(
                "the disk cannot keep up with the writes".into(),
            )),
            Err(TrySendError::Disconnected(_)) => {
                Err(StoreError::Unavailable("database thread ended".into()))
            }
        }
    }
}

fn in_savepoint<T>(
    connection: &Connection,
    job: impl FnOnce(&Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    connection.prepare_cached("SAVEPOINT one")?.execute([])?;
    let outcome = job(connection);
    if outcome.is_err() {
        if connection.is_autocommit() {
            // SQLite took back everything, this savepoint included.
            return outcome;
        }
        connection.prepare_cached("ROLLBACK TO one")?.execute([])?;
    }
    connection.prepare_cached("RELEASE one")?.execute([])?;
    outcome
}

fn run(connection: &Connection, jobs: &mpsc::Receiver<Job>, clock: &Clock) {
    let mut sweep_at = Instant::now() + SWEEP_EVERY;
    let mut last_group = 1;
    loop {
        let patience = sweep_at.saturating_duration_since(Instant::now());
        match jobs.recv_timeout(patience) {
            Ok(first) => {
                let group = gather(first, jobs, last_group);
                last_group = group.len();
                commit(connection, group);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if sweep_at <= Instant::now() {
            sweep_at = Instant::now() + sweep(connection, clock);
        }
    }
}

/// Takes what waits already. Writers that shared the last commit come back
/// within a moment of its answer, so as many are waited for; a lone writer
/// never waits.
fn gather<T>(first: T, jobs: &mpsc::Receiver<T>, last_group: usize) -> Vec<T> {
    let until = Instant::now() + GATHER;
    let mut group = vec![first];
    while group.len() < GROUP {
        let next = if group.len() < last_group {
            jobs.recv_timeout(until.saturating_duration_since(Instant::now()))
                .ok()
        } else {
            jobs.try_recv().ok()
        };
        match next {
            Some(job) => group.push(job),
            None => break,
        }
    }
    group
}

/// Jobs never run outside a transaction. SQLite ends it by itself after some
/// errors (disk full): what ran in it is refused, the others get a new one.
fn commit(connection: &Connection, group: Vec<Job>) {
    let mut waiting = group.into_iter();
    while waiting.len() > 0 {
        if let Err(error) = connection.execute_batch("BEGIN IMMEDIATE") {
            let error = StoreError::from_sqlite(&error);
            for job in waiting {
                job(Err(error.clone()))(Ok(()));
            }
            return;
        }
        let mut replies = Vec::with_capacity(waiting.len());
        for job in waiting.by_ref() {
            replies.push(job(Ok(connection)));
            if connection.is_autocommit() {
                break;
            }
        }
        let committed = if connection.is_autocommit() {
            Err(taken_back())
        } else {
            kill_point::at("group", "written");
            connection.execute_batch("COMMIT").map_err(|error| {
                roll_back(connection);
                StoreError::from_sqlite(&error)
            })
        };
        kill_point::at("group", "committed");
        for reply in replies {
            reply(committed.clone());
        }
    }
}

fn taken_back() -> StoreError {
    StoreError::Refused("the database took the transaction back; its disk may be full".into())
}

fn roll_back(connection: &Connection) {
    if !connection.is_autocommit()
        && let Err(error) = connection.execute_batch("ROLLBACK")
    {
        tracing::error!(%error, "the database does not end a failed transaction");
    }
}

/// Deletes some expired rows and gives pages back to the file system. Says
/// when to come again: soon if there is more, never in one long breath.
fn sweep(connection: &Connection, clock: &Clock) -> Duration {
    let swept = connection
        .execute_batch("BEGIN IMMEDIATE")
        .map_err(StoreError::from)
        .and_then(|()| statements::sweep(connection, clock.now(), SWEEP_ROWS))
        .and_then(|more| {
            connection.execute_batch("COMMIT; PRAGMA incremental_vacuum(100)")?;
            Ok(more)
        });
    match swept {
        Ok(true) => SWEEP_AGAIN,
        Ok(false) => SWEEP_EVERY,
        Err(error) => {
            // Nobody waits for an answer here, so this is the place to say it.
            tracing::warn!(%error, "expired sessions could not be deleted; will try again");
            roll_back(connection);
            SWEEP_EVERY
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shortest of some tries: machines that run tests are slow.
    fn gathering(waiting: usize, last_group: usize) -> (usize, Duration) {
        let tries = (0..20).map(|_| {
            let (queue, jobs) = mpsc::sync_channel(QUEUE);
            for _ in 0..waiting {
                queue.send(()).unwrap();
            }
            let begin = Instant::now();
            let group = gather((), &jobs, last_group);
            (group.len(), begin.elapsed())
        });
        tries.min_by_key(|(_, took)| *took).unwrap()
    }

    #[test]
    fn a_lone_writer_does_not_wait_for_company() {
        let (size, took) = gathering(0, 1);
        assert_eq!(size, 1);
        assert!(took < GATHER / 2, "{took:?}");
    }

    #[test]
    fn a_group_waits_for_those_of_the_last_one_and_no_more() {
        let (size, took) = gathering(2, 3);
        assert_eq!(size, 3);
        assert!(took < GATHER / 2, "all are back: {took:?}");
        let (size, took) = gathering(1, 3);
        assert_eq!(size, 2);
        assert!(took >= GATHER, "{took:?}");
        let (size, _) = gathering(GROUP * 2, 1);
        assert_eq!(size, GROUP);
    }
}
