//! Where each stream's events are in the log: all in memory, rebuilt from the log at open.
//!
//! Most streams hold one event, and there are millions, so a stream costs 24 bytes in a hash table
//! and nothing else until it gets a second event or metadata.

use std::{
    collections::{HashMap, VecDeque, hash_map::RandomState},
    hash::{BuildHasher, BuildHasherDefault, Hasher},
};

use uuid::Uuid;

use crate::{
    log::frame::Record,
    metadata::{self, Change, Rules},
};

/// A stream's name as 128 bits of keyed hash, which stands for the name: the keys are secret and
/// new at each start, so a collision can be neither found nor expected.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) struct StreamKey(u64, u64);

/// Makes the keys of streams.
#[derive(Clone, Debug, Default)]
pub(crate) struct Keys(RandomState, RandomState);

impl Keys {
    pub(crate) fn key(&self, stream: &[u8]) -> StreamKey {
        StreamKey(self.0.hash_one(stream), self.1.hash_one(stream))
    }
}

/// Uses the first half of a key as its hash: it is one already.
#[derive(Default)]
pub(crate) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only keys made of numbers are hashed here")
    }

    fn write_u64(&mut self, value: u64) {
        self.0 ^= value;
    }
}

pub(crate) type ByKey<V> = HashMap<StreamKey, V, BuildHasherDefault<AsItIs>>;

/// Either the position of a stream's only event or, with the top bit set, an index into `many`.
#[derive(Clone, Copy)]
struct Place(u64);

impl Place {
    const MANY: u64 = 1 << 63;

    fn many(self) -> Option<usize> {
        (self.0 & Self::MANY != 0).then_some((self.0 & !Self::MANY) as usize)
    }
}

/// The index of durable events. The committer writes it, readers share it.
#[derive(Default)]
pub(crate) struct Index {
    streams: ByKey<Place>,
    many: Vec<Vec<u64>>,
    rules: ByKey<Rules>,
}

impl Index {
    /// The last revision of a stream, not counting a tombstone.
    pub(crate) fn last_revision(&self, key: StreamKey) -> Option<u64> {
        self.streams.get(&key).map(|place| match place.many() {
            Some(at) => self.many[at].len() as u64 - 1,
            None => 0,
        })
    }

    pub(crate) fn position(&self, key: StreamKey, revision: u64) -> Option<u64> {
        let place = self.streams.get(&key)?;
        match place.many() {
            Some(at) => self.many[at].get(usize::try_from(revision).ok()?).copied(),
            None => (revision == 0).then_some(place.0),
        }
    }

    /// The positions of the revisions from `from` on, at most `count`.
    pub(crate) fn positions(&self, key: StreamKey, from: u64, count: usize) -> Vec<u64> {
        let Some(place) = self.streams.get(&key) else { return Vec::new() };
        let alone = [place.0];
        let all = place.many().map_or(&alone[..], |at| &self.many[at]);
        let from = usize::try_from(from).unwrap_or(usize::MAX).min(all.len());
        all[from..all.len().min(from.saturating_add(count))].to_vec()
    }

    pub(crate) fn rules(&self, key: StreamKey) -> Rules {
        self.rules.get(&key).copied().unwrap_or_default()
    }

    pub(crate) fn push(&mut self, key: StreamKey, position: u64) {
        let Some(place) = self.streams.get_mut(&key) else {
            self.streams.insert(key, Place(position));
            return;
        };
        if let Some(at) = place.many() {
            self.many[at].push(position);
        } else {
            self.many.push(vec![place.0, position]);
            *place = Place((self.many.len() as u64 - 1) | Place::MANY);
        }
    }

    pub(crate) fn set_rules(&mut self, key: StreamKey, rules: Rules) {
        self.rules.insert(key, rules);
    }

    /// Takes in a record that was read from the log, and tells whose it is.
    pub(crate) fn apply(&mut self, keys: &Keys, record: &Record) -> StreamKey {
        let key = keys.key(&record.stream);
        let change =
            metadata::change(&record.stream, &record.event_type, &record.data, record.revision);
        match change {
            Some(Change::Tombstone) => {
                self.rules.entry(key).or_default().tombstone = Some(record.position);
                return key;
            }
            Some(Change::Metadata(stream, json)) => {
                self.rules.entry(keys.key(stream)).or_default().replace(json);
            }
            None => {}
        }
        // What a scavenge has removed lies below: no event is at position 0.
        while self.last_revision(key).map_or(0, |last| last + 1) < record.revision {
            self.push(key, 0);
        }
        self.push(key, record.position);
        key
    }
}

/// The newest events by stream and id, to recognise a repeated append that expects no revision.
/// It holds hashes and positions only; a hit is confirmed by reading the record.
pub(crate) struct Recent {
    positions: HashMap<u64, u64, BuildHasherDefault<AsItIs>>,
    order: VecDeque<u64>,
    capacity: usize,
}

impl Recent {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { positions: HashMap::default(), order: VecDeque::new(), capacity: capacity.max(1) }
    }

    pub(crate) fn insert(&mut self, key: StreamKey, id: Uuid, position: u64) {
        let hash = Self::hash(key, id);
        if self.positions.insert(hash, position).is_none() {
            self.order.push_back(hash);
        }
        if self.order.len() > self.capacity
            && let Some(oldest) = self.order.pop_front()
        {
            self.positions.remove(&oldest);
        }
    }

    /// Where the event may be.
    pub(crate) fn get(&self, key: StreamKey, id: Uuid) -> Option<u64> {
        self.positions.get(&Self::hash(key, id)).copied()
    }

    fn hash(key: StreamKey, id: Uuid) -> u64 {
        let (high, low) = id.as_u64_pair();
        // The multiplications spread ids that count up; the key is random already.
        key.1 ^ high.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ low.wrapping_mul(0xd6e8_feb8_6659_fd93)
    }
}
