//! Whether an upstream is there, asked outside of any request.

use std::time::Duration;

use super::connect::Dialer;
use super::error::ProxyError;
use super::upstream_tls::UnusableUpstream;
use crate::config::checked::{Upstream, UpstreamTls};

/// Connects as a request would, TLS included, and hangs up. The outer error
/// is one of the configuration.
pub async fn reach(
    upstream: &Upstream,
    tls: &UpstreamTls,
    within: Duration,
) -> Result<Result<(), ProxyError>, UnusableUpstream> {
    let dialer = Dialer::new(upstream, tls)?;
    Ok(dialer.dial(within, false).await.map(drop))
}
