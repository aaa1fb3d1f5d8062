use std::collections::BTreeMap;

use super::super::fixture::{Rig, signed_in, tokens};
use super::*;
use crate::config::checked::Limits;

const MINUTE: Duration = Duration::from_secs(60);

fn refresher(rig: &Rig) -> Refresher {
    let providers = Providers::new(&BTreeMap::new(), &Limits::default(), rig.clock.clone());
    Refresher::new(
        Arc::clone(&rig.sessions),
        Arc::new(providers.unwrap()),
        Telemetry::new(None),
        rig.clock.clone(),
        Settings {
            identity_max_age: MINUTE * 60,
            outage_grace: Duration::ZERO,
            provider_total: Duration::from_secs(10),
        },
        Handle::current(),
    )
}

#[test]
fn sec_rp_23_a_lease_outlives_the_slowest_call_that_limits_allow() {
    let lease = |secs| {
        let settings = Settings {
            identity_max_age: MINUTE,
            outage_grace: Duration::ZERO,
            provider_total: Duration::from_secs(secs),
        };
        settings.lease().as_secs()
    };
    assert_eq!([1, 10, 60].map(lease), [15, 15, 65]);
}

#[tokio::test]
async fn a_token_of_unknown_outcome_costs_requests_nothing_before_its_last_try() {
    let mut rig = signed_in(MINUTE * 10).await;
    let owner = Owner([7; 16]);
    let claim = rig.sessions.claim(
        &rig.session,
        owner,
        Duration::from_secs(1),
        false,
        Duration::ZERO,
    );
    assert_eq!(claim.await.unwrap(), Claimed::Granted);
    rig.clock.advance(5_000);
    let Found::Live(session) = rig.sessions.reload(&rig.session).await.unwrap() else {
        panic!("the session is live");
    };
    rig.session = session;
    let refresher = refresher(&rig);
    let freshness = refresher.ensure_fresh(rig.session.clone()).await;
    assert!(matches!(freshness, Freshness::Fresh(_)));
    assert_eq!(refresher.under_way(), 0, "no flight, no store call");
}

#[tokio::test]
async fn tokens_that_cannot_be_stored_serve_no_longer_than_they_live() {
    let rig = signed_in(MINUTE).await;
    let refresher = refresher(&rig);
    let renewed = tokens(&rig.clock, "second", MINUTE);
    let error = SessionError::Store(StoreError::Refused("disk full".into()));
    let heard = || refresher.inner.unstored(&rig.session, &renewed, &error);
    assert!(matches!(heard(), Freshness::Fresh(_)));
    rig.clock.advance(61_000);
    assert!(matches!(heard(), Freshness::Unavailable { .. }));
}

#[tokio::test]
async fn who_can_wait_for_nobody_is_known_as_long_as_the_claims_are_young() {
    let rig = signed_in(MINUTE * 10).await;
    let refresher = refresher(&rig);
    let known = |tokens| {
        refresher
            .fresh_at_once(rig.session.clone(), tokens)
            .is_some()
    };
    assert!(known(false) && known(true));
    rig.clock.advance(11 * 60_000);
    assert!(known(false), "the access token ended, the claims did not");
    assert!(refresher.under_way() > 0, "and its refresh began");
    assert!(!known(true));
    rig.clock.advance(50 * 60_000);
    assert!(!known(false));
}
