//! The newest events by stream and id, to recognise a repeated append that expects no revision.

use std::{
    collections::{HashMap, VecDeque},
    hash::BuildHasherDefault,
};

use uuid::Uuid;

use super::key::{AsItIs, StreamKey};

/// Holds hashes and positions only; a hit is confirmed by reading the record.
pub(crate) struct Recent {
    positions: HashMap<u64, u64, BuildHasherDefault<AsItIs>>,
    order: VecDeque<(u64, u64)>,
    capacity: usize,
}

impl Recent {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { positions: HashMap::default(), order: VecDeque::new(), capacity: capacity.max(1) }
    }

    pub(crate) fn insert(&mut self, key: StreamKey, id: Uuid, position: u64) {
        let hash = Self::hash(key, id);
        self.positions.insert(hash, position);
        self.order.push_back((hash, position));
        if self.order.len() > self.capacity
            && let Some((oldest, at)) = self.order.pop_front()
            && self.positions.get(&oldest) == Some(&at)
        {
            self.positions.remove(&oldest);
        }
    }

    /// Where the event may be.
    pub(crate) fn get(&self, key: StreamKey, id: Uuid) -> Option<u64> {
        self.positions.get(&Self::hash(key, id)).copied()
    }

    /// Where to read the log from to remember the same events again: the oldest one at or behind
    /// the given position.
    pub(crate) fn from(&self, at_least: u64) -> Option<u64> {
        let at = self.order.partition_point(|(_, position)| *position < at_least);
        self.order.get(at).map(|(_, position)| *position)
    }

    fn hash(key: StreamKey, id: Uuid) -> u64 {
        let (high, low) = id.as_u64_pair();
        // The multiplications spread ids that count up; the key is random already.
        key.1 ^ high.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ low.wrapping_mul(0xd6e8_feb8_6659_fd93)
    }
}
