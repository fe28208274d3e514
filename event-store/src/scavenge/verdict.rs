//! Which events can go: those that no read of their stream will ever show again.
//!
//! Two things must stay true when the index is built from the log alone: the last revision of a
//! stream, and its rules. So the last event of a stream stays, hidden or not, and so does the newest
//! event that says the rules; only a tombstone makes both needless.

use std::{io, sync::Arc, time::SystemTime};

use crate::{
    committer::ticks,
    engine::Engine,
    index::StreamKey,
    log::{
        frame::Record,
        reader::{LogReader, RANDOM, ReadError},
    },
    metadata::{self, METADATA_TYPE, Rules, TOMBSTONE_REVISION, TOMBSTONE_TYPE},
};

/// Events of a metadata stream that are looked up at once.
const PAGE: usize = 64;

/// Judges the records of one segment.
pub(crate) struct Judge<'a> {
    engine: &'a Engine,
    reader: LogReader,
    now: u64,
    /// Bytes that were read to find out, since this was asked last.
    read: u64,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(engine: &'a Engine) -> Self {
        Self { engine, reader: engine.reader(), now: ticks(SystemTime::now()), read: 0 }
    }

    /// The bytes that were read since the last call.
    pub(crate) fn take_read(&mut self) -> u64 {
        std::mem::take(&mut self.read)
    }

    /// Whether the record stays.
    pub(crate) fn keeps(&mut self, record: &Record) -> Result<bool, ReadError> {
        if record.revision == TOMBSTONE_REVISION && record.event_type == TOMBSTONE_TYPE {
            return Ok(true);
        }
        let key = self.engine.keys.key(&record.stream);
        let (rules, last) = (rules(self.engine, key), last_revision(self.engine, key));
        // What is not in the index was not understood, so it stays.
        let Some(last) = last else { return Ok(true) };
        let is_last = record.revision >= last;
        let Some(described) = metadata::described(&record.stream) else {
            return Ok(
                rules.tombstone.is_none() && (is_last || self.is_visible(rules, last, record))
            );
        };
        let described = self.engine.keys.key(described);
        if self::rules(self.engine, described).tombstone.is_some() {
            return Ok(false);
        }
        if is_last && rules.tombstone.is_none() {
            return Ok(true);
        }
        Ok(record.event_type == METADATA_TYPE && !self.is_replaced(key, record)?)
    }

    fn is_visible(&self, rules: Rules, last: u64, record: &Record) -> bool {
        let oldest = |seconds: u64| self.now.saturating_sub(seconds.saturating_mul(10_000_000));
        record.revision >= rules.first_visible(last)
            && rules.max_age.is_none_or(|seconds| record.created >= oldest(seconds))
    }

    /// Whether a later event of the metadata stream says rules again. Events of other types may
    /// stand there too, and say nothing.
    fn is_replaced(&mut self, key: StreamKey, record: &Record) -> Result<bool, ReadError> {
        let segments = Arc::clone(self.engine.segments());
        let mut from = record.revision + 1;
        loop {
            let positions = positions(self.engine, key, from);
            if positions.is_empty() {
                return Ok(false);
            }
            from += positions.len() as u64;
            for position in positions {
                self.read += RANDOM as u64;
                let failed = |source: io::Error| ReadError::Io { position, source };
                if segments.holds_record(position).map_err(failed)?
                    && let Some(later) = self.reader.exactly(position, RANDOM)?
                    && later.event_type == METADATA_TYPE
                {
                    return Ok(true);
                }
            }
        }
    }
}

fn rules(engine: &Engine, key: StreamKey) -> Rules {
    engine.index().rules(key)
}

fn last_revision(engine: &Engine, key: StreamKey) -> Option<u64> {
    engine.index().last_revision(key)
}

/// The positions of some events of the stream from the revision on; none at its end.
fn positions(engine: &Engine, key: StreamKey, from: u64) -> Vec<u64> {
    engine.index().positions(key, from, PAGE)
}
