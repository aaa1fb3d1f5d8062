//! The steps that the world can take, by the protocol or by accident.

use std::sync::Arc;

use stateright::Model;
use vestibule::base::clock::Timestamp;

use crate::case::{Case, Flaw};
use crate::sights::{Sight, Sights};
use crate::world::{FOR_EVER, Keeps, LAST_TOKEN, Record, Replica, World};

/// One lease; also the age at which a claim is too old to be sent, and the
/// age up to which a store may lose a write.
pub const LEASE: u64 = 1;
/// A case as a model: every order of its steps is explored.
#[derive(Clone)]
pub struct Protocol {
    pub case: Case,
    pub sights: Arc<Sights>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Tick,
    Read(usize),
    Claim(usize),
    /// The store claims and cannot say so.
    ClaimUnheard(usize),
    Send(usize),
    /// Not sent, or refused with an error that leaves the token unspent.
    Abort(usize),
    Deliver(usize),
    LoseAnswer(usize),
    Save(usize),
    /// The store does not take the new tokens.
    SaveFails(usize),
    /// The store takes them and cannot say so.
    SaveUnheard(usize),
    FindValid(usize),
    FindForeign(usize),
    ReadAgain(usize),
    End(usize),
    GiveBack(usize),
    /// The lease has to run out by itself.
    GiveBackFails(usize),
    Crash(usize),
    Replay,
    SignOut,
    /// The store is away: the sign-out waits in a file.
    SignOutLater,
    WriteTombstone,
    DropTombstone,
    LoseLastWrite,
}

impl Protocol {
    pub fn new(case: Case) -> Self {
        Self {
            case,
            sights: Arc::default(),
        }
    }

    pub fn has(&self, flaw: Flaw) -> bool {
        self.case.flaw == Some(flaw)
    }

    fn keeps(&self) -> Keeps {
        Keeps {
            lost_writes: self.case.lost_writes,
            loss_window: LEASE,
            grace: self.case.grace > 0 || self.case.rotation_grace > 0,
        }
    }

    pub fn access_ends(&self, now: u64) -> Timestamp {
        let end = now + self.case.access_life;
        if end > self.case.clock_ends {
            FOR_EVER
        } else {
            Timestamp(end)
        }
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.access_ends(0))]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        let case = &self.case;
        // Broken for long; there would be no end to it.
        if world.excess_sends() > case.lost_writes + 2 {
            return;
        }
        if world.now < case.clock_ends {
            steps.push(Step::Tick);
        }
        if case.signs_out && !world.ended {
            steps.push(Step::SignOut);
            if case.lost_writes > 0 {
                steps.push(Step::SignOutLater);
            }
        }
        if world.tombstone_waits {
            if world.record.is_live() {
                steps.push(Step::WriteTombstone);
            } else if world.now > world.written_at + LEASE {
                steps.push(Step::DropTombstone);
            }
        }
        if !world.spool.is_empty() {
            steps.push(Step::Replay);
        }
        let young = world.now <= world.written_at + LEASE;
        if world.lost_writes < case.lost_writes && young && world.before != world.record {
            steps.push(Step::LoseLastWrite);
        }
        for (index, replica) in world.replicas.iter().enumerate() {
            self.steps_of(world, index, *replica, steps);
        }
    }

    fn next_state(&self, before: &World, step: Step) -> Option<World> {
        let mut world = before.clone();
        match step {
            Step::Tick => world.now += 1,
            Step::SignOut => self.sign_out(&mut world),
            Step::SignOutLater => {
                world.ended = true;
                world.tombstone_waits = true;
            }
            Step::WriteTombstone => {
                self.sights.saw(Sight::TombstoneAgain);
                world.write(Record::Tombstone);
            }
            Step::DropTombstone => world.tombstone_waits = false,
            Step::LoseLastWrite => self.lose_last_write(&mut world),
            Step::Replay => {
                let (spent, new) = world.spool.remove(0);
                self.save(&mut world, None, spent, new);
            }
            Step::Crash(index) => self.crash(&mut world, index),
            Step::Read(index)
            | Step::Claim(index)
            | Step::ClaimUnheard(index)
            | Step::Send(index)
            | Step::Abort(index)
            | Step::Deliver(index)
            | Step::LoseAnswer(index)
            | Step::Save(index)
            | Step::SaveFails(index)
            | Step::SaveUnheard(index)
            | Step::FindValid(index)
            | Step::FindForeign(index)
            | Step::ReadAgain(index)
            | Step::End(index)
            | Step::GiveBack(index)
            | Step::GiveBackFails(index) => {
                world.replicas[index] = self.advance(&mut world, index, step)?;
            }
        }
        world.normalise(self.keeps());
        Some(world)
    }

    fn properties(&self) -> Vec<stateright::Property<Self>> {
        crate::promises::properties()
    }
}

