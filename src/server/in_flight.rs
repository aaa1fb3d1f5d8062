//! The bound on requests in flight: above it the answer is 503 at once.

use std::sync::atomic::{AtomicUsize, Ordering};

pub(super) struct InFlight {
    count: AtomicUsize,
    limit: usize,
}

/// A place among the requests in flight, given back when dropped. Answers of
/// the proxy stream on after it: bodies are bounded by their connections.
pub(super) struct Place<'a>(&'a InFlight);

impl InFlight {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            count: AtomicUsize::new(0),
            limit,
        }
    }

    pub(super) fn enter(&self) -> Option<Place<'_>> {
        let before = self.count.fetch_add(1, Ordering::Relaxed);
        let place = Place(self);
        (before < self.limit).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_back() {
        let in_flight = InFlight::new(1);
        let place = in_flight.enter().unwrap();
        assert!(in_flight.enter().is_none());
        drop(place);
        assert!(in_flight.enter().is_some());
    }
}
