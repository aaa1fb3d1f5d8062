//! `vestibule demo`: a demonstration application and a small identity
//! provider, both on loopback, and the configuration of an ordinary gateway
//! in front of them.
//!
//! Owns: the two servers, their pages, their data. Must not know: the inside
//! of the gateway; it speaks HTTP like any other neighbour, except for the
//! one button that ends a session, which asks through [`Revoker`].

mod accounts;
mod answer;
pub mod application;
pub mod control;
mod gateway;
pub mod grants;
mod listening;
pub mod provider;
mod received;
pub mod signing;
pub mod start;
#[cfg(test)]
mod tests;
mod token_endpoint;
mod websocket;

pub use application::Revoker;
pub use start::{DemoError, Parts, start};
