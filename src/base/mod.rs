//! Tools that know nothing of the gateway: time, randomness, keys, seals,
//! bodies, header names, certificates, blame, work on other threads.
//!
//! Must not know: any other module of this crate.

pub mod body;
pub mod bounded_body;
pub mod calendar;
pub mod certificate;
pub mod clock;
pub mod fault;
pub mod header_names;
pub mod key_ring;
pub mod kill_point;
pub mod offload;
pub mod random;
pub mod seal;
pub mod secret_file;
pub mod tcp_keep_alive;
