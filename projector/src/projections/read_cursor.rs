//! `read_cursor`: how far each person received and read a conversation, and what of it is unread.
//!
//! Unread is `message_count - unread_from - own_after`: the messages after the cursor that are not
//! the person's own. No message is ever counted one by one, but for the rare cursor that moves to
//! before the person's own last message.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use events::{
    Category, ConversationEvent, ConversationId, DomainEvent, Envelope, MessageEvent, MessageId,
    Position, ReceiptEvent, UserId,
};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{ApplyError, Message, Projection};

/// The read model.
#[derive(Debug, Default)]
pub struct ReadCursor;

/// What there is to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Somebody came: what was said before does not count as unread.
    Join {
        /// Into what.
        conversation: ConversationId,
        /// Who.
        user: UserId,
    },
    /// Something was said.
    Sent {
        /// Where.
        conversation: ConversationId,
        /// By whom.
        sender: UserId,
    },
    /// Somebody received or read everything up to a message.
    Move {
        /// Where.
        conversation: ConversationId,
        /// Who.
        user: UserId,
        /// Read, or only received.
        read: bool,
        /// Up to which message.
        message: MessageId,
        /// The position of that message.
        upto: Position,
        /// By which event.
        position: Position,
    },
}

impl Projection for ReadCursor {
    const NAME: &'static str = "read_cursor";
    const FOLLOWS: &'static [Category] =
        &[Category::Conversation, Category::Message, Category::Receipt];
    type Op = Op;

    fn project(event: &Envelope<DomainEvent>) -> Vec<Op> {
        let position = event.position;
        match &event.event {
            DomainEvent::Conversation(about) => match about {
                ConversationEvent::Opened { conversation, members, .. } => members
                    .iter()
                    .map(|member| Op::Join { conversation: *conversation, user: member.user })
                    .collect(),
                ConversationEvent::MemberAdded { conversation, user, .. } => {
                    vec![Op::Join { conversation: *conversation, user: *user }]
                }
                ConversationEvent::MemberRemoved { .. }
                | ConversationEvent::MemberBanned { .. }
                | ConversationEvent::MemberUnbanned { .. } => vec![],
            },
            DomainEvent::Message(MessageEvent::Sent { conversation, sender, .. }) => {
                vec![Op::Sent { conversation: *conversation, sender: *sender }]
            }
            DomainEvent::Receipt(receipt) => {
                let (read, (conversation, user, message, upto)) = match *receipt {
                    ReceiptEvent::Delivered { conversation, user, message, upto } => {
                        (false, (conversation, user, message, upto))
                    }
                    ReceiptEvent::Read { conversation, user, message, upto } => {
                        (true, (conversation, user, message, upto))
                    }
                };
                vec![Op::Move { conversation, user, read, message, upto, position }]
            }
            DomainEvent::User(_)
            | DomainEvent::Reservation(_)
            | DomainEvent::Login(_)
            | DomainEvent::Friendship(_) => vec![],
        }
    }

    async fn apply(&mut self, db: &mut PgConnection, ops: Vec<Op>) -> Result<(), ApplyError> {
        let ordinals = ordinals(db, &ops).await?;
        let mut counts = load_counts(db, &ops).await?;
        let mut cursors = load_cursors(db, &ops).await?;
        for op in &ops {
            match op {
                Op::Join { conversation, user } => {
                    let count = counts.get(conversation).copied().unwrap_or(0);
                    let cursor = cursors.entry((*conversation, *user)).or_default();
                    cursor.join(count);
                }
                Op::Sent { conversation, sender } => {
                    let count = counts.entry(*conversation).or_insert(0);
                    *count += 1;
                    cursors.entry((*conversation, *sender)).or_default().sent(*count);
                }
                Op::Move { conversation, user, read, message, upto, .. } => {
                    let cursor = cursors.entry((*conversation, *user)).or_default();
                    let ordinal = ordinals.get(&(*conversation, *message)).copied();
                    if cursor.move_to(*upto, ordinal, *read) {
                        cursor.own_after = own_between(db, *conversation, *user, cursor).await?;
                    }
                }
            }
        }
        save_counts(db, counts).await?;
        save_cursors(db, cursors).await?;
        Ok(())
    }
}

/// A row of the table.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Cursor {
    delivered: Position,
    read: Position,
    delivered_ordinal: i64,
    read_ordinal: i64,
    unread_from: i64,
    own_last: i64,
    own_after: i64,
}

impl Cursor {
    /// The person came when there were `count` messages.
    fn join(&mut self, count: i64) {
        self.unread_from = self.unread_from.max(count);
        self.own_after = 0;
    }

    /// The person said the message with this ordinal.
    fn sent(&mut self, ordinal: i64) {
        self.own_last = ordinal;
        self.own_after += 1;
    }

