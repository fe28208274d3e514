//! A bounded memory of what was found out; the oldest entry makes room for a new one.

use std::{
    collections::{HashMap, VecDeque},
    hash::Hash,
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

/// Entries by key. What is asked for often is forgotten as soon as what is not: finding it out again
/// is cheap enough, and nothing has to be written when an entry is only read.
pub(crate) struct Cache<K, V> {
    capacity: usize,
    life: Option<Duration>,
    entries: Mutex<Entries<K, V>>,
}

struct Entries<K, V> {
    map: HashMap<K, (V, Instant)>,
    /// Keys in the order they came, each once.
    order: VecDeque<K>,
}

impl<K: Clone + Eq + Hash, V: Clone> Cache<K, V> {
    /// Remembers at most `capacity` entries, each for at most its life.
    pub(crate) fn new(capacity: usize, life: Option<Duration>) -> Self {
        let entries = Entries { map: HashMap::new(), order: VecDeque::new() };
        Self { capacity, life, entries: Mutex::new(entries) }
    }

    pub(crate) fn find<Q>(&self, key: &Q, now: Instant) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let entries = self.entries();
        let (value, since) = entries.map.get(key)?;
        let alive = self.life.is_none_or(|life| now.saturating_duration_since(*since) < life);
        alive.then(|| value.clone())
    }

    pub(crate) fn keep(&self, key: K, value: V, now: Instant) {
        let mut entries = self.entries();
        if entries.map.insert(key.clone(), (value, now)).is_none() {
            entries.order.push_back(key);
        }
        while entries.order.len() > self.capacity {
            let oldest = entries.order.pop_front().expect("more than the capacity is not nothing");
            entries.map.remove(&oldest);
        }
    }

    fn entries(&self) -> MutexGuard<'_, Entries<K, V>> {
        self.entries.lock().expect("no panic while the cache is locked")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_entry_makes_room() {
        let now = Instant::now();
        let cache = Cache::new(2, None);
        for number in 0..3 {
            cache.keep(number, number * 10, now);
            cache.keep(number, number * 11, now);
        }
        assert_eq!([0, 1, 2].map(|key| cache.find(&key, now)), [None, Some(11), Some(22)]);
    }

    #[test]
    fn an_entry_ends_with_its_life_and_begins_anew_when_kept_again() {
        let life = Duration::from_secs(5);
        let now = Instant::now();
        let cache = Cache::new(2, Some(life));
        cache.keep("a", 1, now);
        assert_eq!(cache.find("a", now + life / 2), Some(1));
        assert_eq!(cache.find("a", now + life), None);
        cache.keep("a", 2, now + life);
        assert_eq!(cache.find("a", now + life), Some(2));
    }
}
