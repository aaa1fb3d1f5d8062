//! Sign-in starts per address. Each one may cost a discovery call and always
//! costs an answer with cookies; a flood of them must not drown real ones.

use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

/// Addresses that have gone quiet are forgotten after this many checks.
const TIDY_EVERY: u32 = 1024;

/// Per IPv4 address, or per IPv6 /64: a household has that many for itself.
pub(super) struct StartLimit {
    limiter: DefaultKeyedRateLimiter<IpAddr>,
    checks: AtomicU32,
}

impl StartLimit {
    /// `per_minute` with bursts of twice that.
    pub(super) fn new(per_minute: NonZeroU32) -> Self {
        let burst = per_minute.saturating_mul(NonZeroU32::MIN.saturating_add(1));
        Self {
            limiter: RateLimiter::keyed(Quota::per_minute(per_minute).allow_burst(burst)),
            checks: AtomicU32::new(0),
        }
    }

    pub(super) fn allows(&self, client: IpAddr) -> bool {
        if self.checks.fetch_add(1, Ordering::Relaxed) % TIDY_EVERY == TIDY_EVERY - 1 {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(&network(client)).is_ok()
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
        let limit = StartLimit::new(NonZeroU32::new(5).unwrap());
        let flood: Vec<bool> = (0..30_u16)
            .map(|n| limit.allows(format!("2001:db8::{n:x}").parse().unwrap()))
            .collect();
        assert_eq!(flood.iter().filter(|allowed| **allowed).count(), 10);
        assert!(limit.allows("2001:db8:0:1::1".parse().unwrap()));
        assert!(limit.allows("192.0.2.1".parse().unwrap()));
    }
}
