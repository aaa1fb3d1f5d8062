//! The conductor of the public side: parses a request once, answers own
//! endpoints, asks the gate, hands permits to the proxy, renders errors.
//!
//! Owns: the order of these steps, own endpoints, the only renderer of error
//! answers.
//! Must not know: the demo, the command line, how parts are wired.

mod address_limit;
mod beside;
mod changed_hands;
mod context;
mod cross_origin;
mod endpoints;
mod entrance;
mod forwarding;
mod in_flight;
mod last_head;
mod look;
mod observe;
mod pending;
mod place;
mod render;
mod service;
mod shadow;
mod sign_in;
mod trace;
mod trail;
mod tunnel_guard;
mod upgrade_origin;

pub use endpoints::Endpoint;
pub use entrance::{Entrance, entrance};
pub use look::audience;
pub use place::{Place, place};
pub use service::{Equipment, Parts, Service};
pub use tunnel_guard::TunnelGuard;
