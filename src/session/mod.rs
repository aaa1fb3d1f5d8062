//! Sessions: the ticket that a browser carries, the sealed records behind it,
//! and the stores that keep them.
//!
//! Owns: cookie format, record format, lifetime and idle time, revocation.
//! Must not know: HTTP requests, providers, policy.

pub mod cookie;
mod found;
mod handover;
pub mod history;
mod idle;
mod key_memory;
pub mod lifetime;
mod person_mark;
mod pins;
pub mod provider_sign_out;
pub mod record;
pub mod rotation;
pub mod sessions;
mod single_use;
pub mod store;
pub mod ticket;
mod vault;
