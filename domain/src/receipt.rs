//! How far a person received and read a conversation: two cursors that never go back.

use events::{ConversationId, MessageId, Position, ReceiptEvent, UserId};
use thiserror::Error;

use crate::Decider;

/// The cursors of one person in one conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// Everything up to here was received.
    pub delivered: Position,
    /// Everything up to here was read, and so received.
    pub read: Position,
}

/// What a device says.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// Received, or read too.
    pub kind: Kind,
    /// The conversation.
    pub conversation: ConversationId,
    /// Who.
    pub user: UserId,
    /// The newest message received or read.
    pub message: MessageId,
    /// The position of that message.
    pub upto: Position,
    /// Whether the person is in the conversation, and the message in it.
    pub member: bool,
}

/// Received, or read too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Received by a device.
    Delivered,
    /// Read by the person.
    Read,
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// There is none for this person.
    #[error("this message does not exist in a conversation of this person")]
    NoSuchMessage,
}

impl Decider for Receipt {
    type Command = Command;
    type Event = ReceiptEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command) -> Result<Vec<ReceiptEvent>, Rejection> {
        let Command { kind, conversation, user, message, upto, member } = *command;
        if !member {
            return Err(Rejection::NoSuchMessage);
        }
        let cursor = match kind {
            Kind::Delivered => self.delivered,
            Kind::Read => self.read,
        };
        if upto <= cursor {
            return Ok(vec![]);
        }
        Ok(vec![match kind {
            Kind::Delivered => ReceiptEvent::Delivered { conversation, user, message, upto },
            Kind::Read => ReceiptEvent::Read { conversation, user, message, upto },
        }])
    }

    fn evolve(self, event: &ReceiptEvent) -> Self {
        match *event {
            ReceiptEvent::Delivered { upto, .. } => {
                Self { delivered: self.delivered.max(upto), ..self }
            }
            ReceiptEvent::Read { upto, .. } => {
                Self { delivered: self.delivered.max(upto), read: self.read.max(upto) }
            }
        }
    }
}
