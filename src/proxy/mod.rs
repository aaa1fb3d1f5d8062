//! What a permit buys: the request travels to its upstream and the answer
//! comes back.
//!
//! Owns: heads as upstreams see them, upstream connections, tunnels.
//! Must not know: who may pass and why; how errors are shown.

mod clear_site_data;
mod connect;
mod direct;
mod error;
mod forward;
mod forwarded;
mod health;
mod hop_by_hop;
mod http1;
mod last_body;
mod line;
mod pool;
mod reach;
mod request_body;
mod request_head;
mod response;
mod sender;
mod streams;
mod survey;
mod target;
#[cfg(test)]
mod tests;
mod tunnel;
mod upgrade;
mod upstream_tls;

pub use error::ProxyError;
pub use forward::{CookieField, CookieFilter, Outbound, Proxy};
pub use http1::RequestBytes;
pub use reach::reach;
pub use request_head::Rewrite;
pub use survey::Survey;
pub use target::UpstreamTarget;
pub use upstream_tls::{TlsFault, UnusableUpstream};
