//! Where a request belongs: host and path to a route with its policy and its
//! cookie scope, and where a browser may be sent afterwards.
//!
//! Owns: the route table, an immutable snapshot; the rules of `return_to`.
//! Must not know: identities, connections, how an answer is spoken.

#[cfg(test)]
mod fixture;
mod return_to;
mod scope;
mod table;

pub use return_to::{ReturnTo, ReturnToPolicy};
pub use scope::{SessionHost, scope_of};
pub use table::{Found, Route, RouteTable};
