//! The policy decision point: which lane a request takes, and whether an
//! identity may pass. Pure and synchronous.
//!
//! Owns: [`Permit`], the only ticket to an upstream; nobody else can make
//! one.
//! Must not know: sessions, cookies, connections, how an answer is spoken.

mod admission;
mod compile;
mod decision;
mod evaluate;
mod explain;
mod shortfall;

#[cfg(test)]
mod tests;

pub use compile::RoutePolicy;
pub use decision::{Decision, DenyReason, Permit};
pub use evaluate::{LaneMatch, RuleKey, Standing};
pub use explain::{
    AccessOutcome, AccessStep, Asked, DenyOutcome, DenyStep, Explanation, RuleStep, admitted,
};
pub use shortfall::{Mismatch, Shortfall};
