//! The one thread that writes. It commits in groups: one sync of the disk
//! pays for everything that waited meanwhile, and nobody is answered before.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender, TrySendError};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::ballast::Ballast;
use super::disk::{self, Disk, Trouble};
use super::others::Others;
use super::{Answer, statements};
use crate::base::clock::Clock;
use crate::base::kill_point;
use crate::session::store::StoreError;
use crate::session::store::changes::{Changed, Watchers};

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

/// What a job is worth while the disk refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    Ordinary,
    /// Ends something, or keeps what cannot be had again.
    Needed,
}

/// Runs inside a transaction, and again in the next one if the first was taken
/// back; answers once, after the commit.
trait Job: Send {
    fn weight(&self) -> Weight;
    fn run(&mut self, connection: &Connection);
    /// Whether the last run found no room on the disk.
    fn found_no_room(&self) -> bool;
    /// Without a commit the caller hears why.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Waiting<F, T> {
    weight: Weight,
    changes: Option<(Changed, Arc<Watchers>)>,
    job: F,
    outcome: Option<Result<T, StoreError>>,
    sender: oneshot::Sender<Result<T, StoreError>>,
}

impl<F, T> Job for Waiting<F, T>
where
    F: Fn(&Connection) -> Result<T, StoreError> + Send,
    T: Send,
{
    fn weight(&self) -> Weight {
        self.weight
    }

    fn run(&mut self, connection: &Connection) {
        self.outcome = Some(in_savepoint(connection, &self.job));
    }

    fn found_no_room(&self) -> bool {
        matches!(&self.outcome, Some(Err(error)) if disk::found_no_room(error))
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let answer = match (self.outcome, committed) {
            (Some(Err(own)), _) => Err(own),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (_, Err(error)) => Err(error),
            (None, Ok(())) => Err(taken_back()),
        };
        // Readers see it by now. A commit that failed may be on disk.
        if let Some((changed, watchers)) = self.changes {
            watchers.changed(changed);
        }
        // The caller may have gone; the write stands all the same.
        drop(self.sender.send(answer));
    }
}

type Group = Vec<Box<dyn Job>>;

pub struct Writer {
    queue: SyncSender<Box<dyn Job>>,
    watchers: Arc<Watchers>,
}

impl Writer {
    /// The thread ends when the writer is dropped.
    pub fn start(
        connection: Connection,
        ballast: Option<Ballast>,
        clock: Clock,
        watchers: Arc<Watchers>,
    ) -> Result<Self, StoreError> {
        let (queue, jobs) = mpsc::sync_channel(QUEUE);
        let others = Others::watch(&connection, Arc::clone(&watchers))?;
        std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || run(&connection, ballast, &jobs, &clock, others))
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self { queue, watchers })
    }

    pub fn submit<T: Send + 'static>(
        &self,
        weight: Weight,
        changed: Option<Changed>,
        job: impl Fn(&Connection) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<Answer<T>, StoreError> {
        let (sender, answer) = oneshot::channel();
        let job = Box::new(Waiting {
            weight,
            changes: changed.map(|changed| (changed, Arc::clone(&self.watchers))),
            job,
            outcome: None,
            sender,
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
    job: impl Fn(&Connection) -> Result<T, StoreError>,
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

fn run(
    connection: &Connection,
    ballast: Option<Ballast>,
    jobs: &mpsc::Receiver<Box<dyn Job>>,
    clock: &Clock,
    mut others: Others,
) {
    let mut disk = Disk::new(ballast);
    let mut sweep_at = Instant::now() + SWEEP_EVERY;
    let mut last_group = 1;
    loop {
        let next = sweep_at.min(others.look_at());
        let patience = next.saturating_duration_since(Instant::now());
        match jobs.recv_timeout(patience) {
            Ok(first) => {
                let group = gather(first, jobs, last_group);
                last_group = group.len();
                commit(connection, group, &mut disk, &mut others);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if others.look_at() <= Instant::now() {
            others.look(connection);
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
/// errors: what ran in it is refused, the others get a new one. When the disk
/// turns out to be full and room can be made, what is needed runs again.
fn commit(connection: &Connection, group: Group, disk: &mut Disk, others: &mut Others) {
    let mut waiting = VecDeque::with_capacity(group.len());
    for job in group {
        match job.weight() {
            Weight::Needed => waiting.push_back(job),
            Weight::Ordinary => match disk.takes_ordinary() {
                Ok(()) => waiting.push_back(job),
                Err(error) => job.answer(Err(error)),
            },
        }
    }
    while !waiting.is_empty() {
        let mut ran = Vec::with_capacity(waiting.len());
        let result = transaction(connection, &mut waiting, &mut ran, others);
        let trouble = match &result {
            Err(Failed { trouble, .. }) if trouble.is_some() => *trouble,
            _ if ran.iter().any(|job| job.found_no_room()) => Some(Trouble::Full),
            _ => None,
        };
        let has_room = trouble.is_some_and(|trouble| disk.met(trouble));
        let committed = result.map_err(|failed| failed.error);
        if trouble.is_none() && committed.is_ok() {
            disk.committed();
        }
        if ran.is_empty() {
            // There is no transaction to be had.
            for job in waiting.drain(..) {
                job.answer(committed.clone());
            }
        }
        for job in ran.into_iter().rev() {
            let written = committed.is_ok() && !job.found_no_room();
            if !written && has_room && job.weight() == Weight::Needed {
                waiting.push_front(job);
            } else {
                job.answer(committed.clone());
            }
        }
    }
}

struct Failed {
    error: StoreError,
    trouble: Option<Trouble>,
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Self {
        Self {
            trouble: Trouble::of(&error),
            error: StoreError::from_sqlite(&error),
        }
    }
}

/// Runs jobs from the front of `waiting` in one transaction and commits it.
fn transaction(
    connection: &Connection,
    waiting: &mut VecDeque<Box<dyn Job>>,
    ran: &mut Group,
    others: &mut Others,
) -> Result<(), Failed> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    // Whoever kept us waiting has written.
    others.look(connection);
    while let Some(mut job) = waiting.pop_front() {
        job.run(connection);
        ran.push(job);
        if connection.is_autocommit() {
            return Err(Failed {
                error: taken_back(),
                trouble: None,
            });
        }
    }
    kill_point::at("group", "written");
    let committed = connection.execute_batch("COMMIT");
    kill_point::at("group", "committed");
    if committed.is_err() {
        roll_back(connection);
    }
    Ok(committed?)
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
mod tests;
