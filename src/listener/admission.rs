//! How many connections there may be: in all, and per client address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::IpNet;

use super::worker::Post;

/// Touched when a connection comes and goes, never per request.
#[derive(Debug)]
pub(super) struct Admission {
    total: AtomicUsize,
    limit: usize,
    per_address_limit: usize,
    per_address: Mutex<HashMap<IpAddr, usize>>,
    trusted: Vec<IpNet>,
}

/// A counted place. Gives it back when dropped.
#[derive(Debug)]
pub(super) struct Entry {
    admission: Arc<Admission>,
    address: Option<IpAddr>,
}

/// A place at one worker.
#[derive(Debug)]
pub(super) struct Seat {
    _entry: Entry,
    post: Arc<Post>,
}

impl Admission {
    pub(super) fn new(limit: usize, per_address_limit: usize, trusted: Vec<IpNet>) -> Self {
        Self {
            total: AtomicUsize::new(0),
            limit,
            per_address_limit,
            per_address: Mutex::new(HashMap::new()),
            trusted,
        }
    }

    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|net| net.contains(&address))
    }

    /// `None`: no place. `address` is absent for unix sockets, which have no
    /// per-address limit.
    pub(super) fn enter(self: &Arc<Self>, address: Option<IpAddr>) -> Option<Entry> {
        let address = address
            .map(|address| address.to_canonical())
            .filter(|address| !self.trusts(*address))
            .map(network);
        if self.total.fetch_add(1, Ordering::Relaxed) >= self.limit {
            self.total.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let entry = Entry {
            admission: self.clone(),
            address: None,
        };
        let Some(address) = address else {
            return Some(entry);
        };
        let mut counts = self
            .per_address
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(address).or_default();
        if *count >= self.per_address_limit {
            return None;
        }
        *count += 1;
        drop(counts);
        let mut entry = entry;
        entry.address = Some(address);
        Some(entry)
    }
}

/// One IPv6 customer has a /64.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => IpAddr::V6((u128::from(v6) & !u128::from(u64::MAX)).into()),
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.admission.total.fetch_sub(1, Ordering::Relaxed);
        if let Some(address) = self.address {
            let mut counts = self
                .admission
                .per_address
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            if let Some(count) = counts.get_mut(&address) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(&address);
                }
            }
        }
    }
}

impl Seat {
    pub(super) fn new(entry: Entry, post: Arc<Post>) -> Self {
        post.live.fetch_add(1, Ordering::Relaxed);
        Self {
            _entry: entry,
            post,
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if self.post.live.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.post.empty.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_all_and_per_address() {
        let trusted = vec!["10.0.0.0/8".parse().unwrap()];
        let admission = Arc::new(Admission::new(5, 2, trusted));
        let ann = Some("192.0.2.1".parse().unwrap());
        let front = Some("10.1.2.3".parse().unwrap());
        let one = admission.enter(ann).unwrap();
        let _two = admission.enter(ann).unwrap();
        assert!(admission.enter(ann).is_none());
        drop(one);
        let _again = admission.enter(ann).unwrap();
        let fronts: Vec<_> = (0..4).filter_map(|_| admission.enter(front)).collect();
        assert_eq!(fronts.len(), 3, "a trusted peer meets the total limit only");
        assert!(admission.enter(None).is_none());
        drop(fronts);
        assert!(admission.enter(None).is_some());
    }

    #[test]
    fn one_ipv6_network_is_one_address() {
        let admission = Arc::new(Admission::new(5, 1, Vec::new()));
        let _one = admission
            .enter(Some("2001:db8::1".parse().unwrap()))
            .unwrap();
        assert!(
            admission
                .enter(Some("2001:db8::2".parse().unwrap()))
                .is_none()
        );
        assert!(
            admission
                .enter(Some("2001:db8:0:1::2".parse().unwrap()))
                .is_some()
        );
    }
}
