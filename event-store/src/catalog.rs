//! What is durable of each stream: the index, and the rules that the stream's metadata sets.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use tokio::sync::watch;

use crate::{
    index::{
        Index,
        entry::{Entry, METADATA, Range, State},
        key::{Keys, StreamKey},
    },
    log::{
        frame::Record,
        reader::{LogReader, RANDOM, ReadError},
        segment::Segments,
    },
    metadata::{self, Change, Rules},
};

/// Rules that are kept in memory; they are read from the log again when there are more.
const RULES: usize = 1 << 14;

/// Shared by the committer and all readers.
#[derive(Debug)]
pub(crate) struct Catalog {
    index: Arc<Index>,
    segments: Arc<Segments>,
    head: watch::Receiver<u64>,
    /// By the position of the metadata event, which never changes.
    rules: Mutex<HashMap<u64, Rules>>,
}

impl Catalog {
    pub(crate) fn new(
        index: Arc<Index>,
        segments: Arc<Segments>,
        head: watch::Receiver<u64>,
    ) -> Self {
        Self { index, segments, head, rules: Mutex::default() }
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    pub(crate) fn key(&self, stream: &[u8]) -> StreamKey {
        self.index.keys.key(stream)
    }

    pub(crate) fn state(&self, key: StreamKey) -> Result<State, ReadError> {
        self.index.state(key).map_err(ReadError::Index)
    }

    /// Revisions and positions within the range; see [`Index::places`].
    pub(crate) fn places(
        &self,
        key: StreamKey,
        range: Range,
    ) -> Result<Vec<(u64, u64)>, ReadError> {
        self.index.places(key, range).map_err(ReadError::Index)
    }

    pub(crate) fn position(&self, key: StreamKey, revision: u64) -> Result<Option<u64>, ReadError> {
        self.index.position(key, revision).map_err(ReadError::Index)
    }

    /// The rules of a stream in this state.
    pub(crate) fn rules(&self, state: &State) -> Result<Rules, ReadError> {
        let Some(position) = state.metadata else { return Ok(Rules::default()) };
        let known = || self.rules.lock().expect("no panic while the rules are locked");
        if let Some(rules) = known().get(&position) {
            return Ok(*rules);
        }
        let rules = self.record(position)?.map(|record| Rules::read(&record.data));
        let rules = rules.unwrap_or_default();
        let mut known = known();
        if known.len() >= RULES {
            known.clear();
        }
        known.insert(position, rules);
        Ok(rules)
    }

    /// The durable record that starts at the position; `None` when it was scavenged.
    pub(crate) fn record(&self, position: u64) -> Result<Option<Record>, ReadError> {
        let mut reader = LogReader::new(Arc::clone(&self.segments), *self.head.borrow());
        let record = reader.at(position, RANDOM)?;
        Ok(record.filter(|record| record.position == position))
    }
}

/// The lines of the index that an event makes: its own, and that of the stream it describes.
pub(crate) fn entries(
    keys: &Keys,
    (stream, key): (&[u8], StreamKey),
    event_type: &[u8],
    revision: u64,
    position: u64,
) -> impl Iterator<Item = Entry> {
    let described = match metadata::change(stream, event_type, revision) {
        Some(Change::Metadata(name)) => {
            Some(Entry { key: keys.key(name), slot: METADATA, position })
        }
        Some(Change::Tombstone) | None => None,
    };
    std::iter::once(Entry { key, slot: revision, position }).chain(described)
}
