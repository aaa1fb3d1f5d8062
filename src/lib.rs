//! Vestibule: an authentication gateway.
//!
//! The modules, lowest layer first. A module imports only from layers below
//! its own; modules of one layer never import each other (`tests/tidy.rs`).

// L0: knows nothing of the gateway
pub mod base;
// L1: the words every other module speaks
pub mod model;
pub mod telemetry;
// L2: what was written, and what we can run with
pub mod config;
// L3: one concern each, unaware of one another
pub mod listener;
pub mod page;
pub mod policy;
pub mod provider;
pub mod session;
// L4
pub mod identity_headers;
pub mod refresh;
pub mod route;
// L5: who is it, may they; signing in; signing out
pub mod gate;
pub mod login;
pub mod logout;
// L6: what a permit buys, and what operators see
pub mod admin;
pub mod proxy;
// L7: the conductor of the public side
pub mod server;
// L8: wiring and command line
pub mod app;
pub mod cli;
pub mod demo;
