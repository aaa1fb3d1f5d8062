//! The conductor of the public side: parses a request once, answers own
//! endpoints, asks the gate, hands permits to the proxy, renders errors.
//!
//! Owns: the order of these steps, own endpoints, the only renderer of error
//! answers.
//! Must not know: the demo, the command line, how parts are wired.

mod context;
mod endpoints;
mod forwarding;
mod in_flight;
mod render;
mod service;
mod sign_in;
mod start_limit;
mod tunnel_guard;
mod upgrade_origin;

pub use service::{Equipment, Parts, Service};
pub use tunnel_guard::TunnelGuard;
