//! `mention`: who is mentioned in which message, in the order in which they were.

use events::{
    Category, ConversationId, DomainEvent, Envelope, MessageEvent, MessageId, Position, UserId,
};
use sqlx::PgConnection;

use super::{ApplyError, Projection};

/// The read model.
#[derive(Debug, Default)]
pub struct Mention;

/// These people, and nobody else, are mentioned in a message.
#[derive(Clone, Debug, PartialEq)]
pub struct Op {
    /// Which.
    pub message: MessageId,
    /// Where.
    pub conversation: ConversationId,
    /// Whether it mentioned others before.
    pub again: bool,
    /// Who; nobody once it was deleted.
    pub people: Vec<UserId>,
    /// By which event.
    pub position: Position,
}

impl Projection for Mention {
    const NAME: &'static str = "mention";
    const FOLLOWS: &'static [Category] = &[Category::Message];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        let position = event.position;
        // Nobody has to be told that they mentioned themselves.
        let others = |people: &[UserId], by: &UserId| {
            people.iter().copied().filter(|user| user != by).collect::<Vec<_>>()
        };
        match &event.event {
            DomainEvent::Message(about) => match about {
                MessageEvent::Sent { message, conversation, sender, mentions, .. } => {
                    let people = others(mentions, sender);
                    let (message, conversation) = (*message, *conversation);
                    match people.is_empty() {
                        true => vec![],
                        false => vec![Op { message, conversation, again: false, people, position }],
                    }
                }
                MessageEvent::Edited { message, conversation, mentions, by, .. } => vec![Op {
                    message: *message,
                    conversation: *conversation,
                    again: true,
                    people: others(mentions, by),
                    position,
                }],
                MessageEvent::Deleted { message, conversation, .. } => vec![Op {
                    message: *message,
                    conversation: *conversation,
                    again: true,
                    people: vec![],
                    position,
                }],
                MessageEvent::Reacted { .. } | MessageEvent::Unreacted { .. } => vec![],
            },
            DomainEvent::User(_)
            | DomainEvent::Reservation(_)
            | DomainEvent::Login(_)
            | DomainEvent::Friendship(_)
            | DomainEvent::Conversation(_)
            | DomainEvent::Receipt(_)
            | DomainEvent::Session(_)
            | DomainEvent::Whiteboard(_)
            | DomainEvent::File(_)
            | DomainEvent::Notification(_)
            | DomainEvent::Report(_)
            | DomainEvent::Denial(_) => vec![],
        }
    }

    async fn apply(&mut self, db: &mut PgConnection, ops: Vec<Op>) -> Result<(), ApplyError> {
        for op in ops {
            let people: Vec<_> = op.people.iter().map(|user| user.uuid()).collect();
            if op.again {
                sqlx::query("delete from mention where message_id = $1 and user_id <> all($2)")
                    .bind(op.message.uuid())
                    .bind(&people)
                    .execute(&mut *db)
                    .await?;
            }
            if people.is_empty() {
                continue;
            }
            sqlx::query(
                "insert into mention (user_id, position, message_id, conversation_id)
                 select user_id, $2, $3, $4 from unnest($1::uuid[]) as user_id
                 on conflict do nothing",
            )
            .bind(&people)
            .bind(op.position.to_bytes())
            .bind(op.message.uuid())
            .bind(op.conversation.uuid())
            .execute(&mut *db)
            .await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use events::Personal;
    use uuid::Uuid;

    use super::*;
    use crate::projections::testing::{recorded, sent, user};

    #[test]
    fn who_is_mentioned_follows_the_text_and_never_includes_its_author() {
        let conversation = ConversationId::new(Uuid::from_u128(9));
        let message = MessageId::new(Uuid::from_u128(3));
        let op = |again, people| {
            let position = Position::at(7);
            vec![Op { message, conversation, again, people, position }]
        };
        let mut event = sent(message, conversation, "Hello");
        assert_eq!(Mention::project(&recorded(event.clone())), vec![]);
        if let MessageEvent::Sent { mentions, .. } = &mut event {
            *mentions = vec![user(1), user(2)];
        }
        assert_eq!(Mention::project(&recorded(event)), op(false, vec![user(2)]));
        let (by, text) = (user(1), Personal::new(user(1), "Ho".to_owned()));
        let mentions = vec![user(3)];
        let edited = MessageEvent::Edited { message, conversation, text, mentions, by };
        assert_eq!(Mention::project(&recorded(edited)), op(true, vec![user(3)]));
        let deleted = MessageEvent::Deleted { message, conversation, by };
        assert_eq!(Mention::project(&recorded(deleted)), op(true, vec![]));
    }
}
