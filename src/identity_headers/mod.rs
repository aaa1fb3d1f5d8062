//! The identity that an application sees, as request headers.
//!
//! Owns: presets, the removal of client copies, the ready-made headers.
//! Must not know: sessions, cookies, connections.

mod inject;
mod presets;
mod scrub;
mod user;

pub use inject::{InjectError, Injection, ReadyHeaders};
pub use scrub::ScrubList;
pub use user::Pin;
