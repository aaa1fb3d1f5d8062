//! The policy decision point: pure and synchronous.
