//! Connections to one upstream.
//!
//! Owns: which connections there are, who may use which, how long one may
//! rest or be silent. Must not know: what a request says.

mod senders;
mod stacks;
mod sweep;
mod wires;

pub(super) use senders::{Sent, Watch};
pub(super) use stacks::{Place, Pool};
