//! Configuration: what was written (raw) becomes what we can run with
//! (checked), or every fault at once with key path, line and cure.
//!
//! Owns: the file, the environment, secret files, the JSON Schema.
//! Must not know: anything that acts on it.

pub mod checked;
