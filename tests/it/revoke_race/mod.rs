//! The race between a write on one gateway and the readings of another: of
//! thousands of sessions that are ended or rewritten while they are read, none
//! is served as it was once the published bound has passed, whatever becomes
//! of the connections in between.

mod field;
mod ledger;
mod trouble;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use self::field::{Field, Tally};
use crate::harness::chaos::{Chaos, Weather};
use crate::harness::keep_alive::KeepAlive;
use crate::harness::part::{self, Part};
use crate::harness::redis::Redis;
use crate::harness::sentinels::Sentinels;

/// What "milliseconds" may mean on a machine that does much else.
const CALM: Duration = Duration::from_millis(250);
/// Until a gateway knows that it hears nothing any more: the second between
/// two questions, and two for the answer.
const DEAF: Duration = Duration::from_secs(3);
/// `session.max_stale` where the store is cut off, so that tests are short.
const MAX_STALE: &str = "max_stale = \"1s\"";
/// Cut off altogether: until it knows, `MAX_STALE`, and what calm allows.
const CUT_OFF: Duration = Duration::from_millis(3000 + 1000 + 250);
/// Whose sessions are fought over.
const ALL: usize = 4000;
/// Durability is not what is tried here.
const QUICK: [&str; 2] = ["--appendfsync", "no"];

fn count(number: &AtomicUsize) -> usize {
    number.load(Ordering::Relaxed)
}

/// All in the long run, `few` otherwise.
fn people(few: usize) -> usize {
    if part::long() { ALL } else { few }
}

