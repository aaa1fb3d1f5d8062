//! Tickets, indexes, single use, the probe.

use super::subject::*;
use crate::base::clock::Timestamp;
use crate::session::store::*;

cases! {
    an_index_entry_may_live_longer_than_the_first
    a_ticket_is_read_back
    an_absent_ticket_is_none
    a_ticket_can_be_replaced
    a_ticket_can_be_removed
    an_expired_ticket_is_invisible
    a_large_ticket_is_kept_whole
    an_empty_value_is_a_value
    an_index_lists_its_sessions
    an_index_forgets_only_the_one_removed
    expired_index_entries_are_invisible
    once_has_one_winner
    once_remembers_its_result
    once_is_over_with_its_time
    once_finish_creates_nothing
    probe_answers
}

async fn a_ticket_is_read_back(on: &Subject) -> Outcome {
    let name = fresh_name();
    on.store.put_ticket(name, binary(600), on.later()).await?;
    let value = on.store.get_ticket(name).await?;
    must_eq!(value.as_deref(), Some(&binary(600)[..]));
    Ok(())
}

async fn an_absent_ticket_is_none(on: &Subject) -> Outcome {
    must!(on.store.get_ticket(fresh_name()).await?.is_none());
    on.store.remove_ticket(fresh_name()).await?;
    Ok(())
}

async fn a_ticket_can_be_replaced(on: &Subject) -> Outcome {
    let name = fresh_name();
    on.store.put_ticket(name, b"a".to_vec(), on.later()).await?;
    on.store.put_ticket(name, b"b".to_vec(), on.later()).await?;
    must_eq!(on.store.get_ticket(name).await?.as_deref(), Some(&b"b"[..]));
    Ok(())
}

async fn a_ticket_can_be_removed(on: &Subject) -> Outcome {
    let name = fresh_name();
    on.store.put_ticket(name, b"a".to_vec(), on.later()).await?;
    on.store.remove_ticket(name).await?;
    must!(on.store.get_ticket(name).await?.is_none());
    Ok(())
}

async fn an_expired_ticket_is_invisible(on: &Subject) -> Outcome {
    let (soon, past) = (fresh_name(), fresh_name());
    on.store.put_ticket(soon, b"a".to_vec(), on.soon()).await?;
    on.store
        .put_ticket(past, b"a".to_vec(), Timestamp(1))
        .await?;
    must!(on.store.get_ticket(past).await?.is_none());
    must!(on.store.get_ticket(soon).await?.is_some());
    on.pass(on.span() * 2).await;
    must!(on.store.get_ticket(soon).await?.is_none());
    Ok(())
}

async fn a_large_ticket_is_kept_whole(on: &Subject) -> Outcome {
    let name = fresh_name();
    on.store.put_ticket(name, binary(LARGE), on.later()).await?;
    let value = on.store.get_ticket(name).await?;
    must!(value.as_deref() == Some(&binary(LARGE)[..]));
    Ok(())
}

async fn an_empty_value_is_a_value(on: &Subject) -> Outcome {
    let name = fresh_name();
    on.store.put_ticket(name, Vec::new(), on.later()).await?;
    must_eq!(on.store.get_ticket(name).await?.as_deref(), Some(&b""[..]));
    Ok(())
}

async fn listed(on: &Subject, index: Digest) -> Result<Vec<[u8; 16]>, Failure> {
    let mut ids: Vec<_> = on.store.index_list(index).await?;
    ids.sort_by_key(|id| id.0);
    Ok(ids.into_iter().map(|id| id.0).collect())
}

async fn an_index_lists_its_sessions(on: &Subject) -> Outcome {
    let (index, other) = (fresh_name(), fresh_name());
    must!(listed(on, index).await?.is_empty());
    let mut ids = [fresh_id(), fresh_id(), fresh_id()];
    ids.sort_by_key(|id| id.0);
    for id in ids.iter().chain(&ids) {
        on.store.index_add(index, *id, on.later()).await?;
    }
    on.store.index_add(other, fresh_id(), on.later()).await?;
    must_eq!(listed(on, index).await?, ids.map(|id| id.0));
    Ok(())
}

async fn an_index_forgets_only_the_one_removed(on: &Subject) -> Outcome {
    let index = fresh_name();
    let (old, new) = (fresh_id(), fresh_id());
    on.store.index_add(index, old, on.later()).await?;
    on.store.index_add(index, new, on.later()).await?;
    on.store.index_remove(index, old).await?;
    on.store.index_remove(index, fresh_id()).await?;
    must_eq!(listed(on, index).await?, [new.0]);
    on.store.index_remove(index, new).await?;
    must!(listed(on, index).await?.is_empty());
    Ok(())
}

async fn expired_index_entries_are_invisible(on: &Subject) -> Outcome {
    let index = fresh_name();
    let (long, short) = (fresh_id(), fresh_id());
    on.store.index_add(index, long, on.later()).await?;
    on.store.index_add(index, short, on.soon()).await?;
    must_eq!(listed(on, index).await?.len(), 2);
    on.pass(on.span() * 2).await;
    must_eq!(listed(on, index).await?, [long.0]);
    Ok(())
}

async fn once_has_one_winner(on: &Subject) -> Outcome {
    let (key, expires_at) = (fresh_name(), on.later());
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let store = on.store.clone();
            tokio::spawn(async move { store.once(key, expires_at).await })
        })
        .collect();
    let mut first = 0;
    for task in tasks {
        match task.await?? {
            Once::First => first += 1,
            Once::Seen(value) => must!(value.is_empty()),
        }
    }
    must_eq!(first, 1);
    Ok(())
}

async fn once_remembers_its_result(on: &Subject) -> Outcome {
    let key = fresh_name();
    must_eq!(on.store.once(key, on.later()).await?, Once::First);
    on.store.once_finish(key, binary(300)).await?;
    let seen = Once::Seen(binary(300).into());
    must_eq!(on.store.once(key, on.later()).await?, seen);
    Ok(())
}

async fn once_is_over_with_its_time(on: &Subject) -> Outcome {
    let (plain, finished) = (fresh_name(), fresh_name());
    on.store.once(plain, on.soon()).await?;
    on.store.once(finished, on.soon()).await?;
    on.store.once_finish(finished, b"x".to_vec()).await?;
    // A later caller does not prolong it.
    on.store.once(plain, on.later()).await?;
    on.pass(on.span() * 2).await;
    must_eq!(on.store.once(plain, on.later()).await?, Once::First);
    must_eq!(on.store.once(finished, on.later()).await?, Once::First);
    Ok(())
}

async fn once_finish_creates_nothing(on: &Subject) -> Outcome {
    let key = fresh_name();
    on.store.once_finish(key, b"x".to_vec()).await?;
    must_eq!(on.store.once(key, on.later()).await?, Once::First);
    Ok(())
}

async fn probe_answers(on: &Subject) -> Outcome {
    on.store.probe().await?;
    on.store.probe().await?;
    Ok(())
}

async fn an_index_entry_may_live_longer_than_the_first(on: &Subject) -> Outcome {
    let index = fresh_name();
    let (short, long) = (fresh_id(), fresh_id());
    on.store.index_add(index, short, on.soon()).await?;
    on.store.index_add(index, long, on.later()).await?;
    on.pass(on.span() * 2).await;
    must_eq!(listed(on, index).await?, [long.0]);
    Ok(())
}
