//! The only wiring: from a checked configuration to a running gateway, and
//! back to silence.
//!
//! Owns: which part gets which other part, the runtimes, signals, readiness.
//! Must not know: command lines, the demo.

mod banner;
pub mod cure;
mod gateway;
mod history;
pub mod live;
mod names;
mod readiness;
mod self_test;
mod store;

pub use banner::banner;
pub use gateway::{AppError, Gateway};
pub use history::history;
pub use names::release_name;
