mod model;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::*;
use crate::session::found::Ending;
use crate::session::record::SessionId;
use crate::session::store::Digest;
use crate::session::store::changes::Watcher;

const AGE: Duration = Duration::from_secs(60);
const GRACE: Duration = Duration::from_secs(30);

/// What was read: of which ticket and session, and which version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Read {
    ticket: u64,
    session: u64,
    version: u64,
    bytes: usize,
}

impl Entry for Read {
    fn name(&self) -> Digest {
        name(self.ticket)
    }

    fn session(&self) -> Option<SessionId> {
        Some(id(self.session))
    }

    fn bytes(&self) -> usize {
        self.bytes
    }
}

type Tested = HotCache<Read, u64>;

fn name(ticket: u64) -> Digest {
    let mut name = [0; 32];
    name[..8].copy_from_slice(&ticket.to_le_bytes());
    Digest(name)
}

fn id(session: u64) -> SessionId {
    let mut id = [0; 16];
    id[..8].copy_from_slice(&session.to_le_bytes());
    SessionId(id)
}

fn bounds() -> Bounds {
    Bounds {
        bytes: 64 * 1_000_000,
        usual_bytes: 1000,
        gone: 4096,
        aging: AGE - Duration::from_secs(10),
        age: AGE,
        grace: GRACE,
        gone_age: Duration::from_secs(10),
    }
}

fn watching() -> Tested {
    let cache = Tested::new(bounds());
    cache.watching(Duration::MAX);
    cache
}

fn read(ticket: u64, session: u64, version: u64) -> Read {
    Read {
        ticket,
        session,
        version,
        bytes: 1000,
    }
}

fn pilot(cache: &Tested, ticket: u64) -> Pilot<'_, Read, u64> {
    match cache.board(Key::for_tests(ticket), name(ticket)) {
        Boarding::Pilot(pilot) => pilot,
        Boarding::Passenger(_) => panic!("somebody flies already"),
    }
}

fn fill(cache: &Tested, value: Read) {
    let pilot = pilot(cache, value.ticket);
    pilot.bind(id(value.session));
    pilot.land(Landing::Live(value), value.version);
}

fn get(cache: &Tested, ticket: u64) -> Option<u64> {
    get_at(cache, ticket, Instant::now())
}

fn get_at(cache: &Tested, ticket: u64, now: Instant) -> Option<u64> {
    let hit = cache.get(&Key::for_tests(ticket), now)?;
    Some(hit.value.version)
}

fn gone(ticket: u64, session: Option<u64>) -> Landing<Read> {
    Landing::Gone(Gone {
        name: name(ticket),
        session: session.map(id),
        ending: Ending::Unknown,
    })
}

#[test]
fn what_was_read_is_found_until_somebody_changes_it() {
    let cache = watching();
    fill(&cache, read(1, 7, 1));
    fill(&cache, read(2, 7, 1));
    fill(&cache, read(3, 8, 1));
    assert_eq!([1, 2, 3].map(|t| get(&cache, t)), [Some(1); 3]);
    cache.ticket_changed(name(1));
    assert_eq!([1, 2].map(|t| get(&cache, t)), [None, Some(1)]);
    fill(&cache, read(1, 7, 2));
    cache.session_changed(id(7));
    assert_eq!([1, 2, 3].map(|t| get(&cache, t)), [None, None, Some(1)]);
    // Names and sessions that nobody knows are nobody's loss.
    cache.session_changed(id(99));
    cache.ticket_changed(name(99));
    let figures = cache.figures();
    assert_eq!((figures.changed, figures.entries), (3, 1));
    assert_eq!((figures.bytes, figures.kept), (1000, 4));
}

