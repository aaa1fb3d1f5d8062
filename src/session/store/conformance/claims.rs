//! Claims of a refresh token and giving them back.

use std::time::Duration;

use super::subject::*;
use crate::base::clock::Timestamp;
use crate::session::record::*;
use crate::session::store::*;

cases! {
    a_claim_is_granted_and_recorded
    a_second_claim_is_busy
    a_claim_after_the_lease_is_unknown
    one_last_try_is_granted
    no_third_try_is_granted
    within_the_grace_a_token_is_sent_again
    failures_in_a_row_are_counted
    a_claim_of_another_token_is_superseded
    a_claim_without_a_token_is_superseded
    a_claim_of_an_absent_session_is_gone
    a_claim_of_a_tombstone_is_gone
    of_concurrent_claims_one_is_granted
    a_release_with_backoff_holds_claims_off
    a_release_forgets_the_intent
    a_release_may_keep_the_intent
    a_release_by_another_owner_does_nothing
    a_release_of_an_absent_session_does_nothing
}

async fn a_claim_is_granted_and_recorded(on: &Subject) -> Outcome {
    let id = on.session().await?;
    let before = on.live(id).await?;
    let claim = fresh_claim();
    must_eq!(on.store.claim(id, claim).await?, Claimed::Granted);
    let after = on.live(id).await?;
    must_eq!(after.header.version, before.header.version + 1);
    must_eq!(after.header.intent_fp, OLD);
    must_eq!(after.header.owner, claim.owner);
    must_eq!(after.header.tries, 1);
    let sent_at = after.header.sent_at;
    must_eq!(after.header.lease_until, sent_at.plus(claim.lease));
    must!(on.clock.now().since(sent_at) < Duration::from_secs(5));
    must!(sent_at.since(on.clock.now()) < Duration::from_secs(5));
    must_eq!(after.header.last_seen, before.header.last_seen);
    must_eq!(after.tokens, before.tokens);
    Ok(())
}

async fn a_second_claim_is_busy(on: &Subject) -> Outcome {
    let id = on.session().await?;
    on.store.claim(id, fresh_claim()).await?;
    let lease_until = on.live(id).await?.header.lease_until;
    let mut second = fresh_claim();
    for last_try in [false, true] {
        second.last_try = last_try;
        let answer = on.store.claim(id, second).await?;
        must_eq!(answer, Claimed::Busy { lease_until });
    }
    Ok(())
}

/// A session whose first claim ran out without a word.
pub(super) async fn abandoned(on: &Subject) -> Result<(SessionId, Timestamp), Failure> {
    let id = on.session().await?;
    let mut claim = fresh_claim();
    claim.lease = on.span();
    must_eq!(on.store.claim(id, claim).await?, Claimed::Granted);
    on.pass(on.span() * 2).await;
    Ok((id, on.live(id).await?.header.sent_at))
}

async fn a_claim_after_the_lease_is_unknown(on: &Subject) -> Outcome {
    let (id, sent_at) = abandoned(on).await?;
    let before = on.live(id).await?.header;
    let answer = on.store.claim(id, fresh_claim()).await?;
    must_eq!(answer, Claimed::Unknown { tries: 1, sent_at });
    must_eq!(on.live(id).await?.header, before);
    Ok(())
}

async fn one_last_try_is_granted(on: &Subject) -> Outcome {
    let (id, _) = abandoned(on).await?;
    let mut claim = fresh_claim();
    claim.last_try = true;
    must_eq!(on.store.claim(id, claim).await?, Claimed::Granted);
    must_eq!(on.live(id).await?.header.tries, 2);
    Ok(())
}

async fn no_third_try_is_granted(on: &Subject) -> Outcome {
    let (id, _) = abandoned(on).await?;
    let mut claim = fresh_claim();
    claim.last_try = true;
    claim.lease = on.span();
    must_eq!(on.store.claim(id, claim).await?, Claimed::Granted);
    on.pass(on.span() * 2).await;
    let answer = on.store.claim(id, claim).await?;
    must!(matches!(answer, Claimed::Unknown { tries: 2, .. }));
    Ok(())
}

async fn within_the_grace_a_token_is_sent_again(on: &Subject) -> Outcome {
    let (id, sent_at) = abandoned(on).await?;
    let mut claim = fresh_claim();
    claim.grace = Duration::from_secs(3600);
    must_eq!(on.store.claim(id, claim).await?, Claimed::Granted);
    let header = on.live(id).await?.header;
    must_eq!((header.tries, header.sent_at), (1, sent_at));
    must!(header.graced);
    on.store.release(id, giving_back(&claim, true)).await?;
    let header = on.live(id).await?.header;
    must_eq!((header.intent_fp, header.tries), (OLD, 1));
    must!(!header.graced);
    claim.grace = Duration::ZERO;
    let answer = on.store.claim(id, claim).await?;
    must_eq!(answer, Claimed::Unknown { tries: 1, sent_at });
    Ok(())
}

async fn failures_in_a_row_are_counted(on: &Subject) -> Outcome {
    let id = on.session().await?;
    for round in 1..=3 {
        let claim = fresh_claim();
        on.store.claim(id, claim).await?;
        let release = Release {
            fail_class: 2,
            ..giving_back(&claim, true)
        };
        on.store.release(id, release).await?;
        must_eq!(on.live(id).await?.header.failures, round);
    }
    let claim = fresh_claim();
    on.store.claim(id, claim).await?;
    on.store.release(id, giving_back(&claim, true)).await?;
    must_eq!(on.live(id).await?.header.failures, 3);
    on.store.commit(id, commit(OLD, NEW)).await?;
    let header = on.live(id).await?.header;
    must_eq!((header.failures, header.received_at), (0, Timestamp(66)));
    Ok(())
}

