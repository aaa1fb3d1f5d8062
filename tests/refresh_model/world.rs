//! What there is: a clock, one record in a store, up to three replicas, the
//! provider's side of the session, and what the promises are judged by.

use std::hash::{Hash, Hasher};

use vestibule::base::clock::Timestamp;
use vestibule::session::record::{Fingerprint, Owner, TokenHeader};

pub const REPLICAS: usize = 3;
/// Refresh tokens count up from 1; two rotations lead to this one.
pub const LAST_TOKEN: u8 = 3;
/// An access token that outlives the run.
pub const FOR_EVER: Timestamp = Timestamp(99);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    Live(TokenHeader),
    Tombstone,
}

/// By the stored bytes, so that a field which the rules gain counts as well.
impl Hash for Record {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Live(header) => header.encode().hash(state),
            Self::Tombstone => 0_u8.hash(state),
        }
    }
}

impl Record {
    pub fn header(&self) -> Option<&TokenHeader> {
        match self {
            Self::Live(header) => Some(header),
            Self::Tombstone => None,
        }
    }

    pub fn is_live(&self) -> bool {
        *self != Self::Tombstone
    }
}

/// What the one refresh under way in a process has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Replica {
    Idle,
    /// Has read the record and wants to refresh.
    Read {
        token: u8,
        /// The access token had ended by then.
        ended: bool,
    },
    Claimed {
        token: u8,
        at: u64,
        ended: bool,
    },
    /// Sent; the answer is on its way. 0 is `invalid_grant`.
    Waiting {
        token: u8,
        answer: u8,
    },
    /// Holds new tokens that are not stored yet.
    Holds {
        spent: u8,
        new: u8,
        /// The store refused them once: they are in the spool as well.
        spooled: bool,
    },
    /// Has stored new tokens and looks at what they say.
    Validates,
    /// Was told `invalid_grant`.
    Refused {
        token: u8,
    },
    /// Has read the record again and goes to end the session.
    Ends {
        token: u8,
    },
    /// Nobody will answer any more: the claim has to be given back.
    Lost,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    pub now: u64,
    pub record: Record,
    /// What the store falls back to if it loses its last write.
    pub before: Record,
    pub written_at: u64,
    pub replicas: [Replica; REPLICAS],
    /// Tokens that a process which crashed had spooled: (spent, new).
    pub spool: Vec<(u8, u8)>,
    /// The tombstone waits in a file of whoever signed out, to be written
    /// (again).
    pub tombstone_waits: bool,

    /// The refresh token that the provider accepts.
    pub current: u8,
    /// When it replaced the one before.
    pub rotated_at: u64,
    pub family_ended: bool,

    pub crashes: u8,
    pub lost_writes: u8,
    pub hiccups: u8,

    /// When each token was sent for the first time.
    pub first_sent: [u64; LAST_TOKEN as usize],
    /// How often each token was sent: in the ordinary way, and again after
    /// the access token had ended.
    pub sent: [(u8, u8); LAST_TOKEN as usize],
    /// Somebody signed out, or the new tokens were somebody else's.
    pub ended: bool,
    pub revived: bool,
    pub good_session_deleted: bool,
    /// Bit n: nobody has the provider's answer with token n any more, because
    /// the network lost it or its holder crashed.
    pub unheard: u8,
    /// Bit n: a write about token n was lost.
    pub tainted: u8,
}

pub fn fingerprint(token: u8) -> Fingerprint {
    Fingerprint([token; 16])
}

/// The owner of the attempt that a replica has under way.
pub fn owner(replica: usize) -> Owner {
    Owner([u8::try_from(replica).expect("three at most") + 1; 16])
}

/// The owner of an attempt that is over. Each attempt has an owner of its
/// own, so nobody is this one.
const NOBODY: Owner = Owner([9; 16]);
/// The owner of an attempt that comes later.
pub const STRANGER: Owner = Owner([8; 16]);

impl World {
    pub fn new(access_ends: Timestamp) -> Self {
        let header = TokenHeader::new(fingerprint(1), access_ends, Timestamp(0));
        let record = Record::Live(header);
        Self {
            now: 0,
            before: record.clone(),
            record,
            written_at: 0,
            replicas: [Replica::Idle; REPLICAS],
            spool: Vec::new(),
            tombstone_waits: false,
            current: 1,
            rotated_at: 0,
            family_ended: false,
            crashes: 0,
            lost_writes: 0,
            hiccups: 0,
            first_sent: [0; LAST_TOKEN as usize],
            sent: [(0, 0); LAST_TOKEN as usize],
            ended: false,
            revived: false,
            good_session_deleted: false,
            unheard: 0,
            tainted: 0,
        }
    }

