//! What befalls the connections while people duel.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::field::pick;
use crate::harness::chaos::Chaos;
use crate::harness::redis::Redis;
use crate::harness::sentinels::Sentinels;

/// Waits, but not beyond the end of the duels.
pub(super) async fn wait(length: Duration, over: &AtomicBool) {
    let end = Instant::now() + length;
    while Instant::now() < end && !over.load(Ordering::SeqCst) {
        sleep(Duration::from_millis(20)).await;
    }
}

/// Ends connections again and again: those that tell of changes, all, or all
/// of the reading gateway.
pub(super) async fn killing(redis: &Redis, chaos: &Chaos, over: &AtomicBool) {
    while !over.load(Ordering::SeqCst) {
        match pick(4) {
            0 => {
                let words = ["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"];
                redis.command(&words).await;
            }
            1 => chaos.cut(),
            _ => drop(redis.kill_the_tracking().await),
        }
        wait(Duration::from_millis(20 + pick(300) as u64), over).await;
    }
}

/// Ends only the connections that tell of changes.
pub(super) async fn killing_tellers(redis: &Redis, over: &AtomicBool) {
    while !over.load(Ordering::SeqCst) {
        redis.kill_the_tracking().await;
        wait(Duration::from_millis(pick(150) as u64), over).await;
    }
}

/// Holds the server still for a while, and lets it go on for a while.
pub(super) async fn stalling(redis: &Redis, over: &AtomicBool) {
    while !over.load(Ordering::SeqCst) {
        redis.stall();
        wait(Duration::from_millis(1000 + pick(4000) as u64), over).await;
        redis.go_on();
        wait(Duration::from_millis(300 + pick(1500) as u64), over).await;
    }
}

/// The servers trade places, or a sentinel orders it.
pub(super) async fn failovers(sentinels: &mut Sentinels, over: &AtomicBool) {
    while !over.load(Ordering::SeqCst) {
        sentinels.trade_places().await;
        wait(Duration::from_secs(2), over).await;
    }
}
