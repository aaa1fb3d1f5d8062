//! The identity that an application sees, as request headers.
//!
//! Owns: presets, the removal of client copies, the ready-made headers.
//! Must not know: sessions, cookies, connections.

mod inject;
mod presets;
mod scrub;

pub use inject::{InjectError, Injection, ReadyHeaders, user_id};
pub use scrub::ScrubList;