    pub fn time(&self) -> Timestamp {
        Timestamp(self.now)
    }

    pub fn header(&self) -> Option<&TokenHeader> {
        self.record.header()
    }

    /// The token in the record; 0 in a tombstone.
    pub fn stored_token(&self) -> u8 {
        self.header().map_or(0, |header| header.rt_fp.0[0])
    }

    pub fn write(&mut self, record: Record) {
        let was_live = self.record.is_live();
        self.before = std::mem::replace(&mut self.record, record);
        self.written_at = self.now;
        self.revived |= self.ended && !was_live && self.record.is_live();
    }

    pub fn write_header(&mut self, header: TokenHeader) {
        self.write(Record::Live(header));
    }

    /// How often tokens were sent beyond once and one last try.
    pub fn excess_sends(&self) -> u8 {
        let more = |times: u8| times.saturating_sub(1);
        let sent = self.sent.iter();
        sent.map(|(first, last)| more(*first) + more(*last)).sum()
    }

    /// Somebody alive, or a spool, has this token and will store it.
    pub fn is_held(&self, wanted: u8) -> bool {
        let in_process = self.replicas.iter().any(|replica| match replica {
            Replica::Waiting { answer, .. } => *answer == wanted,
            Replica::Holds { new, .. } => *new == wanted,
            _ => false,
        });
        in_process || self.spool.iter().any(|(_, new)| *new == wanted)
    }

    /// Token n may be missing through no fault of the protocol.
    pub fn is_excused(&self, token: u8) -> bool {
        self.unheard & (1 << token) != 0 || self.is_tainted(token)
    }

    pub fn is_tainted(&self, token: u8) -> bool {
        self.tainted & (1 << token) != 0
    }

    /// The provider has replaced the record's token, and its successor is
    /// nowhere.
    pub fn has_lost_token(&self) -> bool {
        self.record.is_live()
            && !self.ended
            && !self.family_ended
            && self.stored_token() < self.current
            && !self.is_held(self.current)
            && !self.is_excused(self.current)
    }

    /// Forgets differences that nothing can tell, and which replica is which.
    pub fn normalise(&mut self, keeps: Keeps) {
        self.spool.sort_unstable();
        if keeps.lost_writes == self.lost_writes || self.now > self.written_at + keeps.loss_window {
            self.before = self.record.clone();
            self.written_at = 0;
        }
        if !keeps.grace {
            self.rotated_at = 0;
            self.first_sent = [0; LAST_TOKEN as usize];
        }
        let now = self.time();
        for record in [&mut self.record, &mut self.before] {
            let Record::Live(header) = record else {
                continue;
            };
            // Versions and idle time only count up.
            header.version = 1;
            header.last_seen = Timestamp(0);
            // They decide how long pauses are, not what may be sent.
            header.failures = 0;
            header.received_at = Timestamp(0);
            if !keeps.grace || header.intent_fp.is_none() {
                header.sent_at = Timestamp(0);
            }
            let idle = |replica: &Replica| matches!(replica, Replica::Idle | Replica::Read { .. });
            let replicas = self.replicas.iter().enumerate();
            if replicas
                .into_iter()
                .any(|(index, replica)| idle(replica) && header.owner == owner(index))
            {
                header.owner = NOBODY;
            }
            if header.lease_until <= now {
                header.lease_until = Timestamp(0);
                if header.owner == NOBODY {
                    header.owner = Owner::default();
                }
            }
            if header.retry_at <= now {
                header.retry_at = Timestamp(0);
                header.fail_class = 0;
            }
        }
        self.sort_replicas();
    }

    fn sort_replicas(&mut self) {
        let owns = |record: &Record, index: usize| {
            record
                .header()
                .is_some_and(|header| header.owner == owner(index))
        };
        let mut order: [usize; REPLICAS] = std::array::from_fn(|index| index);
        order.sort_by_key(|index| {
            let (now, before) = (owns(&self.record, *index), owns(&self.before, *index));
            (self.replicas[*index], now, before)
        });
        for record in [&mut self.record, &mut self.before] {
            if let Record::Live(header) = record
                && let Some(place) = order.iter().position(|old| header.owner == owner(*old))
            {
                header.owner = owner(place);
            }
        }
        self.replicas = order.map(|old| self.replicas[old]);
    }
}

/// Which differences a case can still tell.
#[derive(Debug, Clone, Copy)]
pub struct Keeps {
    /// How many writes may be lost in all.
    pub lost_writes: u8,
    pub loss_window: u64,
    pub grace: bool,
}
