//! Values that one caller takes.

use super::subject::*;
use crate::base::clock::Timestamp;

cases! {
    a_value_is_taken_once
    nothing_is_taken_where_nothing_lies
    fifty_parallel_takes_have_one_winner
    what_was_put_down_is_gone_after_its_time
    a_taken_place_can_be_used_again
    the_place_is_not_that_of_a_ticket_or_a_single_use
}

async fn a_value_is_taken_once(on: &Subject) -> Outcome {
    let key = fresh_name();
    on.store.put_down(key, binary(600), on.later()).await?;
    let value = on.store.take(key).await?;
    must_eq!(value.as_deref(), Some(&binary(600)[..]));
    must!(on.store.take(key).await?.is_none());
    Ok(())
}

async fn nothing_is_taken_where_nothing_lies(on: &Subject) -> Outcome {
    must!(on.store.take(fresh_name()).await?.is_none());
    Ok(())
}

async fn fifty_parallel_takes_have_one_winner(on: &Subject) -> Outcome {
    let key = fresh_name();
    on.store.put_down(key, binary(100), on.later()).await?;
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let store = on.store.clone();
            tokio::spawn(async move { store.take(key).await })
        })
        .collect();
    let mut winners = 0;
    for task in tasks {
        if let Some(value) = task.await?? {
            must_eq!(&value[..], &binary(100)[..]);
            winners += 1;
        }
    }
    must_eq!(winners, 1);
    Ok(())
}

async fn what_was_put_down_is_gone_after_its_time(on: &Subject) -> Outcome {
    let (soon, past) = (fresh_name(), fresh_name());
    on.store.put_down(soon, b"a".to_vec(), on.soon()).await?;
    on.store.put_down(past, b"a".to_vec(), Timestamp(1)).await?;
    must!(on.store.take(past).await?.is_none());
    on.pass(on.span() * 2).await;
    must!(on.store.take(soon).await?.is_none());
    Ok(())
}

async fn a_taken_place_can_be_used_again(on: &Subject) -> Outcome {
    let key = fresh_name();
    on.store.put_down(key, b"a".to_vec(), on.later()).await?;
    on.store.take(key).await?;
    on.store.put_down(key, b"b".to_vec(), on.later()).await?;
    must_eq!(on.store.take(key).await?.as_deref(), Some(&b"b"[..]));
    Ok(())
}

async fn the_place_is_not_that_of_a_ticket_or_a_single_use(on: &Subject) -> Outcome {
    let key = fresh_name();
    on.store.put_ticket(key, b"t".to_vec(), on.later()).await?;
    on.store.once(key, on.later()).await?;
    on.store.pin(key, b"p".to_vec()).await?;
    must!(on.store.take(key).await?.is_none());
    on.store.put_down(key, b"a".to_vec(), on.later()).await?;
    must_eq!(on.store.take(key).await?.as_deref(), Some(&b"a"[..]));
    must_eq!(on.store.get_ticket(key).await?.as_deref(), Some(&b"t"[..]));
    on.store.unpin(key).await?;
    Ok(())
}
