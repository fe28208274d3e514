//! What surrounds a command, and what comes of it.

use events::{EventId, LoginId, Metadata, Moment, Position, StreamName, UserId, upcast};
use uuid::Uuid;

use crate::Cause;

/// Who wants something, why, when, and under which idempotency key.
#[derive(Clone, Debug)]
pub struct Context {
    /// Who; for a sign-up, the person signing up.
    pub actor: UserId,
    /// The idempotency key, in the scope of the actor.
    pub key: Uuid,
    /// A digest of the request's body, in hex: the same key with another body is refused.
    pub body_hash: String,
    /// Everything that one request caused has the same correlation id.
    pub correlation: Uuid,
    /// The event or the request that led to this command.
    pub causation: Uuid,
    /// The present.
    pub now: Moment,
    /// The revision of another stream that the command is decided on, where there is one.
    pub decided_on: Option<u64>,
    /// The API token that the actor used, where it was one.
    pub token: Option<LoginId>,
}

impl Context {
    /// The context of a named step of a command that appends to one stream more than once.
    ///
    /// A stream remembers keys, so a second step under the same key would be taken for a repeat
    /// of the first: a sign-up reserves an address under `step("reserve")` and confirms it under
    /// `step("confirm")`. Steps on different streams need no names.
    #[must_use]
    pub fn step(&self, name: &str) -> Self {
        Self { key: Uuid::new_v5(&self.key, name.as_bytes()), ..self.clone() }
    }

    /// The same context, deciding on another stream's revision.
    #[must_use]
    pub fn deciding_on(&self, revision: Option<u64>) -> Self {
        Self { decided_on: revision, ..self.clone() }
    }

    /// The same context, following from an event: of its correlation. Without one it stands for
    /// itself.
    #[must_use]
    pub fn because(self, cause: Option<Cause>) -> Self {
        match cause {
            Some(Cause { event, correlation }) => {
                Self { correlation, causation: event.uuid(), ..self }
            }
            None => self,
        }
    }

    /// The id of the `index`-th event of this command in a stream.
    ///
    /// It hangs on the body and the time of the request too. The store answers an append of ids
    /// that it has with success, without looking at the data, which is right for an answer that
    /// was lost. For a repeated request it would hide that the key was reused, or that what was
    /// decided now (with another expiry, another salt) is not what was recorded: a repeat has to
    /// run into a conflict, and then finds its key in the stream.
    pub(crate) fn event_id(&self, stream: &StreamName, index: usize) -> EventId {
        let request = format!("{} {}", self.body_hash, self.now.timestamp_micros());
        let key = Uuid::new_v5(&self.key, request.as_bytes());
        EventId::derive(self.actor, key, stream.as_str(), index)
    }

    pub(crate) fn metadata(&self, event_type: &str) -> Metadata {
        Metadata {
            schema_version: upcast::current_version(event_type),
            actor: self.actor,
            correlation_id: self.correlation,
            causation_id: self.causation,
            key: self.key,
            body_hash: self.body_hash.clone(),
            decided_on: self.decided_on,
            token: self.token,
        }
    }
}

/// What came of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Where its last event stands; the last event of the stream, if there was nothing to do.
    pub position: Position,
    /// The revision of that event; of the whole stream, if there was nothing to do.
    pub revision: Option<u64>,
    /// Whether the command had been carried out before, under the same key.
    pub repeated: bool,
}