async fn a_claim_of_another_token_is_superseded(on: &Subject) -> Outcome {
    let id = on.session().await?;
    let mut claim = fresh_claim();
    claim.rt_fp = NEW;
    must_eq!(on.store.claim(id, claim).await?, Claimed::Superseded);
    Ok(())
}

async fn a_claim_without_a_token_is_superseded(on: &Subject) -> Outcome {
    let id = fresh_id();
    let records = on.records(Fingerprint::NONE);
    on.store.create(id, records).await?;
    let mut claim = fresh_claim();
    claim.rt_fp = Fingerprint::NONE;
    must_eq!(on.store.claim(id, claim).await?, Claimed::Superseded);
    let commit = commit(Fingerprint::NONE, NEW);
    must_eq!(on.store.commit(id, commit).await?, Committed::Superseded);
    Ok(())
}

async fn a_claim_of_an_absent_session_is_gone(on: &Subject) -> Outcome {
    let answer = on.store.claim(fresh_id(), fresh_claim()).await?;
    must_eq!(answer, Claimed::Gone);
    Ok(())
}

async fn a_claim_of_a_tombstone_is_gone(on: &Subject) -> Outcome {
    let id = on.session().await?;
    on.store.tombstone(id, on.clock.now()).await?;
    must_eq!(on.store.claim(id, fresh_claim()).await?, Claimed::Gone);
    Ok(())
}

async fn of_concurrent_claims_one_is_granted(on: &Subject) -> Outcome {
    let id = on.session().await?;
    let tasks: Vec<_> = (0..32)
        .map(|_| {
            let store = on.store.clone();
            tokio::spawn(async move { store.claim(id, fresh_claim()).await })
        })
        .collect();
    let mut granted = 0;
    for task in tasks {
        match task.await?? {
            Claimed::Granted => granted += 1,
            Claimed::Busy { .. } => {}
            other => return Err(format!("{other:?}").into()),
        }
    }
    must_eq!(granted, 1);
    Ok(())
}

async fn a_release_with_backoff_holds_claims_off(on: &Subject) -> Outcome {
    let id = on.session().await?;
    let claim = fresh_claim();
    on.store.claim(id, claim).await?;
    let release = Release {
        retry_at: on.soon(),
        fail_class: 3,
        ..giving_back(&claim, true)
    };
    on.store.release(id, release).await?;
    let answer = on.store.claim(id, fresh_claim()).await?;
    must_eq!(
        answer,
        Claimed::BackOff {
            retry_at: release.retry_at,
            fail_class: 3
        }
    );
    on.pass(on.span() * 2).await;
    must_eq!(on.store.claim(id, fresh_claim()).await?, Claimed::Granted);
    Ok(())
}

async fn a_release_forgets_the_intent(on: &Subject) -> Outcome {
    let id = on.session().await?;
    let before = on.live(id).await?.header;
    let claim = fresh_claim();
    on.store.claim(id, claim).await?;
    on.store.release(id, giving_back(&claim, true)).await?;
    let header = on.live(id).await?.header;
    must!(header.intent_fp.is_none());
    must_eq!(header.tries, 0);
    must_eq!(header.owner, Owner::default());
    must_eq!(header.version, before.version + 2);
    must_eq!(on.store.claim(id, fresh_claim()).await?, Claimed::Granted);
    Ok(())
}

async fn a_release_may_keep_the_intent(on: &Subject) -> Outcome {
    let id = on.session().await?;
    let claim = fresh_claim();
    on.store.claim(id, claim).await?;
    on.store.release(id, giving_back(&claim, false)).await?;
    let answer = on.store.claim(id, fresh_claim()).await?;
    must!(matches!(answer, Claimed::Unknown { tries: 1, .. }));
    let mut last = fresh_claim();
    last.last_try = true;
    must_eq!(on.store.claim(id, last).await?, Claimed::Granted);
    on.store.release(id, giving_back(&last, true)).await?;
    let header = on.live(id).await?.header;
    must_eq!((header.intent_fp, header.tries), (OLD, 1));
    Ok(())
}

async fn a_release_by_another_owner_does_nothing(on: &Subject) -> Outcome {
    let id = on.session().await?;
    on.store.claim(id, fresh_claim()).await?;
    let before = on.live(id).await?.header;
    on.store
        .release(id, giving_back(&fresh_claim(), true))
        .await?;
    must_eq!(on.live(id).await?.header, before);
    let unowned = on.session().await?;
    let before = on.live(unowned).await?.header;
    let nobody = giving_back(&claim_by(Owner::default()), true);
    on.store.release(unowned, nobody).await?;
    must_eq!(on.live(unowned).await?.header, before);
    Ok(())
}

async fn a_release_of_an_absent_session_does_nothing(on: &Subject) -> Outcome {
    let id = fresh_id();
    on.store
        .release(id, giving_back(&fresh_claim(), true))
        .await?;
    must!(matches!(on.store.load(id).await?, Loaded::Missing));
    Ok(())
}
