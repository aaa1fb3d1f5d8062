use std::time::Duration;

use proptest::prelude::*;

use super::*;

const A: Fingerprint = Fingerprint([1; 16]);
const B: Fingerprint = Fingerprint([2; 16]);
const LEASE: Duration = Duration::from_secs(15);
const T: Timestamp = Timestamp(1_000_000);

fn header() -> TokenHeader {
    TokenHeader::new(A, Timestamp(9), T)
}

fn claim(owner: u8, last_try: bool) -> Claim {
    Claim {
        rt_fp: A,
        owner: Owner([owner; 16]),
        lease: LEASE,
        last_try,
        grace: Duration::ZERO,
    }
}

fn release(owner: u8, clear_intent: bool) -> Release {
    Release {
        owner: Owner([owner; 16]),
        clear_intent,
        retry_at: Timestamp(0),
        fail_class: 0,
    }
}

#[test]
fn a_claim_is_granted_once_and_then_busy_unknown_and_one_last_try() {
    let mut header = header();
    assert_eq!(header.claim(&claim(1, false), T), Claimed::Granted);
    let until = T.plus(LEASE);
    let busy = Claimed::Busy { lease_until: until };
    assert_eq!(header.claim(&claim(2, false), T), busy);
    assert_eq!(header.claim(&claim(2, true), T), busy);
    let unknown = Claimed::Unknown {
        tries: 1,
        sent_at: T,
    };
    assert_eq!(header.claim(&claim(2, false), until), unknown);
    assert_eq!(header.claim(&claim(2, true), until), Claimed::Granted);
    let later = until.plus(LEASE);
    let spent = Claimed::Unknown {
        tries: 2,
        sent_at: T,
    };
    assert_eq!(header.claim(&claim(3, true), later), spent);
}

#[test]
fn a_claim_of_another_or_no_token_is_superseded() {
    let mut other = header();
    other.rt_fp = B;
    assert_eq!(other.claim(&claim(1, true), T), Claimed::Superseded);
    let mut none = header();
    none.rt_fp = Fingerprint::NONE;
    let mut of_none = claim(1, true);
    of_none.rt_fp = Fingerprint::NONE;
    assert_eq!(none.claim(&of_none, T), Claimed::Superseded);
    let spent_nothing = none.commit(Fingerprint::NONE, B, T, T);
    assert_eq!(spent_nothing, Committed::Superseded);
}

#[test]
fn a_release_backs_off_and_forgets_only_its_own_try() {
    let mut header = header();
    header.claim(&claim(1, false), T);
    assert!(!header.release(&release(2, true)));
    let wait = Release {
        retry_at: Timestamp(T.0 + 5),
        fail_class: 7,
        ..release(1, true)
    };
    assert!(header.release(&wait));
    assert!(header.intent_fp.is_none());
    assert_eq!(
        header.claim(&claim(1, false), T),
        Claimed::BackOff {
            retry_at: Timestamp(T.0 + 5),
            fail_class: 7
        }
    );
    let later = Timestamp(T.0 + 5);
    assert_eq!(header.claim(&claim(1, false), later), Claimed::Granted);
    assert!(header.release(&release(1, false)));
    assert_eq!(header.claim(&claim(2, true), later), Claimed::Granted);
    assert!(header.release(&release(2, true)));
    assert_eq!(header.intent_fp, A, "the first try may have been spent");
    let unknown = Claimed::Unknown {
        tries: 1,
        sent_at: later,
    };
    assert_eq!(header.claim(&claim(3, false), later), unknown);
}

#[test]
fn within_the_grace_a_token_is_sent_again_without_counting() {
    let grace = Duration::from_secs(60);
    let graced = |owner| Claim {
        grace,
        ..claim(owner, false)
    };
    let mut header = header();
    assert_eq!(header.claim(&graced(1), T), Claimed::Granted);
    assert!(!header.graced, "the first time is no repetition");
    assert!(header.release(&release(1, false)));
    let soon = T.plus(Duration::from_secs(59));
    assert_eq!(header.claim(&graced(2), soon), Claimed::Granted);
    assert_eq!((header.graced, header.tries, header.sent_at), (true, 1, T));
    // Taking the repetition back does not take the first try back.
    assert!(header.release(&release(2, true)));
    assert_eq!((header.graced, header.tries), (false, 1));
    assert_eq!(header.intent_fp, A);
    let over = T.plus(grace);
    let unknown = Claimed::Unknown {
        tries: 1,
        sent_at: T,
    };
    assert_eq!(header.claim(&graced(3), over), unknown);
    let last = Claim {
        grace,
        ..claim(3, true)
    };
    assert_eq!(header.claim(&last, over), Claimed::Granted);
    assert_eq!((header.graced, header.tries), (false, 2));
    // Neither the last try nor taking it back begins the grace anew.
    assert_eq!(header.sent_at, T);
    assert!(header.release(&release(3, true)));
    assert_eq!(header.claim(&graced(4), over), unknown);
}

#[test]
fn failures_are_counted_until_a_commit() {
    let mut header = header();
    let failed = Release {
        fail_class: 2,
        ..release(1, true)
    };
    for round in 1..=3 {
        header.claim(&claim(1, false), T);
        assert!(header.release(&failed));
        assert_eq!(header.failures, round);
    }
    header.claim(&claim(1, false), T);
    assert!(header.release(&release(1, true)), "no failure, given back");
    assert_eq!(header.failures, 3);
    header.claim(&claim(1, false), T);
    header.commit(A, B, T, T);
    assert_eq!(header.failures, 0);
}

#[test]
fn a_commit_depends_on_the_spent_token_only() {
    let mut header = header();
    header.claim(&claim(1, false), T);
    let late = T.plus(LEASE * 3);
    header.claim(&claim(2, true), late);
    let version = header.version;
    let done = Committed::Done {
        version: version + 1,
    };
    assert_eq!(header.commit(A, B, Timestamp(77), Timestamp(66)), done);
    let expected = TokenHeader {
        version: version + 1,
        sent_at: T,
        received_at: Timestamp(66),
        ..TokenHeader::new(B, Timestamp(77), T)
    };
    assert_eq!(header, expected);
    assert_eq!(header.commit(A, B, T, T), Committed::Superseded);
    assert!(!header.release(&release(2, true)));
}

proptest! {
    /// Any mix of replicas, crashes and clock steps: a token is granted
    /// at most twice, and the second time only with permission.
    #[test]
    fn no_token_is_granted_more_than_twice(
        steps in proptest::collection::vec((0_u8..4, 1_u8..4, any::<bool>(), 0_u64..30_000), 1..60)
    ) {
        let mut header = header();
        let mut now = T;
        let mut unsure = 0_u8;
        for (what, owner, flag, wait) in steps {
            now = Timestamp(now.0 + wait);
            let before = header.clone();
            match what {
                0 | 1 => {
                    let granted = header.claim(&claim(owner, flag), now) == Claimed::Granted;
                    if granted {
                        prop_assert!(unsure == 0 || (flag && unsure == 1));
                        unsure += 1;
                    } else {
                        prop_assert_eq!(&header, &before);
                    }
                }
                _ => {
                    if header.release(&release(owner, flag)) && flag {
                        unsure -= 1;
                    }
                }
            }
            prop_assert!(header.version >= before.version);
            prop_assert!(unsure <= MAX_TRIES);
        }
    }
}
