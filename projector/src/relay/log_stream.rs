//! The JetStream stream `EVENTS`: the log as NATS has it, and the relays' only checkpoint.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{
    CreateStreamError, CreateStreamErrorKind, PublishAckFuture, PublishError,
};
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{Config, Info, StorageType, Stream};
use async_nats::jetstream::{self, Context};
use bytes::Bytes;
use event_log::Recorded;
use events::Position;
use serde_json::value::RawValue;

use super::RelayError;
use crate::subjects::Subjects;

/// The position of the event in a message of `EVENTS`, or of the event that a live frame shows.
pub const POSITION: &str = "Roundtable-Position";
/// The position of the event before it in the log.
pub const PREVIOUS: &str = "Roundtable-Previous";
/// Which relay published the message.
pub const RELAY: &str = "Roundtable-Relay";
/// Says that the event was too large for NATS: its data has to be read from the log.
pub const REFERENCE: &str = "Roundtable-Reference";

/// How long `EVENTS` keeps an event.
pub(crate) const MAX_AGE: Duration = Duration::from_secs(2 * 24 * 3600);
/// How large `EVENTS` grows at most. NATS sets so much of the disk aside for it; where that is too
/// much, the next smaller one.
const MAX_BYTES: [i64; 3] = [1 << 30, 1 << 28, 1 << 26];
/// An acknowledgement that has not come by then is lost.
const PATIENCE: Duration = Duration::from_secs(2);
/// Room for headers beside the payload of a message.
const HEADER_ROOM: usize = 4096;

/// The stream, and how to publish to it.
pub(crate) struct LogStream {
    context: Context,
    subjects: Subjects,
    relay: String,
}

/// The end of `EVENTS`.
#[derive(Clone, Debug)]
pub(crate) struct Tip {
    /// The sequence of the last message there ever was; the next one is expected to follow it.
    pub(crate) sequence: u64,
    /// The sequence of the first message that is still there.
    pub(crate) first: u64,
    /// The position of the last message's event; none if the stream is empty.
    pub(crate) position: Option<Position>,
}

impl LogStream {
    pub(crate) fn new(nats: async_nats::Client, subjects: Subjects, relay: String) -> Self {
        let mut context = jetstream::new(nats);
        context.set_timeout(PATIENCE);
        Self { context, subjects, relay }
    }

    /// The stream, made if it is not there.
    async fn stream(&self) -> Result<Stream<Info>, RelayError> {
        let sizes = if self.subjects.are_plain() { &MAX_BYTES[..] } else { &MAX_BYTES[2..] };
        let mut failure = None;
        for max_bytes in sizes {
            let config = Config {
                name: self.subjects.stream(),
                subjects: vec![self.subjects.events()],
                storage: StorageType::File,
                max_age: MAX_AGE,
                max_bytes: *max_bytes,
                ..Config::default()
            };
            match self.context.get_or_create_stream(config).await {
                Ok(stream) => return Ok(stream),
                Err(error) if is_too_large(&error) => failure = Some(error),
                Err(error) => return Err(RelayError::Nats(Box::new(error))),
            }
        }
        Err(RelayError::Nats(failure.expect("there is a size that was tried").into()))
    }

    /// Reads the end of the stream: what everybody's next publish has to follow.
    pub(crate) async fn tip(&self) -> Result<Tip, RelayError> {
        let stream = self.stream().await?;
        let state = &stream.cached_info().state;
        let (sequence, first) = (state.last_sequence, state.first_sequence);
        if state.messages == 0 {
            return Ok(Tip { sequence, first, position: None });
        }
        let position = position(&self.headers(&stream, sequence).await?, POSITION)?;
        Ok(Tip { sequence, first, position: Some(position) })
    }

    /// The position before the event of the message with this sequence.
    pub(crate) async fn previous(&self, sequence: u64) -> Result<Position, RelayError> {
        let stream = self.stream().await?;
        position(&self.headers(&stream, sequence).await?, PREVIOUS)
    }

    async fn headers(&self, stream: &Stream<Info>, sequence: u64) -> Result<HeaderMap, RelayError> {
        let message = stream.get_raw_message(sequence);
        Ok(message.await.map_err(|error| RelayError::Nats(Box::new(error)))?.headers)
    }

    /// Sends an event, to be stored right after the message with sequence `last`. The answer comes
    /// later, so that many can be on their way.
    pub(crate) async fn send(
        &self,
        event: &Recorded,
        previous: Position,
        last: u64,
    ) -> Result<PublishAckFuture, PublishError> {
        let mut headers = HeaderMap::new();
        headers.insert(POSITION, event.position.to_string());
        headers.insert(PREVIOUS, previous.to_string());
        headers.insert(RELAY, self.relay.as_str());
        let room = self.context.client().max_payload().saturating_sub(HEADER_ROOM);
        let payload = payload(event, room, &mut headers);
        let message = PublishMessage::build()
            .headers(headers)
            .payload(payload)
            .expected_last_sequence(last)
            .expected_stream(self.subjects.stream());
        self.context.send_publish(self.subjects.event(&event.stream), message).await
    }
}

/// Whether NATS has not so much room.
fn is_too_large(error: &CreateStreamError) -> bool {
    matches!(error.kind(), CreateStreamErrorKind::JetStream(refusal)
        if refusal.error_code() == ErrorCode::STORAGE_RESOURCES_EXCEEDED)
}

/// The event as JSON; without its data and metadata, and marked so, if NATS would refuse it.
fn payload(event: &Recorded, room: usize, headers: &mut HeaderMap) -> Bytes {
    let json = serde_json::to_vec(event).expect("a recorded event is JSON");
    if json.len() <= room {
        return json.into();
    }
    headers.insert(REFERENCE, "true");
    let null = || RawValue::NULL.to_owned();
    let reference = Recorded { data: null(), metadata: null(), ..event.clone() };
    serde_json::to_vec(&reference).expect("a recorded event is JSON").into()
}

fn position(headers: &HeaderMap, name: &str) -> Result<Position, RelayError> {
    let text = headers.get(name).map(|value| value.as_str()).unwrap_or_default();
    text.parse().map_err(|_| RelayError::NotOurs)
}