#[test]
fn a_read_that_a_change_overtook_is_not_kept() {
    for change in [
        (|cache: &Tested| cache.ticket_changed(name(1))) as fn(&Tested),
        |cache| cache.session_changed(id(7)),
        |cache| cache.everything_changed(),
        |cache| cache.blind(Instant::now()),
        |cache| cache.watching(Duration::MAX),
        |cache| {
            cache.blind(Instant::now());
            cache.watching(Duration::MAX);
        },
    ] {
        let cache = watching();
        let flight = pilot(&cache, 1);
        flight.bind(id(7));
        change(&cache);
        flight.land(Landing::Live(read(1, 7, 1)), 1);
        assert_eq!(get(&cache, 1), None);
        assert_eq!((cache.figures().tainted, cache.figures().kept), (1, 0));
        cache.watching(Duration::MAX);
        fill(&cache, read(1, 7, 2));
        assert_eq!(get(&cache, 1), Some(2));
    }
}

#[test]
fn a_session_that_changes_before_it_is_read_taints_nothing() {
    let cache = watching();
    let flight = pilot(&cache, 1);
    cache.session_changed(id(7));
    flight.bind(id(7));
    flight.land(Landing::Live(read(1, 7, 1)), 1);
    assert_eq!(get(&cache, 1), Some(1));
}

#[tokio::test]
async fn passengers_share_a_read_and_take_over_from_a_pilot_that_left() {
    let cache = watching();
    let first = pilot(&cache, 1);
    let Boarding::Passenger(mut waits) = cache.board(Key::for_tests(1), name(1)) else {
        panic!("one read is enough");
    };
    first.bind(id(7));
    first.land(Landing::Live(read(1, 7, 1)), 5);
    assert_eq!(*waits.wait_for(Option::is_some).await.unwrap(), Some(5));

    cache.ticket_changed(name(1));
    let left = pilot(&cache, 1);
    let Boarding::Passenger(mut waits) = cache.board(Key::for_tests(1), name(1)) else {
        panic!("one read is enough");
    };
    drop(left);
    assert!(waits.wait_for(Option::is_some).await.is_err());
    fill(&cache, read(1, 7, 2));
    assert_eq!(get(&cache, 1), Some(2));
}

#[test]
fn nobody_joins_a_read_that_a_change_overtook() {
    let cache = watching();
    let old = pilot(&cache, 1);
    old.bind(id(7));
    cache.session_changed(id(7));
    let new = pilot(&cache, 1);
    new.bind(id(7));
    new.land(Landing::Live(read(1, 7, 2)), 2);
    old.land(Landing::Live(read(1, 7, 1)), 1);
    assert_eq!(get(&cache, 1), Some(2), "the old read changes nothing");
}

#[test]
fn while_nothing_is_told_nothing_counts_and_nobody_waits_for_others() {
    let cache = Tested::new(bounds());
    fill(&cache, read(1, 7, 1));
    assert_eq!(get(&cache, 1), None);
    let one = pilot(&cache, 1);
    let other = pilot(&cache, 1);
    one.land(Landing::Live(read(1, 7, 2)), 2);
    other.land(Landing::Live(read(1, 7, 3)), 3);
    cache.watching(Duration::MAX);
    assert_eq!(get(&cache, 1), None, "read before changes were told");
    fill(&cache, read(1, 7, 4));
    assert_eq!(get(&cache, 1), Some(4));
    cache.blind(Instant::now());
    assert_eq!(get(&cache, 1), None);
    assert!(!cache.figures().watching);
}

#[test]
fn a_reading_ages_and_ends() {
    let cache = watching();
    fill(&cache, read(1, 7, 1));
    let (key, now, second) = (Key::for_tests(1), Instant::now(), Duration::from_secs(1));
    let aging = |now| cache.get(&key, now).map(|hit| hit.aging);
    assert_eq!(aging(now), Some(false));
    assert_eq!(aging(now + AGE - 9 * second), Some(true));
    assert_eq!(aging(now + AGE + GRACE - second), Some(true));
    assert_eq!(aging(now + AGE + GRACE), None);
    assert!(cache.reread_begins(key));
    assert!(!cache.reread_begins(key), "one at a time");
    cache.reread_ends(&key);
    assert!(cache.reread_begins(key));

    let short = Tested::new(bounds());
    short.watching(second);
    fill(&short, read(1, 7, 1));
    assert_eq!(get(&short, 1), Some(1));
    assert_eq!(get_at(&short, 1, Instant::now() + second), None);
}

