//! How far the reader has read that is not in the log yet.
//!
//! Receipts are written behind (see `command-api/src/receipts`): for some seconds they are only in
//! Redis, where this looks, so that nobody sees something as unread that they have just read. Without
//! Redis nothing is written behind for long, and the counts are those of the read model.

use std::collections::HashMap;

use events::{ConversationId, Position, UserId};
use redis::AsyncCommands;
use service::Redis;
use uuid::Uuid;

use crate::reads::Eyes;

/// What is unread in those of the conversations where the reader has read further than the read
/// model knows.
pub(crate) async fn unread(
    redis: &Redis,
    eyes: &mut Eyes,
    reader: UserId,
    conversations: &[ConversationId],
) -> Result<HashMap<ConversationId, i64>, sqlx::Error> {
    let pending = cursors(redis, reader, conversations).await;
    if pending.is_empty() {
        return Ok(HashMap::new());
    }
    let (ids, upto): (Vec<Uuid>, Vec<Vec<u8>>) =
        pending.into_iter().map(|(id, upto)| (id.uuid(), upto.to_bytes().to_vec())).unzip();
    let rows: Vec<(Uuid, i64)> = sqlx::query_as(
        "select r.conversation_id, (
           select count(*) from message m
           where m.conversation_id = r.conversation_id and m.sender_id <> $1
             and m.kind <> 'system' and m.deleted_at is null
             -- No message has a larger number than its ordinal, which the index knows.
             and m.ordinal > come.number and m.number > come.number
         )
         from unnest($2::uuid[], $3::bytea[]) as p (conversation_id, upto)
         join read_cursor r on r.conversation_id = p.conversation_id and r.user_id = $1
         cross join lateral (
           select greatest(r.unread_from, coalesce((
             select l.number from message l
             where l.conversation_id = r.conversation_id and l.position <= p.upto
             order by l.ordinal desc limit 1
           ), 0)) as number
         ) come
         where r.read_position < p.upto",
    )
    .bind(reader.uuid())
    .bind(ids)
    .bind(upto)
    .fetch_all(&mut **eyes)
    .await?;
    Ok(rows.into_iter().map(|(id, unread)| (ConversationId::new(id), unread)).collect())
}

async fn cursors(
    redis: &Redis,
    reader: UserId,
    conversations: &[ConversationId],
) -> Vec<(ConversationId, Position)> {
    if conversations.is_empty() {
        return vec![];
    }
    let key = redis.key(&format!("{{receipts}}:own:{reader}"));
    let fields: Vec<String> = conversations.iter().map(ToString::to_string).collect();
    let found: Vec<Option<String>> = redis
        .insist(|mut redis| async move { redis.hmget(key, &fields).await })
        .await
        .unwrap_or_default();
    let cursor = |(id, text): (&ConversationId, Option<String>)| {
        let position = Position::from_bytes(&hex::decode(text?).ok()?)?;
        Some((*id, position))
    };
    conversations.iter().zip(found).filter_map(cursor).collect()
}
