//! HTTP/1.1 with an upstream, for requests that have no body.
//!
//! Most requests have none, and what hyper's client spends on being ready
//! for one costs more than the rest of the gateway: a task beside every
//! connection, two channels, a second map of fields. Here the task of the
//! request itself writes and reads. Bodies, tunnels and HTTP/2 stay with
//! hyper.
//!
//! Owns: the bytes of one exchange, and when an answer is over.
//! Must not know: which fields may pass, which connection is free.

mod chunks;
mod message;
mod received;
mod response_head;
mod wire;

pub use message::RequestBytes;
pub(super) use received::{Framing, Received};
pub(super) use response_head::ResponseHead;
pub(super) use wire::{Lost, Wire};
