//! Where a session stands in the life of its tokens and claims.

use std::time::Duration;

use crate::base::clock::Timestamp;
use crate::session::sessions::Session;

/// Claims that a refresh did not bring anew are asked for again after a tenth
/// of their age limit, and never more often than this.
const CLAIMS_PAUSE: Duration = Duration::from_secs(60);

/// Why a session needs a new sign-in although its tokens are valid.
pub(super) const IDENTITY_TOO_OLD: &str = "identity_too_old";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    No,
    /// The old access token still works: nobody waits.
    Soon,
    /// Nothing works before a refresh.
    Now,
    /// No refresh token, and the access token has ended or the claims are
    /// too old.
    CannotRefresh {
        reason: &'static str,
    },
}

/// The limits that decide.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) identity_max_age: Duration,
    pub(super) skew_max: Duration,
}

pub(super) fn due(session: &Session, now: Timestamp, limits: Limits) -> Due {
    let header = &session.header;
    let claims_end = claims_end(session, limits);
    if header.rt_fp.is_none() {
        return if now >= header.access_exp {
            Due::CannotRefresh {
                reason: "access_token_ended",
            }
        } else if now >= claims_end {
            Due::CannotRefresh {
                reason: IDENTITY_TOO_OLD,
            }
        } else {
            Due::No
        };
    }
    if now >= header.access_exp {
        return Due::Now;
    }
    // A failure, or an attempt without an answer, is taken up again as soon
    // as the record allows.
    if header.retry_at > Timestamp::default() || !header.intent_fp.is_none() {
        return Due::Soon;
    }
    let received_at = match header.received_at {
        // An older release wrote it. A broken seal is found by the refresh,
        // which needs the tokens too.
        Timestamp(0) => session
            .tokens()
            .map_or(session.created_at, |tokens| tokens.received_at),
        received_at => received_at,
    };
    let window = session.refresh_from(received_at, limits.skew_max);
    // Without this a provider that tells nothing new would be asked for new
    // tokens by every request, once the claims are too old.
    let claims_again = claims_end.max(received_at.plus(claims_pause(limits.identity_max_age)));
    if now >= window.min(claims_again) {
        Due::Soon
    } else {
        Due::No
    }
}

/// Until when nothing is due; in the past where something is, or may be.
pub(super) fn quiet_until(session: &Session, now: Timestamp, limits: Limits) -> Timestamp {
    if due(session, now, limits) != Due::No {
        return Timestamp(0);
    }
    let header = &session.header;
    let ends = header.access_exp.min(claims_end(session, limits));
    if header.rt_fp.is_none() || header.received_at == Timestamp(0) {
        // Without a time of receipt the window is not worth keeping.
        return if header.rt_fp.is_none() {
            ends
        } else {
            Timestamp(0)
        };
    }
    ends.min(session.refresh_from(header.received_at, limits.skew_max))
}

/// When the claims get too old.
pub(super) fn claims_end(session: &Session, limits: Limits) -> Timestamp {
    session.identity.read_at.plus(limits.identity_max_age)
}

/// How long a provider that told nothing new is not asked again.
pub(super) fn claims_pause(identity_max_age: Duration) -> Duration {
    (identity_max_age / 10)
        .max(CLAIMS_PAUSE)
        .min(identity_max_age)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Rig, signed_in, tokens};
    use super::*;
    use crate::session::record::Owner;
    use crate::session::sessions::Found;
    use crate::session::store::Claimed;

    const MINUTE: Duration = Duration::from_secs(60);
    const LIMITS: Limits = Limits {
        identity_max_age: Duration::from_secs(3600),
        skew_max: Duration::from_secs(300),
    };

    impl Rig {
        fn pass(&self, time: Duration) {
            self.clock.advance(i64::try_from(time.as_millis()).unwrap());
        }

        fn due(&self) -> Due {
            due(&self.session, self.clock.now(), LIMITS)
        }

        /// A refresh that worked, without new claims.
        async fn refreshed(&mut self, text: &str, life: Duration) {
            let owner = Owner([7; 16]);
            let claim = self
                .sessions
                .claim(&self.session, owner, MINUTE, true, Duration::ZERO);
            assert_eq!(claim.await.unwrap(), Claimed::Granted);
            let renewed = tokens(&self.clock, text, life);
            let spent = self.session.header.rt_fp;
            let commit = self.sessions.commit(&self.session, spent, &renewed, None);
            commit.await.unwrap();
            let Found::Live(session) = self.sessions.reload(&self.session).await.unwrap() else {
                panic!("the session is live");
            };
            self.session = session;
        }
    }

    #[tokio::test]
    async fn sec_rp_22_short_tokens_of_an_old_session_are_not_renewed_all_the_time() {
        for life in [MINUTE, MINUTE * 5] {
            let mut rig = signed_in(life).await;
            for round in 0..20 {
                assert_eq!(rig.due(), Due::No, "just received, round {round}");
                rig.pass(life / 3);
                assert_eq!(rig.due(), Due::No, "a third is over, round {round}");
                rig.pass(life / 3 + life / 4);
                assert_eq!(rig.due(), Due::Soon, "round {round}");
                rig.pass(life);
                assert_eq!(rig.due(), Due::Now);
                rig.refreshed(&format!("token {round}"), life).await;
                // The claims are another matter, see below.
                let mut identity = (*rig.session.identity).clone();
                identity.read_at = rig.clock.now();
                let put = rig.sessions.put_identity(&rig.session, &identity);
                put.await.unwrap();
                rig.session = rig.session.with_identity(identity);
            }
        }
    }

    #[tokio::test]
    async fn sec_rp_22_a_provider_that_tells_no_new_claims_is_not_asked_by_every_request() {
        let day = MINUTE * 60 * 24;
        let mut rig = signed_in(day).await;
        rig.pass(MINUTE * 59);
        assert_eq!(rig.due(), Due::No);
        rig.pass(MINUTE);
        assert_eq!(rig.due(), Due::Soon, "the claims are an hour old");
        rig.refreshed("second", day).await;
        assert_eq!(rig.due(), Due::No, "nothing new was told just now");
        rig.pass(MINUTE * 6);
        assert_eq!(rig.due(), Due::Soon);
    }

    #[test]
    fn the_pause_between_readings_of_claims_has_bounds() {
        let pause = |secs| claims_pause(Duration::from_secs(secs)).as_secs();
        assert_eq!([5, 60, 300, 3600, 86400].map(pause), [5, 60, 60, 360, 8640]);
    }
}
