//! Protocols that must be rejected: they show that each promise can fail.

use crate::case::{Case, Flaw, Save};
use crate::explore;
use crate::promises::{DELETED, REVIVED, SENT_TWICE, STUCK, TOKEN_LOST};

/// The variants that a model check in Spin rejected, for what it found, and
/// what else is found here.
#[test]
fn protocols_of_other_gateways_are_rejected() {
    let base = Case {
        intent: false,
        ..Case::ours()
    };
    let no_lock = Case {
        lease: false,
        ..base.clone()
    };
    let perfect = Case {
        lease: false,
        lock: true,
        ..base.clone()
    };
    let cases = [
        (
            "A: no lock, blind save, delete on failure",
            Case {
                save: Save::Blindly,
                rereads: false,
                signs_out: false,
                // The mildest provider is enough.
                family: false,
                ..no_lock
            },
            vec![SENT_TWICE, DELETED],
        ),
        (
            "B: expiring lease, blind save, delete on failure",
            Case {
                save: Save::Blindly,
                rereads: false,
                family: false,
                ..base.clone()
            },
            vec![SENT_TWICE, REVIVED, DELETED],
        ),
        (
            "D: expiring lease, save as owner",
            Case {
                save: Save::AsOwner,
                ..base.clone()
            },
            vec![SENT_TWICE],
        ),
        ("E: expiring lease, save if spent", base, vec![SENT_TWICE]),
        (
            "F: perfect lease, crash, save if spent",
            Case {
                crashes: 1,
                ..perfect.clone()
            },
            vec![SENT_TWICE],
        ),
        (
            "H: intent, but save as owner",
            Case {
                save: Save::AsOwner,
                ..Case::ours()
            },
            vec![TOKEN_LOST],
        ),
    ];
    for (name, case, promises) in cases {
        rejected(name, case, &promises);
    }
    // Without a crash a lock that never runs out serialises everything, so
    // this one fails at the log-out and nowhere else.
    let case = Case {
        save: Save::Blindly,
        answers_lost: false,
        ..perfect
    };
    let found = explore("C: perfect lease, blind save, no crash", case, &[]);
    assert_eq!(found.names(), [REVIVED]);
}

#[track_caller]
fn rejected(name: &str, case: Case, promises: &[&'static str]) {
    let found = explore(name, case, promises).names();
    for promise in promises {
        assert!(found.contains(promise), "{name} breaks {found:?} only");
    }
}

/// Each promise hangs on each of these.
#[test]
fn one_thing_done_wrong_is_rejected() {
    let crash = Case {
        crashes: 1,
        ..Case::ours()
    };
    let mild = Case {
        family: false,
        ..Case::ours()
    };
    let lossy = Case {
        lost_writes: 1,
        ..Case::ours()
    };
    let cases = [
        (Flaw::SendsLate, Case::ours(), vec![SENT_TWICE]),
        (Flaw::LastTryAtOnce, Case::ours(), vec![SENT_TWICE]),
        (Flaw::EndlessLease, crash.clone(), vec![STUCK]),
        (Flaw::ForgetsUnknown, Case::ours(), vec![SENT_TWICE]),
        (Flaw::DeletesAtOnce, mild.clone(), vec![DELETED]),
        (Flaw::DeletesForOthers, mild, vec![DELETED]),
        (Flaw::DropsUnsaved, Case::ours(), vec![TOKEN_LOST]),
        (Flaw::NoSpool, crash.clone(), vec![TOKEN_LOST]),
        (Flaw::ReplaysBlindly, crash, vec![REVIVED]),
        (Flaw::TombstoneOnce, lossy, vec![REVIVED]),
    ];
    for (flaw, case, promises) in cases {
        let name = format!("{flaw:?}");
        let case = Case {
            flaw: Some(flaw),
            ..case
        };
        rejected(&name, case, &promises);
    }
}

/// A limit, not a promise: where a provider with a grace hands out one more
/// token and forgets the one before, whoever stores first may store the dead
/// one. `rotation_grace` is for providers that repeat their answer, or keep
/// both alive.
#[test]
fn a_grace_that_replaces_the_token_again_is_not_for_us() {
    let case = Case {
        grace: 2,
        grace_renews: true,
        rotation_grace: 2,
        ..Case::ours()
    };
    rejected("grace with another token", case, &[TOKEN_LOST]);
}
