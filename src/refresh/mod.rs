//! Keeping a session's tokens fresh, unseen by the application.
//!
//! Owns: when a refresh is due for a request, the single flight inside this
//! process, the claim/send/commit protocol across replicas, what a failure
//! means for the session.
//! Must not know: HTTP requests, cookies, routes.

mod at_once;
mod due;
#[cfg(test)]
pub(crate) mod fixture;
mod flight;
mod outcome;
mod refresher;
mod rereading;

pub use outcome::{FailClass, Freshness};
pub use refresher::{Refresher, Settings};
