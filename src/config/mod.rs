//! Configuration: what was written (raw) becomes what we can run with
//! (checked), or every fault at once with key path, line and cure.
//!
//! Owns: the file, the environment, secret files, the JSON Schema, and the
//! sentences that say who gets in.
//! Must not know: anything that acts on it.

mod access;
mod access_rule;
mod address;
mod admin;
pub mod checked;
mod custom_header;
mod environment;
mod foreign_key;
mod identity_preset;
mod identity_rules;
mod issuer;
mod issuer_lane;
mod key_pair;
mod keys;
mod lane_rule;
mod limits;
mod load;
mod log;
mod not_built;
mod pages;
mod path_prefix;
mod problems;
mod provider;
mod quantity;
mod raw;
mod redis;
mod redis_url;
mod route;
mod route_conflict;
mod route_host;
mod schema;
mod secret_file;
mod self_test;
pub mod sentence;
mod server;
mod session;
mod shadow;
mod shape;
mod token_header;
mod trace;
mod tree;
mod trust_anchor;
mod upstream;
mod upstream_tls;

pub use load::{Loaded, STANDARD_PLACES, Sources, inspect, load, parse};
pub use problems::{Problem, Problems};
pub use schema::{keys as known_keys, schema};

#[cfg(test)]
mod tests;
