//! Sessions: the ticket that a browser carries, the sealed records behind it,
//! and the stores that keep them.
//!
//! Owns: cookie format, record format, lifetime and idle time, revocation.
//! Must not know: HTTP requests, providers, policy.

pub mod cookie;
mod creation;
mod ended;
mod found;
mod handover;
pub mod history;
mod hot;
mod idle;
pub mod journal;
mod key_memory;
pub mod lifetime;
mod neighbours;
mod own_writes;
mod person_mark;
mod pins;
pub mod provider_sign_out;
pub mod record;
mod revocation;
pub mod rotation;
pub mod seen_cookies;
pub mod sessions;
mod settlement;
mod single_use;
mod spool;
pub mod store;
pub mod ticket;
mod vault;
mod waiting;
mod warm;
