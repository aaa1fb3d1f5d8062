//! The marker that makes a callback count once. It is written before the code
//! is sent, and afterwards holds what became of it, for reloads.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Inner;
use super::error::{LoginError, Phase};
use super::transaction::{self, Course};
use crate::base::fault::{Blame, Fault};
use crate::session::store::Once;

/// How long the outcome of a callback is remembered.
const REMEMBERED: Duration = transaction::LIFETIME;
/// How long a second copy of a callback waits for the first.
const TWIN_WAIT: Duration = Duration::from_secs(12);
/// It asks after this long, then half as often each time, down to the last.
const TWIN_ASKS: [Duration; 2] = [Duration::from_millis(50), Duration::from_millis(800)];

/// What became of a callback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Outcome {
    Done,
    /// The browser was sent to the provider once more.
    Again(Course),
    Failed {
        reason: String,
        phase: String,
        blame: u8,
    },
}

/// Stored: never renumber.
const BLAMES: [Blame; 5] = [
    Blame::Client,
    Blame::Provider,
    Blame::Upstream,
    Blame::Operator,
    Blame::Gateway,
];

impl Outcome {
    pub(super) fn failed(phase: Phase, error: &LoginError) -> Self {
        let blame = error.blame();
        let blame = BLAMES.iter().position(|known| *known == blame);
        Self::Failed {
            reason: error.reason().to_owned(),
            phase: phase.as_str().to_owned(),
            blame: blame.and_then(|at| u8::try_from(at).ok()).unwrap_or(0),
        }
    }
}

/// The failure that an outcome tells of, once more.
pub(super) fn told_again(reason: &str, phase: &str, blame: u8) -> (Phase, LoginError) {
    let blame = BLAMES.get(usize::from(blame)).copied();
    let error = LoginError::Spent {
        reason: reason.to_owned(),
        blame: blame.unwrap_or(Blame::Client),
    };
    (Phase::named(phase).unwrap_or(Phase::State), error)
}

/// Whose turn it is.
pub(super) enum Turn {
    First,
    Over(Outcome),
    /// The first copy wrote the marker and was never heard of again: what it
    /// sent, nobody knows.
    Lost,
}

impl Inner {
    /// Takes the turn, or waits for whoever has it.
    pub(super) async fn turn(&self, state: &str) -> Result<Turn, LoginError> {
        let deadline = tokio::time::Instant::now() + TWIN_WAIT;
        let [mut pause, slowest] = TWIN_ASKS;
        loop {
            let seen = self
                .sessions
                .once("login", state.as_bytes(), REMEMBERED)
                .await?;
            match seen {
                Once::First => return Ok(Turn::First),
                Once::Seen(bytes) if bytes.is_empty() => {
                    if tokio::time::Instant::now() > deadline {
                        return Ok(Turn::Lost);
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(slowest);
                }
                Once::Seen(bytes) => {
                    let outcome = serde_json::from_slice(&bytes);
                    return Ok(Turn::Over(outcome.unwrap_or(Outcome::Failed {
                        reason: String::new(),
                        phase: String::new(),
                        blame: 0,
                    })));
                }
            }
        }
    }

    pub(super) async fn remember(&self, state: &str, outcome: &Outcome) {
        let bytes = serde_json::to_vec(outcome).expect("an outcome is plain data");
        let kept = self
            .sessions
            .once_finish("login", state.as_bytes(), bytes)
            .await;
        if let Err(error) = kept {
            // A reload will wait, and then begin anew.
            tracing::warn!(reason = error.reason(), "outcome of a sign-in was not kept");
        }
    }
}
