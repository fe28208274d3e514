//! Which events can go: those that no read of their stream will ever show again.
//!
//! Two things must stay true when the index is built from the log alone: the last revision of a
//! stream, and its rules. So the last event of a stream stays, hidden or not, and so does the newest
//! event that says the rules; only a tombstone makes both needless.

use std::time::SystemTime;

use crate::{
    committer::ticks,
    engine::Engine,
    log::{frame::Record, reader::ReadError},
    metadata::{self, Rules, TOMBSTONE_REVISION, TOMBSTONE_TYPE},
};

/// Judges the records of one segment.
pub(crate) struct Judge<'a> {
    engine: &'a Engine,
    now: u64,
}

impl<'a> Judge<'a> {
    pub(crate) fn new(engine: &'a Engine) -> Self {
        Self { engine, now: ticks(SystemTime::now()) }
    }

    /// Whether the record stays.
    pub(crate) fn keeps(&self, record: &Record) -> Result<bool, ReadError> {
        if record.revision == TOMBSTONE_REVISION && record.event_type == TOMBSTONE_TYPE {
            return Ok(true);
        }
        let catalog = &self.engine.catalog;
        let state = catalog.state(catalog.key(&record.stream))?;
        // What is not in the index was not understood, so it stays.
        let Some(last) = state.last else { return Ok(true) };
        let is_last = record.revision >= last && state.tombstone.is_none();
        let Some(described) = metadata::described(&record.stream) else {
            let ended = state.tombstone.is_some();
            return Ok(is_last || !ended && self.is_visible(catalog.rules(&state)?, last, record));
        };
        let described = catalog.state(catalog.key(described))?;
        if described.tombstone.is_some() {
            return Ok(false);
        }
        // Events of other types may stand behind the one that says the rules.
        Ok(is_last || described.metadata == Some(record.position))
    }

    fn is_visible(&self, rules: Rules, last: u64, record: &Record) -> bool {
        let oldest = |seconds: u64| self.now.saturating_sub(seconds.saturating_mul(10_000_000));
        record.revision >= rules.first_visible(last)
            && rules.max_age.is_none_or(|seconds| record.created >= oldest(seconds))
    }
}
