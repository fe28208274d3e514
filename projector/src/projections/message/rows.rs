//! The rows of `message`: inserted for a whole batch at once, changed one by one.

use chrono::TimeDelta;
use events::{MessageId, Moment};
use serde::Serialize;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::{Edit, Insert};
use crate::projections::horizon::in_batches;

/// Counts the new rows of each conversation, numbers them and inserts them, in one statement. Of what
/// is before the horizon only the numbers are kept.
const INSERT: &str = "
    with kept as materialized (select horizon as since from message_horizon),
    new as (
      select r.* from rows from (
        jsonb_to_recordset($1) as (
          conversation uuid, id uuid, sender uuid, kind text, system jsonb, text text,
          reply_to uuid, thread uuid, mentions uuid[], attachments uuid[],
          sent_at timestamptz, position text
        )
      ) with ordinality as r (
        conversation_id, message_id, sender_id, kind, system, text,
        reply_to, thread, mentions, attachments, sent_at, position, place
      )
    ),
    placed as (
      select *, row_number() over w as nth,
        count(*) filter (where kind <> 'system') over w as nth_said
      from new window w as (partition by conversation_id order by place)
    ),
    counted as (
      insert into message_counter as counter
        (conversation_id, message_count, said_count, last_ordinal, last_at)
      select conversation_id, count(*), count(*) filter (where kind <> 'system'),
        max(nth) filter (where kind <> 'system'),
        (array_agg(sent_at order by place desc) filter (where kind <> 'system'))[1]
      from placed group by conversation_id
      on conflict (conversation_id) do update set
        message_count = counter.message_count + excluded.message_count,
        said_count = counter.said_count + excluded.said_count,
        last_ordinal = coalesce(counter.message_count + excluded.last_ordinal, counter.last_ordinal),
        last_at = coalesce(excluded.last_at, counter.last_at)
      returning conversation_id, message_count, said_count
    ),
    numbered as (
      select placed.*,
        counted.message_count - count(*) over c + nth as ordinal,
        counted.said_count - count(*) filter (where kind <> 'system') over c + nth_said as number
      from placed join counted using (conversation_id)
      window c as (partition by conversation_id)
    ),
    months as (
      insert into message_month as month
        (conversation_id, month, first_ordinal, last_ordinal, last_number)
      select conversation_id, date_trunc('month', sent_at, 'UTC'),
        min(ordinal), max(ordinal), max(number)
      from numbered where sent_at >= (select since from kept) group by 1, 2
      on conflict (conversation_id, month) do update set
        first_ordinal = least(month.first_ordinal, excluded.first_ordinal),
        last_ordinal = greatest(month.last_ordinal, excluded.last_ordinal),
        last_number = greatest(month.last_number, excluded.last_number)
    ),
    floors as (
      insert into message_floor as floor (conversation_id, last_ordinal, last_number)
      select conversation_id, max(ordinal), max(number)
      from numbered where sent_at < (select since from kept) group by 1
      on conflict (conversation_id) do update set
        last_ordinal = greatest(floor.last_ordinal, excluded.last_ordinal),
        last_number = greatest(floor.last_number, excluded.last_number)
    )
    insert into message (conversation_id, ordinal, number, message_id, sender_id, kind, system,
      text, reply_to, thread, mentions, attachments, sent_at, position)
    select conversation_id, ordinal, number, message_id, sender_id, kind, system,
      text, reply_to, thread, coalesce(mentions, '{}'), coalesce(attachments, '{}'), sent_at,
      decode(position, 'hex')
    from numbered where sent_at >= (select since from kept) order by place";

/// A row as the statement reads it.
#[derive(Serialize)]
struct Row<'a> {
    conversation: Uuid,
    id: Uuid,
    sender: Uuid,
    kind: &'a str,
    system: &'a Option<serde_json::Value>,
    text: &'a Option<String>,
    reply_to: Option<Uuid>,
    thread: Option<Uuid>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mentions: Vec<Uuid>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<Uuid>,
    sent_at: Moment,
    position: String,
}

impl<'a> From<&'a Insert> for Row<'a> {
    fn from(new: &'a Insert) -> Self {
        Self {
            conversation: new.conversation.uuid(),
            id: new.message.uuid(),
            sender: new.sender.uuid(),
            kind: new.kind,
            system: &new.system,
            text: &new.text,
            reply_to: new.reply_to.map(MessageId::uuid),
            thread: new.thread.map(MessageId::uuid),
            mentions: new.mentions.iter().map(|user| user.uuid()).collect(),
            attachments: new.attachments.iter().map(|file| file.uuid()).collect(),
            sent_at: new.sent_at,
            position: hex::encode(new.position.to_bytes()),
        }
    }
}

