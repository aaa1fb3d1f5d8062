//! Redis or Valkey, 6.2 or later, as the store of several replicas.
//!
//! The keys of a session share a slot, all others stand alone, so everything
//! here works on a cluster too. Keys are never listed; their names hold only
//! digests and random ids. The server's own clock judges leases.
//!
//! A sign-in, a claim, a commit and a sign-out wait until a replica has them,
//! where there is one. Only a claim fails if none does: its token is unspent
//! then, and stays so.

mod advice;
mod cluster;
mod dialer;
mod facts;
mod layout;
mod link;
mod live;
mod probe;
mod refusal;
mod reply;
mod role;
mod scripts;
mod slot;
mod slot_map;
mod source;
mod topology;
mod tracked;
mod tracking;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use ::redis::{Cmd, Script, Value};
use async_trait::async_trait;
use bytes::Bytes;

pub use self::facts::Facts;
use self::layout::{Entry, SessionKeys};
use self::live::{Answer, Lane};
use self::reply::{odd_answer, word_and_numbers};
use self::scripts::Scripts;
use self::topology::Topology;
use self::wire::Order;
use super::changes::{Watcher, Watchers};
use super::{
    Claim, Claimed, Commit, Committed, Digest, Loaded, NewRecords, Once, Release, Store, StoreError,
};
use crate::base::clock::Timestamp;
use crate::config::checked;
use crate::session::record::{Owner, SessionId};
use crate::telemetry::Telemetry;

/// Claims and commits get more time than reads: giving up on them costs more.
const PATIENCE: u32 = 4;

pub struct RedisStore {
    topology: Topology,
    scripts: Scripts,
    prefix: String,
    timeout: Duration,
    watchers: Arc<Watchers>,
}

impl RedisStore {
    /// Starts connecting in the background, on the runtime of the caller; the
    /// server may come and go. Errors tell of the settings only. `timeout`
    /// is what a read may take.
    pub fn new(settings: &checked::Redis, timeout: Duration) -> Result<Self, StoreError> {
        Self::start(settings, timeout, None)
    }

    /// The same, and counts what operators should be woken for.
    pub fn counted(
        settings: &checked::Redis,
        timeout: Duration,
        telemetry: &Telemetry,
    ) -> Result<Self, StoreError> {
        Self::start(settings, timeout, Some(telemetry.clone()))
    }

    fn start(
        settings: &checked::Redis,
        timeout: Duration,
        telemetry: Option<Telemetry>,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            topology: Topology::start(settings, timeout, telemetry)?,
            scripts: Scripts::new(),
            prefix: settings.key_prefix.clone(),
            timeout,
            watchers: Arc::default(),
        })
    }

    fn session_keys(&self, session: SessionId) -> SessionKeys {
        SessionKeys::new(&self.prefix, session)
    }

    fn key(&self, entry: Entry, name: Digest) -> String {
        entry.key(&self.prefix, name)
    }

    /// Of a read, or a single write whose loss costs little.
    async fn send<T: ::redis::FromRedisValue>(
        &self,
        lane: Lane,
        key: &str,
        command: &Cmd,
    ) -> Result<T, StoreError> {
        let order = Order::Command(command);
        let deadline = match lane {
            Lane::Durable => self.timeout * PATIENCE,
            Lane::Tracked | Lane::Read | Lane::Write => self.timeout,
        };
        let answer = self.topology.call(key, lane, order, deadline).await?;
        Ok(answer.value)
    }

    async fn eval<T: ::redis::FromRedisValue>(
        &self,
        lane: Lane,
        script: &Script,
        keys: &[&str],
        arguments: &[&[u8]],
    ) -> Result<Answer<T>, StoreError> {
        let mut invocation = script.prepare_invoke();
        for key in keys {
            invocation.key(*key);
        }
        for argument in arguments {
            invocation.arg(*argument);
        }
        let order = Order::Script(&invocation);
        let deadline = self.timeout * PATIENCE;
        let key = keys.first().copied().unwrap_or_default();
        self.topology.call(key, lane, order, deadline).await
    }
}