/// Duels under whatever `trouble` makes until it is told that they are over.
/// Then it is calm again, and what was done shows at once.
async fn duels_under<Fut: Future<Output = ()>>(
    name: &str,
    field: Arc<Field>,
    bound: Duration,
    trouble: impl FnOnce(Arc<AtomicBool>) -> Fut,
) {
    let over = Arc::new(AtomicBool::new(false));
    let duels = async {
        field.duels(bound).await;
        over.store(true, Ordering::SeqCst);
    };
    tokio::join!(duels, trouble(Arc::clone(&over)));
    field.is_well().await;
    field.nothing_was_stale(name);
    // A fifth and more was seen; the writes of the others have no answer.
    let fixed = count(&field.tally.checked);
    assert!(fixed * 20 > field.people.len(), "{fixed}: little was tried");
    let unserved = count(&field.tally.unserved);
    field.look_at_everybody(CALM).await;
    field.nothing_was_stale(&format!("{name}, afterwards"));
    assert_eq!(count(&field.tally.unserved), unserved, "it is calm again");
    field.agrees_with_the_store().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoke_race_in_calm_weather() {
    let name = "revoke_race_in_calm_weather";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let redis = Redis::start_with(&QUICK).await;
    let lines = redis.lines();
    let field = Arc::new(Field::start((&lines, &lines), "", ALL).await);
    field.duels(CALM).await;
    field.nothing_was_stale(name);
    let Tally {
        right,
        unserved,
        lost_writes,
        checked,
        ended,
        ..
    } = &field.tally;
    // On a machine that does much else a reading of the store may come too
    // late; that is an honest 503, and seldom.
    assert!(count(unserved) * 1000 <= count(right));
    assert_eq!(count(lost_writes), 0);
    assert_eq!(count(checked), ALL);
    assert!(count(ended) > 1500);
    // None of it would mean anything if nothing were remembered.
    let (hits, tainted) = field.remembered().await;
    println!("{name}: {hits} answers from memory, {tainted} readings overtaken");
    assert!(hits > 2000.0 && tainted > 20.0, "{hits} {tainted}");
    field.agrees_with_the_store().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoke_race_while_connections_are_killed() {
    let name = "revoke_race_while_connections_are_killed";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let redis = Redis::start_with(&QUICK).await;
    let chaos = Chaos::before(redis.address()).await;
    let lines = (redis.lines(), Redis::lines_through(&chaos));
    let field = Field::start((&lines.0, &lines.1), MAX_STALE, people(1500)).await;
    let killing = async |over: Arc<AtomicBool>| trouble::killing(&redis, &chaos, &over).await;
    let field = Arc::new(field.of_bad_times().at_once(16));
    duels_under(name, field, CUT_OFF, killing).await;
}

/// Only the connections that tell of changes die, and are made again: what
/// would have been told in between must not be missed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoke_race_while_the_tellers_are_killed() {
    let name = "revoke_race_while_the_tellers_are_killed";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let redis = Redis::start_with(&QUICK).await;
    let lines = redis.lines();
    let field = Field::start((&lines, &lines), MAX_STALE, people(2000)).await;
    let killing = async |over: Arc<AtomicBool>| trouble::killing_tellers(&redis, &over).await;
    duels_under(name, Arc::new(field), CALM, killing).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoke_race_while_redis_stands_still() {
    let name = "revoke_race_while_redis_stands_still";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let redis = Redis::start_with(&QUICK).await;
    let lines = redis.lines();
    let field = Field::start((&lines, &lines), MAX_STALE, people(1000)).await;
    let stalling = async |over: Arc<AtomicBool>| trouble::stalling(&redis, &over).await;
    let field = Arc::new(field.of_bad_times().at_once(64));
    duels_under(name, field, CUT_OFF, stalling).await;
}

/// Only the connection that would tell of changes is silent, all others work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoke_race_with_a_deaf_ear() {
    let name = "revoke_race_with_a_deaf_ear";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let redis = Redis::start_with(&QUICK).await;
    let chaos = Chaos::before(redis.address()).await;
    let lines = (redis.lines(), Redis::lines_through(&chaos));
    let field = Field::start((&lines.0, &lines.1), MAX_STALE, people(1500)).await;
    let deaf = async |over: Arc<AtomicBool>| {
        while !over.load(Ordering::SeqCst) {
            chaos.set(Weather::to_client(|path| path.stall = Some(0)).only_after("TRACKING"));
            trouble::wait(Duration::from_secs(6), &over).await;
            chaos.calm();
            trouble::wait(Duration::from_secs(1), &over).await;
        }
    };
    duels_under(name, Arc::new(field.at_once(64)), DEAF + CALM, deaf).await;
}

/// Everybody is known at the reading gateway when `weather` begins, half of
/// them end elsewhere, and only readings follow: it must find out by itself
/// that it hears nothing.
async fn ends_unheard(name: &str, weather: Weather, bound: Duration) {
    let redis = Redis::start_with(&QUICK).await;
    let chaos = Chaos::before(redis.address()).await;
    let lines = (redis.lines(), Redis::lines_through(&chaos));
    let field = Field::start((&lines.0, &lines.1), MAX_STALE, 200).await;
    field.everybody_is_remembered().await;
    let hits = field.remembered().await.0;
    chaos.set(weather);
    let began = Instant::now();
    let ends = async {
        let mut door = KeepAlive::to(&field.writing);
        let mut ended = 0;
        // While it is deaf; on a slow machine not all of them.
        while ended < field.people.len() / 2 && began.elapsed() < DEAF * 4 / 5 {
            field.end(ended, &mut door).await;
            ended += 1;
        }
        assert!(ended >= 20, "{ended}: too slow to try it");
        assert!(began.elapsed() < DEAF, "too slow to try it");
    };
    // Those who are still signed in may be served for a while, and need not
    // be; those who ended may not, once the bound has passed.
    let readings = async {
        let mut lines: Vec<_> = (0..8).map(|_| KeepAlive::to(&field.reading)).collect();
        while began.elapsed() < bound + DEAF {
            let reads = lines.iter_mut().map(|line| {
                let who = field::pick(field.people.len());
                let cookie = field.person(who).cookie.clone();
                let field = &field;
                async move { field.read(who, &cookie, bound, line).await }
            });
            futures_util::future::join_all(reads).await;
        }
    };
    tokio::join!(readings, ends);
    field.nothing_was_stale(name);
    let more = field.remembered().await.0 - hits;
    assert!(
        more > 100.0,
        "{more} answers from memory: nothing was tried"
    );
    chaos.calm();
    field.is_well().await;
    field.look_at_everybody(CALM).await;
    field.nothing_was_stale(&format!("{name}, afterwards"));
    field.agrees_with_the_store().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_unheard_by_a_gateway_that_is_deaf() {
    let name = "ends_unheard_by_a_gateway_that_is_deaf";
    if part::have(name, &[Part::Redis]) {
        let weather = Weather::to_client(|path| path.stall = Some(0)).only_after("TRACKING");
        ends_unheard(name, weather, DEAF + CALM).await;
    }
}

/// Half-open: what the gateway says arrives, what it is told does not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_unheard_by_a_gateway_that_is_told_nothing() {
    let name = "ends_unheard_by_a_gateway_that_is_told_nothing";
    if part::have(name, &[Part::Redis]) {
        let weather = Weather::to_client(|path| path.stall = Some(0));
        ends_unheard(name, weather, CUT_OFF).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ends_unheard_by_a_gateway_that_is_cut_off() {
    let name = "ends_unheard_by_a_gateway_that_is_cut_off";
    if part::have(name, &[Part::Redis]) {
        ends_unheard(name, Weather::stalled(), CUT_OFF).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoke_race_with_a_store_that_is_emptied() {
    let name = "revoke_race_with_a_store_that_is_emptied";
    if !part::have(name, &[Part::Redis]) {
        return;
    }
    let redis = Redis::start_with(&QUICK).await;
    let lines = redis.lines();
    let field = Arc::new(Field::start((&lines, &lines), "", 500).await);
    field.look_at_everybody(CALM).await;
    field
        .everybody_ends(async || {
            assert!(redis.ask("FLUSHALL").await.starts_with("+OK"));
        })
        .await;
    sleep(CALM).await;
    field.look_at_everybody(CALM).await;
    field.nothing_was_stale(name);
    assert_eq!(count(&field.tally.unserved), 0, "it answers honestly");
    assert_eq!(count(&field.tally.checked), 500, "everybody is signed out");
    field.agrees_with_the_store().await;
}

/// What a failover lost is gone for the ledger too: here it only counts that
/// in the end the gateway says what the new primary says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revoke_race_over_failovers() {
    let name = "revoke_race_over_failovers";
    if !part::long() || !part::have(name, &[Part::Redis]) {
        return;
    }
    let mut sentinels = Sentinels::start().await;
    let lines = sentinels.lines();
    let field = Arc::new(Field::start((&lines, &lines), MAX_STALE, 400).await);
    let over = Arc::new(AtomicBool::new(false));
    let duels = async {
        let forgiving = Duration::from_secs(3600);
        field.duels_and_looks(forgiving, CALM).await;
        over.store(true, Ordering::SeqCst);
    };
    tokio::join!(duels, trouble::failovers(&mut sentinels, &over));
    field.is_well().await;
    field.nothing_was_stale(name);
    field.agrees_with_the_store().await;
}
