//! The integration tests: the real binary against scripted and real peers.
//!
//! Plain `cargo test` leaves out what needs a program that is not installed,
//! and says so; see `harness/part.rs`.

#[cfg(test)]
mod harness;

#[cfg(test)]
mod back_channel;
#[cfg(test)]
mod bad_lines;
#[cfg(test)]
mod browser_demo;
#[cfg(test)]
mod browser_pages;
#[cfg(test)]
mod callback_attacks;
#[cfg(test)]
mod changes_told;
#[cfg(test)]
mod check_live;
#[cfg(test)]
mod classification;
#[cfg(test)]
mod clock;
#[cfg(test)]
mod connections;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod domain_scope;
#[cfg(test)]
mod draining;
#[cfg(test)]
mod expiry;
#[cfg(test)]
mod explain;
#[cfg(test)]
mod grpc;
#[cfg(test)]
mod harness_alone;
#[cfg(test)]
mod hosts;
#[cfg(test)]
mod hot_sessions;
#[cfg(test)]
mod http2;
#[cfg(test)]
mod http2_attacks;
#[cfg(test)]
mod http2_upstreams;
#[cfg(test)]
mod id_tokens;
#[cfg(test)]
mod identity;
#[cfg(test)]
mod identity_rules;
#[cfg(test)]
mod instruments_alone;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod kill_points;
#[cfg(test)]
mod lanes;
#[cfg(test)]
mod login;
#[cfg(test)]
mod login_again;
#[cfg(test)]
mod login_rows;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod many_sessions;
#[cfg(test)]
mod paths;
#[cfg(test)]
mod provider_faults;
#[cfg(test)]
mod proxying;
#[cfg(test)]
mod radicale_behind_gateway;
#[cfg(test)]
mod recipes;
#[cfg(test)]
mod refresh;
#[cfg(test)]
mod refresh_rows;
#[cfg(test)]
mod revoke_race;
#[cfg(test)]
mod rolling_restart;
#[cfg(test)]
mod session_write;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod sign_out;
#[cfg(test)]
mod soak;
#[cfg(test)]
mod spa;
#[cfg(test)]
mod starting;
#[cfg(test)]
mod store_faults;
#[cfg(test)]
mod store_outage;
#[cfg(test)]
mod store_topologies;
#[cfg(test)]
mod storm;
#[cfg(test)]
mod tunnels;
#[cfg(test)]
mod two_providers;
#[cfg(test)]
mod untold_changes;
#[cfg(test)]
mod upstreams;
#[cfg(test)]
mod warm_sessions;
#[cfg(test)]
mod why;
#[cfg(test)]
mod workers;
#[cfg(test)]
mod zipline;
