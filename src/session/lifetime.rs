//! How long a session lives and when its tokens want renewing: pure
//! functions of times. The store's expiry and these agree; a cookie's
//! Max-Age decides nothing.

use std::time::Duration;

use super::record::SessionId;
use crate::base::clock::Timestamp;

/// The latest that the refresh window opens before the end, for long tokens.
const LEAD_MOST: Duration = Duration::from_secs(5 * 60);
/// What short tokens get, as far as half of their life allows.
const LEAD_LEAST: Duration = Duration::from_secs(60);
/// `last_seen` is written at most this often.
const TOUCH_LEAST: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    Live,
    /// Nobody used it for the idle time.
    Idle,
    /// Reached its absolute end.
    Expired,
}

/// Judges a session. An idle time of zero means that there is none.
pub fn judge(
    now: Timestamp,
    expires_at: Timestamp,
    last_seen: Timestamp,
    idle_timeout: Duration,
) -> Age {
    if expires_at <= now {
        Age::Expired
    } else if !idle_timeout.is_zero() && now.since(last_seen) >= idle_timeout {
        Age::Idle
    } else {
        Age::Live
    }
}

/// When the refresh window of an access token opens: early by
/// min(5 min, 50 % of its life, max(60 s, 20 % of its life)), never by more
/// than `skew_max`, and up to 20 % later than that by session, so that
/// sessions born together do not renew together.
pub fn refresh_from(
    received_at: Timestamp,
    access_exp: Timestamp,
    skew_max: Duration,
    session: &SessionId,
) -> Timestamp {
    let life = access_exp.since(received_at);
    let lead = (life / 5)
        .max(LEAD_LEAST)
        .min(life / 2)
        .min(LEAD_MOST)
        .min(skew_max);
    let digest = blake3::derive_key("vestibule 2026 refresh jitter", &session.0);
    let share = f64::from(u16::from_be_bytes([digest[0], digest[1]])) / f64::from(u16::MAX);
    access_exp.minus(lead.mul_f64(1.0 - 0.2 * share))
}

/// How far `last_seen` may lag behind the truth: max(60 s, idle/10).
pub fn touch_every(idle_timeout: Duration) -> Duration {
    (idle_timeout / 10).max(TOUCH_LEAST)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn sec_ses_17_each_bound_ends_a_session_by_itself() {
        let at = Timestamp::from_secs;
        // 2100-01-01, far beyond 32 bits.
        let base = 4_102_444_800;
        for (now, expires, seen, idle, expected) in [
            (0, 100, 0, 50, Age::Live),
            (49, 100, 0, 50, Age::Live),
            (50, 100, 0, 50, Age::Idle),
            (100, 100, 99, 50, Age::Expired),
            (200, 100, 0, 50, Age::Expired),
            (99, 100, 0, 0, Age::Live),
            // A clock that stepped back an hour shortens nothing.
            (10, 10_000, 3_610, 50, Age::Live),
        ] {
            let age = judge(
                at(base + now),
                at(base + expires),
                at(base + seen),
                secs(idle),
            );
            assert_eq!(age, expected, "{now} {expires} {seen} {idle}");
        }
    }

    #[test]
    fn the_window_opens_early_enough_and_not_too_early() {
        let id = SessionId([7; 16]);
        for (life, skew_max, most) in [
            (3600, 600, 300),
            (600, 600, 120),
            (300, 600, 60),
            (60, 600, 30),
            (10, 600, 5),
            (3600, 30, 30),
            (0, 600, 0),
        ] {
            let end = Timestamp::from_secs(1_000_000 + life);
            let opens = refresh_from(Timestamp::from_secs(1_000_000), end, secs(skew_max), &id);
            let lead = end.since(opens).as_secs_f64();
            let most = f64::from(most);
            assert!((most * 0.8 - 0.01..=most).contains(&lead), "{life}: {lead}");
        }
    }

    proptest! {
        #[test]
        fn the_window_lies_within_the_second_half_of_life(
            life in 0_u64..1_000_000, skew in 0_u64..10_000, id in any::<[u8; 16]>()
        ) {
            let born = Timestamp::from_secs(1_000_000);
            let end = born.plus(secs(life));
            let opens = refresh_from(born, end, secs(skew), &SessionId(id));
            prop_assert!(opens <= end);
            prop_assert!(opens.since(born) >= secs(life) / 2);
            prop_assert!(end.since(opens) <= secs(skew));
        }
    }

    #[test]
    fn last_seen_is_written_rarely() {
        assert_eq!(touch_every(secs(60)), secs(60));
        assert_eq!(touch_every(secs(7 * 86_400)), secs(60_480));
    }
}
