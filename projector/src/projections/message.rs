//! `message`: what was said, numbered in each conversation in the order of the log.

use std::collections::BTreeSet;

use chrono::{Datelike, TimeDelta};
use events::{
    Category, ConversationId, DomainEvent, Envelope, MessageEvent, MessageId, Moment, Position,
    UserId,
};
use sqlx::PgConnection;

use super::{ApplyError, Projection, last_of_each, text};

/// The read model.
#[derive(Debug, Default)]
pub struct Message {
    /// The months whose partitions are known to be there.
    months: BTreeSet<(i32, u32)>,
}

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// A message is new.
    Insert(Insert),
    /// It says something else, or nothing any more.
    Rewrite {
        /// The message.
        message: MessageId,
        /// What it says, unless it was deleted or erased.
        text: Option<String>,
    },
}

/// A message is new.
#[derive(Clone, Debug, PartialEq)]
pub struct Insert {
    /// Where.
    pub conversation: ConversationId,
    /// The message.
    pub message: MessageId,
    /// By whom.
    pub sender: UserId,
    /// What it says, unless it was erased.
    pub text: Option<String>,
    /// When it was recorded.
    pub sent_at: Moment,
    /// By which event.
    pub position: Position,
}

impl Projection for Message {
    const NAME: &'static str = "message";
    const FOLLOWS: &'static [Category] = &[Category::Message];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        match &event.event {
            DomainEvent::Message(about) => match about {
                MessageEvent::Sent { message, conversation, sender, text: says, .. } => {
                    vec![Op::Insert(Insert {
                        conversation: *conversation,
                        message: *message,
                        sender: *sender,
                        text: text(says),
                        sent_at: event.recorded_at,
                        position: event.position,
                    })]
                }
                MessageEvent::Edited { message, text: says, .. } => {
                    vec![Op::Rewrite { message: *message, text: text(says) }]
                }
                MessageEvent::Deleted { message, .. } => {
                    vec![Op::Rewrite { message: *message, text: None }]
                }
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
        // A message is sent before it is edited or deleted, so all sendings may come first.
        let (mut new, mut texts) = (Vec::new(), Vec::new());
        for op in ops {
            match op {
                Op::Insert(insert) => new.push(insert),
                Op::Rewrite { message, text } => texts.push((message, text)),
            }
        }
        for op in &new {
            let month = (op.sent_at.year(), op.sent_at.month());
            if self.months.insert(month) {
                make_partition(db, op.sent_at).await?;
            }
        }
        if !new.is_empty() {
            insert(db, new).await?;
        }
        rewrite(db, last_of_each(texts)).await?;
        Ok(())
    }

    /// Makes the partitions of this month and of the next two.
    async fn upkeep(db: &mut PgConnection, _: TimeDelta) -> Result<(), sqlx::Error> {
        sqlx::query(
            "select make_message_partition(now() + month * interval '1 month')
             from generate_series(0, 2) as month",
        )
        .execute(db)
        .await?;
        Ok(())
    }
}

async fn make_partition(db: &mut PgConnection, moment: Moment) -> Result<(), sqlx::Error> {
    sqlx::query("select make_message_partition($1)").bind(moment).execute(db).await?;
    Ok(())
}

/// Counts the new messages of each conversation, numbers them and inserts them, in one statement.
async fn insert(db: &mut PgConnection, ops: Vec<Insert>) -> Result<(), sqlx::Error> {
    type Columns = (
        Vec<uuid::Uuid>,
        Vec<uuid::Uuid>,
        Vec<uuid::Uuid>,
        Vec<Option<String>>,
        Vec<Moment>,
        Vec<[u8; 16]>,
    );
    let rows = ops.into_iter().map(|op| {
        let ids = (op.conversation.uuid(), op.message.uuid(), op.sender.uuid());
        (ids.0, ids.1, ids.2, op.text, op.sent_at, op.position.to_bytes())
    });
    let (conversations, messages, senders, texts, times, positions): Columns = rows.collect();
    sqlx::query(
        "with new as (
           select * from unnest(
             $1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::timestamptz[], $6::bytea[]
           ) with ordinality
             as new (conversation_id, message_id, sender_id, text, sent_at, position, place)
         ),
         counted as (
           insert into message_counter as counter (conversation_id, message_count)
           select conversation_id, count(*) from new group by conversation_id
           on conflict (conversation_id)
           do update set message_count = counter.message_count + excluded.message_count
           returning conversation_id, message_count
         )
         insert into message
           (conversation_id, ordinal, message_id, sender_id, text, sent_at, position)
         select
           new.conversation_id,
           counted.message_count + 1
             - row_number() over (partition by new.conversation_id order by place desc),
           message_id, sender_id, text, sent_at, position
         from new join counted on counted.conversation_id = new.conversation_id",
    )
    .bind(conversations)
    .bind(messages)
    .bind(senders)
    .bind(texts)
    .bind(times)
    .bind(positions)
    .execute(db)
    .await?;
    Ok(())
}

async fn rewrite(
    db: &mut PgConnection,
    texts: Vec<(MessageId, Option<String>)>,
) -> Result<(), sqlx::Error> {
    if texts.is_empty() {
        return Ok(());
    }
    let rows = texts.into_iter().map(|(message, text)| (message.uuid(), text));
    let (messages, texts): (Vec<_>, Vec<_>) = rows.collect();
    sqlx::query(
        "update message set text = new.text
         from unnest($1::uuid[], $2::text[]) as new (id, text)
         where message_id = new.id",
    )
    .bind(messages)
    .bind(texts)
    .execute(db)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use events::{Personal, ReceiptEvent};
    use uuid::Uuid;

    use super::*;
    use crate::projections::testing::{moment, recorded, sent, user};

    #[test]
    fn a_message_is_a_row_and_says_what_it_says_now() {
        let conversation = ConversationId::new(Uuid::from_u128(9));
        let message = MessageId::new(Uuid::from_u128(3));
        let project = |event: MessageEvent| Message::project(&recorded(event));
        let row = Op::Insert(Insert {
            conversation,
            message,
            sender: user(1),
            text: Some("Hello".to_owned()),
            sent_at: moment(),
            position: Position::at(7),
        });
        assert_eq!(project(sent(message, conversation, "Hello")), vec![row]);
        let by = user(1);
        let edited =
            |text| MessageEvent::Edited { message, conversation, text, mentions: vec![], by };
        let rewrite =
            |text: Option<&str>| vec![Op::Rewrite { message, text: text.map(str::to_owned) }];
        let open = Personal::new(user(1), "Ho".to_owned());
        assert_eq!(project(edited(open)), rewrite(Some("Ho")));
        assert_eq!(project(edited(Personal::Erased { subject: user(1) })), rewrite(None));
        let deleted = MessageEvent::Deleted { message, conversation, by };
        assert_eq!(project(deleted), rewrite(None));
        let upto = Position::at(5);
        let read = ReceiptEvent::Read { conversation, user: user(2), message, upto };
        assert_eq!(Message::project(&recorded(read)), vec![]);
    }
}
