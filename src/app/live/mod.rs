//! `check --live`: asks the provider, the store and the applications what a
//! running gateway would need of them. Nothing of a gateway that runs beside
//! it is touched.

mod provider;
mod store;
mod upstream;

use tokio::task::JoinHandle;

use super::cure::cure_for;
use crate::base::fault::Fault;
use crate::config::checked::Config;
pub use crate::provider::Verdict;

/// One peer, and what it answers; they are all asked at once.
pub struct Question {
    /// Whom: "provider main (https://id.example.com)".
    pub about: String,
    pub answers: JoinHandle<Vec<Answer>>,
}

/// One thing learnt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub verdict: Verdict,
    /// A sentence without its full stop; nothing secret.
    pub said: String,
    /// What an operator does about it.
    pub cure: Option<String>,
}

impl Answer {
    fn good(said: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Good,
            said: said.into(),
            cure: None,
        }
    }

    fn doubtful(said: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Doubtful,
            said: said.into(),
            cure: Some(cure.into()),
        }
    }

    fn bad(said: impl Into<String>, cure: Option<String>) -> Self {
        Self {
            verdict: Verdict::Bad,
            said: said.into(),
            cure,
        }
    }

    fn of_fault<E: Fault + std::error::Error>(error: &E, id: Option<&str>) -> Self {
        let mut said = error.to_string();
        let mut cause = error.source();
        while let Some(inner) = cause {
            let words = inner.to_string();
            if !said.contains(&words) {
                said.push_str(": ");
                said.push_str(&words);
            }
            cause = inner.source();
        }
        Self::bad(said, cure_for(error.reason(), id))
    }
}

/// Begins every question, on the runtime of the caller; all of them have
/// deadlines. In the order in which they are best read.
pub fn ask(config: &Config) -> Vec<Question> {
    let mut questions = provider::ask(config);
    questions.push(store::ask(config));
    questions.extend(upstream::ask(config));
    questions
}
