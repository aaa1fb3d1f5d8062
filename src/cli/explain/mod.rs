//! `vestibule explain`: what would happen to a request, and why.
//!
//! Owns: the question as typed, the answer as data and as text.
//! Must not know: how to decide; the same functions as on the request path do.

mod answer;
mod question;
mod report;
mod words;

pub use question::ExplainSettings;
pub(super) use report::explain;
