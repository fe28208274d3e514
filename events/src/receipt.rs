//! How far a person received and read a conversation.

use serde::{Deserialize, Serialize};

use crate::{ConversationId, DomainEvent, Event, MessageId, Position, UserId};

/// An event of a `receipt-` stream. A cursor covers everything up to its message, and never goes back.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", content = "data")]
pub enum ReceiptEvent {
    /// A device of the person received everything up to a message.
    #[serde(rename = "receipt.delivered")]
    Delivered {
        /// The conversation.
        conversation: ConversationId,
        /// Who.
        user: UserId,
        /// The newest message received.
        message: MessageId,
        /// The position of that message.
        upto: Position,
    },
    /// The person read everything up to a message.
    #[serde(rename = "receipt.read")]
    Read {
        /// The conversation.
        conversation: ConversationId,
        /// Who.
        user: UserId,
        /// The newest message read.
        message: MessageId,
        /// The position of that message.
        upto: Position,
    },
}

impl Event for ReceiptEvent {
    fn event_type(&self) -> &'static str {
        match self {
            Self::Delivered { .. } => "receipt.delivered",
            Self::Read { .. } => "receipt.read",
        }
    }
}

impl From<ReceiptEvent> for DomainEvent {
    fn from(event: ReceiptEvent) -> Self {
        Self::Receipt(event)
    }
}
