//! Which call a device is in, or a conversation has: a pointer, so that neither is in two.

use serde::{Deserialize, Serialize};

use crate::{CallId, ConversationId, DomainEvent, Event, LoginId, Moment};

/// An event of a `line-` stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum LineEvent {
    /// A line belongs to a call.
    #[serde(rename = "line.taken")]
    Taken {
        /// Whose.
        slot: Slot,
        /// To which call.
        call: CallId,
        /// Until when it is kept for somebody who is on the way into the call.
        until: Moment,
        /// Lines of the same stream whose calls are over.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        dropped: Vec<Slot>,
    },
    /// A line belongs to a call no more.
    #[serde(rename = "line.freed")]
    Freed {
        /// Whose.
        slot: Slot,
        /// To which call.
        call: CallId,
    },
}

impl Event for LineEvent {
    fn event_type(&self) -> &'static str {
        match self {
            Self::Taken { .. } => "line.taken",
            Self::Freed { .. } => "line.freed",
        }
    }
}

impl From<LineEvent> for DomainEvent {
    fn from(event: LineEvent) -> Self {
        Self::Line(event)
    }
}

/// What is in one call at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slot {
    /// A device, on the lines of its person.
    Device(LoginId),
    /// A conversation.
    Conversation(ConversationId),
}
