//! The words that every other module speaks. No input or output.
//!
//! Must not know: configuration, stores, HTTP connections.

pub mod access;
pub mod context;
pub mod header_pattern;
pub mod identity;
pub mod origin;
pub mod path_prefix;
pub mod path_text;
pub mod pattern;
pub mod pattern_tree;
pub mod target;
pub mod tokens;
