//! What is promised, in every state of every case. A lost write excuses what
//! it caused and nothing else.

use stateright::Property;

use crate::protocol::Protocol;
use crate::world::World;

pub const SENT_TWICE: &str = "no token is sent twice but for one last try";
pub const REVIVED: &str = "a session that ended stays so";
pub const TOKEN_LOST: &str = "no rotated token is lost";
pub const DELETED: &str = "no good session is deleted";

pub const ALL: [&str; 4] = [SENT_TWICE, REVIVED, TOKEN_LOST, DELETED];

pub fn properties() -> Vec<Property<Protocol>> {
    vec![
        // Once, and once more after the access token has ended. Each lost
        // write may cost one send more.
        Property::always(SENT_TWICE, |_, world: &World| {
            let more = |times: u8| times.saturating_sub(1);
            let sent = world.sent.iter();
            let excess: u8 = sent.map(|(first, last)| more(*first) + more(*last)).sum();
            excess <= world.lost_writes
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
    ]
}
