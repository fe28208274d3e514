//! Appends what was decided: encoded, sealed, at the expected revision.

use std::sync::Arc;

use domain::Decider;
use events::{Event, EventId, Metadata, Position, StreamName};
use eventstore::{AppendToStreamOptions, EventData, StreamState};
use serde_json::value::{RawValue, to_raw_value};

use crate::cache::{States, Visit};
use crate::codec::{self, SealError};
use crate::fold::{Folded, Step};
use crate::recorded::position;
use crate::transact::Result;
use crate::{APPEND_WITHIN, Context, EventLog, LogError, MAX_EVENT_BYTES, TransactError};

/// What the store said.
pub(crate) enum Appended {
    Done { position: Position, revision: u64 },
    Conflict,
}

/// An event that is about to be appended.
struct Proposed {
    id: EventId,
    event_type: &'static str,
    data: Box<RawValue>,
    metadata: Metadata,
    encoded_metadata: Box<RawValue>,
}

impl EventLog {
    /// Appends after the last event of the folded state. Where the answer is lost, the same
    /// events are offered again, which the store recognises by their ids.
    pub(crate) async fn append<D: Decider>(
        &self,
        visit: &Visit,
        stream: &StreamName,
        folded: &Folded<D>,
        events: &[D::Event],
        context: &Context,
    ) -> Result<Appended, D> {
        let mut proposed = Vec::with_capacity(events.len());
        for (index, event) in events.iter().enumerate() {
            proposed
                .push(self.propose::<D>(event, context.event_id(stream, index), context).await?);
        }
        let expected = folded.revision.map_or(StreamState::NoStream, StreamState::StreamRevision);
        let options =
            AppendToStreamOptions::default().stream_state(expected).deadline(APPEND_WITHIN);
        let written = self
            .store()
            .call(async |client| {
                let events: Vec<EventData> = proposed.iter().map(Proposed::to_event_data).collect();
                client.append_to_stream(stream.as_str(), &options, events).await
            })
            .await;
        match written {
            Ok(written) => {
                let position = position(written.position);
                if States::keeps(stream) {
                    keep(visit, folded, events, &proposed, position, context);
                }
                Ok(Appended::Done { position, revision: written.next_expected_version })
            }
            Err(eventstore::Error::WrongExpectedVersion { .. }) => Ok(Appended::Conflict),
            Err(error) => Err(LogError::from(error).into()),
        }
    }

    async fn propose<D: Decider>(
        &self,
        event: &D::Event,
        id: EventId,
        context: &Context,
    ) -> Result<Proposed, D> {
        let event_type = event.event_type();
        let mut data = event.to_data();
        codec::seal(self.vault(), id, &mut data).await.map_err(|error| match error {
            SealError::Unavailable(away) => TransactError::Unavailable(away),
            SealError::Erased => TransactError::Erased,
        })?;
        let metadata = context.metadata(event_type);
        let data = to_raw_value(&data).expect("JSON is JSON");
        let encoded_metadata = to_raw_value(&metadata).expect("metadata has text keys only");
        // As the store counts: data, metadata, and two bytes for each character of the type.
        let size = data.get().len() + encoded_metadata.get().len() + 2 * event_type.len();
        if size > MAX_EVENT_BYTES {
            return Err(TransactError::TooLarge);
        }
        Ok(Proposed { id, event_type, data, metadata, encoded_metadata })
    }
}

impl Proposed {
    fn to_event_data(&self) -> EventData {
        EventData::json(self.event_type, &self.data)
            .and_then(|event| event.metadata_as_json(&self.encoded_metadata))
            .expect("JSON is JSON")
            .id(self.id.uuid())
    }
}

/// Keeps the state after an append, so that the next command need not read it.
fn keep<D: Decider>(
    visit: &Visit,
    folded: &Folded<D>,
    events: &[D::Event],
    proposed: &[Proposed],
    position: Position,
    context: &Context,
) {
    if folded.first.is_none() && events.len() > 1 {
        // The store says where the last event stands, and the state would not know its first.
        return;
    }
    let mut next = folded.clone();
    for (event, proposed) in events.iter().zip(proposed) {
        let (revision, metadata) = (next.next_revision(), &proposed.metadata);
        next.evolve(&Step { event, metadata, revision, position, at: context.now });
    }
    visit.keep(&Arc::new(next));
}
