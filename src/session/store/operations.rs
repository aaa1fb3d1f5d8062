//! The operations of a store, once: for those that stand before another store
//! and hand each of them on.

/// Calls the macro `$stands_before` with every operation, by what it changes of
/// that which may be known of a session in memory.
macro_rules! operations {
    ($stands_before:ident) => {
        $stands_before! {
            nothing_kept {
                get_ticket(ticket: Digest) -> Option<Bytes>;
                load(session: SessionId) -> Loaded;
                index_add(index: Digest, session: SessionId, expires_at: Timestamp) -> ();
                index_list(index: Digest) -> Vec<SessionId>;
                index_remove(index: Digest, session: SessionId) -> ();
                once(key: Digest, expires_at: Timestamp) -> Once;
                once_finish(key: Digest, value: Vec<u8>) -> ();
                put_down(key: Digest, value: Vec<u8>, expires_at: Timestamp) -> ();
                take(key: Digest) -> Option<Bytes>;
                pin(key: Digest, value: Vec<u8>) -> Bytes;
                unpin(key: Digest) -> bool;
                history_add(name: Digest, entry: Vec<u8>, keep: usize, expires_at: Timestamp) -> ();
                history(name: Digest) -> Vec<Bytes>;
                probe() -> ();
            }
            ticket {
                put_ticket(ticket: Digest, value: Vec<u8>, expires_at: Timestamp) -> ();
                remove_ticket(ticket: Digest) -> ();
            }
            session {
                create(session: SessionId, records: NewRecords) -> ();
                claim(session: SessionId, claim: Claim) -> Claimed;
                release(session: SessionId, release: Release) -> ();
                commit(session: SessionId, commit: Commit) -> Committed;
                put_identity(session: SessionId, identity: Vec<u8>) -> ();
                touch(session: SessionId, last_seen: Timestamp) -> ();
            }
            end {
                tombstone(session: SessionId, at: Timestamp) -> bool;
            }
        }
    };
}

pub(in crate::session) use operations;
