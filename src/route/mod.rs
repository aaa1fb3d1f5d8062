//! Where a request belongs: host and path to a route with its policy and its
//! cookie scope, where a browser may be sent afterwards, and which cookies of
//! the applications end there.
//!
//! Owns: the route table, an immutable snapshot; the rules of `return_to`.
//! Must not know: identities, connections, how an answer is spoken.

mod clear_cookies;
#[cfg(test)]
mod fixture;
mod return_to;
mod routes;
mod scope;
mod sites;
mod table;

pub use return_to::{ReturnTo, ReturnToPolicy};
pub use routes::Route;
pub use scope::SessionHost;
pub use table::{Found, RouteTable};
