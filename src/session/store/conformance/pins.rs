//! Values that the first caller pins for good. Each case removes its pins:
//! nothing else would.

use std::time::Duration;

use super::subject::*;

cases! {
    the_first_value_stays
    fifty_parallel_pins_agree
    an_empty_value_can_be_pinned
    a_pin_does_not_expire
    after_unpin_the_next_is_first
}

async fn the_first_value_stays(on: &Subject) -> Outcome {
    let (key, other) = (fresh_name(), fresh_name());
    must_eq!(on.store.pin(key, binary(300)).await?[..], binary(300)[..]);
    must_eq!(on.store.pin(key, b"b".to_vec()).await?[..], binary(300)[..]);
    must_eq!(on.store.pin(other, b"b".to_vec()).await?[..], b"b"[..]);
    must!(on.store.unpin(key).await?);
    must!(on.store.unpin(other).await?);
    Ok(())
}

async fn fifty_parallel_pins_agree(on: &Subject) -> Outcome {
    let key = fresh_name();
    let tasks: Vec<_> = (0..50_u8)
        .map(|n| {
            let store = on.store.clone();
            tokio::spawn(async move { (n, store.pin(key, vec![n]).await) })
        })
        .collect();
    let mut winners = Vec::new();
    let mut seen = Vec::new();
    for task in tasks {
        let (mine, pinned) = task.await?;
        let pinned = pinned?;
        if pinned[..] == [mine] {
            winners.push(mine);
        }
        seen.push(pinned);
    }
    must_eq!(winners.len(), 1);
    must!(seen.iter().all(|pinned| pinned[..] == winners[..]));
    must!(on.store.unpin(key).await?);
    Ok(())
}

async fn an_empty_value_can_be_pinned(on: &Subject) -> Outcome {
    let key = fresh_name();
    must!(on.store.pin(key, Vec::new()).await?.is_empty());
    must!(on.store.pin(key, b"b".to_vec()).await?.is_empty());
    must!(on.store.unpin(key).await?);
    Ok(())
}

async fn a_pin_does_not_expire(on: &Subject) -> Outcome {
    let key = fresh_name();
    on.store.pin(key, b"a".to_vec()).await?;
    on.pass(on.span() * 2).await;
    if !on.is_in_real_time() {
        on.pass(Duration::from_secs(10 * 365 * 86_400)).await;
    }
    must_eq!(on.store.pin(key, b"b".to_vec()).await?[..], b"a"[..]);
    must!(on.store.unpin(key).await?);
    Ok(())
}

async fn after_unpin_the_next_is_first(on: &Subject) -> Outcome {
    let key = fresh_name();
    must!(!on.store.unpin(key).await?);
    on.store.pin(key, b"a".to_vec()).await?;
    must!(on.store.unpin(key).await?);
    must!(!on.store.unpin(key).await?);
    must_eq!(on.store.pin(key, b"b".to_vec()).await?[..], b"b"[..]);
    must!(on.store.unpin(key).await?);
    Ok(())
}
