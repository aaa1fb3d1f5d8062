//! A model of the refresh protocol, explored in every order: two replicas,
//! three in one case, a provider that rotates strictly and ends the family at a reuse, leases that
//! run out, crashes at each step, answers that are lost, a log-out, a store
//! that loses its last write.
//!
//! The rules of the record are not retold here: the model calls the ones that
//! the stores run (`session::rotation`). Broken variants of the protocol, as
//! other gateways have them, must be rejected: they show that the properties
//! can fail.

#![expect(clippy::print_stdout, reason = "says how many states were seen")]

use std::time::Duration;

use stateright::{Checker, HasDiscoveries, Model, Property};
use vestibule::base::clock::Timestamp;
use vestibule::session::record::{Fingerprint, HEADER_LENGTH, Owner, TokenHeader};
use vestibule::session::store::{Claim, Claimed, Committed, Release};

/// One lease; also the age at which a claim is too old to be sent.
const LEASE: Duration = Duration::from_millis(1);
/// The access token of the session ends here; a new one outlives the run.
const ACCESS_ENDS: u64 = 2;
const CLOCK_ENDS: u64 = 3;
const REPLICAS: usize = 3;

/// How the protocol is run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    /// Intent before the send, saved on the condition of the spent token.
    Ours,
    /// A: no lock, saved blindly, session deleted at a failure.
    NoLock,
    /// B: a lease that runs out, saved blindly, deleted at a failure.
    LeaseBlindSave,
    /// D: a lease that runs out, saved only by its owner.
    LeaseOwnerSave,
    /// E: a lease that runs out, saved on the condition of the spent token.
    LeaseTokenSave,
    /// H: ours, but saved only by the owner of the lease.
    IntentOwnerSave,
}

