//! What was seen on the way, so that a promise which holds because nothing
//! happened is noticed.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! sights {
    ($($name:ident: $text:literal,)*) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Sight { $($name,)* }

        impl Sight {
            pub const ALL: &[(Self, &'static str)] = &[$((Self::$name, $text),)*];
        }
    };
}

sights! {
    TwoRotations: "two rotations in a row",
    UnknownOutcome: "held off: the outcome is unknown",
    LastTry: "the last try",
    NewLogin: "a new login after the last try",
    BackOff: "held off by a failure",
    RaceLost: "refused, but somebody has stored a newer token",
    WinnerSpared: "refused at the last try, the record left for a winner",
    ClaimReplaced: "refused, but the claim on record is another's",
    Deleted: "refused at the first try, session ended",
    SavedAfterLease: "stored after the lease",
    SavedPastAnother: "stored while another replica had the claim",
    SaveSuperseded: "not stored: the record has a newer token",
    SignOutWon: "not stored: signed out meanwhile",
    Spooled: "crashed with a spooled token",
    ReplayDone: "spooled token stored",
    ReplaySuperseded: "spooled token not stored: superseded",
    ReplayGone: "spooled token not stored: signed out",
    EndedByValidation: "ended because the tokens are somebody else's",
    Repetition: "sent again within the configured grace",
    SentWithinGrace: "a spent token was taken once more",
    ClaimLost: "the store lost a claim",
    SaveLost: "the store lost new tokens",
    TombstoneLost: "the store lost a tombstone",
    TombstoneAgain: "tombstone written from the file",
}

/// How often each was met, counted over transitions.
#[derive(Debug)]
pub struct Sights([AtomicU64; Sight::ALL.len()]);

impl Default for Sights {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Sights {
    pub fn saw(&self, sight: Sight) {
        self.0[sight as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn count(&self, sight: Sight) -> u64 {
        self.0[sight as usize].load(Ordering::Relaxed)
    }
}
