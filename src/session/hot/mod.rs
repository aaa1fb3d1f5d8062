//! Sessions that are asked for often, kept in this process and taken away the
//! moment somebody changes them.
//!
//! Owns: entries and their bounds, reads under way, what a change does to
//! both. Must not know: how a session is read, judged or told.

mod cache;
mod key;
mod ledger;
mod pilot;

pub use cache::{Bounds, Entry, Gone, HotCache};
pub use key::Key;
pub use pilot::{Boarding, Landing, Pilot};

#[cfg(test)]
mod tests;
