//! The timers of calls, which need to know which calls there are.

use events::{CallId, ConversationId, Moment, UserId};
use sqlx::PgConnection;

use super::alone_key;
use crate::timers::Kind;

/// A call goes on.
pub(super) async fn begun(
    db: &mut PgConnection,
    call: CallId,
    conversation: ConversationId,
    idle_seconds: u16,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into timer_call (call_id, conversation_id, idle_seconds) values ($1, $2, $3)
         on conflict (call_id) do nothing",
    )
    .bind(call.uuid())
    .bind(conversation.uuid())
    .bind(i32::from(idle_seconds))
    .execute(db)
    .await?;
    Ok(())
}

/// A call is over.
pub(super) async fn over(db: &mut PgConnection, call: CallId) -> Result<(), sqlx::Error> {
    sqlx::query("delete from timer_call where call_id = $1").bind(call.uuid()).execute(db).await?;
    Ok(())
}

/// Somebody is alone in a call, and not for ever.
pub(super) async fn alone(
    db: &mut PgConnection,
    call: CallId,
    since: Moment,
    set_by: String,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into timer (key, kind, subject, due_at, source, set_by)
         select $1, $2, call_id, $3 + idle_seconds * interval '1 second', 'log', $4
         from timer_call where call_id = $5
         on conflict (key) do update set
           due_at = excluded.due_at, set_by = excluded.set_by, claimed_until = null, attempts = 0",
    )
    .bind(alone_key(call))
    .bind(Kind::Alone.name())
    .bind(since)
    .bind(set_by)
    .bind(call.uuid())
    .execute(db)
    .await?;
    Ok(())
}

/// Somebody has to leave the calls of a conversation.
pub(super) async fn out(
    db: &mut PgConnection,
    conversation: ConversationId,
    user: UserId,
    at: Moment,
    set_by: String,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into timer (key, kind, subject, person, due_at, source, set_by)
         select 'out:' || call_id || ':' || $1::uuid, $2, call_id, $1, $3, 'log', $4
         from timer_call where conversation_id = $5
         on conflict (key) do update set
           due_at = excluded.due_at, set_by = excluded.set_by, claimed_until = null, attempts = 0",
    )
    .bind(user.uuid())
    .bind(Kind::Out.name())
    .bind(at)
    .bind(set_by)
    .bind(conversation.uuid())
    .execute(db)
    .await?;
    Ok(())
}
