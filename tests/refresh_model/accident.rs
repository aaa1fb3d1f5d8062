//! What happens to an attempt from outside: people sign out, processes crash,
//! stores forget.

use crate::case::Flaw;
use crate::protocol::Protocol;
use crate::sights::Sight;
use crate::world::{Record, Replica, World};

impl Protocol {
    pub fn sign_out(&self, world: &mut World) {
        world.ended = true;
        world.tombstone_waits = self.case.lost_writes > 0 && !self.has(Flaw::TombstoneOnce);
        world.write(Record::Tombstone);
    }

    pub fn lose_last_write(&self, world: &mut World) {
        world.lost_writes += 1;
        let lost = world.stored_token();
        let was = world.before.header().map_or(0, |header| header.rt_fp.0[0]);
        self.sights.saw(match (lost, was) {
            (0, _) => Sight::TombstoneLost,
            (_, _) if lost != was => Sight::SaveLost,
            _ => Sight::ClaimLost,
        });
        // What was known of these tokens may be wrong now.
        for token in [lost, lost + 1, was, was + 1] {
            world.tainted |= 1 << token;
        }
        world.record = world.before.clone();
    }

    pub fn crash(&self, world: &mut World, index: usize) {
        world.crashes += 1;
        match world.replicas[index] {
            Replica::Waiting { answer, .. } if answer > 0 => world.unheard |= 1 << answer,
            Replica::Holds {
                new,
                spooled: false,
                ..
            } => world.unheard |= 1 << new,
            Replica::Holds { spent, new, .. } if !self.has(Flaw::NoSpool) => {
                world.spool.push((spent, new));
                self.sights.saw(Sight::Spooled);
            }
            _ => {}
        }
        world.replicas[index] = Replica::Idle;
    }
}
