//! `message_search`: the words of messages, for those who look for them.
//!
//! Kept apart from `message`, so that the cost of the index delays nobody who reads a conversation.

use std::collections::BTreeSet;

use events::{
    Category, ConversationId, DomainEvent, Envelope, MessageEvent, MessageId, Moment, Position,
    UserId,
};
use service::words;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{ApplyError, Projection, Retention, horizon, last_of_each, text};

/// The read model.
#[derive(Debug, Default)]
pub struct MessageSearch;

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// A message is new.
    Insert {
        /// Which.
        message: MessageId,
        /// Where.
        conversation: ConversationId,
        /// By whom.
        sender: UserId,
        /// Its words, as a `tsvector`.
        words: String,
        /// When.
        sent_at: Moment,
        /// By which event.
        position: Position,
    },
    /// It has other words.
    Rewrite {
        /// Which.
        message: MessageId,
        /// Its words, as a `tsvector`.
        words: String,
    },
    /// It is not found any more.
    Delete(MessageId),
}

impl Projection for MessageSearch {
    const NAME: &'static str = "message_search";
    const FOLLOWS: &'static [Category] = &[Category::Message];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        match &event.event {
            DomainEvent::Message(about) => match about {
                MessageEvent::Sent { message, conversation, sender, text: says, .. } => {
                    vec![Op::Insert {
                        message: *message,
                        conversation: *conversation,
                        sender: *sender,
                        words: words_in(*conversation, text(says)),
                        sent_at: event.recorded_at,
                        position: event.position,
                    }]
                }
                MessageEvent::Edited { message, conversation, text: says, .. } => {
                    let words = words_in(*conversation, text(says));
                    vec![Op::Rewrite { message: *message, words }]
                }
                MessageEvent::Deleted { message, .. } => vec![Op::Delete(*message)],
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
        // A message is sent before it is edited or deleted, and not edited once deleted.
        insert(db, &ops).await?;
        let mut deleted = BTreeSet::new();
        let mut rewritten = Vec::new();
        for op in ops {
            match op {
                Op::Insert { .. } => {}
                Op::Rewrite { message, words } => rewritten.push((message, words)),
                Op::Delete(message) => {
                    deleted.insert(message.uuid());
                }
            }
        }
        rewrite(db, last_of_each(rewritten)).await?;
        if !deleted.is_empty() {
            let gone: Vec<Uuid> = deleted.into_iter().collect();
            let delete = sqlx::query("delete from message_search where message_id = any($1)");
            delete.bind(gone).execute(db).await?;
        }
        Ok(())
    }

    async fn upkeep(db: &mut PgConnection, _: Retention) -> Result<(), sqlx::Error> {
        horizon::forget(db, "message_search").await
    }
}

/// The words of a text within their conversation; none, once it was erased.
fn words_in(conversation: ConversationId, text: Option<String>) -> String {
    // As `search_scope` has it.
    let id = conversation.uuid().to_string();
    words::vector(&text.unwrap_or_default(), &id[id.len() - 8..])
}

async fn insert(db: &mut PgConnection, ops: &[Op]) -> Result<(), sqlx::Error> {
    type Columns<'a> =
        ((Vec<Uuid>, Vec<Uuid>, Vec<Uuid>), (Vec<&'a str>, Vec<Moment>, Vec<[u8; 16]>));
    let rows = ops.iter().filter_map(|op| match op {
        Op::Insert { message, conversation, sender, words, sent_at, position } => Some((
            (message.uuid(), conversation.uuid(), sender.uuid()),
            (words.as_str(), *sent_at, position.to_bytes()),
        )),
        Op::Rewrite { .. } | Op::Delete(_) => None,
    });
    let (ids, values): Columns<'_> = rows.collect();
    if ids.0.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into message_search
           (message_id, conversation_id, sender_id, words, sent_at, position)
         select a, b, c, d::tsvector, e, f
         from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::timestamptz[],
           $6::bytea[]) as new (a, b, c, d, e, f)
         where e >= (select horizon from message_horizon)",
    )
    .bind(ids.0)
    .bind(ids.1)
    .bind(ids.2)
    .bind(values.0)
    .bind(values.1)
    .bind(values.2)
    .execute(db)
    .await?;
    Ok(())
}

async fn rewrite(
    db: &mut PgConnection,
    words: Vec<(MessageId, String)>,
) -> Result<(), sqlx::Error> {
    if words.is_empty() {
        return Ok(());
    }
    let (messages, words): (Vec<_>, Vec<_>) =
        words.into_iter().map(|(message, words)| (message.uuid(), words)).unzip();
    sqlx::query(
        "update message_search set words = new.words::tsvector
         from unnest($1::uuid[], $2::text[]) as new (id, words)
         where message_id = new.id",
    )
    .bind(messages)
    .bind(words)
    .execute(db)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use events::Personal;

    use super::*;
    use crate::projections::testing::{recorded, sent, user};

    #[test]
    fn the_words_of_a_message_are_those_of_its_conversation() {
        let conversation = ConversationId::new(Uuid::from_u128(0xabc));
        let message = MessageId::new(Uuid::from_u128(3));
        let found = MessageSearch::project(&recorded(sent(message, conversation, "Hé 東京")));
        let [Op::Insert { words, .. }] = &found[..] else { panic!("{found:?}") };
        assert_eq!(words, "'00000abche' '00000abc東京':1 '00000abc京' ");
        let by = user(1);
        let edited = |text| {
            let mentions = vec![];
            MessageSearch::project(&recorded(MessageEvent::Edited {
                message,
                conversation,
                text,
                mentions,
                by,
            }))
        };
        let rewrite = |words: &str| vec![Op::Rewrite { message, words: words.to_owned() }];
        assert_eq!(edited(Personal::new(by, "Ho".to_owned())), rewrite("'00000abcho' "));
        assert_eq!(edited(Personal::Erased { subject: by }), rewrite(""));
        let deleted = MessageEvent::Deleted { message, conversation, by };
        assert_eq!(MessageSearch::project(&recorded(deleted)), vec![Op::Delete(message)]);
    }
}
