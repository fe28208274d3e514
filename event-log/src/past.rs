//! Reads of the past: one event by its place, a stream up to a place, and the state it had there.

use std::sync::Arc;

use domain::Decider;
use events::{EventId, Position, StreamName};
use eventstore::{ReadStreamOptions, StreamPosition};
use uuid::Uuid;

use crate::connect::Store;
use crate::fold::Folded;
use crate::recorded::Recorded;
use crate::{EventLog, Loaded, LogError, OpenError, open};

/// Whether personal data in what is read is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seals {
    /// It stays sealed, and no keys are needed.
    Kept,
    /// It is opened; what was erased is erased.
    Opened,
}

/// What a command follows from: an event, and what that belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// The event.
    pub event: EventId,
    /// Its correlation id.
    pub correlation: Uuid,
}

impl Recorded {
    /// The event as the cause of another; none if it is not one of ours.
    pub fn as_cause(&self) -> Option<Cause> {
        let (_, metadata) = self.ours()?;
        Some(Cause { event: self.id, correlation: metadata.correlation_id })
    }
}

impl EventLog {
    /// The event of ours at a place, as the cause of a command.
    ///
    /// # Errors
    /// If the store is away.
    pub async fn cause_at(&self, position: Position) -> Result<Option<Cause>, LogError> {
        Ok(self.read_at(position).await?.and_then(|recorded| recorded.as_cause()))
    }

    /// The first event of a stream of ours, as the cause of a command.
    ///
    /// # Errors
    /// If the store is away.
    pub async fn beginning_of(&self, stream: &StreamName) -> Result<Option<Cause>, LogError> {
        let first = self.store().read_first(stream).await?;
        Ok(first.and_then(|recorded| recorded.as_cause()))
    }

    /// The event at a place; none if there is none, or one of the store itself.
    ///
    /// # Errors
    /// If the store is away, or refuses because nothing begins there.
    pub async fn read_at(&self, position: Position) -> Result<Option<Recorded>, LogError> {
        Ok(self.store().read_at(position).await?)
    }

    /// The events of a stream up to a place in the log; none if there is no such stream.
    ///
    /// # Errors
    /// If the store is away.
    pub async fn read_stream_until(
        &self,
        stream: &StreamName,
        until: Position,
    ) -> Result<Vec<Recorded>, LogError> {
        Ok(self.store().read_stream_until(stream, until).await?)
    }

    /// The state that a stream had at a place in the log.
    ///
    /// # Errors
    /// If the store is away, an event cannot be read, or the keys cannot be fetched.
    pub async fn state_at<D: Decider>(
        &self,
        stream: &StreamName,
        until: Position,
        seals: Seals,
    ) -> Result<Loaded<D>, LogError> {
        let mut folded = Folded::<D> { state: Arc::default(), ..Folded::default() };
        for recorded in self.store().read_stream_until(stream, until).await? {
            let data = match seals {
                Seals::Kept => open::parse(&recorded),
                Seals::Opened => open::open_data(self.vault(), &recorded).await,
            };
            data.and_then(|data| folded.read(&recorded, data)).map_err(|error| match error {
                OpenError::VaultUnavailable(away) => LogError::Unavailable(away),
                OpenError::Poison(reason) => LogError::Undecodable {
                    stream: stream.clone(),
                    revision: recorded.revision,
                    reason,
                },
            })?;
        }
        folded.sealed = seals == Seals::Kept;
        Ok(folded.loaded())
    }
}

impl Store {
    async fn read_first(&self, stream: &StreamName) -> Result<Option<Recorded>, eventstore::Error> {
        let options = ReadStreamOptions::default().position(StreamPosition::Start).max_count(1);
        self.call(async |client| {
            let mut read = match client.read_stream(stream.as_str(), &options).await {
                Err(eventstore::Error::ResourceNotFound) => return Ok(None),
                read => read?,
            };
            match read.next().await {
                Err(eventstore::Error::ResourceNotFound) | Ok(None) => Ok(None),
                Ok(Some(resolved)) => Ok(Some(resolved.get_original_event().into())),
                Err(error) => Err(error),
            }
        })
        .await
    }

    async fn read_stream_until(
        &self,
        stream: &StreamName,
        until: Position,
    ) -> Result<Vec<Recorded>, eventstore::Error> {
        let options = ReadStreamOptions::default().position(StreamPosition::Start);
        self.call(async |client| {
            let mut events = Vec::new();
            let mut read = match client.read_stream(stream.as_str(), &options).await {
                Err(eventstore::Error::ResourceNotFound) => return Ok(events),
                read => read?,
            };
            loop {
                match read.next().await {
                    Err(eventstore::Error::ResourceNotFound) | Ok(None) => return Ok(events),
                    Ok(Some(resolved)) => {
                        let event = Recorded::from(resolved.get_original_event());
                        if event.position > until {
                            return Ok(events);
                        }
                        events.push(event);
                    }
                    Err(error) => return Err(error),
                }
            }
        })
        .await
    }
}
