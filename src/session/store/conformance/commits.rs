//! New tokens in the place of spent ones.

use super::claims::abandoned;
use super::subject::*;
use crate::base::clock::Timestamp;
use crate::session::record::*;
use crate::session::store::*;

cases! {
    a_commit_replaces_the_tokens
    a_commit_may_replace_the_identity
    a_commit_ends_the_claim
    a_commit_after_the_lease_still_counts
    a_commit_of_another_token_is_superseded
    a_commit_into_a_tombstone_is_gone
    a_commit_never_recreates_a_session
    a_commit_keeps_the_expiry
    of_concurrent_commits_one_is_done
}

async fn a_commit_replaces_the_tokens(on: &Subject) -> Outcome {
    let id = on.session().await?;
    let before = on.live(id).await?;
    let version = before.header.version + 1;
    let answer = on.store.commit(id, commit(OLD, NEW)).await?;
    must_eq!(answer, Committed::Done { version });
    let after = on.live(id).await?;
    must_eq!(after.tokens, commit(OLD, NEW).tokens);
    must_eq!(after.identity, before.identity);
    must_eq!(after.header.rt_fp, NEW);
    must_eq!(after.header.access_exp, Timestamp(77));
    must_eq!(after.header.version, version);
    must_eq!(after.header.last_seen, before.header.last_seen);
    Ok(())
}

async fn a_commit_may_replace_the_identity(on: &Subject) -> Outcome {
    let id = on.session().await?;
    let mut commit = commit(OLD, NEW);
    commit.identity = Some(binary(300));
    on.store.commit(id, commit).await?;
    must_eq!(on.live(id).await?.identity, binary(300));
    Ok(())
}

async fn a_commit_ends_the_claim(on: &Subject) -> Outcome {
    let id = on.session().await?;
    on.store.claim(id, fresh_claim()).await?;
    let before = on.live(id).await?.header;
    on.store.commit(id, commit(OLD, NEW)).await?;
    let header = on.live(id).await?.header;
    let expected = TokenHeader {
        version: before.version + 1,
        sent_at: before.sent_at,
        received_at: Timestamp(66),
        ..TokenHeader::new(NEW, Timestamp(77), before.last_seen)
    };
    must_eq!(header, expected);
    let mut next = fresh_claim();
    next.rt_fp = NEW;
    must_eq!(on.store.claim(id, next).await?, Claimed::Granted);
    Ok(())
}

async fn a_commit_after_the_lease_still_counts(on: &Subject) -> Outcome {
    let (id, _) = abandoned(on).await?;
    let answer = on.store.commit(id, commit(OLD, NEW)).await?;
    must!(matches!(answer, Committed::Done { .. }));
    Ok(())
}

async fn a_commit_of_another_token_is_superseded(on: &Subject) -> Outcome {
    let id = on.session().await?;
    on.store.commit(id, commit(OLD, NEW)).await?;
    let before = on.live(id).await?;
    let answer = on.store.commit(id, commit(OLD, OLD)).await?;
    must_eq!(answer, Committed::Superseded);
    must_eq!(on.live(id).await?.header, before.header);
    Ok(())
}

async fn a_commit_into_a_tombstone_is_gone(on: &Subject) -> Outcome {
    let id = on.session().await?;
    on.store.claim(id, fresh_claim()).await?;
    on.store.tombstone(id, Timestamp(5)).await?;
    must_eq!(
        on.store.commit(id, commit(OLD, NEW)).await?,
        Committed::Gone
    );
    let loaded = on.store.load(id).await?;
    must!(matches!(loaded, Loaded::Tombstone { .. }));
    Ok(())
}

async fn a_commit_never_recreates_a_session(on: &Subject) -> Outcome {
    let id = fresh_id();
    must_eq!(
        on.store.commit(id, commit(OLD, NEW)).await?,
        Committed::Gone
    );
    must!(matches!(on.store.load(id).await?, Loaded::Missing));
    Ok(())
}

async fn a_commit_keeps_the_expiry(on: &Subject) -> Outcome {
    let id = fresh_id();
    let mut records = on.records(OLD);
    records.expires_at = on.soon();
    on.store.create(id, records).await?;
    on.store.commit(id, commit(OLD, NEW)).await?;
    on.live(id).await?;
    on.pass(on.span() * 2).await;
    must!(matches!(on.store.load(id).await?, Loaded::Missing));
    Ok(())
}

async fn of_concurrent_commits_one_is_done(on: &Subject) -> Outcome {
    let id = on.session().await?;
    let tasks: Vec<_> = (0..16_u8)
        .map(|n| {
            let store = on.store.clone();
            let new = Fingerprint([n + 10; 16]);
            tokio::spawn(async move { store.commit(id, commit(OLD, new)).await })
        })
        .collect();
    let mut done = 0;
    for task in tasks {
        match task.await?? {
            Committed::Done { .. } => done += 1,
            Committed::Superseded => {}
            Committed::Gone => return Err("gone".into()),
        }
    }
    must_eq!(done, 1);
    Ok(())
}
