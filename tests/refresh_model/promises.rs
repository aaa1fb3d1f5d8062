//! What is promised, in every state of every case. A lost write excuses what
//! it caused and nothing else.

use std::time::Duration;

use stateright::Property;
use vestibule::base::clock::Timestamp;
use vestibule::session::rotation::MAX_TRIES;
use vestibule::session::store::{Claim, Claimed};

use crate::protocol::Protocol;
use crate::world::{STRANGER, World};

pub const SENT_TWICE: &str = "no token is sent twice but for one last try";
pub const REVIVED: &str = "a session that ended stays so";
pub const TOKEN_LOST: &str = "no rotated token is lost";
pub const DELETED: &str = "no good session is deleted";

pub const STUCK: &str = "nobody waits for ever";

pub const ALL: [&str; 5] = [SENT_TWICE, REVIVED, TOKEN_LOST, DELETED, STUCK];

/// After this every lease and every pause has ended, whatever comes between.
const LATER: u64 = 10;

pub fn properties() -> Vec<Property<Protocol>> {
    vec![
        // Once, and once more after the access token has ended. Each lost
        // write may cost one send more.
        Property::always(SENT_TWICE, |_, world: &World| {
            world.excess_sends() <= world.lost_writes
        }),
        // Nothing but a lost tombstone makes an ended session live, and
        // whoever ended it has the tombstone in a file until it is written
        // again.
        Property::always(REVIVED, |_, world: &World| {
            let waits = world.tombstone_waits || !world.record.is_live();
            !world.revived && (!world.ended || waits)
        }),
        // The successor of the record's token is in somebody's memory, in a
        // spool, or on its way, unless the network lost the answer, its
        // holder crashed before anything could be spooled, or the store lost
        // a write about it.
        Property::always(TOKEN_LOST, |_, world: &World| !world.has_lost_token()),
        // Good: the provider takes the record's token, or somebody is going
        // to store its successor. A refusal that a lost write caused may end
        // the session: a new login.
        Property::always(DELETED, |_, world: &World| !world.good_session_deleted),
        // If all replicas went silent now, the next one would be granted a
        // try or hear that there is none left, which is a new login.
        Property::always(STUCK, |_, world: &World| {
            let Some(mut header) = world.header().cloned() else {
                return true;
            };
            let claim = Claim {
                rt_fp: header.rt_fp,
                owner: STRANGER,
                lease: Duration::ZERO,
                last_try: true,
                grace: Duration::ZERO,
            };
            match header.claim(&claim, Timestamp(world.now + LATER)) {
                Claimed::Granted => true,
                Claimed::Unknown { tries, .. } => tries >= MAX_TRIES,
                _ => false,
            }
        }),
    ]
}
