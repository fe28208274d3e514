//! One message: sent once, by somebody who is in the conversation.

use events::{ConversationId, MessageEvent, MessageId, Personal, UserId};
use thiserror::Error;

use crate::Decider;

/// How many characters a message may have.
pub const MAX_CHARACTERS: usize = 8000;

/// What is known of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Message {
    conversation: Option<ConversationId>,
}

impl Message {
    /// The conversation it was sent to.
    pub const fn conversation(&self) -> Option<ConversationId> {
        self.conversation
    }
}

/// What somebody does to a message.
#[derive(Clone, Debug)]
pub enum Command {
    /// Send it.
    Send {
        /// The new id.
        message: MessageId,
        /// Where.
        conversation: ConversationId,
        /// Who.
        by: UserId,
        /// What it says.
        text: String,
        /// Whether the sender is in the conversation now.
        member: bool,
    },
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    /// There is none for this person.
    #[error("this conversation does not exist")]
    NoSuchConversation,
    /// The id is taken.
    #[error("a message with this id exists already")]
    AlreadySent,
    /// Nothing, or too much.
    #[error("a message has 1 to 8000 characters that are not all blank")]
    InvalidText,
}

impl Decider for Message {
    type Command = Command;
    type Event = MessageEvent;
    type Rejection = Rejection;

    fn decide(&self, command: &Command) -> Result<Vec<MessageEvent>, Rejection> {
        let Command::Send { message, conversation, by, text, member } = command;
        if !member {
            return Err(Rejection::NoSuchConversation);
        }
        if self.conversation.is_some() {
            return Err(Rejection::AlreadySent);
        }
        if text.trim().is_empty() || text.chars().count() > MAX_CHARACTERS {
            return Err(Rejection::InvalidText);
        }
        Ok(vec![MessageEvent::Sent {
            message: *message,
            conversation: *conversation,
            sender: *by,
            text: Personal::new(*by, text.clone()),
        }])
    }

    fn evolve(self, event: &MessageEvent) -> Self {
        match event {
            MessageEvent::Sent { conversation, .. } => Self { conversation: Some(*conversation) },
        }
    }
}
