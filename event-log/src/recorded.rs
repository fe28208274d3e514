//! An event as it lies in the log, its personal data still sealed.

use chrono::DateTime;
use events::{Category, Envelope, EventId, Metadata, Moment, Position, StreamName};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// An event as it lies in the log. As JSON it is the payload of `EVENTS` messages:
/// `{"id","stream","revision","position","type","created","metadata":{..},"data":{..}}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Recorded {
    /// Its id.
    pub id: EventId,
    /// Its stream, ours or foreign.
    #[serde(serialize_with = "stream_to_text", deserialize_with = "stream_from_text")]
    pub stream: StreamName,
    /// Its place in the stream, from 0.
    pub revision: u64,
    /// Its place in the log.
    pub position: Position,
    /// The stored name of its type.
    #[serde(rename = "type")]
    pub event_type: String,
    /// When it was recorded, by the clock of the store.
    pub created: Moment,
    /// What is written beside the data, as it was written; `null` where that is no JSON.
    pub metadata: Box<RawValue>,
    /// The data, as it was written; `null` where that is no JSON.
    pub data: Box<RawValue>,
}

impl Recorded {
    /// The category and the metadata, if both are ours.
    pub(crate) fn ours(&self) -> Option<(Category, Metadata)> {
        let category = self.stream.category()?;
        Some((category, serde_json::from_str(self.metadata.get()).ok()?))
    }

    pub(crate) fn envelope<E>(&self, metadata: Metadata, event: E) -> Envelope<E> {
        Envelope {
            id: self.id,
            stream: self.stream.clone(),
            revision: self.revision,
            position: self.position,
            recorded_at: self.created,
            metadata,
            event,
        }
    }
}

impl From<&eventstore::RecordedEvent> for Recorded {
    fn from(event: &eventstore::RecordedEvent) -> Self {
        Self {
            id: event.id.into(),
            stream: StreamName::recorded(event.stream_id()),
            revision: event.revision,
            position: position(event.position),
            event_type: event.event_type.clone(),
            created: created(event),
            metadata: json_or_null(&event.custom_metadata),
            data: json_or_null(&event.data),
        }
    }
}

/// Ticks of 100 ns in a microsecond.
const TICKS: i64 = 10;

/// The store keeps 100 ns; Postgres and clients keep microseconds: everyone sees the same moment.
/// The client gives whole seconds only, so the store's own word is read.
fn created(event: &eventstore::RecordedEvent) -> Moment {
    let ticks = event.metadata.get("created").and_then(|ticks| ticks.parse::<i64>().ok());
    let exact = ticks.and_then(|ticks| DateTime::from_timestamp_micros(ticks / TICKS));
    exact.unwrap_or(event.created)
}

pub(crate) const fn position(position: eventstore::Position) -> Position {
    Position { commit: position.commit, prepare: position.prepare }
}

fn json_or_null(bytes: &[u8]) -> Box<RawValue> {
    serde_json::from_slice(bytes).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

fn stream_to_text<S: Serializer>(stream: &StreamName, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(stream.as_str())
}

fn stream_from_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<StreamName, D::Error> {
    String::deserialize(deserializer).map(StreamName::recorded)
}
