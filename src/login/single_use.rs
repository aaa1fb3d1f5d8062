//! The marker that makes a callback count once. It is written before the code
//! is sent, and afterwards holds what became of it, for reloads.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Inner;
use super::error::{LoginError, Phase};
use super::transaction::{self, Course};
use crate::base::fault::{Blame, Fault};
use crate::session::store::Once;

/// How long the outcome of a callback is remembered.
const REMEMBERED: Duration = transaction::LIFETIME;
/// An outcome that the store did not take is offered again after this long.
const KEEP_AGAIN: Duration = Duration::from_secs(1);
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
        let deadline = Instant::now() + TWIN_WAIT;
        let [mut pause, slowest] = TWIN_ASKS;
        loop {
            let seen = self
                .sessions
                .once("login", state.as_bytes(), REMEMBERED)
                .await?;
            match seen {
                Once::First => return Ok(Turn::First),
                Once::Seen(bytes) if bytes.is_empty() => {
                    if Instant::now() > deadline {
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

    /// Keeps the outcome for reloads; later, where the store does not take it
    /// now. Until it has, a reload waits, and then begins anew.
    pub(super) async fn remember(&self, state: &str, outcome: &Outcome) {
        let bytes = serde_json::to_vec(outcome).expect("an outcome is plain data");
        let kept = self
            .sessions
            .once_finish("login", state.as_bytes(), bytes.clone())
            .await;
        let Err(error) = kept else { return };
        tracing::warn!(
            reason = error.reason(),
            "outcome of a sign-in is not kept yet, and tried again"
        );
        let (sessions, state) = (Arc::clone(&self.sessions), state.to_owned());
        self.control.spawn(async move {
            let began = Instant::now();
            while began.elapsed() < REMEMBERED {
                tokio::time::sleep(KEEP_AGAIN).await;
                let kept = sessions
                    .once_finish("login", state.as_bytes(), bytes.clone())
                    .await;
                if kept.is_ok() {
                    return;
                }
            }
        });
    }
}
