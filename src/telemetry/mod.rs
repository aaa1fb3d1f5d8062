//! What operators read: the log, the access log, the metrics.
//!
//! Owns: their formats, and that nothing in them can forge a second record.
//! Must not know: requests, sessions, providers; it gets words and numbers.
//! Secrets never come here.

mod access_log;
mod escape;
mod handle;
mod line;
mod log;
mod metrics;
mod rfc3339;
mod series;
mod session_cache;
mod shard;

pub use access_log::AccessLog;
pub use handle::{RequestLine, Telemetry};
pub use log::{LogError, init};
pub use rfc3339::Rfc3339;
pub use session_cache::SessionCacheFigures;
pub use shard::Tally;
