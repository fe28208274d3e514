//! Why an unread count is what it is: which messages count, where the cursor is, what moved it.

use event_log::{EventLog, Opened};
use events::{
    ConversationEvent, ConversationId, DomainEvent, MessageId, Position, ReceiptEvent, StreamName,
    UserId,
};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::history::HistoryError;
use crate::place::Place;

/// At most so many messages are named.
const NAMED: i64 = 100;

/// Why an unread count is what it is, from the log. What was read a moment ago and is still in the
/// buffer of receipts is not in it.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Badge {
    /// How many messages of others came after the cursor and were not deleted.
    pub unread: i64,
    /// What the read model says, where the reader may see it.
    pub read_model: Option<i64>,
    /// Where the person came into the conversation the last time: what was before never counts.
    pub joined: Position,
    /// Up to where they have read; `null` if they have read nothing.
    pub cursor: Option<ReadUpTo>,
    /// The messages that count, the oldest first: at most 100 of them.
    pub counted: Vec<Position>,
    /// Messages after the cursor that do not count, because they are the person's own.
    pub own: i64,
    /// Messages of others after the cursor that do not count, because they were deleted.
    pub deleted: i64,
}

/// A read cursor.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ReadUpTo {
    /// The newest message that was read.
    pub message: MessageId,
    /// Where that message stands in the log.
    pub position: Position,
    /// Where the receipt stands that moved the cursor there.
    pub moved_by: Position,
}

impl Badge {
    /// The events that the count is made of.
    pub(super) fn events(&self) -> Vec<Position> {
        let cursor = self.cursor.as_ref().map(|cursor| cursor.moved_by);
        let mut events: Vec<Position> = self.counted.clone();
        events.extend(cursor);
        events.push(self.joined);
        events.sort_unstable();
        events.dedup();
        events
    }
}

/// Explains the count; none if the person is not in the conversation.
pub(super) async fn badge(
    log: &EventLog,
    db: &mut PgConnection,
    conversation: ConversationId,
    user: UserId,
) -> Result<Option<Badge>, HistoryError> {
    let Some(joined) = joined(log, conversation, user).await? else { return Ok(None) };
    let cursor = cursor(log, conversation, user).await?;
    let read = cursor.as_ref().map_or(Position::START, |cursor| cursor.position);
    let from = read.max(joined);
    let (counted, own, deleted): (i64, i64, i64) = sqlx::query_as(
        "with sent as (
           select stream, actor from event_index
           where conversation_id = $1 and position > $2 and type = 'message.sent'
         ),
         gone as (
           select stream from event_index
           where conversation_id = $1 and position > $2 and type = 'message.deleted'
         )
         select count(*) filter (where actor <> $3 and stream not in (select stream from gone)),
           count(*) filter (where actor = $3),
           count(*) filter (where actor <> $3 and stream in (select stream from gone))
         from sent",
    )
    .bind(conversation.uuid())
    .bind(Place(from))
    .bind(user.uuid())
    .fetch_one(&mut *db)
    .await?;
    let named: Vec<Place> = sqlx::query_scalar(
        "select s.position from event_index s
         where s.conversation_id = $1 and s.position > $2 and s.type = 'message.sent'
           and s.actor <> $3 and not exists (
             select from event_index d
             where d.conversation_id = $1 and d.position > $2 and d.type = 'message.deleted'
               and d.stream = s.stream
           )
         order by s.position limit $4",
    )
    .bind(conversation.uuid())
    .bind(Place(from))
    .bind(user.uuid())
    .bind(NAMED)
    .fetch_all(&mut *db)
    .await?;
    let read_model = read_model(db, conversation.uuid(), user.uuid()).await?;
    let counted_at = named.into_iter().map(|Place(position)| position).collect();
    Ok(Some(Badge {
        unread: counted,
        read_model,
        joined,
        cursor,
        counted: counted_at,
        own,
        deleted,
    }))
}

/// Where somebody who is in a conversation came in the last time.
async fn joined(
    log: &EventLog,
    conversation: ConversationId,
    user: UserId,
) -> Result<Option<Position>, HistoryError> {
    let mut since = None;
    for recorded in log.read_stream(&StreamName::conversation(conversation), 0).await? {
        let Ok(Opened::Ours(event)) = log.open_sealed(&recorded) else { continue };
        match event.event {
            DomainEvent::Conversation(ConversationEvent::Opened { members, .. })
                if members.iter().any(|member| member.user == user) =>
            {
                since = Some(event.position);
            }
            DomainEvent::Conversation(ConversationEvent::MemberAdded { user: who, .. })
                if who == user =>
            {
                since = Some(event.position);
            }
            DomainEvent::Conversation(
                ConversationEvent::MemberRemoved { user: who, .. }
                | ConversationEvent::MemberBanned { user: who, .. },
            ) if who == user => since = None,
            _ => {}
        }
    }
    Ok(since)
}

async fn cursor(
    log: &EventLog,
    conversation: ConversationId,
    user: UserId,
) -> Result<Option<ReadUpTo>, HistoryError> {
    let mut cursor: Option<ReadUpTo> = None;
    for recorded in log.read_stream(&StreamName::receipt(conversation, user), 0).await? {
        let Ok(Opened::Ours(event)) = log.open_sealed(&recorded) else { continue };
        if let DomainEvent::Receipt(ReceiptEvent::Read { message, upto, .. }) = event.event
            && cursor.as_ref().is_none_or(|cursor| upto > cursor.position)
        {
            cursor = Some(ReadUpTo { message, position: upto, moved_by: event.position });
        }
    }
    Ok(cursor)
}

/// Row-level security shows it to the person, and to the operator.
async fn read_model(
    db: &mut PgConnection,
    conversation: Uuid,
    user: Uuid,
) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar(
        "select unread from unread_count where conversation_id = $1 and user_id = $2",
    )
    .bind(conversation)
    .bind(user)
    .fetch_optional(db)
    .await
}
