//! Sessions: written, read, used, ended.

use super::subject::*;
use crate::base::clock::Timestamp;
use crate::session::record::*;
use crate::session::store::*;

cases! {
    a_tombstone_replaces_a_session_once
    a_session_is_read_back
    an_absent_session_is_missing
    an_expired_session_is_missing
    large_records_are_kept_whole
    create_never_replaces_a_session
    create_never_replaces_a_tombstone
    sessions_do_not_mix
    an_identity_can_be_replaced
    an_identity_is_not_put_into_a_tombstone
    touch_moves_forward_only
    touch_changes_nothing_else
    touch_creates_nothing
    a_tombstone_keeps_the_expiry
    an_absent_session_gets_no_tombstone
}

async fn a_session_is_read_back(on: &Subject) -> Outcome {
    let id = fresh_id();
    let records = on.records(OLD);
    on.store.create(id, records.clone()).await?;
    let live = on.live(id).await?;
    must_eq!(live.identity, records.identity);
    must_eq!(live.tokens, records.tokens);
    must_eq!(live.header, records.header);
    Ok(())
}

async fn an_absent_session_is_missing(on: &Subject) -> Outcome {
    must!(matches!(on.store.load(fresh_id()).await?, Loaded::Missing));
    Ok(())
}

async fn an_expired_session_is_missing(on: &Subject) -> Outcome {
    let id = fresh_id();
    let mut records = on.records(OLD);
    records.expires_at = on.soon();
    on.store.create(id, records).await?;
    on.live(id).await?;
    on.pass(on.span() * 2).await;
    must!(matches!(on.store.load(id).await?, Loaded::Missing));
    must_eq!(on.store.claim(id, fresh_claim()).await?, Claimed::Gone);
    must_eq!(
        on.store.commit(id, commit(OLD, NEW)).await?,
        Committed::Gone
    );
    must!(!on.store.tombstone(id, on.clock.now()).await?);
    Ok(())
}

async fn large_records_are_kept_whole(on: &Subject) -> Outcome {
    let id = fresh_id();
    let mut records = on.records(OLD);
    records.identity = binary(LARGE);
    records.tokens = binary(LARGE + 1);
    on.store.create(id, records).await?;
    let live = on.live(id).await?;
    must!(live.identity == binary(LARGE));
    must!(live.tokens == binary(LARGE + 1));
    let mut large = commit(OLD, NEW);
    large.tokens = binary(LARGE + 2);
    on.store.commit(id, large).await?;
    must!(on.live(id).await?.tokens == binary(LARGE + 2));
    Ok(())
}

async fn create_never_replaces_a_session(on: &Subject) -> Outcome {
    let id = on.session().await?;
    must!(on.store.create(id, on.records(NEW)).await.is_err());
    must_eq!(on.live(id).await?.header.rt_fp, OLD);
    Ok(())
}

async fn create_never_replaces_a_tombstone(on: &Subject) -> Outcome {
    let id = on.session().await?;
    on.store.tombstone(id, Timestamp(5)).await?;
    must!(on.store.create(id, on.records(NEW)).await.is_err());
    let loaded = on.store.load(id).await?;
    must!(matches!(loaded, Loaded::Tombstone { at: Timestamp(5) }));
    Ok(())
}

async fn sessions_do_not_mix(on: &Subject) -> Outcome {
    let (ann, bob) = (on.session().await?, on.session().await?);
    on.store.tombstone(ann, on.clock.now()).await?;
    must_eq!(on.live(bob).await?.header.rt_fp, OLD);
    Ok(())
}

async fn an_identity_can_be_replaced(on: &Subject) -> Outcome {
    let id = on.session().await?;
    let before = on.live(id).await?;
    on.store.put_identity(id, binary(400)).await?;
    let after = on.live(id).await?;
    must_eq!(after.identity, binary(400));
    must_eq!(after.header, before.header);
    must_eq!(after.tokens, before.tokens);
    Ok(())
}

async fn an_identity_is_not_put_into_a_tombstone(on: &Subject) -> Outcome {
    let (dead, absent) = (on.session().await?, fresh_id());
    on.store.tombstone(dead, Timestamp(5)).await?;
    on.store.put_identity(dead, binary(4)).await?;
    on.store.put_identity(absent, binary(4)).await?;
    let loaded = on.store.load(dead).await?;
    must!(matches!(loaded, Loaded::Tombstone { .. }));
    must!(matches!(on.store.load(absent).await?, Loaded::Missing));
    Ok(())
}

async fn touch_moves_forward_only(on: &Subject) -> Outcome {
    let id = on.session().await?;
    let forward = on.later();
    on.store.touch(id, forward).await?;
    must_eq!(on.live(id).await?.header.last_seen, forward);
    on.store.touch(id, Timestamp(forward.0 - 1)).await?;
    must_eq!(on.live(id).await?.header.last_seen, forward);
    Ok(())
}

async fn touch_changes_nothing_else(on: &Subject) -> Outcome {
    let id = on.session().await?;
    on.store.claim(id, fresh_claim()).await?;
    let before = on.live(id).await?;
    let last_seen = on.later();
    on.store.touch(id, last_seen).await?;
    let after = on.live(id).await?;
    let expected = TokenHeader {
        last_seen,
        ..before.header
    };
    must_eq!(after.header, expected);
    must_eq!(
        (after.identity, after.tokens),
        (before.identity, before.tokens)
    );
    Ok(())
}

async fn touch_creates_nothing(on: &Subject) -> Outcome {
    let (dead, absent) = (on.session().await?, fresh_id());
    on.store.tombstone(dead, Timestamp(5)).await?;
    on.store.touch(dead, on.later()).await?;
    on.store.touch(absent, on.later()).await?;
    let loaded = on.store.load(dead).await?;
    must!(matches!(loaded, Loaded::Tombstone { .. }));
    must!(matches!(on.store.load(absent).await?, Loaded::Missing));
    Ok(())
}

async fn a_tombstone_keeps_the_expiry(on: &Subject) -> Outcome {
    let id = fresh_id();
    let mut records = on.records(OLD);
    records.expires_at = on.soon();
    on.store.create(id, records).await?;
    on.store.tombstone(id, on.clock.now()).await?;
    let loaded = on.store.load(id).await?;
    must!(matches!(loaded, Loaded::Tombstone { .. }));
    on.pass(on.span() * 2).await;
    must!(matches!(on.store.load(id).await?, Loaded::Missing));
    Ok(())
}

async fn an_absent_session_gets_no_tombstone(on: &Subject) -> Outcome {
    let id = fresh_id();
    must!(!on.store.tombstone(id, Timestamp(5)).await?);
    must!(matches!(on.store.load(id).await?, Loaded::Missing));
    Ok(())
}

async fn a_tombstone_replaces_a_session_once(on: &Subject) -> Outcome {
    let id = on.session().await?;
    must!(on.store.tombstone(id, Timestamp(5)).await?);
    must!(!on.store.tombstone(id, Timestamp(6)).await?);
    let loaded = on.store.load(id).await?;
    must!(matches!(loaded, Loaded::Tombstone { at: Timestamp(5) }));
    Ok(())
}
