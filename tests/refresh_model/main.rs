//! A model of the refresh protocol, explored in every order of its steps: up
//! to three replicas, crashes at each step, leases that run out, answers that
//! are lost, log-outs, a store that refuses, forgets or answers with an error
//! what it did, spooled tokens, a provider that rotates strictly or with
//! grace, two rotations.
//!
//! The rules of the record are not retold here: the model calls the ones that
//! the stores run (`session::rotation`). What is promised stands in
//! `promises`; the broken protocols in `rejected`, as other gateways have them,
//! must be rejected, each for a promise by name: they show that the promises can
//! fail. Sights show that nothing holds because it never came to pass.
//!
//! Limits: one session; the provider answers atomically; a process is never
//! paused between its last look at the clock and the send; a store loses its
//! last write within one lease, or none; a spool and a file of tombstones are
//! never lost.

#![expect(clippy::print_stdout, reason = "says how many states were seen")]

mod accident;
mod attempt;
mod case;
mod promises;
mod protocol;
mod rejected;
mod sights;
mod world;

use std::sync::Arc;
use std::time::Instant;

use stateright::{Checker, HasDiscoveries, Model};

use case::Case;
use protocol::Protocol;
use sights::{Sight, Sights};

fn long() -> bool {
    std::env::var_os("VESTIBULE_TEST_LONG").is_some_and(|value| !value.is_empty())
}

/// What an exploration found.
struct Found {
    /// The promises that some order of steps breaks, each with one such order.
    broken: Vec<(&'static str, String)>,
    sights: Arc<Sights>,
}

impl Found {
    fn names(&self) -> Vec<&'static str> {
        self.broken.iter().map(|(name, _)| *name).collect()
    }
}

