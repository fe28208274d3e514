//! `reaction`: who reacted to which message with what.

use std::collections::BTreeMap;

use events::{
    Category, ConversationId, DomainEvent, Envelope, MessageEvent, MessageId, Moment, Position,
    UserId,
};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{ApplyError, Projection, Retention, horizon};

/// The read model.
#[derive(Debug, Default)]
pub struct Reaction;

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Somebody reacted.
    Put {
        /// To which message, with what, who.
        key: Key,
        /// Where.
        conversation: ConversationId,
        /// When.
        at: Moment,
        /// By which event.
        position: Position,
    },
    /// Somebody took it back.
    Take(Key),
    /// The message is not shown any more.
    Clear(MessageId),
}

/// To which message, with what, who.
pub type Key = (MessageId, String, UserId);

impl Projection for Reaction {
    const NAME: &'static str = "reaction";
    const FOLLOWS: &'static [Category] = &[Category::Message];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        let key = |message: &MessageId, emoji: &String, by: &UserId| {
            (*message, emoji.replace('\0', "\u{FFFD}"), *by)
        };
        match &event.event {
            DomainEvent::Message(about) => match about {
                MessageEvent::Reacted { message, conversation, emoji, by } => vec![Op::Put {
                    key: key(message, emoji, by),
                    conversation: *conversation,
                    at: event.recorded_at,
                    position: event.position,
                }],
                MessageEvent::Unreacted { message, emoji, by, .. } => {
                    vec![Op::Take(key(message, emoji, by))]
                }
                MessageEvent::Deleted { message, .. } => vec![Op::Clear(*message)],
                MessageEvent::Sent { .. } | MessageEvent::Edited { .. } => vec![],
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
        // What came last says whether it is there. Nobody reacts to what was deleted.
        let mut last: BTreeMap<Key, Option<(ConversationId, Moment, Position)>> = BTreeMap::new();
        let mut cleared = Vec::new();
        for op in ops {
            match op {
                Op::Put { key, conversation, at, position } => {
                    last.insert(key, Some((conversation, at, position)));
                }
                Op::Take(key) => {
                    last.insert(key, None);
                }
                Op::Clear(message) => cleared.push(message.uuid()),
            }
        }
        take(db, last.iter().filter(|(_, now)| now.is_none()).map(|(key, _)| key)).await?;
        let put = last.into_iter().filter_map(|(key, now)| Some((key, now?)));
        insert(db, put.collect()).await?;
        if !cleared.is_empty() {
            let clear = sqlx::query("delete from reaction where message_id = any($1)");
            clear.bind(cleared).execute(db).await?;
        }
        Ok(())
    }

    async fn upkeep(db: &mut PgConnection, _: Retention) -> Result<(), sqlx::Error> {
        horizon::forget(db, "reaction").await
    }
}

async fn take(db: &mut PgConnection, keys: impl Iterator<Item = &Key>) -> Result<(), sqlx::Error> {
    type Columns<'a> = ((Vec<Uuid>, Vec<&'a str>), Vec<Uuid>);
    let keys = keys.map(|(message, emoji, by)| ((message.uuid(), emoji.as_str()), by.uuid()));
    let ((messages, emoji), people): Columns<'_> = keys.collect();
    if messages.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "delete from reaction using unnest($1::uuid[], $2::text[], $3::uuid[]) as gone (a, b, c)
         where message_id = a and emoji = b and user_id = c",
    )
    .bind(messages)
    .bind(emoji)
    .bind(people)
    .execute(db)
    .await?;
    Ok(())
}

/// A message that is not kept any more has no reactions either.
async fn insert(
    db: &mut PgConnection,
    rows: Vec<(Key, (ConversationId, Moment, Position))>,
) -> Result<(), ApplyError> {
    let Some(last) = rows.iter().map(|(_, (_, _, position))| *position).max() else {
        return Ok(());
    };
    horizon::message_reaches(db, last).await?;
    type Columns = ((Vec<Uuid>, Vec<String>, Vec<Uuid>), (Vec<Uuid>, Vec<Moment>, Vec<[u8; 16]>));
    let rows = rows.into_iter().map(|((message, emoji, by), (conversation, at, position))| {
        ((message.uuid(), emoji, by.uuid()), (conversation.uuid(), at, position.to_bytes()))
    });
    let (keys, values): Columns = rows.collect();
    sqlx::query(
        "insert into reaction
           (message_id, emoji, user_id, conversation_id, reacted_at, position, sent_at)
         select new.*, m.sent_at
         from unnest($1::uuid[], $2::text[], $3::uuid[], $4::uuid[], $5::timestamptz[],
           $6::bytea[]) as new (a, b, c, d, e, f)
         join message m on m.message_id = a and m.sent_at >= (select horizon from message_horizon)
         on conflict (message_id, emoji, user_id)
         do update set reacted_at = excluded.reacted_at, position = excluded.position",
    )
    .bind(keys.0)
    .bind(keys.1)
    .bind(keys.2)
    .bind(values.0)
    .bind(values.1)
    .bind(values.2)
    .execute(db)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projections::testing::{moment, recorded, sent, user};

    #[test]
    fn reactions_come_and_go_and_end_with_the_message() {
        let conversation = ConversationId::new(Uuid::from_u128(9));
        let message = MessageId::new(Uuid::from_u128(3));
        let by = user(2);
        let emoji = || "👍".to_owned();
        let project = |event: MessageEvent| Reaction::project(&recorded(event));
        let put = Op::Put {
            key: (message, emoji(), by),
            conversation,
            at: moment(),
            position: Position::at(7),
        };
        let reacted = MessageEvent::Reacted { message, conversation, emoji: emoji(), by };
        assert_eq!(project(reacted), vec![put]);
        let unreacted = MessageEvent::Unreacted { message, conversation, emoji: emoji(), by };
        assert_eq!(project(unreacted), vec![Op::Take((message, emoji(), by))]);
        let deleted = MessageEvent::Deleted { message, conversation, by };
        assert_eq!(project(deleted), vec![Op::Clear(message)]);
        assert_eq!(project(sent(message, conversation, "Hello")), vec![]);
    }
}
