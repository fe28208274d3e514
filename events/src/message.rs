//! What happens to one message.

use serde::{Deserialize, Serialize};

use crate::{ConversationId, DomainEvent, Event, MessageId, Personal, UserId};

/// An event of a `message-` stream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum MessageEvent {
    /// A message was sent.
    #[serde(rename = "message.sent")]
    Sent {
        /// The message.
        message: MessageId,
        /// Where.
        conversation: ConversationId,
        /// By whom.
        sender: UserId,
        /// What it says.
        text: Personal<String>,
    },
}

impl Event for MessageEvent {
    fn event_type(&self) -> &'static str {
        match self {
            Self::Sent { .. } => "message.sent",
        }
    }
}

impl From<MessageEvent> for DomainEvent {
    fn from(event: MessageEvent) -> Self {
        Self::Message(event)
    }
}