/// Looks at every order, or no further than to the first ones that break all
/// of `enough`.
fn explore(name: &str, case: Case, enough: &[&'static str]) -> Found {
    let protocol = Protocol::new(case);
    let sights = Arc::clone(&protocol.sights);
    let began = Instant::now();
    let mut builder = protocol.checker().threads(1);
    if !enough.is_empty() {
        builder = builder.finish_when(HasDiscoveries::AllOf(enough.iter().copied().collect()));
    }
    let checker = builder.spawn_bfs().join();
    println!(
        "{name}: {} states, depth {}, {:.1} s",
        checker.unique_state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f64()
    );
    let broken = promises::ALL
        .into_iter()
        .filter_map(|promise| Some((promise, checker.discovery(promise)?.to_string())))
        .collect();
    Found { broken, sights }
}

/// Nothing is broken, and each of these things was seen.
#[track_caller]
fn keeps_its_promises(name: &str, case: Case, seen: &[Sight]) {
    let found = explore(name, case, &[]);
    for (promise, path) in &found.broken {
        println!("{name} breaks \"{promise}\":\n{path}");
    }
    assert_eq!(found.names(), [""; 0], "{name}");
    for (sight, text) in Sight::ALL {
        let count = found.sights.count(*sight);
        println!("    {count:>8} {text}");
        assert!(count > 0 || !seen.contains(sight), "{name}: never {text}");
    }
}

const ANY_RUN: &[Sight] = &[
    Sight::TwoRotations,
    Sight::UnknownOutcome,
    Sight::LastTry,
    Sight::NewLogin,
    Sight::RaceLost,
    Sight::WinnerSpared,
    Sight::SavedAfterLease,
    Sight::SavedPastAnother,
    Sight::SignOutWon,
];

fn any_run_and(more: &[Sight]) -> Vec<Sight> {
    [ANY_RUN, more].concat()
}

#[test]
fn a_crash_at_any_step() {
    let case = Case {
        crashes: 1,
        ..Case::ours()
    };
    let seen = any_run_and(&[
        Sight::Deleted,
        Sight::Spooled,
        Sight::ReplayDone,
        Sight::ReplayGone,
    ]);
    keeps_its_promises("crash", case, &seen);
}

#[test]
fn a_provider_that_ends_no_family_and_a_store_that_cannot_say_what_it_did() {
    let case = Case {
        crashes: 1,
        hiccups: 1,
        family: false,
        ..Case::ours()
    };
    let seen = any_run_and(&[
        Sight::Spooled,
        Sight::SaveSuperseded,
        Sight::ReplayDone,
        Sight::ReplaySuperseded,
        Sight::ReplayGone,
    ]);
    keeps_its_promises("mild provider, unheard writes", case, &seen);
}

#[test]
fn three_replicas() {
    let case = Case {
        replicas: 3,
        crashes: 1,
        ..Case::ours()
    };
    keeps_its_promises("three replicas", case, ANY_RUN);
}

#[test]
fn validation_comes_after_the_save_and_may_end_the_session() {
    let case = Case {
        crashes: 1,
        validates: true,
        ..Case::ours()
    };
    let seen = any_run_and(&[Sight::EndedByValidation]);
    keeps_its_promises("validation", case, &seen);
}

#[test]
fn failures_hold_everybody_off() {
    let case = Case {
        crashes: 1,
        back_off: 1,
        ..Case::ours()
    };
    keeps_its_promises("back-off", case, &any_run_and(&[Sight::BackOff]));
}

#[test]
fn a_provider_that_takes_a_spent_token_for_a_while() {
    // By the provider, and as it is configured here.
    for (grace, rotation_grace) in [(2, 0), (2, 2), (0, 2)] {
        let case = Case {
            crashes: 1,
            grace,
            rotation_grace,
            ..Case::ours()
        };
        let mut seen = ANY_RUN.to_vec();
        if grace > 0 {
            seen.push(Sight::SentWithinGrace);
        }
        if rotation_grace > 0 {
            seen.push(Sight::Repetition);
        }
        let name = format!("grace {grace}, configured {rotation_grace}");
        keeps_its_promises(&name, case, &seen);
    }
}

#[test]
fn an_access_token_that_outlives_the_lease() {
    let case = Case {
        crashes: 1,
        access_life: 2,
        clock_ends: 4,
        ..Case::ours()
    };
    keeps_its_promises("longer access token", case, ANY_RUN);
}

#[test]
fn a_store_that_loses_its_last_write() {
    let lossy = Case {
        lost_writes: 1,
        clock_ends: 2,
        ..Case::ours()
    };
    let seen = any_run_and(&[
        Sight::ClaimLost,
        Sight::SaveLost,
        Sight::TombstoneLost,
        Sight::TombstoneAgain,
    ]);
    let mild = Case {
        family: false,
        validates: true,
        ..lossy.clone()
    };
    keeps_its_promises("lost write, mild provider, validation", mild, &seen);
    let crash = Case {
        crashes: 1,
        ..lossy
    };
    let seen = [&seen[..], &[Sight::ClaimReplaced, Sight::ReplayDone]].concat();
    keeps_its_promises("lost write and crash", crash, &seen);
}

/// Larger bounds; minutes.
#[test]
fn larger_bounds() {
    if !long() {
        println!("left out: larger bounds (VESTIBULE_TEST_LONG)");
        return;
    }
    let base = Case::ours();
    let cases = [
        (
            "three replicas, all faults of a store that keeps its writes",
            Case {
                replicas: 3,
                crashes: 2,
                hiccups: 1,
                back_off: 1,
                validates: true,
                ..base.clone()
            },
        ),
        (
            "three replicas, two crashes, mild provider",
            Case {
                replicas: 3,
                crashes: 2,
                family: false,
                ..base.clone()
            },
        ),
        (
            "three replicas, lost write and crash",
            Case {
                replicas: 3,
                crashes: 1,
                lost_writes: 1,
                clock_ends: 2,
                ..base.clone()
            },
        ),
        (
            "lost write and crash",
            Case {
                crashes: 1,
                lost_writes: 1,
                ..base.clone()
            },
        ),
        (
            "two lost writes and crash",
            Case {
                crashes: 1,
                lost_writes: 2,
                ..base.clone()
            },
        ),
        (
            "long clock",
            Case {
                crashes: 1,
                hiccups: 1,
                access_life: 2,
                clock_ends: 6,
                ..base
            },
        ),
    ];
    for (name, case) in cases {
        keeps_its_promises(name, case, &[]);
    }
}
