//! Any order of reads and changes, against what the store holds.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

/// What the store holds: versions of tickets and sessions.
#[derive(Default)]
struct Model {
    tickets: HashMap<u64, u64>,
    sessions: HashMap<u64, u64>,
}

#[derive(Debug, Clone)]
enum Step {
    Begin(u64),
    ReadTicket(usize),
    ReadSession(usize),
    Land(usize),
    Leave(usize),
    ChangeTicket(u64),
    ChangeSession(u64),
    Everything,
    Blind,
    Watch,
    Look(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_u64).prop_map(Step::Begin),
        4 => (0..6_usize).prop_map(Step::ReadTicket),
        4 => (0..6_usize).prop_map(Step::ReadSession),
        4 => (0..6_usize).prop_map(Step::Land),
        1 => (0..6_usize).prop_map(Step::Leave),
        1 => (0..4_u64).prop_map(Step::ChangeTicket),
        2 => (0..2_u64).prop_map(Step::ChangeSession),
        1 => Just(Step::Everything),
        1 => Just(Step::Blind),
        2 => Just(Step::Watch),
        4 => (0..4_u64).prop_map(Step::Look),
    ]
}

struct Under<'a> {
    ticket: u64,
    pilot: Pilot<'a, Read, u64>,
    versions: (Option<u64>, Option<u64>),
}

proptest! {
    /// Whatever the order of reads and changes, an answer is what the store
    /// would have said at some time since the caller asked: here, now.
    #[test]
    fn a_hit_says_what_the_store_says(steps in prop::collection::vec(step(), 1..120)) {
        let cache = watching();
        let mut model = Model::default();
        let mut flights: Vec<Under<'_>> = Vec::new();
        let mut told = true;
        let session_of = |ticket: u64| ticket % 2;
        for step in steps {
            match step {
                Step::Begin(ticket) => {
                    let key = Key::for_tests(ticket);
                    if let Boarding::Pilot(pilot) = cache.board(key, name(ticket)) {
                        flights.push(Under { ticket, pilot, versions: (None, None) });
                    }
                }
                Step::ReadTicket(at) => if let Some(flight) = flights.get_mut(at) {
                    let now = model.tickets.get(&flight.ticket).copied().unwrap_or(0);
                    flight.versions.0.get_or_insert(now);
                    flight.pilot.bind(id(session_of(flight.ticket)));
                },
                Step::ReadSession(at) => if let Some(flight) = flights.get_mut(at)
                    && flight.versions.0.is_some()
                {
                    let session = session_of(flight.ticket);
                    let now = model.sessions.get(&session).copied().unwrap_or(0);
                    flight.versions.1.get_or_insert(now);
                },
                Step::Land(at) => if flights.get(at).is_some_and(|f| f.versions.1.is_some()) {
                    let Under { ticket, pilot, versions } = flights.remove(at);
                    let version = versions.0.unwrap() * 1_000 + versions.1.unwrap();
                    pilot.land(Landing::Live(read(ticket, session_of(ticket), version)), version);
                },
                Step::Leave(at) => if at < flights.len() {
                    flights.remove(at);
                },
                // Changes are made whether or not they are told.
                Step::ChangeTicket(ticket) => {
                    *model.tickets.entry(ticket).or_default() += 1;
                    if told { cache.ticket_changed(name(ticket)); }
                }
                Step::ChangeSession(session) => {
                    *model.sessions.entry(session).or_default() += 1;
                    if told { cache.session_changed(id(session)); }
                }
                Step::Everything => {
                    (0..4).for_each(|ticket| *model.tickets.entry(ticket).or_default() += 1);
                    if told { cache.everything_changed(); }
                }
                Step::Blind => { told = false; cache.blind(Instant::now()); }
                Step::Watch => { told = true; cache.watching(Duration::MAX); }
                Step::Look(ticket) => if let Some(version) = get(&cache, ticket) {
                    prop_assert!(told, "a hit although nothing is told");
                    let ticket_version = model.tickets.get(&ticket).copied().unwrap_or(0);
                    let session = session_of(ticket);
                    let session_version = model.sessions.get(&session).copied().unwrap_or(0);
                    prop_assert_eq!(version, ticket_version * 1_000 + session_version);
                },
            }
        }
        drop(flights);
        cache.everything_changed();
        (0..4).for_each(|ticket| cache.ticket_changed(name(ticket)));
        prop_assert_eq!(cache.indexed(), (0, 0), "rows are left behind");
    }
}