    /// Everything up to a message was received, or read. Says whether the person's own messages
    /// after it have to be counted.
    fn move_to(&mut self, upto: Position, ordinal: Option<i64>, read: bool) -> bool {
        if upto > self.delivered {
            self.delivered = upto;
            self.delivered_ordinal = ordinal.unwrap_or(self.delivered_ordinal);
        }
        if !read || upto <= self.read {
            return false;
        }
        self.read = upto;
        self.read_ordinal = ordinal.unwrap_or(self.read_ordinal);
        if self.read_ordinal <= self.unread_from {
            return false;
        }
        self.unread_from = self.read_ordinal;
        if self.own_last <= self.unread_from {
            self.own_after = 0;
            return false;
        }
        true
    }
}

type Key = (ConversationId, UserId);

impl Op {
    fn key(&self) -> Key {
        match *self {
            Self::Join { conversation, user } | Self::Move { conversation, user, .. } => {
                (conversation, user)
            }
            Self::Sent { conversation, sender } => (conversation, sender),
        }
    }
}

/// The ordinals of the messages that cursors move to, which `message` has given them. It has to be
/// as far as the last of these moves.
async fn ordinals(
    db: &mut PgConnection,
    ops: &[Op],
) -> Result<HashMap<(ConversationId, MessageId), i64>, ApplyError> {
    let moves = ops.iter().filter_map(|op| match op {
        Op::Move { message, position, .. } => Some((message.uuid(), *position)),
        Op::Join { .. } | Op::Sent { .. } => None,
    });
    let (messages, positions): (Vec<_>, Vec<_>) = moves.unzip();
    let Some(last) = positions.into_iter().max() else { return Ok(HashMap::new()) };
    let there: bool = sqlx::query_scalar(
        "select exists (
           select from projection_checkpoint where projection = $1 and position >= $2
         )",
    )
    .bind(Message::NAME)
    .bind(last.to_bytes())
    .fetch_one(&mut *db)
    .await?;
    if !there {
        return Err(ApplyError::Waits);
    }
    let rows = sqlx::query_as::<_, (Uuid, Uuid, i64)>(
        "select conversation_id, message_id, ordinal from message where message_id = any($1)",
    );
    let rows = rows.bind(messages).fetch_all(db).await?;
    let ordinal = |(conversation, message, ordinal): (Uuid, Uuid, i64)| {
        ((ConversationId::new(conversation), MessageId::new(message)), ordinal)
    };
    Ok(rows.into_iter().map(ordinal).collect())
}

async fn load_counts(
    db: &mut PgConnection,
    ops: &[Op],
) -> Result<BTreeMap<ConversationId, i64>, sqlx::Error> {
    let ids: BTreeSet<Uuid> = ops.iter().map(|op| op.key().0.uuid()).collect();
    let rows = sqlx::query_as::<_, (Uuid, i64)>(
        "select conversation_id, message_count from read_cursor_counter
         where conversation_id = any($1)",
    );
    let rows = rows.bind(ids.into_iter().collect::<Vec<_>>()).fetch_all(db).await?;
    Ok(rows.into_iter().map(|(id, count)| (ConversationId::new(id), count)).collect())
}

async fn load_cursors(
    db: &mut PgConnection,
    ops: &[Op],
) -> Result<BTreeMap<Key, Cursor>, sqlx::Error> {
    let keys: BTreeSet<Key> = ops.iter().map(Op::key).collect();
    let (conversations, users): (Vec<_>, Vec<_>) =
        keys.iter().map(|(conversation, user)| (conversation.uuid(), user.uuid())).unzip();
    let rows = sqlx::query(
        "select r.* from unnest($1::uuid[], $2::uuid[]) as k (conversation_id, user_id)
         join read_cursor r using (conversation_id, user_id)",
    );
    let rows = rows.bind(conversations).bind(users).fetch_all(db).await?;
    let position = |row: &sqlx::postgres::PgRow, name| {
        let bytes: Vec<u8> = row.try_get(name)?;
        Position::from_bytes(&bytes)
            .ok_or_else(|| sqlx::Error::Decode("a position has 16 bytes".into()))
    };
    rows.iter()
        .map(|row| {
            let key = (
                ConversationId::new(row.try_get("conversation_id")?),
                UserId::new(row.try_get("user_id")?),
            );
            let cursor = Cursor {
                delivered: position(row, "delivered_position")?,
                read: position(row, "read_position")?,
                delivered_ordinal: row.try_get("delivered_ordinal")?,
                read_ordinal: row.try_get("read_ordinal")?,
                unread_from: row.try_get("unread_from")?,
                own_last: row.try_get("own_last_ordinal")?,
                own_after: row.try_get("own_after")?,
            };
            Ok((key, cursor))
        })
        .collect()
}

