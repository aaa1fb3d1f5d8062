//! Histories: bounded lists that keep their order.

use super::subject::*;
use crate::base::clock::Timestamp;

cases! {
    entries_come_back_in_their_order
    only_the_last_entries_stay
    a_history_is_gone_after_its_time
    parallel_entries_are_all_kept
    a_history_is_not_that_of_another_name_or_kind
}

async fn entries_come_back_in_their_order(on: &Subject) -> Outcome {
    let name = fresh_name();
    must!(on.store.history(name).await?.is_empty());
    for entry in [&binary(300)[..], b"second", b""] {
        let entry = entry.to_vec();
        on.store.history_add(name, entry, 16, on.later()).await?;
    }
    let kept = on.store.history(name).await?;
    must_eq!(kept.len(), 3);
    must_eq!(&kept[0][..], &binary(300)[..]);
    must_eq!(&kept[1][..], &b"second"[..]);
    must!(kept[2].is_empty());
    Ok(())
}

async fn only_the_last_entries_stay(on: &Subject) -> Outcome {
    let name = fresh_name();
    for number in 0..20_u8 {
        let entry = vec![number];
        on.store.history_add(name, entry, 16, on.later()).await?;
    }
    let kept: Vec<u8> = on
        .store
        .history(name)
        .await?
        .iter()
        .map(|entry| entry[0])
        .collect();
    must_eq!(kept, (4..20).collect::<Vec<u8>>());
    Ok(())
}

async fn a_history_is_gone_after_its_time(on: &Subject) -> Outcome {
    let (soon, past) = (fresh_name(), fresh_name());
    on.store
        .history_add(soon, b"a".to_vec(), 16, on.soon())
        .await?;
    on.store
        .history_add(past, b"a".to_vec(), 16, Timestamp(1))
        .await?;
    must!(on.store.history(past).await?.is_empty());
    on.pass(on.span() * 2).await;
    must!(on.store.history(soon).await?.is_empty());
    on.store
        .history_add(soon, b"b".to_vec(), 16, on.later())
        .await?;
    let kept = on.store.history(soon).await?;
    must_eq!(kept.len(), 1);
    // An entry of shorter life takes none away.
    on.store
        .history_add(soon, b"c".to_vec(), 16, on.soon())
        .await?;
    on.pass(on.span() * 2).await;
    let kept = on.store.history(soon).await?;
    must!(kept.iter().any(|entry| &entry[..] == b"b"));
    Ok(())
}

async fn parallel_entries_are_all_kept(on: &Subject) -> Outcome {
    let name = fresh_name();
    let until = on.later();
    let tasks: Vec<_> = (0..16_u8)
        .map(|number| {
            let store = on.store.clone();
            tokio::spawn(async move { store.history_add(name, vec![number], 16, until).await })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    must_eq!(on.store.history(name).await?.len(), 16);
    Ok(())
}

async fn a_history_is_not_that_of_another_name_or_kind(on: &Subject) -> Outcome {
    let name = fresh_name();
    on.store.put_ticket(name, b"t".to_vec(), on.later()).await?;
    on.store.once(name, on.later()).await?;
    must!(on.store.history(name).await?.is_empty());
    on.store
        .history_add(name, b"a".to_vec(), 16, on.later())
        .await?;
    must!(on.store.history(fresh_name()).await?.is_empty());
    must_eq!(on.store.get_ticket(name).await?.as_deref(), Some(&b"t"[..]));
    Ok(())
}
