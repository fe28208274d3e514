//! What surrounds an event: where and when it was recorded, by whom, and why.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{EventId, LoginId, Position, StreamName, UserId};

/// What is written beside the data of an event.
///
/// `correlation_id` and `causation_id` are spelt as KurrentDB's own projections know them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// Which shape of the event type the data has, from 1.
    pub schema_version: u16,
    /// Who did it; the person signing up, for a sign-up.
    pub actor: UserId,
    /// Everything that one request caused has the same correlation id.
    #[serde(rename = "$correlationId")]
    pub correlation_id: Uuid,
    /// The event or the request that led to this event.
    #[serde(rename = "$causationId")]
    pub causation_id: Uuid,
    /// The idempotency key of the command, in the scope of the actor.
    pub key: Uuid,
    /// SHA-256 of the command's body, in hex: the same key with another body is a conflict.
    pub body_hash: String,
    /// The revision of another stream that the command was decided on, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_on: Option<u64>,
    /// The API token that the actor used, where it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<LoginId>,
}

/// An event as it stands in the log.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope<E> {
    /// Its id.
    pub id: EventId,
    /// Its stream.
    pub stream: StreamName,
    /// Its place in the stream, from 0.
    pub revision: u64,
    /// Its place in the log.
    pub position: Position,
    /// When it was recorded, by the clock of the store.
    pub recorded_at: DateTime<Utc>,
    /// By whom and why.
    pub metadata: Metadata,
    /// What happened.
    pub event: E,
}

impl<E> Envelope<E> {
    /// The same envelope around another form of the event.
    pub fn map<F>(self, into: impl FnOnce(E) -> F) -> Envelope<F> {
        Envelope {
            id: self.id,
            stream: self.stream,
            revision: self.revision,
            position: self.position,
            recorded_at: self.recorded_at,
            metadata: self.metadata,
            event: into(self.event),
        }
    }
}
