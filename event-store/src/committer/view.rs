//! The streams as a write finds them: what is durable, and what the batch before it will change.

use bytes::Bytes;
use uuid::Uuid;

use super::{Committer, Refusal, event};
use crate::{
    batch::{Batch, Part},
    expected::{Current, Expected, Known, Lookup},
    index::{entry::State, key::StreamKey},
    log::{
        frame::{Proposed, Record},
        reader::ReadError,
    },
    metadata::{self, METADATA_TYPE, Rules},
};

/// The streams as they will be when the batch is durable, seen from one of them.
pub(crate) struct View<'a> {
    pub(crate) committer: &'a Committer,
    pub(crate) batch: &'a mut Batch,
    pub(crate) key: StreamKey,
}

/// A metadata event that is still to be appended, and its place.
pub(crate) struct Metadata {
    pub(crate) stream: Vec<u8>,
    pub(crate) revision: u64,
    pub(crate) event: Proposed,
}

impl View<'_> {
    fn state(&self, key: StreamKey) -> Result<State, Refusal> {
        Ok(self.batch.state(key).or_older(self.committer.catalog.state(key)?))
    }

    pub(crate) fn current(&self, stream: &[u8], expected: Expected) -> Result<Current, Refusal> {
        let state = self.state(self.key)?;
        let rules = match self.batch.metadata(self.key) {
            Some(json) => Rules::read(json),
            None => self.committer.catalog.rules(&state)?,
        };
        // Only one expectation asks whether a stream without events has metadata.
        let has_metadata = expected == Expected::StreamExists && state.last.is_none() && {
            let metadata = self.committer.catalog.key(&metadata::metadata_stream(stream));
            self.state(metadata)?.last.is_some()
        };
        Ok(Current {
            last: state.last,
            tombstoned: state.tombstone.is_some(),
            soft_deleted: rules.is_soft_deleted(),
            has_metadata,
        })
    }

    /// Appends metadata with a new `$tb`, and the events that go with it, as one append.
    pub(super) fn with_metadata(
        &mut self,
        stream: &[u8],
        truncate_before: u64,
        id: Uuid,
        events: Option<Part<'_>>,
    ) -> Result<u64, Refusal> {
        let Metadata { stream, revision, event } = self.metadata(stream, truncate_before, id)?;
        let metadata = [event];
        let mut parts = vec![Part { stream: &stream, revision, events: &metadata }];
        parts.extend(events);
        Ok(self.batch.append(&self.committer.catalog.index().keys, &parts))
    }

    /// The metadata of the stream with a new `$tb`.
    pub(crate) fn metadata(
        &self,
        stream: &[u8],
        truncate_before: u64,
        id: Uuid,
    ) -> Result<Metadata, Refusal> {
        let name = metadata::metadata_stream(stream);
        let last = self.state(self.committer.catalog.key(&name))?.last;
        let json = match (self.batch.metadata(self.key), self.state(self.key)?.metadata) {
            (Some(json), _) => json.clone(),
            (None, Some(position)) => self.committer.record(position)?.data,
            (None, None) => Bytes::new(),
        };
        let json = metadata::with_truncate_before(&json, truncate_before);
        let event = event(id, METADATA_TYPE, true, json);
        Ok(Metadata { stream: name, revision: last.map_or(0, |last| last + 1), event })
    }
}

impl Lookup for View<'_> {
    type Error = Refusal;

    fn by_id(&mut self, id: Uuid) -> Result<Option<Known>, Refusal> {
        if let Some(known) = self.batch.by_id(self.key, id) {
            return Ok(Some(known));
        }
        let Some(position) = self.committer.recent.get(self.key, id) else { return Ok(None) };
        // The event may have been scavenged since it was remembered.
        let record = self.committer.catalog.record(position)?;
        let record = record.filter(|record| {
            record.id == id && self.committer.catalog.key(&record.stream) == self.key
        });
        Ok(record.map(|record| Known { id, revision: record.revision, position }))
    }

    fn by_revision(&mut self, revision: u64) -> Result<Option<Known>, Refusal> {
        if let Some(known) = self.batch.by_revision(self.key, revision) {
            return Ok(Some(known));
        }
        let catalog = &self.committer.catalog;
        let Some(position) = catalog.position(self.key, revision)? else { return Ok(None) };
        let record = catalog.record(position)?;
        Ok(record.map(|record| Known { id: record.id, revision, position }))
    }
}

impl Committer {
    fn record(&self, position: u64) -> Result<Record, Refusal> {
        let lost = ReadError::NotARecord { position, reason: "the index points elsewhere" };
        Ok(self.catalog.record(position)?.ok_or(lost)?)
    }
}
