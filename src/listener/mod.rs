//! Bytes to requests: sockets, connections and their limits, workers.
//!
//! Owns: accepting, spreading connections over workers, header and idle
//! limits, the drain of connections and tunnels.
//! Must not know: what a request means; a [`Handler`] is handed in.

mod accept;
mod admission;
mod bind;
mod connection;
mod io;
mod pulse;
mod rest;
mod serve;
mod spawner;
mod streams;
#[cfg(test)]
mod tests;
mod tls;
mod tunnels;
mod worker;

pub use bind::{Bound, ListenError, Listener, LocalAddr};
pub use connection::{Connection, Handler, PeerAddr};
pub use serve::{Running, ServeSettings};
pub use tls::{CertificateError, Tls};
pub use tunnels::{Tunnel, TunnelCloser, Tunnels};
