//! Looks at the connections of one stack every half second: who is idle for
//! too long, who waits for too long.

use std::sync::Arc;

use super::stacks::{Entry, Pool, Stack};
use crate::proxy::http1::Wire;
use crate::proxy::line::SWEEP;

impl Pool {
    /// Sees to it that somebody sweeps this stack.
    pub(super) fn look_after(self: &Arc<Self>, stack: &mut Stack, shard: usize) {
        if !stack.sweeping {
            stack.sweeping = true;
            tokio::spawn(self.clone().sweep(shard));
        }
    }

    /// Until the stack is empty.
    async fn sweep(self: Arc<Self>, shard: usize) {
        loop {
            tokio::time::sleep(SWEEP).await;
            let mut stack = self.stack(shard);
            let Stack {
                entries,
                aside,
                resting,
                lines,
                sweeping,
            } = &mut *stack;
            entries.retain(|entry| self.stays(entry));
            aside.retain(|entry| self.stays(entry));
            aside.extend(entries.extract_if(.., |entry| entry.line.is_event_stream()));
            entries.splice(0..0, aside.extract_if(.., |entry| entry.sender.is_unused()));
            resting.retain_mut(|wire| self.goes_on_resting(wire));
            lines.retain(|line| {
                line.sweep_busy(self.body_idle);
                // Nobody but this list knows the line of a closed one.
                Arc::strong_count(line) > 1
            });
            if entries.is_empty() && aside.is_empty() && resting.is_empty() && lines.is_empty() {
                *sweeping = false;
                return;
            }
        }
    }

    fn stays(&self, entry: &Entry) -> bool {
        if entry.sender.is_closed() {
            return false;
        }
        if entry.sender.is_unused() {
            if entry.line.has_ended() {
                return false;
            }
            return entry.line.sweep_idle() <= self.idle;
        }
        // Of a connection with many streams, each has its own time.
        if !entry.sender.is_multiplexed() {
            entry.line.sweep_busy(self.body_idle);
        }
        true
    }

    fn goes_on_resting(&self, wire: &mut Wire) -> bool {
        let age = wire.line().sweep_idle();
        if age == 1 {
            wire.shrink();
        }
        age <= self.idle && wire.is_quiet()
    }
}
