//! What a stream's metadata says: which of its events are hidden, and whether it is deleted.

use serde_json::{Map, Value};

use crate::log::frame::Record;

/// The type of a metadata event, on the stream `$$<name>`.
pub(crate) const METADATA_TYPE: &[u8] = b"$metadata";
/// The type of the event that ends a stream for ever.
pub(crate) const TOMBSTONE_TYPE: &[u8] = b"$streamDeleted";
/// The type of an event that points to another one.
pub(crate) const LINK_TYPE: &[u8] = b"$>";
/// The revision of a tombstone.
pub(crate) const TOMBSTONE_REVISION: u64 = i64::MAX as u64;
/// `$tb` of a soft-deleted stream: everything written so far is hidden.
pub(crate) const SOFT_DELETED: u64 = i64::MAX as u64;

const TRUNCATE_BEFORE: &str = "$tb";

/// The name of the stream that the given metadata stream describes.
pub(crate) fn described(stream: &[u8]) -> Option<&[u8]> {
    stream.strip_prefix(b"$$")
}

/// The name of the metadata stream of a stream.
pub(crate) fn metadata_stream(stream: &[u8]) -> Vec<u8> {
    [b"$$", stream].concat()
}

/// The rules of one stream that hide events; few streams have any.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Rules {
    pub(crate) max_count: Option<u64>,
    /// In seconds.
    pub(crate) max_age: Option<u64>,
    pub(crate) truncate_before: u64,
}

impl Rules {
    /// The rules of a metadata stream itself: only its newest event counts.
    pub(crate) const METADATA: Self =
        Self { max_count: Some(1), max_age: None, truncate_before: 0 };

    pub(crate) fn is_soft_deleted(&self) -> bool {
        self.truncate_before == SOFT_DELETED
    }

    /// Reads the metadata; text that is not a JSON object hides nothing.
    pub(crate) fn read(json: &[u8]) -> Self {
        let read = serde_json::from_slice::<Map<String, Value>>(json).unwrap_or_default();
        let number = |key| read.get(key).and_then(Value::as_u64);
        Self {
            max_count: number("$maxCount").filter(|count| *count > 0),
            max_age: number("$maxAge").filter(|age| *age > 0),
            truncate_before: number(TRUNCATE_BEFORE).unwrap_or(0),
        }
    }

    /// The first revision that `$tb` and `$maxCount` leave visible; age is the reader's matter,
    /// because the time of an event stands in the log.
    pub(crate) fn first_visible(&self, last: u64) -> u64 {
        let by_count = self.max_count.map_or(0, |count| (last + 1).saturating_sub(count));
        self.truncate_before.max(by_count)
    }
}

/// What an event means beyond being the next of its stream.
pub(crate) enum Change<'a> {
    /// It is the metadata of the stream with this name.
    Metadata(&'a [u8]),
    /// Its stream has ended.
    Tombstone,
}

/// The change that an event brings, if it brings any.
pub(crate) fn change<'a>(stream: &'a [u8], event_type: &[u8], revision: u64) -> Option<Change<'a>> {
    match event_type {
        METADATA_TYPE => described(stream).map(Change::Metadata),
        TOMBSTONE_TYPE if revision == TOMBSTONE_REVISION => Some(Change::Tombstone),
        _ => None,
    }
}

/// The metadata with `$tb` set anew and every other key kept.
pub(crate) fn with_truncate_before(json: &[u8], before: u64) -> Vec<u8> {
    let mut map = serde_json::from_slice::<Map<String, Value>>(json).unwrap_or_default();
    map.insert(TRUNCATE_BEFORE.to_owned(), Value::from(before));
    serde_json::to_vec(&map).expect("a JSON map can be written")
}

/// Where a link points: `<revision>@<stream>`.
pub(crate) fn link_target(record: &Record) -> Option<(u64, &[u8])> {
    if record.event_type != LINK_TYPE {
        return None;
    }
    let at = record.data.iter().position(|byte| *byte == b'@')?;
    let revision = std::str::from_utf8(&record.data[..at]).ok()?.trim().parse().ok()?;
    Some((revision, &record.data[at + 1..]))
}
