//! What a store tells of changes, as whoever keeps readings needs it.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;

use super::subject::*;
use crate::session::record::SessionId;
use crate::session::store::changes::{Changed, Watcher};
use crate::session::store::*;

cases! {
    every_write_to_a_session_is_told
    every_write_to_a_ticket_is_told
    nothing_is_missed_in_a_storm
}

/// Longer than a server that works needs for its first connection and for
/// its word.
const PATIENCE: Duration = Duration::from_secs(10);
const STORM: usize = 4000;
const AT_A_TIME: usize = 64;

/// Keeps tickets as simply as it can be done.
#[derive(Default)]
struct Keeper(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    max_age: Option<Duration>,
    told: HashSet<[u8; 33]>,
    /// Reads under way, and whether they may be kept.
    flights: HashMap<Digest, bool>,
    tickets: HashMap<Digest, Option<Bytes>>,
}

/// Of a ticket or session.
fn mark(changed: Changed) -> [u8; 33] {
    let mut mark = [0; 33];
    match changed {
        Changed::Ticket(name) => mark[..32].copy_from_slice(&name.0),
        Changed::Session(id) => {
            mark[..16].copy_from_slice(&id.0);
            mark[32] = 1;
        }
    }
    mark
}

impl Keeper {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read(&self, store: &dyn Store, name: Digest) -> Outcome {
        self.kept().flights.insert(name, true);
        let value = store.get_ticket(name).await?;
        let mut kept = self.kept();
        if kept.flights.remove(&name) == Some(true) {
            kept.tickets.insert(name, value);
        }
        Ok(())
    }

    fn forget_all(&self) -> MutexGuard<'_, Kept> {
        let mut kept = self.kept();
        kept.tickets.clear();
        kept.flights.values_mut().for_each(|counts| *counts = false);
        kept
    }
}

impl Watcher for Keeper {
    fn ticket_changed(&self, name: Digest) {
        let mut kept = self.kept();
        kept.told.insert(mark(Changed::Ticket(name)));
        kept.tickets.remove(&name);
        if let Some(counts) = kept.flights.get_mut(&name) {
            *counts = false;
        }
    }

    fn session_changed(&self, id: SessionId) {
        self.kept().told.insert(mark(Changed::Session(id)));
    }

    fn everything_changed(&self) {
        drop(self.forget_all());
    }

    fn watching(&self, max_age: Duration) {
        self.forget_all().max_age = Some(max_age);
    }

    fn blind(&self, _: Instant) {
        self.forget_all().max_age = None;
    }
}

/// A watcher of the store; `None` where changes are not told, and readings
/// count for a moment only.
async fn watcher(on: &Subject) -> Result<Option<Arc<Keeper>>, Failure> {
    let keeper = Arc::new(Keeper::default());
    on.store.watch(Arc::clone(&keeper) as Arc<dyn Watcher>);
    let begin = Instant::now();
    loop {
        let max_age = keeper.kept().max_age;
        match max_age {
            Some(Duration::MAX) => return Ok(Some(keeper)),
            Some(_) => return Ok(None),
            None if begin.elapsed() > PATIENCE => return Err("it never watches".into()),
            None => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

/// A store of this process tells before it answers.
async fn told(on: &Subject, keeper: &Keeper, changed: Changed) -> Outcome {
    let begin = Instant::now();
    while !keeper.kept().told.remove(&mark(changed)) {
        if on.store.is_private() || begin.elapsed() > PATIENCE {
            return Err(format!("{changed:?} was not told").into());
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}

async fn every_write_to_a_session_is_told(on: &Subject) -> Outcome {
    let Some(keeper) = watcher(on).await? else {
        return Ok(());
    };
    let id = fresh_id();
    let changed = Changed::Session(id);
    must!(matches!(on.store.load(id).await?, Loaded::Missing));
    on.store.create(id, on.records(OLD)).await?;
    told(on, &keeper, changed).await?;

    let claim = fresh_claim();
    on.live(id).await?;
    on.store.claim(id, claim).await?;
    told(on, &keeper, changed).await?;

    on.live(id).await?;
    on.store.release(id, giving_back(&claim, true)).await?;
    told(on, &keeper, changed).await?;

    on.live(id).await?;
    on.store.commit(id, commit(OLD, NEW)).await?;
    told(on, &keeper, changed).await?;

    on.live(id).await?;
    on.store.put_identity(id, b"other".to_vec()).await?;
    told(on, &keeper, changed).await?;

    on.live(id).await?;
    on.store.touch(id, on.later()).await?;
    told(on, &keeper, changed).await?;

    on.live(id).await?;
    on.store.tombstone(id, on.clock.now()).await?;
    told(on, &keeper, changed).await
}

async fn every_write_to_a_ticket_is_told(on: &Subject) -> Outcome {
    let Some(keeper) = watcher(on).await? else {
        return Ok(());
    };
    let name = fresh_name();
    let changed = Changed::Ticket(name);
    for value in [b"a", b"b"] {
        on.store.get_ticket(name).await?;
        on.store
            .put_ticket(name, value.to_vec(), on.later())
            .await?;
        told(on, &keeper, changed).await?;
    }
    on.store.get_ticket(name).await?;
    on.store.remove_ticket(name).await?;
    told(on, &keeper, changed).await
}

/// Each ticket is written while it is read, and half of them are read again.
/// What was read before the write must not be kept.
async fn nothing_is_missed_in_a_storm(on: &Subject) -> Outcome {
    let Some(keeper) = watcher(on).await? else {
        return Ok(());
    };
    let names: Vec<_> = (0..STORM).map(|_| fresh_name()).collect();
    let later = on.later();
    let storm = names.iter().map(|name| {
        let keeper = &keeper;
        async move {
            let store = &*on.store;
            store.put_ticket(*name, b"old".to_vec(), later).await?;
            keeper.read(store, *name).await?;
            let write = store.put_ticket(*name, b"new".to_vec(), later);
            let (written, read) = tokio::join!(write, keeper.read(store, *name));
            written?;
            read?;
            if name.0[0].is_multiple_of(2) {
                keeper.read(store, *name).await?;
            }
            Ok::<_, Failure>(())
        }
    });
    let mut storm = futures_util::stream::iter(storm).buffer_unordered(AT_A_TIME);
    while let Some(outcome) = storm.next().await {
        outcome?;
    }
    // An answer proves that what was told before it was heard.
    on.store.get_ticket(fresh_name()).await?;
    let kept = keeper.kept();
    let of = |name| kept.tickets.get(name).cloned().flatten();
    let stale = names
        .iter()
        .filter(|name| of(name).as_deref() == Some(b"old"));
    must_eq!(stale.count(), 0);
    let fresh = names
        .iter()
        .filter(|name| of(name).as_deref() == Some(b"new"));
    must!(fresh.count() > 0);
    Ok(())
}
