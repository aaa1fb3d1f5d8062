//! The store under test, what cases write into it, and how they complain.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::{Clock, Timestamp};
use crate::base::random;
use crate::session::record::{Fingerprint, Owner, SessionId, TokenHeader};
use crate::session::store::{
    Claim, Commit, Digest, Loaded, NewRecords, Release, Store, StoredSession,
};

/// A store under test and the way time passes for it.
#[derive(Clone)]
pub struct Subject {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Clock,
    real_time: bool,
}

impl Subject {
    /// A store that goes by a movable clock.
    pub fn with_clock(store: Arc<dyn Store>, clock: Clock) -> Self {
        Self {
            store,
            clock,
            real_time: false,
        }
    }

    /// A store that goes by the time of a server: cases wait.
    pub fn in_real_time(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            clock: Clock::system(),
            real_time: true,
        }
    }

    pub(super) fn is_in_real_time(&self) -> bool {
        self.real_time
    }

    pub(super) async fn pass(&self, length: Duration) {
        if self.real_time {
            tokio::time::sleep(length).await;
        } else {
            self.clock
                .advance(i64::try_from(length.as_millis()).unwrap_or(i64::MAX));
        }
    }

    /// Soon over, and longer than some operations of a slow machine take; a
    /// clock that is moved runs on by itself, too.
    pub(super) fn span(&self) -> Duration {
        Duration::from_millis(if self.real_time { 400 } else { 60_000 })
    }

    pub(super) fn soon(&self) -> Timestamp {
        self.clock.now().plus(self.span())
    }

    pub(super) fn later(&self) -> Timestamp {
        self.clock.now().plus(Duration::from_secs(3600))
    }

    pub(super) fn records(&self, rt_fp: Fingerprint) -> NewRecords {
        let now = self.clock.now();
        NewRecords {
            identity: b"identity \x00\xff\r\n".to_vec(),
            header: TokenHeader::new(rt_fp, now.plus(self.span()), now),
            tokens: b"tokens \x00\xfe\r\n".to_vec(),
            listing: b"listing".to_vec(),
            expires_at: self.later(),
        }
    }

    pub(super) async fn session(&self) -> Result<SessionId, Failure> {
        let id = fresh_id();
        self.store.create(id, self.records(OLD)).await?;
        Ok(id)
    }

    pub(super) async fn live(&self, id: SessionId) -> Result<StoredSession, Failure> {
        match self.store.load(id).await? {
            Loaded::Live(session) => Ok(session),
            other => Err(format!("not live: {other:?}").into()),
        }
    }
}

pub(super) type Failure = Box<dyn Error + Send + Sync>;
pub(super) type Outcome = Result<(), Failure>;

pub(super) const OLD: Fingerprint = Fingerprint([1; 16]);
pub(super) const NEW: Fingerprint = Fingerprint([2; 16]);
pub(super) const LARGE: usize = 64 * 1024;

pub(super) fn fresh_id() -> SessionId {
    SessionId(random::bytes())
}

pub(super) fn fresh_name() -> Digest {
    Digest(random::bytes())
}

pub(super) fn claim_by(owner: Owner) -> Claim {
    Claim {
        rt_fp: OLD,
        owner,
        lease: Duration::from_secs(15),
        last_try: false,
        grace: Duration::ZERO,
    }
}

pub(super) fn fresh_claim() -> Claim {
    claim_by(Owner(random::bytes()))
}

pub(super) fn giving_back(claim: &Claim, clear_intent: bool) -> Release {
    Release {
        owner: claim.owner,
        clear_intent,
        retry_at: Timestamp(0),
        fail_class: 0,
    }
}

pub(super) fn commit(spent_fp: Fingerprint, new_fp: Fingerprint) -> Commit {
    Commit {
        spent_fp,
        new_fp,
        access_exp: Timestamp(77),
        received_at: Timestamp(66),
        identity: None,
        tokens: b"new tokens \x00".to_vec(),
    }
}

/// Binary of every byte value, `length` long.
pub(super) fn binary(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n % 251) as u8).collect()
}

macro_rules! must {
    ($condition:expr) => {
        if !$condition {
            return Err(concat!("does not hold: ", stringify!($condition)).into());
        }
    };
}

macro_rules! must_eq {
    ($left:expr, $right:expr) => {
        match (&$left, &$right) {
            (left, right) if left != right => {
                return Err(format!("{}: {left:?} is not {right:?}", stringify!($left)).into());
            }
            _ => {}
        }
    };
}

/// Names the cases of a group and makes the group's `run`.
macro_rules! cases {
    ($($case:ident)*) => {
        pub(super) async fn run(on: &Subject, failures: &mut Vec<String>) {
            $(
                if let Err(error) = $case(on).await {
                    failures.push(format!("{}: {error}", stringify!($case)));
                }
            )*
        }
    };
}

pub(super) use {cases, must, must_eq};