impl Protocol {
    fn steps_of(&self, world: &World, index: usize, replica: Replica, steps: &mut Vec<Step>) {
        let case = &self.case;
        let hiccup = world.hiccups < case.hiccups;
        match replica {
            Replica::Idle => {
                if index >= crate::world::REPLICAS - case.replicas
                    && (1..LAST_TOKEN).contains(&world.stored_token())
                {
                    steps.push(Step::Read(index));
                }
            }
            Replica::Read { .. } => {
                steps.push(Step::Claim(index));
                if hiccup && case.lease {
                    steps.push(Step::ClaimUnheard(index));
                }
            }
            Replica::Claimed { at, .. } => {
                steps.push(Step::Abort(index));
                // A process that was paused for too long does not send.
                if at == world.now || !case.intent || self.has(Flaw::SendsLate) {
                    steps.push(Step::Send(index));
                }
            }
            Replica::Waiting { .. } => {
                steps.push(Step::Deliver(index));
                if case.answers_lost {
                    steps.push(Step::LoseAnswer(index));
                }
            }
            Replica::Holds { spooled, .. } => {
                steps.push(Step::Save(index));
                if case.intent && !spooled {
                    steps.push(Step::SaveFails(index));
                }
                if hiccup {
                    steps.push(Step::SaveUnheard(index));
                }
            }
            Replica::Validates => {
                steps.push(Step::FindValid(index));
                steps.push(Step::FindForeign(index));
            }
            Replica::Refused { .. } => steps.push(Step::ReadAgain(index)),
            Replica::Ends { .. } => steps.push(Step::End(index)),
            Replica::Lost => {
                steps.push(Step::GiveBack(index));
                if hiccup {
                    steps.push(Step::GiveBackFails(index));
                }
            }
        }
        if replica != Replica::Idle && world.crashes < case.crashes {
            steps.push(Step::Crash(index));
        }
    }

    /// One step of one replica: what becomes of it.
    fn advance(&self, world: &mut World, index: usize, step: Step) -> Option<Replica> {
        use Replica::{Claimed, Ends, Holds, Idle, Lost, Read, Refused, Validates, Waiting};
        let now = world.now;
        let replica = world.replicas[index];
        if matches!(
            step,
            Step::ClaimUnheard(_) | Step::SaveUnheard(_) | Step::GiveBackFails(_)
        ) {
            world.hiccups += 1;
        }
        Some(match (step, replica) {
            (Step::Read(_), Idle) => {
                let header = world.header()?;
                Read {
                    token: header.rt_fp.0[0],
                    ended: header.access_exp <= world.time(),
                }
            }
            (Step::Claim(_), Read { token, ended }) => {
                if self.claim(world, index, token, ended) {
                    Claimed {
                        token,
                        at: now,
                        ended,
                    }
                } else {
                    Idle
                }
            }
            (Step::ClaimUnheard(_), Read { token, ended }) => {
                self.claim(world, index, token, ended);
                Idle
            }
            (Step::Send(_), Claimed { token, at, ended }) => Waiting {
                token,
                answer: self.send(world, token, at, ended),
            },
            (Step::Abort(_), Claimed { .. }) => {
                self.give_back(world, index, true);
                Idle
            }
            (Step::Deliver(_), Waiting { token, answer }) => self.deliver(world, token, answer),
            (Step::LoseAnswer(_), Waiting { answer, .. }) => {
                world.unheard |= 1 << answer;
                Lost
            }
            (Step::Save(_), Holds { spent, new, .. }) => {
                let saved = self.save(world, Some(index), spent, new);
                if saved && self.case.validates {
                    Validates
                } else {
                    Idle
                }
            }
            (Step::SaveFails(_), Holds { .. }) if self.has(Flaw::DropsUnsaved) => Idle,
            (Step::SaveFails(_), Holds { spent, new, .. }) => Holds {
                spent,
                new,
                spooled: true,
            },
            (Step::SaveUnheard(_), Holds { spent, new, .. }) => {
                self.save(world, Some(index), spent, new);
                Holds {
                    spent,
                    new,
                    spooled: true,
                }
            }
            (Step::FindValid(_), Validates) => Idle,
            (Step::FindForeign(_), Validates) => {
                self.sights.saw(Sight::EndedByValidation);
                if world.record.is_live() {
                    self.sign_out(world);
                }
                Idle
            }
            (Step::ReadAgain(_), Refused { token }) => self.read_again(world, index, token),
            (Step::End(_), Ends { token }) => {
                self.end(world, token);
                Idle
            }
            (Step::GiveBack(_), Lost) => {
                self.give_back(world, index, false);
                Idle
            }
            (Step::GiveBackFails(_), Lost) => Idle,
            _ => return None,
        })
    }
}
