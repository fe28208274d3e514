//! One line of the index, and what the lines of one stream come to.

use super::key::StreamKey;
use crate::metadata::TOMBSTONE_REVISION;

/// Where something of a stream is in the log. Entries sort by stream, then by slot.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Entry {
    pub(crate) key: StreamKey,
    pub(crate) slot: u64,
    pub(crate) position: u64,
}

/// The slot of a tombstone. Lower slots are the revisions of events.
pub(crate) const TOMBSTONE: u64 = TOMBSTONE_REVISION;
/// The slot of the newest metadata of a stream, which is an event of its metadata stream.
pub(crate) const METADATA: u64 = u64::MAX;

/// What the index knows of a stream.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct State {
    /// The last revision, not counting a tombstone.
    pub(crate) last: Option<u64>,
    /// The position of the tombstone.
    pub(crate) tombstone: Option<u64>,
    /// The position of the newest metadata.
    pub(crate) metadata: Option<u64>,
}

impl State {
    /// Completes what newer sources said with what an older one says.
    pub(crate) fn or_older(self, older: Self) -> Self {
        Self {
            last: self.last.or(older.last),
            tombstone: self.tombstone.or(older.tombstone),
            metadata: self.metadata.or(older.metadata),
        }
    }
}

/// Revisions that are looked for, in one stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) from: u64,
    /// The last one, included.
    pub(crate) to: u64,
    /// The most places that are wanted.
    pub(crate) most: usize,
}
