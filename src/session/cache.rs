//! A bounded memory of what was read: by entries, by bytes and by age. What
//! was put longest ago goes first.
//!
//! Owns: the bounds, and when an entry was read. Knows nothing of what it
//! keeps; whoever asks decides whether an entry still counts.
//! Limits: in this process only; no invalidation from elsewhere.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Locks among which the entries are spread.
const SHARDS: usize = 16;

#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub entries: usize,
    pub bytes: usize,
    /// Older entries are gone. Zero: nothing is kept at all.
    pub age: Duration,
}

#[derive(Debug)]
pub struct Cache<K, V> {
    bounds: Bounds,
    hasher: RandomState,
    shards: [Mutex<Shard<K, V>>; SHARDS],
}

#[derive(Debug)]
struct Slot<V> {
    value: V,
    weight: usize,
    put_at: Instant,
    /// Tells the entry in `order` that is this slot's from earlier ones.
    stamp: u64,
}

#[derive(Debug)]
struct Shard<K, V> {
    slots: HashMap<K, Slot<V>>,
    /// Oldest first; an entry whose stamp is not its slot's is void.
    order: VecDeque<(K, u64)>,
    stamp: u64,
    bytes: usize,
}

impl<K: Hash + Eq + Clone, V: Clone> Cache<K, V> {
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            hasher: RandomState::new(),
            shards: std::array::from_fn(|_| {
                Mutex::new(Shard {
                    slots: HashMap::new(),
                    order: VecDeque::new(),
                    stamp: 0,
                    bytes: 0,
                })
            }),
        }
    }

    /// A shard is valid after every single step, so a panic of another
    /// holder does no harm.
    fn shard(&self, key: &K) -> MutexGuard<'_, Shard<K, V>> {
        let at = self.hasher.hash_one(key) as usize % SHARDS;
        self.shards[at]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what was read just now; `weight` in bytes.
    pub fn put(&self, key: K, value: V, weight: usize) {
        if !self.bounds.age.is_zero() {
            self.put_at(Instant::now(), key, value, weight);
        }
    }

    fn put_at(&self, now: Instant, key: K, value: V, weight: usize) {
        let (most, heaviest) = (self.bounds.entries / SHARDS, self.bounds.bytes / SHARDS);
        let mut shard = self.shard(&key);
        shard.remove(&key);
        if weight > heaviest {
            return;
        }
        shard.make_room(
            most.saturating_sub(1),
            heaviest - weight,
            now,
            self.bounds.age,
        );
        shard.stamp += 1;
        let stamp = shard.stamp;
        shard.bytes += weight;
        shard.order.push_back((key.clone(), stamp));
        let slot = Slot {
            value,
            weight,
            put_at: now,
            stamp,
        };
        shard.slots.insert(key, slot);
    }

    /// What was put under this key within the age of the bounds.
    pub fn get(&self, key: &K) -> Option<V> {
        self.get_at(Instant::now(), key)
    }

    fn get_at(&self, now: Instant, key: &K) -> Option<V> {
        let shard = self.shard(key);
        let slot = shard.slots.get(key)?;
        (now.duration_since(slot.put_at) <= self.bounds.age).then(|| slot.value.clone())
    }

    pub fn remove(&self, key: &K) {
        self.shard(key).remove(key);
    }

    /// Looks at everything: for what happens seldom.
    pub fn remove_where(&self, goes: impl Fn(&V) -> bool) {
        for shard in &self.shards {
            let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            let mut freed = 0;
            shard.slots.retain(|_, slot| {
                let stays = !goes(&slot.value);
                freed += if stays { 0 } else { slot.weight };
                stays
            });
            shard.bytes -= freed;
        }
    }
}

impl<K: Hash + Eq + Clone, V> Shard<K, V> {
    fn remove(&mut self, key: &K) {
        if let Some(slot) = self.slots.remove(key) {
            self.bytes -= slot.weight;
        }
        // Void entries must not outnumber the others by much.
        if self.order.len() > 2 * self.slots.len() + 64 {
            let slots = &self.slots;
            self.order
                .retain(|(key, stamp)| slots.get(key).is_some_and(|slot| slot.stamp == *stamp));
        }
    }

    /// Down to this many entries and bytes, and without what is too old.
    fn make_room(&mut self, entries: usize, bytes: usize, now: Instant, age: Duration) {
        while let Some((key, stamp)) = self.order.front() {
            let slot = self.slots.get(key).filter(|slot| slot.stamp == *stamp);
            let stays = slot.is_some_and(|slot| {
                self.slots.len() <= entries
                    && self.bytes <= bytes
                    && now.duration_since(slot.put_at) <= age
            });
            if stays {
                return;
            }
            let is_void = slot.is_none();
            if let Some((key, _)) = self.order.pop_front()
                && !is_void
                && let Some(slot) = self.slots.remove(&key)
            {
                self.bytes -= slot.weight;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGE: Duration = Duration::from_secs(30);

    fn cache(entries: usize, bytes: usize) -> Cache<u32, u32> {
        Cache::new(Bounds {
            entries: entries * SHARDS,
            bytes: bytes * SHARDS,
            age: AGE,
        })
    }

    fn counted(cache: &Cache<u32, u32>) -> (usize, usize, usize) {
        let mut sum = (0, 0, 0);
        for shard in &cache.shards {
            let shard = shard.lock().unwrap();
            sum.0 += shard.slots.len();
            sum.1 += shard.bytes;
            sum.2 += shard.order.len();
        }
        sum
    }

    #[test]
    fn an_entry_ends_with_its_age_and_a_new_reading_makes_it_young() {
        let cache = cache(8, 1000);
        let (began, moment) = (Instant::now(), Duration::from_millis(1));
        cache.put_at(began, 1, 10, 1);
        let later = began + AGE;
        assert_eq!(cache.get_at(later, &1), Some(10));
        cache.put_at(later, 1, 11, 1);
        assert_eq!(cache.get_at(later + moment, &1), Some(11));
        assert_eq!(cache.get_at(later + AGE + moment, &1), None);
    }

    #[test]
    fn entries_and_bytes_are_bounded_and_the_oldest_goes() {
        let cache = cache(4, 100);
        for number in 0..10_000 {
            cache.put(number, number, 7);
        }
        let (entries, bytes, order) = counted(&cache);
        assert_eq!((entries, bytes, order), (64, 448, 64));
        assert_eq!(cache.get(&9_999), Some(9_999));
        assert_eq!(cache.get(&0), None);
        cache.put(1, 1, 101);
        assert_eq!(cache.get(&1), None, "too heavy for any shard");
        for _ in 0..1_000 {
            cache.put(5, 5, 60);
        }
        let (entries, bytes, order) = counted(&cache);
        assert!(entries <= 64 && bytes <= 1600, "{entries} {bytes}");
        assert!(order <= 2 * 64 + 64 * SHARDS, "{order}");
        cache.remove(&5);
        assert_eq!(cache.get(&5), None);
        cache.remove_where(|value| *value != 9_999);
        let (entries, bytes, _) = counted(&cache);
        assert_eq!((entries, bytes), (1, 7));
        assert_eq!(cache.get(&9_999), Some(9_999));
    }

    #[test]
    fn without_an_age_nothing_is_kept() {
        let cache: Cache<u32, u32> = Cache::new(Bounds {
            entries: 100,
            bytes: 1000,
            age: Duration::ZERO,
        });
        cache.put(1, 1, 1);
        assert_eq!(cache.get(&1), None);
        assert_eq!(cache.shards.len(), SHARDS);
    }
}
