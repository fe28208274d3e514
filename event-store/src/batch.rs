//! The appends that will become durable together: their bytes, and what they change.

use std::collections::HashMap;

use bytes::Bytes;
use uuid::Uuid;

use crate::{
    expected::Known,
    index::{ByKey, Index, Keys, Recent, StreamKey},
    log::frame::{self, Head, Proposed},
    metadata::{self, Change, Rules, TOMBSTONE_REVISION},
};

/// One stream's new events.
struct Pending {
    first: u64,
    events: Vec<(Uuid, u64)>,
}

struct Staged {
    key: StreamKey,
    id: Uuid,
    position: u64,
    is_tombstone: bool,
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
    rules: ByKey<Rules>,
    metadata: ByKey<Bytes>,
    ids: HashMap<(StreamKey, Uuid), Known>,
    staged: Vec<Staged>,
    tombstones: Vec<StreamKey>,
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
        self.rules.clear();
        self.metadata.clear();
        self.ids.clear();
        self.staged.clear();
        self.tombstones.clear();
    }

    /// The streams whose readers may see something else once the batch is published: those with new
    /// events, new metadata or a tombstone.
    pub(crate) fn touched(&self) -> impl Iterator<Item = StreamKey> {
        self.streams.keys().chain(self.metadata.keys()).chain(&self.tombstones).copied()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The last revision of the stream when this batch adds to it.
    pub(crate) fn last_revision(&self, key: StreamKey) -> Option<u64> {
        self.streams.get(&key).map(|pending| pending.first + pending.events.len() as u64 - 1)
    }

    pub(crate) fn rules(&self, key: StreamKey) -> Option<Rules> {
        self.rules.get(&key).copied()
    }

    /// The newest metadata of the described stream when this batch holds it.
    pub(crate) fn metadata(&self, key: StreamKey) -> Option<&Bytes> {
        self.metadata.get(&key)
    }

    pub(crate) fn by_id(&self, key: StreamKey, id: Uuid) -> Option<Known> {
        self.ids.get(&(key, id)).copied()
    }

    pub(crate) fn by_revision(&self, key: StreamKey, revision: u64) -> Option<Known> {
        let pending = self.streams.get(&key)?;
        let at = usize::try_from(revision.checked_sub(pending.first)?).ok()?;
        pending.events.get(at).map(|&(id, position)| Known { id, revision, position })
    }

    /// Adds one append and returns the position of its last event.
    pub(crate) fn append(&mut self, keys: &Keys, index: &Index, parts: &[Part<'_>]) -> u64 {
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
                self.note(keys, index, key, &head, event);
            }
        }
        position
    }

    fn note(
        &mut self,
        keys: &Keys,
        index: &Index,
        key: StreamKey,
        head: &Head<'_>,
        event: &Proposed,
    ) {
        let (id, revision, position) = (event.id, head.revision, head.position);
        let is_tombstone = revision == TOMBSTONE_REVISION;
        match metadata::change(head.stream, &event.event_type, &event.data, revision) {
            Some(Change::Tombstone) => {
                let rules = self.rules.entry(key).or_insert_with(|| index.rules(key));
                rules.tombstone = Some(position);
                self.tombstones.push(key);
            }
            Some(Change::Metadata(stream, json)) => {
                let of = keys.key(stream);
                self.rules.entry(of).or_insert_with(|| index.rules(of)).replace(json);
                self.metadata.insert(of, event.data.clone());
            }
            None => {}
        }
        self.staged.push(Staged { key, id, position, is_tombstone });
        if !is_tombstone {
            let new = || Pending { first: revision, events: Vec::new() };
            self.streams.entry(key).or_insert_with(new).events.push((id, position));
            self.ids.insert((key, id), Known { id, revision, position });
        }
    }

    /// Moves what is durable now into the index.
    pub(crate) fn publish(&mut self, index: &mut Index, recent: &mut Recent) {
        for staged in self.staged.drain(..) {
            if !staged.is_tombstone {
                index.push(staged.key, staged.position);
                recent.insert(staged.key, staged.id, staged.position);
            }
        }
        for (key, rules) in self.rules.drain() {
            index.set_rules(key, rules);
        }
    }
}