#[derive(Debug, Clone, Copy)]
struct Protocol {
    variant: Variant,
    crashes: u8,
    lost_writes: u8,
    log_out: bool,
    /// The provider accepts the token before the current one as well.
    grace: bool,
    /// A token that was used before ends the whole family.
    family: bool,
    /// How many of the replicas take part.
    replicas: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Record {
    Live([u8; HEADER_LENGTH]),
    Tombstone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Replica {
    Idle,
    /// Has read the record and wants to refresh.
    Read {
        token: u8,
    },
    Claimed {
        token: u8,
        at: u64,
        last_try: bool,
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
    },
    /// Was told `invalid_grant`.
    Refused {
        token: u8,
    },
    /// Nobody will answer any more: the claim has to be given back.
    Lost,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    now: u64,
    record: Record,
    /// What the store forgets if it loses its last write.
    before: Record,
    replicas: [Replica; REPLICAS],
    /// The refresh token that the provider accepts; they count up from 1.
    current: u8,
    family_ended: bool,
    /// How often each token was sent: in the ordinary way, as the last try.
    sent: [(u8, u8); 4],
    crashes: u8,
    lost_writes: u8,
    signed_out: bool,
    revived: bool,
    token_dropped: bool,
    good_session_deleted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Tick,
    Read(usize),
    Claim(usize),
    Send(usize),
    Abort(usize),
    Deliver(usize),
    LoseAnswer(usize),
    Save(usize),
    GiveUp(usize),
    GiveBack(usize),
    Crash(usize),
    SignOut,
    LoseLastWrite,
}

fn fingerprint(token: u8) -> Fingerprint {
    Fingerprint([token; 16])
}

fn owner(replica: usize) -> Owner {
    Owner([u8::try_from(replica).expect("three at most") + 1; 16])
}

impl World {
    fn header(&self) -> Option<TokenHeader> {
        match &self.record {
            Record::Live(bytes) => Some(TokenHeader::decode(bytes).expect("encoded here")),
            Record::Tombstone => None,
        }
    }

    fn write(&mut self, record: Record) {
        self.before = std::mem::replace(&mut self.record, record);
        self.revived |= self.signed_out && self.record != Record::Tombstone;
    }

    fn write_header(&mut self, header: &TokenHeader) {
        // Versions and idle time would only multiply the states.
        let header = TokenHeader {
            version: 1,
            last_seen: Timestamp(0),
            ..header.clone()
        };
        self.write(Record::Live(header.encode()));
    }

    fn stored_token(&self) -> u8 {
        self.header().map_or(0, |header| header.rt_fp.0[0])
    }
}

impl Protocol {
    const fn new(variant: Variant) -> Self {
        Self {
            variant,
            crashes: 1,
            lost_writes: 0,
            log_out: true,
            grace: false,
            family: true,
            replicas: 2,
        }
    }

    fn keeps_intent(self) -> bool {
        matches!(self.variant, Variant::Ours | Variant::IntentOwnerSave)
    }

    /// Asks for the right to send. The broken variants forget the intent when
    /// a lease has run out, or do not ask at all.
    fn claim(self, world: &mut World, replica: usize, token: u8, last_try: bool) -> bool {
        let Some(mut header) = world.header() else {
            return false;
        };
        let now = Timestamp(world.now);
        if self.variant == Variant::NoLock {
            return header.rt_fp == fingerprint(token);
        }
        if !self.keeps_intent() && header.lease_until <= now {
            header.intent_fp = Fingerprint::NONE;
            header.owner = Owner::default();
            header.tries = 0;
        }
        let claim = Claim {
            rt_fp: fingerprint(token),
            owner: owner(replica),
            lease: LEASE,
            last_try,
        };
        let granted = header.claim(&claim, now) == Claimed::Granted;
        if granted {
            world.write_header(&header);
        }
        granted
    }

    /// Stores the new token, or drops it.
    fn save(self, world: &mut World, replica: usize, spent: u8, new: u8) {
        let stored = world.header();
        let blindly = matches!(self.variant, Variant::NoLock | Variant::LeaseBlindSave);
        let owned = matches!(
            self.variant,
            Variant::LeaseOwnerSave | Variant::IntentOwnerSave
        );
        let mut header = match stored {
            Some(header) => header,
            None if blindly => TokenHeader::new(fingerprint(new), Timestamp(9), Timestamp(0)),
            None => return,
        };
        if owned && header.owner != owner(replica) {
            world.token_dropped |= header.rt_fp == fingerprint(spent) && !world.family_ended;
            return;
        }
        let condition = if blindly {
            header.rt_fp
        } else {
            fingerprint(spent)
        };
        match header.commit(condition, fingerprint(new), Timestamp(9)) {
            Committed::Done { .. } => world.write_header(&header),
            Committed::Superseded => {
                world.token_dropped |= header.rt_fp.0[0] < new && !world.family_ended;
            }
            Committed::Gone => unreachable!("the record was there"),
        }
    }

    /// What `invalid_grant` does.
    fn refused(self, world: &mut World, token: u8) {
        let rereads = self.keeps_intent()
            || matches!(
                self.variant,
                Variant::LeaseOwnerSave | Variant::LeaseTokenSave
            );
        if world.record == Record::Tombstone || (rereads && world.stored_token() != token) {
            return;
        }
        world.good_session_deleted |= !world.family_ended && world.stored_token() == world.current;
        world.write(Record::Tombstone);
    }

    fn provider(self, world: &mut World, token: u8) -> u8 {
        if world.family_ended {
            return 0;
        }
        if token == world.current {
            world.current += 1;
            return world.current;
        }
        if self.grace && token + 1 == world.current {
            return world.current;
        }
        world.family_ended = self.family;
        0
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let header = TokenHeader::new(fingerprint(1), Timestamp(ACCESS_ENDS), Timestamp(0));
        let mut world = World {
            now: 0,
            record: Record::Tombstone,
            before: Record::Tombstone,
            replicas: [Replica::Idle; REPLICAS],
            current: 1,
            family_ended: false,
            sent: [(0, 0); 4],
            crashes: 0,
            lost_writes: 0,
            signed_out: false,
            revived: false,
            token_dropped: false,
            good_session_deleted: false,
        };
        world.write_header(&header);
        world.before = world.record.clone();
        vec![world]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        if world.now < CLOCK_ENDS {
            steps.push(Step::Tick);
        }
        if self.log_out && !world.signed_out {
            steps.push(Step::SignOut);
        }
        if world.lost_writes < self.lost_writes && world.before != world.record {
            steps.push(Step::LoseLastWrite);
        }
        for (index, replica) in world.replicas.iter().enumerate().take(self.replicas) {
            match replica {
                // Two rotations are enough to see every interleaving.
                Replica::Idle if world.stored_token() > 0 && world.stored_token() < 3 => {
                    steps.push(Step::Read(index));
                }
                Replica::Idle => {}
                Replica::Read { .. } => steps.push(Step::Claim(index)),
                // A process that was paused for too long does not send.
                Replica::Claimed { at, .. } if self.keeps_intent() && *at < world.now => {
                    steps.push(Step::Abort(index));
                }
                Replica::Claimed { .. } => steps.push(Step::Send(index)),
                Replica::Waiting { .. } => {
                    steps.push(Step::Deliver(index));
                    steps.push(Step::LoseAnswer(index));
                }
                Replica::Holds { .. } => steps.push(Step::Save(index)),
                Replica::Refused { .. } => steps.push(Step::GiveUp(index)),
                Replica::Lost => steps.push(Step::GiveBack(index)),
            }
            if *replica != Replica::Idle && world.crashes < self.crashes {
                steps.push(Step::Crash(index));
            }
        }
    }

    fn next_state(&self, before: &World, step: Step) -> Option<World> {
        let mut world = before.clone();
        match step {
            Step::Tick => world.now += 1,
            Step::SignOut => {
                world.signed_out = true;
                world.write(Record::Tombstone);
            }
            Step::LoseLastWrite => {
                world.lost_writes += 1;
                world.record = world.before.clone();
            }
            Step::Read(index) => {
                world.replicas[index] = Replica::Read {
                    token: world.stored_token(),
                };
            }
            Step::Claim(index) => {
                let Replica::Read { token } = world.replicas[index] else {
                    return None;
                };
                let ended = world
                    .header()
                    .is_some_and(|header| header.access_exp <= Timestamp(world.now));
                let tries = world.header().map_or(0, |header| header.tries);
                world.replicas[index] = if self.claim(&mut world, index, token, ended) {
                    Replica::Claimed {
                        token,
                        at: world.now,
                        last_try: self.keeps_intent() && tries > 0,
                    }
                } else {
                    Replica::Idle
                };
            }
            Step::Abort(index) => {
                world.replicas[index] = Replica::Idle;
                self.give_back(&mut world, index, true);
            }
            Step::Send(index) => {
                let Replica::Claimed {
                    token, last_try, ..
                } = world.replicas[index]
                else {
                    return None;
                };
                let sent = &mut world.sent[usize::from(token)];
                if last_try {
                    sent.1 += 1;
                } else {
                    sent.0 += 1;
                }
                let answer = self.provider(&mut world, token);
                world.replicas[index] = Replica::Waiting { token, answer };
            }
            Step::Deliver(index) => {
                let Replica::Waiting { token, answer } = world.replicas[index] else {
                    return None;
                };
                world.replicas[index] = if answer == 0 {
                    Replica::Refused { token }
                } else {
                    Replica::Holds {
                        spent: token,
                        new: answer,
                    }
                };
            }
            Step::LoseAnswer(index) => world.replicas[index] = Replica::Lost,
            Step::GiveBack(index) => {
                world.replicas[index] = Replica::Idle;
                self.give_back(&mut world, index, false);
            }
            Step::Save(index) => {
                let Replica::Holds { spent, new } = world.replicas[index] else {
                    return None;
                };
                world.replicas[index] = Replica::Idle;
                self.save(&mut world, index, spent, new);
            }
            Step::GiveUp(index) => {
                let Replica::Refused { token } = world.replicas[index] else {
                    return None;
                };
                world.replicas[index] = Replica::Idle;
                self.refused(&mut world, token);
            }
            Step::Crash(index) => {
                world.crashes += 1;
                world.replicas[index] = Replica::Idle;
            }
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "no token is sent twice but for one last try",
                |model: &Self, world: &World| {
                    let extra = world.lost_writes;
                    let bounded = |(ordinary, last): &(u8, u8)| {
                        *ordinary <= 1 + extra && *last <= 1 + extra && ordinary + last <= 2 + extra
                    };
                    let without_intent = !model.keeps_intent();
                    world.sent.iter().all(|sent| {
                        if without_intent {
                            sent.0 + sent.1 <= 1
                        } else {
                            bounded(sent)
                        }
                    })
                },
            ),
            Property::always(
                "a session that was signed out stays so",
                |_: &Self, world: &World| !world.revived,
            ),
            Property::always("no rotated token is dropped", |_: &Self, world: &World| {
                !world.token_dropped
            }),
            Property::always("no good session is deleted", |_: &Self, world: &World| {
                !world.good_session_deleted
            }),
            Property::sometimes("two rotations in a row", |_: &Self, world: &World| {
                world.stored_token() == 3
            }),
            Property::sometimes("a last try", |_: &Self, world: &World| {
                world.sent.iter().any(|(_, last)| *last > 0)
            }),
        ]
    }
}

impl Protocol {
    fn give_back(self, world: &mut World, replica: usize, not_sent: bool) {
        let Some(mut header) = world.header() else {
            return;
        };
        let release = Release {
            owner: owner(replica),
            clear_intent: not_sent,
            retry_at: Timestamp(world.now),
            fail_class: 9,
        };
        if header.release(&release) {
            world.write_header(&header);
        }
    }
}

const PROMISES: [&str; 4] = [
    "no token is sent twice but for one last try",
    "a session that was signed out stays so",
    "no rotated token is dropped",
    "no good session is deleted",
];

/// The promises that some order of events breaks; looks at every order.
fn broken(protocol: Protocol) -> Vec<&'static str> {
    let checker = protocol.checker().threads(2).spawn_bfs().join();
    println!("{protocol:?}: {} states", checker.unique_state_count());
    checker.assert_any_discovery("two rotations in a row");
    checker.assert_any_discovery("a last try");
    PROMISES
        .into_iter()
        .filter(|name| checker.discovery(name).is_some())
        .collect()
}

