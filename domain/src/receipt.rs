//! How far a person received and read a conversation: two cursors that never go back.

use events::serde::Serialize;
use events::{ConversationId, MessageId, Position, ReceiptEvent, UserId};
use thiserror::Error;

use crate::Decider;

/// The cursors of one person in one conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(crate = "events::serde")]
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::decider::laws::{hold, user};

    fn command(kind: Kind, upto: u64, member: bool) -> Command {
        Command {
            kind,
            conversation: ConversationId::new(Uuid::from_u128(1)),
            user: user(1),
            message: MessageId::new(Uuid::from_u128(upto.into())),
            upto: Position::at(upto),
            member,
        }
    }

    fn after(commands: &[Command]) -> Receipt {
        commands.iter().fold(Receipt::default(), |state, command| {
            state.decide(command).unwrap().iter().fold(state, Receipt::evolve)
        })
    }

    #[test]
    fn cursors_go_forward_only() {
        let state = after(&[command(Kind::Delivered, 5, true)]);
        assert_eq!(state.decide(&command(Kind::Delivered, 5, true)), Ok(vec![]));
        assert_eq!(state.decide(&command(Kind::Delivered, 4, true)), Ok(vec![]));
        assert_eq!(state.decide(&command(Kind::Delivered, 6, true)).unwrap().len(), 1);
    }

    #[test]
    fn what_was_read_was_received() {
        let state = after(&[command(Kind::Read, 5, true)]);
        assert_eq!((state.delivered, state.read), (Position::at(5), Position::at(5)));
        assert_eq!(state.decide(&command(Kind::Delivered, 5, true)), Ok(vec![]));
    }

    #[test]
    fn reading_does_not_take_back_what_was_received() {
        let state = after(&[command(Kind::Delivered, 9, true), command(Kind::Read, 5, true)]);
        assert_eq!((state.delivered, state.read), (Position::at(9), Position::at(5)));
    }

    #[test]
    fn to_others_the_message_does_not_exist() {
        let refused = Receipt::default().decide(&command(Kind::Read, 5, false));
        assert_eq!(refused, Err(Rejection::NoSuchMessage));
    }

    proptest! {
        #[test]
        fn the_laws_hold(
            commands in proptest::collection::vec(
                (any::<bool>(), 0..6_u64, any::<bool>()).prop_map(|(read, upto, member)| {
                    command(if read { Kind::Read } else { Kind::Delivered }, upto, member)
                }),
                0..40,
            )
        ) {
            hold::<Receipt>(&commands, |_| false, |before, after| {
                assert!(after.read >= before.read && after.delivered >= before.delivered);
                assert!(after.delivered >= after.read, "what was read was received");
            });
        }
    }
}
