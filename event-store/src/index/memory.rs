//! The places of recent events, which are not in a run yet.

use std::collections::hash_map::Entry as Slot;

use super::{
    entry::{Entry, METADATA, Range, State, TOMBSTONE},
    key::{ByKey, StreamKey},
};

/// Revisions and positions of a stream's events, in order. Most streams have one.
#[derive(Debug)]
enum Places {
    One((u64, u64)),
    Many(Vec<(u64, u64)>),
}

impl Places {
    fn all(&self) -> &[(u64, u64)] {
        match self {
            Self::One(place) => std::slice::from_ref(place),
            Self::Many(places) => places,
        }
    }

    fn push(&mut self, place: (u64, u64)) {
        match self {
            Self::One(first) => *self = Self::Many(vec![*first, place]),
            Self::Many(places) => places.push(place),
        }
    }
}

/// What is behind the runs, in memory.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    streams: ByKey<Places>,
    tombstones: ByKey<u64>,
    metadata: ByKey<u64>,
    len: usize,
}

impl Memory {
    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn insert(&mut self, entry: Entry) {
        let Entry { key, slot, position } = entry;
        let is_new = match slot {
            TOMBSTONE => self.tombstones.insert(key, position).is_none(),
            METADATA => self.metadata.insert(key, position).is_none(),
            revision => {
                match self.streams.entry(key) {
                    Slot::Vacant(vacant) => {
                        vacant.insert(Places::One((revision, position)));
                    }
                    Slot::Occupied(mut places) => places.get_mut().push((revision, position)),
                }
                true
            }
        };
        self.len += usize::from(is_new);
    }

    pub(crate) fn state(&self, key: StreamKey) -> State {
        let last = self.streams.get(&key).and_then(|places| places.all().last());
        State {
            last: last.map(|(revision, _)| *revision),
            tombstone: self.tombstones.get(&key).copied(),
            metadata: self.metadata.get(&key).copied(),
        }
    }

    /// Appends revisions and positions within the range, in order.
    pub(crate) fn places(&self, key: StreamKey, range: Range, found: &mut Vec<(u64, u64)>) {
        let Some(places) = self.streams.get(&key) else { return };
        let places = places.all();
        let start = places.partition_point(|(revision, _)| *revision < range.from);
        let wanted = range.most.saturating_sub(found.len());
        found.extend(
            places[start..].iter().take_while(|(revision, _)| *revision <= range.to).take(wanted),
        );
    }

    /// All entries, sorted.
    pub(crate) fn sorted(&self) -> Vec<Entry> {
        let mut entries = Vec::with_capacity(self.len);
        for (key, places) in &self.streams {
            let entry = |&(slot, position)| Entry { key: *key, slot, position };
            entries.extend(places.all().iter().map(entry));
        }
        for (slot, marks) in [(TOMBSTONE, &self.tombstones), (METADATA, &self.metadata)] {
            entries.extend(marks.iter().map(|(key, position)| Entry {
                key: *key,
                slot,
                position: *position,
            }));
        }
        entries.sort_unstable();
        entries
    }
}
