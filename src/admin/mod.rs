//! What operators and orchestrators ask: alive, ready, metrics. On a listener
//! of its own, never on the public one.
//!
//! Owns: `/livez`, `/readyz`, `/metrics`, and what "ready" means.
//! Must not know: routes, sessions, providers; it is told what happened.

mod readiness;
mod serve;

pub use readiness::AdminState;
pub use serve::serve;
