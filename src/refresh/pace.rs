//! How fast a provider is asked to refresh. A fault that is the provider's or
//! the operator's is the same for every session: one of them finds out, the
//! others need not ask. This process only; a single session's pause is in
//! its record, for all replicas.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::outcome::FailClass;
use crate::base::clock::Timestamp;
use crate::model::identity::ProviderId;

/// How long the one that asks after a pause keeps the others waiting.
const PROBE: Duration = Duration::from_secs(15);
/// What only an operator can cure is asked for again after this, then after
/// twice as long and so on, at last once a minute. The first pauses are short
/// because a provider that restarts refuses its clients too.
const SLOW_FIRST: Duration = Duration::from_secs(5);
const SLOW_MOST: Duration = Duration::from_secs(60);
/// Between two refreshes of a provider that refuses its own refresh tokens.
const SPACING: Duration = Duration::from_millis(200);
/// How long refreshes are spaced out after the last sign of that.
const SPACED_FOR: Duration = Duration::from_secs(60);
/// Nobody queues longer than this for a turn.
const QUEUE_MOST: Duration = Duration::from_secs(3);

/// Whether a refresh may be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Now,
    /// After so long.
    After(Duration),
    /// Not before then, for the reason that another session found out.
    Held {
        until: Timestamp,
        class: FailClass,
    },
}

#[derive(Debug, Default)]
struct Pacing {
    held: Option<(Timestamp, FailClass)>,
    /// Somebody asks on behalf of those who are held back.
    probing: bool,
    /// How often in a row only an operator could have helped.
    refusals: u32,
    spaced_until: Timestamp,
    next_turn: Timestamp,
}

#[derive(Debug, Default)]
pub(super) struct Pace(Mutex<HashMap<ProviderId, Pacing>>);

impl Pace {
    fn with<T>(&self, provider: &ProviderId, change: impl FnOnce(&mut Pacing) -> T) -> T {
        // Every change is a single assignment; a panic leaves nothing half done.
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pacing) = all.get_mut(provider) {
            return change(pacing);
        }
        change(all.entry(provider.clone()).or_default())
    }

    /// Asks for a turn. The first who asks after a pause gets it and tells
    /// the others how it went by `hold` or `release`.
    pub(super) fn turn(&self, provider: &ProviderId, now: Timestamp) -> Turn {
        self.with(provider, |pacing| {
            if let Some((until, class)) = pacing.held {
                if now < until {
                    return Turn::Held { until, class };
                }
                pacing.held = Some((now.plus(PROBE), class));
                pacing.probing = true;
                return Turn::Now;
            }
            if now >= pacing.spaced_until {
                return Turn::Now;
            }
            let turn = pacing.next_turn.max(now);
            let wait = turn.since(now);
            if wait > QUEUE_MOST {
                return Turn::Held {
                    until: now.plus(Duration::from_secs(1)),
                    class: FailClass::PROVIDER_BUSY,
                };
            }
            pacing.next_turn = turn.plus(SPACING);
            if wait.is_zero() {
                Turn::Now
            } else {
                Turn::After(wait)
            }
        })
    }

    pub(super) fn hold(&self, provider: &ProviderId, until: Timestamp, class: FailClass) {
        self.with(provider, |pacing| pacing.held = Some((until, class)));
    }

    /// Holds refreshes back because of what only an operator can cure; until
    /// when.
    pub(super) fn hold_slowly(
        &self,
        provider: &ProviderId,
        now: Timestamp,
        class: FailClass,
    ) -> Timestamp {
        self.with(provider, |pacing| {
            // Calls that were under way together are refused together.
            if let Some((until, held)) = pacing.held
                && held == class
                && now < until
                && !pacing.probing
            {
                return until;
            }
            let until = now.plus(slow(pacing.refusals));
            pacing.refusals = pacing.refusals.saturating_add(1);
            pacing.held = Some((until, class));
            pacing.probing = false;
            until
        })
    }

    /// True where refreshes were held back until now.
    pub(super) fn release(&self, provider: &ProviderId) -> bool {
        self.with(provider, |pacing| {
            pacing.refusals = 0;
            pacing.probing = false;
            pacing.held.take().is_some()
        })
    }

    /// Many sessions are refused alike: one after the other from now on.
    pub(super) fn space_out(&self, provider: &ProviderId, now: Timestamp) {
        self.with(provider, |pacing| {
            pacing.spaced_until = now.plus(SPACED_FOR);
        });
    }
}

fn slow(refusals: u32) -> Duration {
    (SLOW_FIRST * 2_u32.pow(refusals.min(5))).min(SLOW_MOST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn main() -> ProviderId {
        ProviderId("main".into())
    }

    #[test]
    fn after_a_pause_one_asks_for_all() {
        let pace = Pace::default();
        let at = Timestamp::from_secs;
        let class = FailClass(4);
        assert_eq!(pace.turn(&main(), at(0)), Turn::Now);
        pace.hold(&main(), at(60), class);
        let held = |until| Turn::Held { until, class };
        assert_eq!(pace.turn(&main(), at(59)), held(at(60)));
        let other = ProviderId("other".into());
        assert_eq!(pace.turn(&other, at(59)), Turn::Now);
        assert_eq!(pace.turn(&main(), at(60)), Turn::Now);
        assert_eq!(pace.turn(&main(), at(60)), held(at(75)));
        assert!(pace.release(&main()));
        assert!(!pace.release(&main()));
        assert_eq!(pace.turn(&main(), at(61)), Turn::Now);
    }

    #[test]
    fn what_an_operator_must_cure_is_asked_for_ever_more_slowly() {
        let pace = Pace::default();
        let class = FailClass(4);
        let mut now = Timestamp::from_secs(0);
        let mut pauses = Vec::new();
        for _ in 0..6 {
            assert_eq!(pace.turn(&main(), now), Turn::Now);
            let until = pace.hold_slowly(&main(), now, class);
            let together = pace.hold_slowly(&main(), now, class);
            assert_eq!(together, until, "refused together");
            pauses.push(until.since(now).as_secs());
            now = until;
        }
        assert_eq!(pauses, [5, 10, 20, 40, 60, 60]);
        pace.release(&main());
        let until = pace.hold_slowly(&main(), now, class);
        assert_eq!(until.since(now), SLOW_FIRST);
    }

    #[test]
    fn row_1_6_refused_refreshes_take_turns() {
        let pace = Pace::default();
        let now = Timestamp::from_secs(100);
        pace.space_out(&main(), now);
        let waits: Vec<_> = (0..17).map(|_| pace.turn(&main(), now)).collect();
        assert_eq!(waits[0], Turn::Now);
        assert_eq!(waits[1], Turn::After(SPACING));
        assert_eq!(waits[15], Turn::After(QUEUE_MOST));
        assert!(matches!(waits[16], Turn::Held { .. }), "{:?}", waits[16]);
        let over = now.plus(SPACED_FOR);
        assert_eq!(pace.turn(&main(), over), Turn::Now);
    }
}
