//! One attempt to renew the tokens. What a claim, a release and a commit do to
//! the record is asked of the rules that the stores run
//! (`session::rotation`); what follows an answer mirrors `refresh`.

use std::time::Duration;

use vestibule::base::clock::Timestamp;
use vestibule::session::record::{Fingerprint, Owner, TokenHeader};
use vestibule::session::store::{Claim, Claimed, Committed, Release};

use crate::case::{Flaw, Save};
use crate::protocol::{LEASE, Protocol};
use crate::sights::Sight;
use crate::world::{FOR_EVER, LAST_TOKEN, Record, Replica, World, fingerprint, owner};

/// A class of failure; which one makes no difference to the rules.
const SOME_CLASS: u8 = 9;

impl Protocol {
    /// Asks for the right to send, as this case asks.
    pub fn claim(&self, world: &mut World, index: usize, token: u8, ended: bool) -> bool {
        let Some(mut header) = world.header().cloned() else {
            return false;
        };
        if !self.case.lease {
            let others_at_it = world
                .replicas
                .iter()
                .any(|other| !matches!(other, Replica::Idle | Replica::Read { .. }));
            let locked = self.case.lock && others_at_it;
            return !locked && header.rt_fp == fingerprint(token);
        }
        if !self.case.intent && header.lease_until <= world.time() {
            header.intent_fp = Fingerprint::NONE;
            header.owner = Owner::default();
            header.tries = 0;
        }
        let claim = Claim {
            rt_fp: fingerprint(token),
            owner: owner(index),
            lease: Duration::from_millis(if self.has(Flaw::EndlessLease) {
                FOR_EVER.0
            } else {
                LEASE
            }),
            last_try: ended || self.has(Flaw::LastTryAtOnce),
            grace: Duration::from_millis(self.case.rotation_grace),
        };
        match header.claim(&claim, world.time()) {
            Claimed::Granted => {
                world.write_header(header);
                return true;
            }
            Claimed::BackOff { .. } => self.sights.saw(Sight::BackOff),
            Claimed::Unknown { .. } if ended => self.sights.saw(Sight::NewLogin),
            Claimed::Unknown { .. } => self.sights.saw(Sight::UnknownOutcome),
            Claimed::Busy { .. } | Claimed::Superseded | Claimed::Gone => {}
        }
        false
    }

    /// Stores the new token on the condition that this case makes.
    pub fn save(&self, world: &mut World, by: Option<usize>, spent: u8, new: u8) -> bool {
        let replayed = by.is_none();
        let save = if replayed && self.has(Flaw::ReplaysBlindly) {
            Save::Blindly
        } else {
            self.case.save
        };
        let mut header = match (world.header().cloned(), save) {
            (Some(header), _) => header,
            (None, Save::Blindly) => TokenHeader::new(fingerprint(new), FOR_EVER, Timestamp(0)),
            (None, _) => {
                self.sights.saw(if replayed {
                    Sight::ReplayGone
                } else {
                    Sight::SignOutWon
                });
                return false;
            }
        };
        let owned = by.is_some_and(|index| header.owner == owner(index));
        if save == Save::AsOwner && !owned {
            return false;
        }
        let condition = match save {
            Save::Blindly => header.rt_fp,
            Save::AsOwner | Save::IfSpent => fingerprint(spent),
        };
        let others = header.owner != Owner::default() && !owned;
        let ends = self.access_ends(world.now);
        match header.commit(condition, fingerprint(new), ends, Timestamp(0)) {
            Committed::Done { .. } => {
                if replayed {
                    self.sights.saw(Sight::ReplayDone);
                } else if others {
                    self.sights.saw(Sight::SavedPastAnother);
                } else if !owned {
                    self.sights.saw(Sight::SavedAfterLease);
                }
                world.write_header(header);
                if new == LAST_TOKEN {
                    self.sights.saw(Sight::TwoRotations);
                }
                true
            }
            Committed::Superseded => {
                self.sights.saw(if replayed {
                    Sight::ReplaySuperseded
                } else {
                    Sight::SaveSuperseded
                });
                false
            }
            Committed::Gone => unreachable!("the record was there"),
        }
    }

    pub fn give_back(&self, world: &mut World, index: usize, unspent: bool) {
        let Some(mut header) = world.header().cloned() else {
            return;
        };
        let release = Release {
            owner: owner(index),
            clear_intent: unspent || self.has(Flaw::ForgetsUnknown),
            retry_at: Timestamp(world.now + self.case.back_off),
            fail_class: SOME_CLASS,
        };
        if header.release(&release) {
            world.write_header(header);
        }
    }

    /// The provider's side, and the judgement of the send.
    pub fn send(&self, world: &mut World, token: u8, at: u64, ended: bool) -> u8 {
        let place = usize::from(token) - 1;
        let (ordinary, last) = &mut world.sent[place];
        if *ordinary == 0 {
            *ordinary = 1;
            world.first_sent[place] = at;
        } else if at < world.first_sent[place] + self.case.rotation_grace {
            self.sights.saw(Sight::Repetition);
        } else if ended && self.case.intent {
            *last += 1;
            self.sights.saw(Sight::LastTry);
        } else {
            *ordinary += 1;
        }
        if world.family_ended {
            return 0;
        }
        if token == world.current {
            world.current += 1;
            world.rotated_at = world.now;
            return world.current;
        }
        if token + 1 == world.current && world.now < world.rotated_at + self.case.grace {
            self.sights.saw(Sight::SentWithinGrace);
            world.current += u8::from(self.case.grace_renews);
            return world.current;
        }
        world.family_ended = self.case.family;
        0
    }

    /// The answer has come.
    pub fn deliver(&self, world: &mut World, token: u8, answer: u8) -> Replica {
        if answer == 0 {
            return Replica::Refused { token };
        }
        world.unheard &= !(1 << answer);
        Replica::Holds {
            spent: token,
            new: answer,
            spooled: false,
        }
    }

    /// After `invalid_grant`: what does the record say?
    pub fn read_again(&self, world: &World, index: usize, token: u8) -> Replica {
        if self.has(Flaw::DeletesAtOnce) || !self.case.rereads {
            return Replica::Ends { token };
        }
        let Some(header) = world.header() else {
            return Replica::Idle;
        };
        if header.rt_fp != fingerprint(token) {
            self.sights.saw(Sight::RaceLost);
            return Replica::Idle;
        }
        if !self.case.intent || self.has(Flaw::DeletesForOthers) {
            return Replica::Ends { token };
        }
        // Somebody sent this token before and may still hold its successor:
        // the person signs in again, the record stays for them.
        if header.tries > 1 || header.graced {
            self.sights.saw(Sight::WinnerSpared);
            return Replica::Lost;
        }
        // The claim on record is another's: their answer decides.
        if header.owner != owner(index) {
            self.sights.saw(Sight::ClaimReplaced);
            return Replica::Idle;
        }
        Replica::Ends { token }
    }

    pub fn end(&self, world: &mut World, refused: u8) {
        if !world.record.is_live() {
            return;
        }
        self.sights.saw(Sight::Deleted);
        let stored = world.stored_token();
        let alive = stored == world.current || world.is_held(world.current);
        // Refused because a write was lost: this ends in a new login, even
        // if the winner stores between the second look and this.
        let excused = world.is_excused(world.current) || world.is_tainted(refused);
        world.good_session_deleted |= alive && !world.ended && !world.family_ended && !excused;
        world.write(Record::Tombstone);
    }
}
