//! Keeping a session's tokens fresh, unseen by the application.
//!
//! Owns: when a refresh is due for a request, the single flight inside this
//! process, the claim/send/commit protocol across replicas, what a failure
//! means for the session, for the others of its provider, and for the
//! operator.
//! Must not know: HTTP requests, cookies, routes.

mod alert;
mod at_once;
mod due;
mod failure;
#[cfg(test)]
pub(crate) mod fixture;
mod flight;
mod history;
mod outcome;
mod pace;
mod refresher;
mod rereading;
mod untold;

pub use outcome::{FailClass, Freshness};
pub use refresher::{Refresher, Settings};
