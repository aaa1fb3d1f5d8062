//! Keeping a session's tokens fresh, unseen by the application.
//!
//! Owns: when a refresh is due for a request, the single flight inside this
//! process, the claim/send/commit protocol across replicas, what a failure
//! means for the session, for the others of its provider, and for the
//! operator.
//! Must not know: HTTP requests, cookies, routes.
//!
//! Limits: an access token is for the application, so nothing is read in it.
//! One whose `nbf` lies in the future is passed on at once: a record holds one
//! access token, the newest, and whoever reads `nbf` may allow for clocks that
//! differ (RFC 7519 section 4.1.5). An ID token is ours and is judged with a
//! minute of leeway; beyond it the claims stay as they were and the session
//! goes on.

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