#[test]
fn an_outage_is_bridged_from_when_the_truth_was_last_known() {
    let (second, stale) = (Duration::from_secs(1), Duration::from_secs(30));
    let key = Key::for_tests(1);
    let last = |cache: &Tested, now| cache.last_read(&key, now, stale).map(|read| read.version);

    let cache = watching();
    fill(&cache, read(1, 7, 1));
    let blind_at = Instant::now() + 50 * second;
    cache.blind(blind_at);
    assert_eq!(last(&cache, blind_at + stale), Some(1));
    assert_eq!(last(&cache, blind_at + stale + second), None);
    // The store comes for a moment and goes again: this ticket was not read.
    cache.watching(Duration::MAX);
    cache.blind(blind_at + 20 * second);
    assert_eq!(last(&cache, blind_at + stale), Some(1));
    assert_eq!(last(&cache, blind_at + stale + second), None);

    // However well watched, a reading is no truth for ever.
    let cache = watching();
    fill(&cache, read(1, 7, 1));
    cache.blind(Instant::now() + 1000 * second);
    assert_eq!(last(&cache, Instant::now() + AGE + stale - second), Some(1));
    assert_eq!(last(&cache, Instant::now() + AGE + stale + second), None);

    // Where changes are not told at all, a reading is true when it is read.
    for watched in [None, Some(2 * second)] {
        let cache = Tested::new(bounds());
        if let Some(max_age) = watched {
            cache.watching(max_age);
        }
        fill(&cache, read(1, 7, 1));
        cache.blind(Instant::now() + 10 * second);
        let now = Instant::now();
        assert_eq!(last(&cache, now + stale - second), Some(1));
        assert_eq!(last(&cache, now + stale + second), None);
    }

    // A change is a change, in an outage too.
    let cache = watching();
    fill(&cache, read(1, 7, 1));
    cache.blind(Instant::now());
    cache.session_changed(id(7));
    assert_eq!(last(&cache, Instant::now()), None);
    let cache = watching();
    fill(&cache, read(1, 7, 1));
    cache.everything_changed();
    cache.blind(Instant::now());
    assert_eq!(last(&cache, Instant::now()), None);
}

#[test]
fn what_we_write_ourselves_outdates_a_reading_and_an_outage_still_has_it() {
    let (second, stale) = (Duration::from_secs(1), Duration::from_secs(30));
    let key = Key::for_tests(1);
    for blind_first in [false, true] {
        let cache = watching();
        fill(&cache, read(1, 7, 1));
        let flight = pilot(&cache, 1);
        flight.bind(id(7));
        if blind_first {
            cache.blind(Instant::now());
        }
        cache.session_written(id(7));
        assert_eq!(get(&cache, 1), None);
        flight.land(Landing::Live(read(1, 7, 2)), 2);
        assert_eq!(get(&cache, 1), None, "read before it was written");
        let now = Instant::now();
        let last = |now| cache.last_read(&key, now, stale).map(|read| read.version);
        assert_eq!(last(now), Some(1));
        assert_eq!(last(now + stale + second), None);
        cache.watching(Duration::MAX);
        assert_eq!(get(&cache, 1), None);
        fill(&cache, read(1, 7, 3));
        assert_eq!(get(&cache, 1), Some(3));
        cache.session_changed(id(7));
        assert_eq!(last(now), None, "an end is an end");
    }
    // Distrusted before: it stays so.
    let cache = watching();
    fill(&cache, read(1, 7, 1));
    cache.everything_changed();
    cache.session_written(id(7));
    assert!(cache.last_read(&key, Instant::now(), stale).is_none());
}