impl RedisStore {
    /// A claim that a failover would lose: as if it had not been asked for.
    async fn take_back(&self, session: SessionId, owner: Owner) {
        let release = Release {
            owner,
            clear_intent: true,
            retry_at: Timestamp(0),
            fail_class: 0,
        };
        if let Err(error) = self.release(session, release).await {
            // The intent stays, with a token that was not sent: its outcome
            // counts as unknown, so the session waits for its last try.
            tracing::warn!(%error, "a claim without a replica could not be taken back");
        }
    }
}

fn decimal(time: Timestamp) -> Vec<u8> {
    // PEXPIREAT takes a signed number.
    let millis = i64::try_from(time.0).unwrap_or(i64::MAX);
    millis.to_string().into_bytes()
}

#[async_trait]
impl Store for RedisStore {
    fn kind(&self) -> &'static str {
        "redis"
    }

    fn is_private(&self) -> bool {
        false
    }

    fn watch(&self, watcher: Arc<dyn Watcher>) {
        self.watchers.add(watcher);
        self.topology.watch(&self.prefix, &self.watchers);
    }

    async fn get_ticket(&self, ticket: Digest) -> Result<Option<Bytes>, StoreError> {
        let key = self.key(Entry::Ticket, ticket);
        let value: Option<Vec<u8>> = self
            .send(Lane::Tracked, &key, ::redis::cmd("GET").arg(&key))
            .await?;
        Ok(value.map(Bytes::from))
    }

    async fn put_ticket(
        &self,
        ticket: Digest,
        value: Vec<u8>,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let key = self.key(Entry::Ticket, ticket);
        let mut command = ::redis::cmd("SET");
        command.arg(&key).arg(value);
        command.arg("PXAT").arg(decimal(expires_at));
        self.send(Lane::Durable, &key, &command).await
    }

    async fn remove_ticket(&self, ticket: Digest) -> Result<(), StoreError> {
        let key = self.key(Entry::Ticket, ticket);
        self.send(Lane::Write, &key, ::redis::cmd("DEL").arg(&key))
            .await
    }

    async fn load(&self, session: SessionId) -> Result<Loaded, StoreError> {
        let keys = self.session_keys(session);
        let mut command = ::redis::cmd("MGET");
        command.arg(&keys.tokens).arg(&keys.identity);
        let [tokens, identity]: [Option<Vec<u8>>; 2] =
            self.send(Lane::Tracked, &keys.tokens, &command).await?;
        layout::read(tokens, identity)
    }

    async fn create(&self, session: SessionId, records: NewRecords) -> Result<(), StoreError> {
        let arguments: [&[u8]; 4] = [
            &layout::live_value(&records.header, &records.tokens),
            &records.identity,
            &records.listing,
            &decimal(records.expires_at),
        ];
        let keys = self.session_keys(session);
        let keys = [&*keys.tokens, &keys.identity, &keys.listing];
        let script = &self.scripts.create;
        let made: Answer<bool> = self.eval(Lane::Durable, script, &keys, &arguments).await?;
        if !made.value {
            return Err(StoreError::already_exists());
        }
        Ok(())
    }

    async fn claim(&self, session: SessionId, claim: Claim) -> Result<Claimed, StoreError> {
        let lease = claim.lease.as_millis().to_string();
        let last_try: &[u8] = if claim.last_try { b"1" } else { b"0" };
        let grace = claim.grace.as_millis().to_string();
        let arguments = [
            &claim.rt_fp.0[..],
            &claim.owner.0,
            lease.as_bytes(),
            last_try,
            grace.as_bytes(),
        ];
        let keys = self.session_keys(session);
        let keys = [&*keys.tokens];
        let script = &self.scripts.claim;
        let answer: Answer<Vec<Value>> =
            self.eval(Lane::Durable, script, &keys, &arguments).await?;
        let (word, [first, second]) = word_and_numbers(&answer.value)?;
        let small = |number| u8::try_from(number).map_err(|_| odd_answer());
        Ok(match word {
            b"granted" if !answer.is_copied => {
                self.take_back(session, claim.owner).await;
                return Err(StoreError::Refused(
                    "no replica confirmed the claim in time".into(),
                ));
            }
            b"granted" => Claimed::Granted,
            b"busy" => Claimed::Busy {
                lease_until: Timestamp(first),
            },
            b"backoff" => Claimed::BackOff {
                retry_at: Timestamp(first),
                fail_class: small(second)?,
            },
            b"unknown" => Claimed::Unknown {
                sent_at: Timestamp(first),
                tries: small(second)?,
            },
            b"superseded" => Claimed::Superseded,
            b"gone" => Claimed::Gone,
            _ => return Err(odd_answer()),
        })
    }

    async fn release(&self, session: SessionId, release: Release) -> Result<(), StoreError> {
        let clear_intent: &[u8] = if release.clear_intent { b"1" } else { b"0" };
        let arguments = [
            &release.owner.0[..],
            clear_intent,
            &release.retry_at.0.to_be_bytes(),
            &[release.fail_class],
        ];
        let keys = self.session_keys(session);
        // In the slot of the session, and never there.
        let nothing = format!("{}:none", keys.tokens);
        let keys = [&*keys.tokens, &nothing];
        let script = &self.scripts.release;
        let _: Answer<Vec<Value>> = self.eval(Lane::Write, script, &keys, &arguments).await?;
        Ok(())
    }

    async fn commit(&self, session: SessionId, commit: Commit) -> Result<Committed, StoreError> {
        // A sealed identity is never empty.
        let arguments = [
            &commit.spent_fp.0[..],
            &commit.new_fp.0,
            &commit.access_exp.0.to_be_bytes(),
            &commit.received_at.0.to_be_bytes(),
            &commit.tokens,
            commit.identity.as_deref().unwrap_or_default(),
        ];
        let keys = self.session_keys(session);
        let keys = [&*keys.tokens, &keys.identity];
        let script = &self.scripts.commit;
        // A commit that no replica confirmed stands all the same: the token is
        // spent, and to say that it failed would not make it more durable.
        let answer: Answer<Vec<Value>> =
            self.eval(Lane::Durable, script, &keys, &arguments).await?;
        match word_and_numbers(&answer.value)? {
            (b"done", [version, _]) => Ok(Committed::Done { version }),
            (b"superseded", _) => Ok(Committed::Superseded),
            (b"gone", _) => Ok(Committed::Gone),
            _ => Err(odd_answer()),
        }
    }

    async fn put_identity(&self, session: SessionId, identity: Vec<u8>) -> Result<(), StoreError> {
        let keys = self.session_keys(session);
        let keys = [&*keys.tokens, &keys.identity];
        let script = &self.scripts.put_identity;
        let _: Answer<Vec<Value>> = self.eval(Lane::Write, script, &keys, &[&identity]).await?;
        Ok(())
    }

    async fn touch(&self, session: SessionId, last_seen: Timestamp) -> Result<(), StoreError> {
        let keys = self.session_keys(session);
        let arguments: [&[u8]; 1] = [&last_seen.0.to_be_bytes()];
        let keys = [&*keys.tokens];
        let script = &self.scripts.touch;
        let _: Answer<Vec<Value>> = self.eval(Lane::Write, script, &keys, &arguments).await?;
        Ok(())
    }

    async fn tombstone(&self, session: SessionId, at: Timestamp) -> Result<bool, StoreError> {
        let keys = self.session_keys(session);
        let keys = [&*keys.tokens, &keys.identity, &keys.listing];
        let value = layout::tombstone_value(at);
        let script = &self.scripts.tombstone;
        let ended: Answer<bool> = self.eval(Lane::Durable, script, &keys, &[&value]).await?;
        Ok(ended.value)
    }

    async fn index_add(
        &self,
        index: Digest,
        session: SessionId,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let arguments: [&[u8]; 2] = [&session.0, &decimal(expires_at)];
        let key = self.key(Entry::Index, index);
        let script = &self.scripts.index_add;
        let _: Answer<u8> = self
            .eval(Lane::Durable, script, &[&key], &arguments)
            .await?;
        Ok(())
    }

    async fn index_list(&self, index: Digest) -> Result<Vec<SessionId>, StoreError> {
        let key = self.key(Entry::Index, index);
        let script = &self.scripts.index_list;
        let members: Answer<Vec<Vec<u8>>> = self.eval(Lane::Read, script, &[&key], &[]).await?;
        let foreign = |_| StoreError::Corrupt("an index holds something else".into());
        members
            .value
            .into_iter()
            .map(|member| member.try_into().map(SessionId).map_err(foreign))
            .collect()
    }

    async fn index_remove(&self, index: Digest, session: SessionId) -> Result<(), StoreError> {
        let key = self.key(Entry::Index, index);
        let mut command = ::redis::cmd("ZREM");
        command.arg(&key).arg(&session.0);
        self.send(Lane::Write, &key, &command).await
    }

    async fn once(&self, key: Digest, expires_at: Timestamp) -> Result<Once, StoreError> {
        let name = self.key(Entry::Once, key);
        let script = &self.scripts.once;
        let seen: Answer<Option<Vec<u8>>> = self
            .eval(Lane::Write, script, &[&name], &[&decimal(expires_at)])
            .await?;
        Ok(seen
            .value
            .map_or(Once::First, |value| Once::Seen(value.into())))
    }

    async fn once_finish(&self, key: Digest, value: Vec<u8>) -> Result<(), StoreError> {
        let key = self.key(Entry::Once, key);
        let mut command = ::redis::cmd("SET");
        command.arg(&key).arg(value).arg("XX").arg("KEEPTTL");
        self.send(Lane::Write, &key, &command).await
    }

    async fn put_down(
        &self,
        key: Digest,
        value: Vec<u8>,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let key = self.key(Entry::PutDown, key);
        let mut command = ::redis::cmd("SET");
        command.arg(&key).arg(value);
        command.arg("PXAT").arg(decimal(expires_at));
        self.send(Lane::Write, &key, &command).await
    }

    async fn take(&self, key: Digest) -> Result<Option<Bytes>, StoreError> {
        let key = self.key(Entry::PutDown, key);
        let value: Option<Vec<u8>> = self
            .send(Lane::Write, &key, ::redis::cmd("GETDEL").arg(&key))
            .await?;
        Ok(value.map(Bytes::from))
    }

    async fn pin(&self, key: Digest, value: Vec<u8>) -> Result<Bytes, StoreError> {
        let name = self.key(Entry::Pin, key);
        let script = &self.scripts.pin;
        let pinned: Answer<Vec<u8>> = self
            .eval(Lane::Durable, script, &[&name], &[&value])
            .await?;
        Ok(pinned.value.into())
    }

    async fn unpin(&self, key: Digest) -> Result<bool, StoreError> {
        let key = self.key(Entry::Pin, key);
        self.send(Lane::Durable, &key, ::redis::cmd("DEL").arg(&key))
            .await
    }

    async fn history_add(
        &self,
        name: Digest,
        entry: Vec<u8>,
        keep: usize,
        expires_at: Timestamp,
    ) -> Result<(), StoreError> {
        let key = self.key(Entry::History, name);
        let keep = keep.to_string();
        let arguments: [&[u8]; 3] = [&entry, keep.as_bytes(), &decimal(expires_at)];
        let script = &self.scripts.history_add;
        // Losing one costs little: no replica is waited for.
        let _: Answer<u8> = self.eval(Lane::Write, script, &[&key], &arguments).await?;
        Ok(())
    }

    async fn history(&self, name: Digest) -> Result<Vec<Bytes>, StoreError> {
        let key = self.key(Entry::History, name);
        let mut command = ::redis::cmd("LRANGE");
        command.arg(&key).arg(0).arg(-1);
        let entries: Vec<Vec<u8>> = self.send(Lane::Read, &key, &command).await?;
        Ok(entries.into_iter().map(Bytes::from).collect())
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.write_and_read().await
    }
}

#[cfg(test)]
mod tests;