#[test]
fn ours_keeps_every_promise_when_no_write_is_lost() {
    assert_eq!(broken(Protocol::new(Variant::Ours)), [""; 0]);
}

#[test]
fn ours_keeps_every_promise_where_a_reuse_ends_nothing() {
    let protocol = Protocol {
        family: false,
        ..Protocol::new(Variant::Ours)
    };
    assert_eq!(broken(protocol), [""; 0]);
}

#[test]
fn ours_keeps_every_promise_with_a_grace_window_at_the_provider() {
    let protocol = Protocol {
        grace: true,
        ..Protocol::new(Variant::Ours)
    };
    assert_eq!(broken(protocol), [""; 0]);
}

#[test]
fn a_lost_write_costs_at_most_one_more_send() {
    let protocol = Protocol {
        lost_writes: 1,
        // A log-out that the store forgets is written again by whoever has
        // its tombstone; that is not part of this model.
        log_out: false,
        crashes: 0,
        ..Protocol::new(Variant::Ours)
    };
    let broken = broken(protocol);
    assert!(
        !broken.contains(&"no token is sent twice but for one last try"),
        "{broken:?}"
    );
    assert!(
        !broken.contains(&"no good session is deleted"),
        "{broken:?}"
    );
}

#[test]
fn three_replicas_keep_every_promise() {
    let protocol = Protocol {
        replicas: REPLICAS,
        ..Protocol::new(Variant::Ours)
    };
    assert_eq!(broken(protocol), [""; 0]);
}

/// Looks no further than to the first order that breaks each named promise.
#[test]
fn broken_variants_are_rejected() {
    let [twice, revived, dropped, deleted] = PROMISES;
    let cases = [
        (Variant::NoLock, vec![twice, deleted]),
        (Variant::LeaseBlindSave, vec![twice, revived]),
        (Variant::LeaseOwnerSave, vec![twice]),
        (Variant::LeaseTokenSave, vec![twice]),
        (Variant::IntentOwnerSave, vec![dropped]),
    ];
    for (variant, expected) in cases {
        let wanted = HasDiscoveries::AllOf(expected.iter().copied().collect());
        let protocol = Protocol {
            // The mildest provider is enough for the worst variant.
            family: variant != Variant::NoLock,
            log_out: variant == Variant::LeaseBlindSave,
            crashes: 0,
            ..Protocol::new(variant)
        };
        let checker = protocol
            .checker()
            .threads(2)
            .finish_when(wanted)
            .spawn_bfs()
            .join();
        println!("{variant:?}: {} states", checker.unique_state_count());
        for name in expected {
            checker.assert_any_discovery(name);
        }
    }
}