/// How many of the messages that count as unread are the person's own.
async fn own_between(
    db: &mut PgConnection,
    conversation: ConversationId,
    user: UserId,
    cursor: &Cursor,
) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "select count(*) from message
         where conversation_id = $1 and sender_id = $2 and ordinal > $3 and ordinal <= $4",
    )
    .bind(conversation.uuid())
    .bind(user.uuid())
    .bind(cursor.unread_from)
    .bind(cursor.own_last)
    .fetch_one(db)
    .await
}

async fn save_counts(
    db: &mut PgConnection,
    counts: BTreeMap<ConversationId, i64>,
) -> Result<(), sqlx::Error> {
    let (ids, counts): (Vec<_>, Vec<_>) =
        counts.into_iter().map(|(id, count)| (id.uuid(), count)).unzip();
    if ids.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "insert into read_cursor_counter (conversation_id, message_count)
         select * from unnest($1::uuid[], $2::bigint[])
         on conflict (conversation_id) do update set message_count = excluded.message_count
         where read_cursor_counter.message_count <> excluded.message_count",
    )
    .bind(ids)
    .bind(counts)
    .execute(db)
    .await?;
    Ok(())
}

async fn save_cursors(
    db: &mut PgConnection,
    cursors: BTreeMap<Key, Cursor>,
) -> Result<(), sqlx::Error> {
    let rows = cursors.into_iter().map(|((conversation, user), it)| {
        let positions = (it.delivered.to_bytes(), it.read.to_bytes());
        let ordinals = (it.delivered_ordinal, it.read_ordinal, it.unread_from);
        ((conversation.uuid(), user.uuid()), positions, ordinals, (it.own_last, it.own_after))
    });
    type Columns = (
        (Vec<Uuid>, Vec<Uuid>),
        (Vec<[u8; 16]>, Vec<[u8; 16]>),
        (Vec<i64>, Vec<i64>, Vec<i64>),
        (Vec<i64>, Vec<i64>),
    );
    let (keys, positions, ordinals, own): Columns = rows.collect();
    sqlx::query(
        "insert into read_cursor (conversation_id, user_id, delivered_position, read_position,
           delivered_ordinal, read_ordinal, unread_from, own_last_ordinal, own_after)
         select * from unnest($1::uuid[], $2::uuid[], $3::bytea[], $4::bytea[],
           $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[])
         on conflict (conversation_id, user_id) do update set
           delivered_position = excluded.delivered_position,
           read_position = excluded.read_position,
           delivered_ordinal = excluded.delivered_ordinal,
           read_ordinal = excluded.read_ordinal,
           unread_from = excluded.unread_from,
           own_last_ordinal = excluded.own_last_ordinal,
           own_after = excluded.own_after",
    )
    .bind(keys.0)
    .bind(keys.1)
    .bind(positions.0)
    .bind(positions.1)
    .bind(ordinals.0)
    .bind(ordinals.1)
    .bind(ordinals.2)
    .bind(own.0)
    .bind(own.1)
    .execute(db)
    .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::projections::testing::{recorded, user};

    #[test]
    fn a_receipt_moves_a_cursor() {
        let conversation = ConversationId::new(Uuid::from_u128(9));
        let message = MessageId::new(Uuid::from_u128(3));
        let (bob, upto) = (user(2), Position::at(5));
        for (event, read) in [
            (ReceiptEvent::Delivered { conversation, user: bob, message, upto }, false),
            (ReceiptEvent::Read { conversation, user: bob, message, upto }, true),
        ] {
            let position = Position::at(7);
            let moved = Op::Move { conversation, user: bob, read, message, upto, position };
            assert_eq!(ReadCursor::project(&recorded(event)), vec![moved]);
        }
    }

    #[test]
    fn a_cursor_never_goes_back_and_reading_is_receiving() {
        let mut cursor = Cursor::default();
        assert!(!cursor.move_to(Position::at(50), Some(5), true));
        assert_eq!((cursor.delivered, cursor.delivered_ordinal), (Position::at(50), 5));
        assert!(!cursor.move_to(Position::at(30), Some(3), true));
        assert_eq!((cursor.read_ordinal, cursor.unread_from), (5, 5));
        assert!(!cursor.move_to(Position::at(70), Some(7), false));
        assert_eq!((cursor.read_ordinal, cursor.delivered_ordinal), (5, 7));
    }

    #[test]
    fn own_messages_are_counted_only_when_the_cursor_stops_before_one() {
        let mut cursor = Cursor::default();
        cursor.sent(1);
        cursor.sent(4);
        assert_eq!((cursor.own_last, cursor.own_after), (4, 2));
        assert!(cursor.move_to(Position::at(20), Some(2), true), "before the own message 4");
        assert!(!cursor.move_to(Position::at(50), Some(5), true));
        assert_eq!(cursor.own_after, 0);
    }

    #[test]
    fn who_comes_back_finds_nothing_unread() {
        let mut cursor = Cursor::default();
        cursor.sent(1);
        cursor.join(9);
        assert_eq!((cursor.unread_from, cursor.own_after), (9, 0));
    }
}
