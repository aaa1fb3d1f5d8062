//! One place per thread, so that workers do not wait for each other.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// More threads than this share places, which is slower and still right.
const PLACES: usize = 64;

/// A value in [`PLACES`] copies, each behind a lock of its own that only its
/// threads and the reader take.
#[derive(Debug)]
pub struct Sharded<T>(Box<[Mutex<T>]>);

impl<T: Default> Default for Sharded<T> {
    fn default() -> Self {
        Self((0..PLACES).map(|_| Mutex::default()).collect())
    }
}

impl<T> Sharded<T> {
    /// The copy of this thread.
    pub fn own(&self) -> MutexGuard<'_, T> {
        lock(&self.0[place()])
    }

    /// All copies, one lock at a time.
    pub fn each(&self) -> impl Iterator<Item = MutexGuard<'_, T>> {
        self.0.iter().map(lock)
    }
}

/// A panic while counting leaves numbers, nothing half-done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A count that many threads add to without touching each other's memory.
#[derive(Debug)]
pub struct Tally(Box<[Padded]>);

/// Alone in its cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded(AtomicU64);

impl Default for Tally {
    fn default() -> Self {
        Self((0..PLACES).map(|_| Padded::default()).collect())
    }
}

impl Tally {
    pub fn add(&self) {
        self.0[place()].0.fetch_add(1, Ordering::Relaxed);
    }

    pub fn sum(&self) -> u64 {
        let counts = self.0.iter().map(|count| count.0.load(Ordering::Relaxed));
        counts.sum()
    }
}

fn place() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static OWN: Cell<Option<usize>> = const { Cell::new(None) };
    }
    OWN.with(|own| {
        own.get().unwrap_or_else(|| {
            let place = NEXT.fetch_add(1, Ordering::Relaxed) % PLACES;
            own.set(Some(place));
            place
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tally_counts_what_all_threads_add() {
        let tally = Tally::default();
        std::thread::scope(|scope| {
            for _ in 0..2 * PLACES {
                scope.spawn(|| (0..100).for_each(|_| tally.add()));
            }
        });
        assert_eq!(tally.sum(), 2 * PLACES as u64 * 100);
    }
}
