//! Events as bytes, exactly as the store has them: for those who prove that nothing was changed.

use bytes::Bytes;
use events::{Position, StreamName};
use eventstore::{
    AppendToStreamOptions, EventData, ReadAllOptions, ReadStreamOptions, RecordedEvent,
    StreamPosition, StreamState,
};
use serde::Serialize;
use uuid::Uuid;

use crate::connect::Store;
use crate::read::from;
use crate::recorded::position;
use crate::{EventLog, LogError};

/// An event as the store has it. Unlike [`Recorded`](crate::Recorded) it interprets nothing: data
/// that is no JSON is there as well, and personal data is sealed as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its place in the log.
    pub position: Position,
    /// The name of its stream.
    pub stream: String,
    /// Its place in the stream, from 0.
    pub revision: u64,
    /// Its id.
    pub id: Uuid,
    /// The stored name of its type.
    pub event_type: String,
    /// What kind of bytes the data is: `application/json` or `application/octet-stream`.
    pub content_type: String,
    /// When it was recorded, by the clock of the store, in units of 100 ns since 1970.
    pub created: i64,
    /// The data.
    pub data: Bytes,
    /// What is written beside the data.
    pub metadata: Bytes,
}

impl Stored {
    /// Whether the store itself wrote it.
    pub fn is_system(&self) -> bool {
        self.stream.starts_with('$')
    }
}

impl From<&RecordedEvent> for Stored {
    fn from(event: &RecordedEvent) -> Self {
        let said = |name: &str| event.metadata.get(name);
        let ticks = said("created").and_then(|ticks| ticks.parse().ok());
        // Another store may say nothing of its own: the client then has whole seconds.
        let seconds = || event.created.timestamp_micros().saturating_mul(10);
        Self {
            position: position(event.position),
            stream: event.stream_id().to_owned(),
            revision: event.revision,
            id: event.id,
            event_type: event.event_type.clone(),
            content_type: said("content-type").cloned().unwrap_or_default(),
            created: ticks.unwrap_or_else(seconds),
            data: event.data.clone(),
            metadata: event.custom_metadata.clone(),
        }
    }
}

/// Where an append stands that nobody decides on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// It is recorded.
    Done,
    /// Somebody else appended before.
    Conflict,
}

impl EventLog {
    /// Up to `max` events after a position (`START`: from the first one), as they are stored, in
    /// the order of the log, those of the store itself too. Fewer than `max` only at the end.
    ///
    /// # Errors
    /// If the store is away, or there is no event at the position.
    pub async fn read_stored(&self, after: Position, max: usize) -> Result<Vec<Stored>, LogError> {
        // The store begins with the event at the position, which was read before.
        let first = usize::from(after != Position::START);
        let options = ReadAllOptions::default().position(from(after)).max_count(max + first);
        let page = self.store().call(async |client| {
            let mut page = Vec::with_capacity(max);
            let mut read = client.read_all(&options).await?;
            while let Some(resolved) = read.next().await? {
                let event = resolved.get_original_event();
                if position(event.position) > after {
                    page.push(Stored::from(event));
                }
            }
            Ok(page)
        });
        Ok(page.await?)
    }

    /// Up to `max` events of a stream from a revision on, as they are stored; none if there is no
    /// such stream. Fewer than `max` only at the end.
    ///
    /// # Errors
    /// If the store is away.
    pub async fn read_stored_stream(
        &self,
        stream: &StreamName,
        from: u64,
        max: usize,
    ) -> Result<Vec<Stored>, LogError> {
        let options =
            ReadStreamOptions::default().position(StreamPosition::Position(from)).max_count(max);
        Ok(self.store().stored_stream(stream, &options).await?)
    }

    /// Up to `max` events of a stream from a revision on backwards, or from its end, as they are
    /// stored, the newest first.
    ///
    /// # Errors
    /// If the store is away.
    pub async fn read_stored_stream_backwards(
        &self,
        stream: &StreamName,
        from: Option<u64>,
        max: usize,
    ) -> Result<Vec<Stored>, LogError> {
        let from = from.map_or(StreamPosition::End, StreamPosition::Position);
        let options = ReadStreamOptions::default().position(from).backwards().max_count(max);
        Ok(self.store().stored_stream(stream, &options).await?)
    }

    /// Appends an event that no decider knows to a stream that is not of the domain, after its
    /// revision `last`. The same id again is no second event.
    ///
    /// # Errors
    /// If the store is away, or refuses. After `Unavailable` it may be recorded.
    pub async fn note(
        &self,
        stream: &StreamName,
        last: Option<u64>,
        id: Uuid,
        event_type: &str,
        data: &(impl Serialize + Sync),
    ) -> Result<Noted, LogError> {
        debug_assert!(stream.category().is_none(), "{stream} is of the domain");
        let expected = last.map_or(StreamState::NoStream, StreamState::StreamRevision);
        let options =
            AppendToStreamOptions::default().stream_state(expected).deadline(crate::APPEND_WITHIN);
        let event = || EventData::json(event_type, data).expect("it is JSON").id(id);
        let written = self
            .store()
            .call(async |client| client.append_to_stream(stream.as_str(), &options, event()).await);
        match written.await {
            Ok(_) => Ok(Noted::Done),
            Err(eventstore::Error::WrongExpectedVersion { .. }) => Ok(Noted::Conflict),
            Err(error) => Err(error.into()),
        }
    }
}

impl Store {
    async fn stored_stream(
        &self,
        stream: &StreamName,
        options: &ReadStreamOptions,
    ) -> Result<Vec<Stored>, eventstore::Error> {
        self.call(async |client| {
            let mut events = Vec::new();
            let mut read = match client.read_stream(stream.as_str(), options).await {
                Err(eventstore::Error::ResourceNotFound) => return Ok(events),
                read => read?,
            };
            loop {
                match read.next().await {
                    Err(eventstore::Error::ResourceNotFound) | Ok(None) => return Ok(events),
                    Ok(Some(resolved)) => events.push(resolved.get_original_event().into()),
                    Err(error) => return Err(error),
                }
            }
        })
        .await
    }
}
