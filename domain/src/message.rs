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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::decider::laws::{given, hold, user};

    fn conversation(number: u8) -> ConversationId {
        ConversationId::new(Uuid::from_u128(number.into()))
    }

    fn send(to: u8, text: &str, member: bool) -> Command {
        Command::Send {
            message: MessageId::new(Uuid::from_u128(9)),
            conversation: conversation(to),
            by: user(1),
            text: text.to_owned(),
            member,
        }
    }

    fn sent(to: u8, text: &str) -> MessageEvent {
        MessageEvent::Sent {
            message: MessageId::new(Uuid::from_u128(9)),
            conversation: conversation(to),
            sender: user(1),
            text: Personal::new(user(1), text.to_owned()),
        }
    }

    #[test]
    fn a_member_sends_a_message() {
        assert_eq!(Message::default().decide(&send(1, "hi", true)), Ok(vec![sent(1, "hi")]));
    }

    #[test]
    fn to_others_the_conversation_does_not_exist() {
        let refused = Err(Rejection::NoSuchConversation);
        assert_eq!(Message::default().decide(&send(1, "hi", false)), refused);
        let known: Message = given(&[sent(1, "hi")]);
        assert_eq!(known.decide(&send(1, "hi", false)), refused, "nor does the message");
    }

    #[test]
    fn a_message_is_sent_once() {
        let known: Message = given(&[sent(1, "hi")]);
        assert_eq!(known.decide(&send(1, "hi", true)), Err(Rejection::AlreadySent));
    }

    #[test]
    fn a_message_says_something_and_not_too_much() {
        let longest = "é".repeat(MAX_CHARACTERS);
        assert!(Message::default().decide(&send(1, &longest, true)).is_ok());
        for text in ["", " \n\t", &format!("{longest}!")] {
            let refused = Err(Rejection::InvalidText);
            assert_eq!(Message::default().decide(&send(1, text, true)), refused);
        }
    }

    proptest! {
        #[test]
        fn the_laws_hold(
            commands in proptest::collection::vec(
                (1..3_u8, "[ a]{0,2}", any::<bool>())
                    .prop_map(|(to, text, member)| send(to, &text, member)),
                0..10,
            )
        ) {
            hold::<Message>(&commands, |_| false, |before, after| {
                let stays = before.conversation().is_none() || before == after;
                assert!(stays, "a message never moves");
            });
        }
    }
}
