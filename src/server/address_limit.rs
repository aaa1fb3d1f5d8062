//! How often one address may do something that nobody has to sign in for. A
//! sign-in start may cost a discovery call and always costs an answer with
//! cookies; on open lanes the application works for everybody. A flood from
//! one place must not drown what others ask for.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use governor::clock::Clock as _;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::service::Inner;
use crate::model::access::Lane;
use crate::model::context::RequestContext;
use crate::policy::Permit;

/// Addresses that have gone quiet are forgotten after this many checks.
const TIDY_EVERY: u32 = 1024;

/// Per IPv4 address, or per IPv6 /64: a household has that many for itself.
pub(super) struct AddressLimit {
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    checks: AtomicU32,
}

impl AddressLimit {
    /// `per_minute` with bursts of twice that.
    pub(super) fn new(per_minute: NonZeroU32) -> Self {
        let burst = per_minute.saturating_mul(NonZeroU32::MIN.saturating_add(1));
        Self {
            limiter: RateLimiter::keyed(Quota::per_minute(per_minute).allow_burst(burst)),
            checks: AtomicU32::new(0),
        }
    }

    pub(super) fn allows(&self, client: IpAddr) -> bool {
        self.check(client).is_ok()
    }

    /// # Errors
    /// How long until the next one is allowed.
    pub(super) fn check(&self, client: IpAddr) -> Result<(), Duration> {
        if self.checks.fetch_add(1, Ordering::Relaxed) % TIDY_EVERY == TIDY_EVERY - 1 {
            self.limiter.retain_recent();
        }
        let now = self.limiter.clock().now();
        self.limiter
            .check_key(&network(client))
            .map_err(|refused| refused.wait_time_from(now))
    }
}

impl Inner {
    /// Where anybody may pass without a session, one address may not take all.
    /// A trusted proxy that does not say for whom it asks is not one address.
    pub(super) fn within_open_limit(
        &self,
        permit: &Permit,
        context: &RequestContext,
    ) -> Result<(), Duration> {
        let limited = matches!(permit.lane(), Lane::Public | Lane::BackendToken)
            && !self.contexts.trusts(context.client_addr);
        if !limited {
            return Ok(());
        }
        // Whole seconds, and never zero: that is how Retry-After counts.
        self.open_lane_limit
            .check(context.client_addr)
            .map_err(|wait| Duration::from_secs(wait.as_secs() + 1))
    }
}

fn network(client: IpAddr) -> IpAddr {
    match client {
        IpAddr::V4(_) => client,
        IpAddr::V6(address) => {
            let mut octets = address.octets();
            octets[8..].fill(0);
            IpAddr::V6(Ipv6Addr::from(octets))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sec_dos_03_a_flood_from_one_network_leaves_others_alone() {
        let limit = AddressLimit::new(NonZeroU32::new(5).unwrap());
        let flood: Vec<bool> = (0..30_u16)
            .map(|n| limit.allows(format!("2001:db8::{n:x}").parse().unwrap()))
            .collect();
        assert_eq!(flood.iter().filter(|allowed| **allowed).count(), 10);
        assert!(limit.allows("2001:db8:0:1::1".parse().unwrap()));
        assert!(limit.allows("192.0.2.1".parse().unwrap()));
    }
}
