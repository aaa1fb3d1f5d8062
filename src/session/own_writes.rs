//! What this process writes is forgotten here at once, whether or not the
//! store tells of it, and whatever became of the write.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::hot::{Entry, HotCache};
use super::record::SessionId;
use super::store::changes::Watcher;
use super::store::operations::operations;
use super::store::{
    Claim, Claimed, Commit, Committed, Digest, Loaded, NewRecords, Once, Release, Store, StoreError,
};
use crate::base::clock::Timestamp;

/// Who keeps what was read.
pub(super) trait Keeper: Send + Sync {
    fn ticket_written(&self, name: Digest);
    fn session_written(&self, id: SessionId);
    fn session_ended(&self, id: SessionId);
}

impl<V, R> Keeper for HotCache<V, R>
where
    V: Entry + Send + Sync,
    R: Send + Sync,
{
    fn ticket_written(&self, name: Digest) {
        self.ticket_changed(name);
    }

    fn session_written(&self, id: SessionId) {
        Self::session_written(self, id);
    }

    fn session_ended(&self, id: SessionId) {
        self.session_changed(id);
    }
}

pub(super) struct OwnWrites {
    store: Arc<dyn Store>,
    keeper: Arc<dyn Keeper>,
}

/// Tells when the write has ended, also if nobody waits for its end.
struct Written<'a> {
    keeper: &'a dyn Keeper,
    what: What,
}

enum What {
    Ticket(Digest),
    Session(SessionId),
    End(SessionId),
}

impl Drop for Written<'_> {
    fn drop(&mut self) {
        match self.what {
            What::Ticket(name) => self.keeper.ticket_written(name),
            What::Session(id) => self.keeper.session_written(id),
            What::End(id) => self.keeper.session_ended(id),
        }
    }
}

impl OwnWrites {
    pub(super) fn new(store: Arc<dyn Store>, keeper: Arc<dyn Keeper>) -> Self {
        Self { store, keeper }
    }

    fn write(&self, what: What) -> Written<'_> {
        Written {
            keeper: &*self.keeper,
            what,
        }
    }
}

macro_rules! told {
    (
        nothing_kept { $($other:ident($($oa:ident: $ok:ty),*) -> $oo:ty;)* }
        ticket { $($ticket:ident($name:ident: Digest $(, $ta:ident: $tk:ty)*) -> $to:ty;)* }
        session { $($session:ident($id:ident: SessionId $(, $sa:ident: $sk:ty)*) -> $so:ty;)* }
        end { $($end:ident($ended:ident: SessionId $(, $ea:ident: $ek:ty)*) -> $eo:ty;)* }
    ) => {
        #[async_trait]
        impl Store for OwnWrites {
            fn kind(&self) -> &'static str {
                self.store.kind()
            }

            fn is_private(&self) -> bool {
                self.store.is_private()
            }

            fn watch(&self, watcher: Arc<dyn Watcher>) {
                self.store.watch(watcher);
            }

            $(async fn $other(&self, $($oa: $ok),*) -> Result<$oo, StoreError> {
                self.store.$other($($oa),*).await
            })*

            $(async fn $ticket(&self, $name: Digest, $($ta: $tk),*) -> Result<$to, StoreError> {
                let _written = self.write(What::Ticket($name));
                self.store.$ticket($name, $($ta),*).await
            })*

            $(async fn $session(&self, $id: SessionId, $($sa: $sk),*) -> Result<$so, StoreError> {
                let _written = self.write(What::Session($id));
                self.store.$session($id, $($sa),*).await
            })*

            $(async fn $end(&self, $ended: SessionId, $($ea: $ek),*) -> Result<$eo, StoreError> {
                let _written = self.write(What::End($ended));
                self.store.$end($ended, $($ea),*).await
            })*
        }
    };
}

operations!(told);

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use super::*;
    use crate::base::clock::Clock;
    use crate::session::store::changes::tests::Notes;
    use crate::session::store::spoiled::SpoiledStore;

    impl Keeper for Notes {
        fn ticket_written(&self, name: Digest) {
            self.ticket_changed(name);
        }

        fn session_written(&self, id: SessionId) {
            self.session_changed(id);
        }

        fn session_ended(&self, id: SessionId) {
            self.0.lock().unwrap().push(format!("end {}", id.0[0]));
        }
    }

    #[tokio::test]
    async fn a_write_is_told_also_if_it_fails_or_nobody_waits() {
        let spoiled = Arc::new(SpoiledStore::new(Clock::movable()));
        let notes = Arc::new(Notes::default());
        let store = OwnWrites::new(spoiled.clone(), notes.clone());
        let told = || std::mem::take(&mut *notes.0.lock().unwrap());
        let (name, id) = (Digest([1; 32]), SessionId([2; 16]));
        store
            .put_ticket(name, vec![1], Timestamp(u64::MAX))
            .await
            .unwrap();
        store.load(id).await.unwrap();
        assert_eq!(told(), ["ticket 1"]);
        spoiled.spoil(Some(StoreError::Unavailable("away".into())));
        assert!(store.tombstone(id, Timestamp(1)).await.is_err());
        assert_eq!(told(), ["end 2"]);
        spoiled.spoil(None);
        let hold = spoiled.hold("touch");
        let mut abandoned = store.touch(id, Timestamp(1));
        let polled = std::future::poll_fn(|context| Poll::Ready(abandoned.as_mut().poll(context)));
        assert!(polled.await.is_pending(), "its answer is held back");
        assert!(told().is_empty());
        drop(abandoned);
        drop(hold);
        assert_eq!(told(), ["session 2"]);
    }
}
