//! What the sweep of a worker knows of one connection.
//!
//! The request path only stores flags here; time is counted in sweeps, so no
//! request sets a timer or asks for the time.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering::Relaxed};
use std::task::Waker;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::task::AbortHandle;

/// How often a worker looks at its connections.
pub(super) const SWEEP: Duration = Duration::from_secs(1);

/// How many whole sweeps a connection is idle before it gives its buffers back.
pub(super) const REST_AFTER: u32 = 1;

/// No request is under way.
const WAITING: u8 = 0;
/// The first bytes of a head have come, the end of it has not.
const HEAD: u8 = 1;
/// A request is being answered.
const BUSY: u8 = 2;
/// Upgraded; other timers apply.
const TUNNEL: u8 = 3;
/// HTTP/2: requests come and go beside one another, and bytes alone (a ping)
/// say nothing.
const MULTIPLEXED: u8 = 4;

/// How far the drain of a connection has gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Stage {
    Running = 0,
    /// The next response says `Connection: close`.
    Closing = 1,
    /// Idle connections are closed.
    Graceful = 2,
    /// Everything is closed.
    Ended = 3,
}

/// Bounds of a connection, in sweeps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) head: u32,
    pub(super) keep_alive: u32,
    pub(super) stalled: u32,
}

/// At least one sweep, rounded up, and one more because the first is partial.
pub(super) fn sweeps(length: Duration) -> u32 {
    let whole = length.as_millis().div_ceil(SWEEP.as_millis());
    u32::try_from(whole).unwrap_or(u32::MAX).max(1)
}

#[derive(Debug, Default)]
pub(super) struct Pulse {
    phase: AtomicU8,
    age: AtomicU32,
    /// Requests under way, of a multiplexed connection.
    streams: AtomicU32,
    write_blocked: AtomicBool,
    /// The last request had a body, or the socket is being shut: nothing but
    /// hyper knows how far that is.
    restless: AtomicBool,
    /// The sweep found it idle for long enough.
    tired: AtomicBool,
    stage: AtomicU8,
    waker: AtomicWaker,
    abort: OnceLock<AbortHandle>,
}

impl Pulse {
    pub(super) fn bytes_read(&self) {
        if self.phase.load(Relaxed) == WAITING {
            self.age.store(0, Relaxed);
            self.phase.store(HEAD, Relaxed);
        }
    }

    /// From now on as HTTP/2 counts; before the first request.
    pub(super) fn multiplexed(&self) {
        self.phase.store(MULTIPLEXED, Relaxed);
    }

    pub(super) fn request_began(&self, has_body: bool) {
        if self.phase.load(Relaxed) == MULTIPLEXED {
            self.streams.fetch_add(1, Relaxed);
        } else {
            self.phase.store(BUSY, Relaxed);
            self.restless.store(has_body, Relaxed);
        }
    }

    /// The socket is being shut.
    pub(super) fn ending(&self) {
        self.restless.store(true, Relaxed);
    }

    /// Whether nothing is under way: no head, no request, no answer, and
    /// nothing that waits to be written.
    fn is_idle(&self) -> bool {
        let nothing_asked = match self.phase.load(Relaxed) {
            WAITING => true,
            MULTIPLEXED => self.streams.load(Relaxed) == 0,
            _ => false,
        };
        nothing_asked && !self.write_blocked.load(Relaxed) && !self.restless.load(Relaxed)
    }

    /// Asked by the connection itself after it did what there was to do, so
    /// that what the sweep saw is still true, or is not. True at most once
    /// for each time that it falls idle.
    pub(super) fn takes_a_rest(&self) -> bool {
        self.tired.load(Relaxed) && self.tired.swap(false, Relaxed) && self.is_idle()
    }

    /// The response was handed over whole, or dropped.
    pub(super) fn response_ended(&self) {
        match self.phase.load(Relaxed) {
            BUSY => {
                self.age.store(0, Relaxed);
                self.phase.store(WAITING, Relaxed);
            }
            MULTIPLEXED => {
                self.age.store(0, Relaxed);
                self.streams.fetch_sub(1, Relaxed);
            }
            _ => {}
        }
    }

    pub(super) fn upgraded(&self) {
        self.phase.store(TUNNEL, Relaxed);
    }

    pub(super) fn write_blocked(&self) {
        if !self.write_blocked.load(Relaxed) {
            self.age.store(0, Relaxed);
            self.write_blocked.store(true, Relaxed);
        }
    }

    pub(super) fn wrote(&self) {
        if self.write_blocked.load(Relaxed) {
            self.age.store(0, Relaxed);
            self.write_blocked.store(false, Relaxed);
        }
    }

    #[cfg(test)]
    pub(super) fn is_tired(&self) -> bool {
        self.tired.load(Relaxed)
    }

    /// One sweep. Ends the connection that is over its bound.
    pub(super) fn sweep(&self, bounds: Bounds) {
        let age = self.age.fetch_add(1, Relaxed);
        let bound = match self.phase.load(Relaxed) {
            TUNNEL => return,
            HEAD => bounds.head,
            _ if self.write_blocked.load(Relaxed) => bounds.stalled,
            WAITING => bounds.keep_alive,
            MULTIPLEXED if self.streams.load(Relaxed) == 0 => bounds.keep_alive,
            // Its streams have timers of their own, at the upstream.
            MULTIPLEXED => {
                self.age.store(0, Relaxed);
                return;
            }
            _ => return,
        };
        if age >= bound {
            self.end();
        } else if age == REST_AFTER && self.is_idle() {
            self.tired.store(true, Relaxed);
            self.waker.wake();
        }
    }

    pub(super) fn started(&self, abort: AbortHandle) {
        if self.abort.set(abort).is_err() {
            unreachable!("a connection is started once");
        }
    }

    pub(super) fn end(&self) {
        if let Some(abort) = self.abort.get() {
            abort.abort();
        }
    }

    pub(super) fn stage(&self) -> u8 {
        self.stage.load(Relaxed)
    }

    pub(super) fn set_stage(&self, stage: Stage) {
        self.stage.store(stage as u8, Relaxed);
        match stage {
            Stage::Running => {}
            Stage::Closing | Stage::Graceful => self.waker.wake(),
            Stage::Ended => self.end(),
        }
    }

    pub(super) fn watch(&self, waker: &Waker) {
        self.waker.register(waker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multiplexed_connection_rests_while_nothing_is_asked() {
        let bounds = Bounds {
            head: 1000,
            keep_alive: 1000,
            stalled: 1000,
        };
        let pulse = Pulse::default();
        pulse.multiplexed();
        let time_passes = || (0..=REST_AFTER).for_each(|_| pulse.sweep(bounds));
        time_passes();
        assert!(pulse.takes_a_rest());
        assert!(!pulse.takes_a_rest(), "once");
        pulse.request_began(false);
        pulse.request_began(false);
        pulse.response_ended();
        time_passes();
        assert!(!pulse.takes_a_rest(), "one is under way");
        pulse.response_ended();
        time_passes();
        assert!(pulse.takes_a_rest());
    }
}
