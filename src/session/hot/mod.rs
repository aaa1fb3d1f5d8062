//! Sessions that are asked for often, kept in this process and taken away the
//! moment somebody changes them.
//!
//! Owns: entries and their bounds, reads under way, what a change does to
//! both. Must not know: how a session is read, judged or told.

mod cache;
mod changes;
mod key;
mod ledger;
mod pilot;
mod shelf;

pub use cache::HotCache;
pub use key::Key;
pub use pilot::{Boarding, Landing, Pilot};
pub use shelf::{Bounds, Entry, Gone};

#[cfg(test)]
mod tests;
