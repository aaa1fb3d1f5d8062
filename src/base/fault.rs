//! Whose fault an error is, and the word it is known by.

/// Who has to act. Decides the class of the status and the level of the log
/// line, once, for every error of the crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The request is wrong (4xx, debug).
    Client,
    /// The identity provider misbehaved or cannot be reached (502/503, warn).
    Provider,
    /// The application behind the gateway failed (502/504, warn).
    Upstream,
    /// Configuration, keys, permissions or the store (503, error).
    Operator,
    /// A defect of ours (500, error).
    Gateway,
}

/// Every module's error enum says who is to blame and gives a stable reason
/// code: the word in the log, the metric and on the page.
pub trait Fault: std::error::Error {
    fn blame(&self) -> Blame;
    /// Stable, lower-case, `snake_case`. Part of the contract with operators.
    fn reason(&self) -> &'static str;
}
