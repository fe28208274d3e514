//! The appends that will become durable together: their bytes, and what they change.

use std::{collections::HashMap, hash::BuildHasherDefault};

use bytes::Bytes;
use uuid::Uuid;

use crate::{
    catalog,
    expected::Known,
    index::{
        entry::{Entry, METADATA, State, TOMBSTONE},
        key::{AsItIs, ByKey, Keys, StreamKey},
        recent::Recent,
    },
    log::frame::{self, Head, Proposed},
};

/// One stream's new events.
struct Pending {
    first: u64,
    events: Vec<(Uuid, u64)>,
}

/// A part of an append: events for one stream.
pub(crate) struct Part<'a> {
    pub(crate) stream: &'a [u8],
    pub(crate) revision: u64,
    pub(crate) events: &'a [Proposed],
}

/// What the writer is about to commit. Nothing of it can be seen before it is durable.
#[derive(Default)]
pub(crate) struct Batch {
    start: u64,
    created: u64,
    bytes: Vec<u8>,
    streams: ByKey<Pending>,
    tombstones: ByKey<u64>,
    metadata: ByKey<(u64, Bytes)>,
    /// By stream and by the halves of the id.
    ids: HashMap<(StreamKey, (u64, u64)), Known, BuildHasherDefault<AsItIs>>,
    entries: Vec<Entry>,
    /// The id of each event, with its stream and position.
    events: Vec<(StreamKey, Uuid, u64)>,
}

/// A buffer larger than this is given back after use.
const KEEP: usize = 16 << 20;

impl Batch {
    /// Empties the batch, which will start at the given position.
    pub(crate) fn reset(&mut self, start: u64, created: u64) {
        self.start = start;
        self.created = created;
        self.bytes.clear();
        self.bytes.shrink_to(KEEP);
        self.streams.clear();
        self.tombstones.clear();
        self.metadata.clear();
        self.ids.clear();
        self.entries.clear();
        self.events.clear();
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What this batch adds to what is known of the stream.
    pub(crate) fn state(&self, key: StreamKey) -> State {
        let pending = self.streams.get(&key);
        State {
            last: pending.map(|pending| pending.first + pending.events.len() as u64 - 1),
            tombstone: self.tombstones.get(&key).copied(),
            metadata: self.metadata.get(&key).map(|(position, _)| *position),
        }
    }

    /// The newest metadata of the described stream when this batch holds it.
    pub(crate) fn metadata(&self, key: StreamKey) -> Option<&Bytes> {
        self.metadata.get(&key).map(|(_, json)| json)
    }

    pub(crate) fn by_id(&self, key: StreamKey, id: Uuid) -> Option<Known> {
        self.ids.get(&(key, id.as_u64_pair())).copied()
    }

    pub(crate) fn by_revision(&self, key: StreamKey, revision: u64) -> Option<Known> {
        let pending = self.streams.get(&key)?;
        let at = usize::try_from(revision.checked_sub(pending.first)?).ok()?;
        pending.events.get(at).map(|&(id, position)| Known { id, revision, position })
    }

    /// Adds one append and returns the position of its last event.
    pub(crate) fn append(&mut self, keys: &Keys, parts: &[Part<'_>]) -> u64 {
        let mut following: usize = parts.iter().map(|part| part.events.len()).sum();
        let mut position = self.start + self.bytes.len() as u64;
        for part in parts {
            let key = keys.key(part.stream);
            for (event, revision) in part.events.iter().zip(part.revision..) {
                following -= 1;
                position = self.start + self.bytes.len() as u64;
                let head = Head {
                    position,
                    durable: self.start,
                    following: following as u32,
                    revision,
                    created: self.created,
                    stream: part.stream,
                };
                frame::encode(&mut self.bytes, &head, event);
                self.note(keys, key, &head, event);
            }
        }
        position
    }

    fn note(&mut self, keys: &Keys, key: StreamKey, head: &Head<'_>, event: &Proposed) {
        let (id, revision, position) = (event.id, head.revision, head.position);
        let stream = (head.stream, key);
        for entry in catalog::entries(keys, stream, &event.event_type, revision, position) {
            if entry.slot == METADATA {
                self.metadata.insert(entry.key, (position, event.data.clone()));
            }
            self.entries.push(entry);
        }
        self.events.push((key, id, position));
        if revision == TOMBSTONE {
            self.tombstones.insert(key, position);
        } else {
            let new = || Pending { first: revision, events: Vec::new() };
            self.streams.entry(key).or_insert_with(new).events.push((id, position));
            self.ids.insert((key, id.as_u64_pair()), Known { id, revision, position });
        }
    }

    /// What goes into the index once it is durable.
    pub(crate) fn entries(&self) -> impl Iterator<Item = Entry> {
        self.entries.iter().copied()
    }

    /// Remembers the ids of what is durable now, and tells the last one.
    pub(crate) fn remember(&self, recent: &mut Recent) -> Option<Uuid> {
        for (key, id, position) in &self.events {
            recent.insert(*key, *id, *position);
        }
        self.events.last().map(|(_, id, _)| *id)
    }
}