#[test]
fn tickets_without_a_session_are_remembered_for_a_short_while() {
    let cache = watching();
    let key = Key::for_tests(1);
    let is_gone = |now| cache.gone(&key, now).is_some();
    pilot(&cache, 1).land(gone(1, None), 0);
    let now = Instant::now();
    assert!(is_gone(now));
    assert!(!is_gone(now + Duration::from_secs(10)));
    // A sign-in makes the ticket lead somewhere.
    cache.ticket_changed(name(1));
    assert!(!is_gone(now));
    fill(&cache, read(1, 7, 1));
    assert_eq!(get(&cache, 1), Some(1));
    let flight = pilot(&cache, 1);
    flight.bind(id(7));
    flight.land(gone(1, Some(7)), 0);
    assert!(is_gone(Instant::now()));
    assert_eq!(get(&cache, 1), None);
    cache.session_changed(id(7));
    assert!(!is_gone(Instant::now()));
    // Overtaken: it ended what was kept, and is not remembered.
    fill(&cache, read(1, 7, 2));
    let flight = pilot(&cache, 1);
    cache.ticket_changed(name(1));
    flight.land(gone(1, None), 0);
    assert!(!is_gone(Instant::now()));
    assert_eq!(get(&cache, 1), None);
}

#[test]
fn entries_are_bounded_by_bytes_and_the_indexes_follow() {
    let cache = Tested::new(Bounds {
        bytes: 2_000_000,
        ..bounds()
    });
    cache.watching(Duration::MAX);
    for ticket in 0..20_000 {
        fill(&cache, read(ticket, ticket, 1));
    }
    let figures = cache.figures();
    assert!(figures.bytes <= 2_000_000, "{figures:?}");
    assert!(figures.entries >= 1_500, "{figures:?}");
    assert_eq!(figures.evicted, 20_000 - figures.entries);
    for ticket in 0..20_000_u64 {
        pilot(&cache, 1_000_000 + ticket).land(gone(1_000_000 + ticket, None), 0);
    }
    let (names, sessions) = cache.indexed();
    let most = cache.figures().entries as usize;
    assert_eq!(sessions, most);
    assert!(names <= most + 4096 + 64, "{names}");
    // One that is too heavy for any shard is not kept, and leaves no trace.
    let heavy = Read {
        bytes: 1_000_000,
        ..read(5_000_000, 5_000_000, 1)
    };
    fill(&cache, heavy);
    assert_eq!(get(&cache, heavy.ticket), None);
    assert_eq!(cache.indexed().1, cache.figures().entries as usize);
}

#[test]
fn what_takes_the_place_of_an_older_reading_evicts_nothing() {
    let cache = watching();
    let evicted = || cache.figures().evicted;
    for version in 1..=5 {
        fill(&cache, read(1, 7, version));
    }
    assert_eq!((cache.figures().kept, evicted()), (5, 0));

    // Too heavy for its shard: the older reading had to go, one entry.
    let heavy = Read {
        bytes: 10_000_000,
        ..read(1, 7, 6)
    };
    fill(&cache, heavy);
    assert_eq!((get(&cache, 1), evicted()), (None, 1));
    // Never there at all: it had to go as well.
    fill(&cache, heavy);
    assert_eq!((cache.figures().entries, evicted()), (0, 2));
}

/// Grows with what is kept with it.
#[derive(Clone)]
struct Growing(Arc<AtomicUsize>);

impl Entry for Growing {
    fn name(&self) -> Digest {
        name(1)
    }

    fn session(&self) -> Option<SessionId> {
        None
    }

    fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

#[test]
fn an_entry_that_has_grown_weighs_more_and_goes_only_if_it_has_no_room() {
    let cache: HotCache<Growing, ()> = HotCache::new(bounds());
    cache.watching(Duration::MAX);
    let bytes = Arc::new(AtomicUsize::new(1000));
    let Boarding::Pilot(pilot) = cache.board(Key::for_tests(1), name(1)) else {
        panic!("nobody flies");
    };
    pilot.land(Landing::Live(Growing(Arc::clone(&bytes))), ());
    let weighed = |size| {
        bytes.store(size, Ordering::Relaxed);
        cache.reweigh(&name(1));
        let figures = cache.figures();
        (figures.entries, figures.bytes, figures.evicted)
    };
    assert_eq!(weighed(3000), (1, 3000, 0));
    assert_eq!(weighed(2000), (1, 3000, 0), "it never weighs less");
    assert_eq!(weighed(10_000_000), (0, 0, 1));
    assert_eq!(weighed(20_000_000), (0, 0, 1));
    assert_eq!(cache.indexed(), (0, 0));
}