pub(super) async fn insert(db: &mut PgConnection, new: &[Insert]) -> Result<(), sqlx::Error> {
    if new.is_empty() {
        return Ok(());
    }
    let rows: Vec<Row<'_>> = new.iter().map(Row::from).collect();
    sqlx::query(INSERT).bind(sqlx::types::Json(rows)).execute(db).await?;
    Ok(())
}

/// Keeps what a message said, and says something else. What was deleted stays so.
pub(super) async fn edit(db: &mut PgConnection, edit: &Edit) -> Result<(), sqlx::Error> {
    sqlx::query(
        "with old as (
           select message_id, conversation_id, sender_id, text, coalesce(edited_at, sent_at) as at
           from message where message_id = $1 and kind <> 'system' and deleted_at is null
         ),
         kept as (
           insert into message_edit
             (message_id, version, conversation_id, sender_id, text, said_at)
           select message_id,
             1 + (select count(*) from message_edit e where e.message_id = old.message_id),
             conversation_id, sender_id, text, at
           from old
         )
         update message set text = $2, mentions = $3, edited_at = $4
         where message_id = $1 and kind <> 'system' and deleted_at is null",
    )
    .bind(edit.message.uuid())
    .bind(&edit.text)
    .bind(edit.mentions.iter().map(|user| user.uuid()).collect::<Vec<_>>())
    .bind(edit.at)
    .execute(db)
    .await?;
    Ok(())
}

/// Leaves only that there was a message.
pub(super) async fn delete(
    db: &mut PgConnection,
    message: Uuid,
    by: Uuid,
    at: Moment,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "with forgotten as (delete from message_edit where message_id = $1)
         update message
         set text = null, mentions = '{}', attachments = '{}', deleted_at = $2, deleted_by = $3
         where message_id = $1 and kind <> 'system'",
    )
    .bind(message)
    .bind(at)
    .bind(by)
    .execute(db)
    .await?;
    Ok(())
}

/// From then on no read model keeps what is older.
const RAISE: &str = "
    update message_horizon set horizon = date_trunc('month', $1, 'UTC')
    where horizon < date_trunc('month', $1, 'UTC')";

/// What messages before the horizon said before they were edited.
const FORGET_EDITS: &str = "
    delete from message_edit where ctid = any(array(
      select e.ctid from message_edit e join message m on m.message_id = e.message_id
      where m.sent_at < (select horizon from message_horizon) limit $1
    ))";

/// Drops the months that are wholly older than the retention. Gives way to readers: if they hold
/// the tables just now, the next upkeep tries again.
pub(super) async fn drop_old(
    db: &mut PgConnection,
    retention: TimeDelta,
) -> Result<(), sqlx::Error> {
    let horizon = held_back(db, horizon(retention)).await?;
    sqlx::query(RAISE).bind(horizon).execute(&mut *db).await?;
    let old: bool = sqlx::query_scalar("select has_messages_before($1)")
        .bind(horizon)
        .fetch_one(&mut *db)
        .await?;
    if !old {
        return Ok(());
    }
    // The long work comes before the lock that keeps readers out.
    in_batches(db, FORGET_EDITS).await?;
    let mut transaction = db.begin().await?;
    sqlx::query("set local lock_timeout = '500ms'").execute(&mut *transaction).await?;
    let dropped = sqlx::query("select drop_messages_before($1)")
        .bind(horizon)
        .execute(&mut *transaction)
        .await;
    match dropped {
        Ok(_) => transaction.commit().await,
        Err(error) if is_busy(&error) => {
            tracing::info!("old messages are dropped later: somebody reads");
            transaction.rollback().await
        }
        Err(error) => Err(error),
    }
}

/// The horizon, but not beyond the first message that is kept for a legal matter.
async fn held_back(db: &mut PgConnection, horizon: Moment) -> Result<Moment, sqlx::Error> {
    let first: Option<Moment> = sqlx::query_scalar(
        "select min(m.sent_at) from legal_hold h join message m on m.sent_at < $1 and (
           (h.held_kind = 'conversation' and m.conversation_id = h.held_id)
           or (h.held_kind = 'user' and m.sender_id = h.held_id))",
    )
    .bind(horizon)
    .fetch_one(db)
    .await?;
    if let Some(first) = first {
        tracing::info!(%first, "a legal hold keeps messages that are older than the retention");
    }
    metrics::gauge!("roundtable_retention_held_back").set(f64::from(u8::from(first.is_some())));
    Ok(first.unwrap_or(horizon))
}

#[expect(clippy::disallowed_methods, reason = "retention goes by the clock, and is no decision")]
fn horizon(retention: TimeDelta) -> Moment {
    chrono::Utc::now() - retention
}

/// Lock not available, or a deadlock that was resolved at our cost.
fn is_busy(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code == "55P03" || code == "40P01")
}
