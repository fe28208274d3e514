//! `mention`: who is mentioned in which message, in the order in which they were.

use events::{
    Category, ConversationId, DomainEvent, Envelope, MessageEvent, MessageId, Moment, Position,
    UserId,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{ApplyError, Projection, Retention, horizon};

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
    /// When it was sent; nothing, where it may have mentioned others before.
    pub sent_at: Option<Moment>,
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
                        false => {
                            let sent_at = Some(event.recorded_at);
                            vec![Op { message, conversation, sent_at, people, position }]
                        }
                    }
                }
                MessageEvent::Edited { message, conversation, mentions, by, .. } => vec![Op {
                    message: *message,
                    conversation: *conversation,
                    sent_at: None,
                    people: others(mentions, by),
                    position,
                }],
                MessageEvent::Deleted { message, conversation, .. } => vec![Op {
                    message: *message,
                    conversation: *conversation,
                    sent_at: None,
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
            | DomainEvent::Denial(_)
            | DomainEvent::Call(_)
            | DomainEvent::Line(_)
            | DomainEvent::Webhook(_) => vec![],
        }
    }

    async fn apply(&mut self, db: &mut PgConnection, ops: Vec<Op>) -> Result<(), ApplyError> {
        for op in ops {
            let people: Vec<_> = op.people.iter().map(|user| user.uuid()).collect();
            if op.sent_at.is_none() {
                sqlx::query("delete from mention where message_id = $1 and user_id <> all($2)")
                    .bind(op.message.uuid())
                    .bind(&people)
                    .execute(&mut *db)
                    .await?;
            }
            if !people.is_empty() {
                insert(db, &op, &people).await?;
            }
        }
        Ok(())
    }

    async fn upkeep(db: &mut PgConnection, _: Retention) -> Result<(), sqlx::Error> {
        horizon::forget(db, "mention").await
    }
}

/// A message that is not kept any more mentions nobody.
async fn insert(db: &mut PgConnection, op: &Op, people: &[Uuid]) -> Result<(), ApplyError> {
    if op.sent_at.is_none() {
        horizon::message_reaches(db, op.position).await?;
    }
    sqlx::query(
        "insert into mention (user_id, position, message_id, conversation_id, sent_at)
         select user_id, $2, $3, $4, sent.at
         from unnest($1::uuid[]) as user_id, (
           select coalesce($5::timestamptz,
             (select sent_at from message where message_id = $3 limit 1)) as at
         ) sent
         where sent.at >= (select horizon from message_horizon)
         on conflict do nothing",
    )
    .bind(people)
    .bind(op.position.to_bytes())
    .bind(op.message.uuid())
    .bind(op.conversation.uuid())
    .bind(op.sent_at)
    .execute(db)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use events::Personal;

    use super::*;
    use crate::projections::testing::{moment, recorded, sent, user};

    #[test]
    fn who_is_mentioned_follows_the_text_and_never_includes_its_author() {
        let conversation = ConversationId::new(Uuid::from_u128(9));
        let message = MessageId::new(Uuid::from_u128(3));
        let op = |sent_at, people| {
            let position = Position::at(7);
            vec![Op { message, conversation, sent_at, people, position }]
        };
        let mut event = sent(message, conversation, "Hello");
        assert_eq!(Mention::project(&recorded(event.clone())), vec![]);
        if let MessageEvent::Sent { mentions, .. } = &mut event {
            *mentions = vec![user(1), user(2)];
        }
        assert_eq!(Mention::project(&recorded(event)), op(Some(moment()), vec![user(2)]));
        let (by, text) = (user(1), Personal::new(user(1), "Ho".to_owned()));
        let mentions = vec![user(3)];
        let edited = MessageEvent::Edited { message, conversation, text, mentions, by };
        assert_eq!(Mention::project(&recorded(edited)), op(None, vec![user(3)]));
        let deleted = MessageEvent::Deleted { message, conversation, by };
        assert_eq!(Mention::project(&recorded(deleted)), op(None, vec![]));
    }
}
