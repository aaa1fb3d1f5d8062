//! Connections for requests without a body: taken out for an exchange, put
//! back when its answer is over.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::stacks::{BUSY_LOOK, BUSY_WAIT, Place, Pool, SHARD, SHARDS};
use crate::proxy::connect::Protocol;
use crate::proxy::error::ProxyError;
use crate::proxy::http1::Wire;
use crate::proxy::line::Line;

impl Pool {
    /// Whether requests share connections, as far as is known.
    pub(in crate::proxy) fn is_multiplexed(&self) -> bool {
        self.multiplexed.load(Ordering::Relaxed)
    }

    /// One that rests, of this thread.
    pub(in crate::proxy) fn resting(&self) -> Option<Wire> {
        self.resting_in(SHARD.with(|shard| *shard))
    }

    fn resting_in(&self, shard: usize) -> Option<Wire> {
        let mut stack = self.stack(shard);
        while let Some(mut wire) = stack.resting.pop() {
            if wire.is_quiet() {
                return Some(wire);
            }
        }
        None
    }

    /// Its exchange is over, and it can serve another.
    pub(in crate::proxy) fn rest(self: &Arc<Self>, wire: Wire) {
        wire.line().rests();
        let shard = SHARD.with(|shard| *shard);
        let mut stack = self.stack(shard);
        stack.resting.push(wire);
        self.look_after(&mut stack, shard);
    }

    /// A new one; when there may be no more, whichever falls free first.
    /// `None`: the upstream speaks HTTP/2, and its connection is with the
    /// others now.
    pub(in crate::proxy) async fn dial_wire(self: &Arc<Self>) -> Result<Option<Wire>, ProxyError> {
        if let Some(place) = self.place() {
            return self.dial_wire_at(place).await;
        }
        let deadline = tokio::time::Instant::now() + BUSY_WAIT;
        loop {
            if let Some(wire) = (0..SHARDS).find_map(|shard| self.resting_in(shard)) {
                return Ok(Some(wire));
            }
            // Others have found out, and have taken every place.
            if self.is_multiplexed() {
                return Ok(None);
            }
            self.close_a_free_sender(false);
            if tokio::time::Instant::now() >= deadline {
                return Err(ProxyError::Busy);
            }
            tokio::time::sleep(BUSY_LOOK).await;
            if let Some(place) = self.place() {
                return self.dial_wire_at(place).await;
            }
        }
    }

    async fn dial_wire_at(self: &Arc<Self>, place: Place) -> Result<Option<Wire>, ProxyError> {
        let (stream, protocol) = self.connect(false).await?;
        if let Protocol::Http2(_) = protocol {
            let entry = self.entry(stream, protocol, place, false).await?;
            self.keep(entry);
            return Ok(None);
        }
        self.multiplexed.store(false, Ordering::Relaxed);
        let line = Arc::new(Line::default());
        let shard = SHARD.with(|shard| *shard);
        let mut stack = self.stack(shard);
        stack.lines.push(line.clone());
        self.look_after(&mut stack, shard);
        Ok(Some(Wire::new(stream, line, place)))
    }

    /// A place for a connection of hyper, if need be that of a resting one.
    pub(super) fn place_of_a_sender(&self) -> Option<Place> {
        self.place().or_else(|| {
            drop((0..SHARDS).find_map(|shard| self.resting_in(shard))?);
            self.place()
        })
    }

    /// Its place falls free a moment later. `multiplexed`: also one that would
    /// take many requests.
    pub(super) fn close_a_free_sender(&self, multiplexed: bool) {
        for shard in 0..SHARDS {
            let mut stack = self.stack(shard);
            let entries = &mut stack.entries;
            let free = entries.iter().position(|entry| {
                entry.sender.is_unused() && (multiplexed || !entry.sender.is_multiplexed())
            });
            if let Some(free) = free {
                entries.remove(free);
                return;
            }
        }
    }
}
