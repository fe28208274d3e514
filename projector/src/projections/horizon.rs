//! The horizon of messages: what was sent before it is not kept, in any read model.
//!
//! `message` raises it (`message_horizon`). Each other projection leaves out what is before it, and
//! deletes in its own upkeep what it kept earlier: so it does not matter which of them is behind, or
//! is built anew.

use events::Position;
use sqlx::PgConnection;

use super::{ApplyError, Message, Projection};

/// How many rows one statement deletes.
const BATCH: i64 = 10_000;
/// How many times one upkeep does so; the next one goes on.
const BATCHES: usize = 50;

/// Deletes from a table, which has a column `sent_at`, what is before the horizon.
pub(super) async fn forget(db: &mut PgConnection, table: &'static str) -> Result<(), sqlx::Error> {
    let statement = format!(
        "delete from {table} where ctid = any(array(
           select ctid from {table} where sent_at < (select horizon from message_horizon) limit $1
         ))"
    );
    in_batches(db, &statement).await
}

/// Runs a statement, which deletes at most as many rows as its parameter says, until it finds none.
pub(super) async fn in_batches(db: &mut PgConnection, statement: &str) -> Result<(), sqlx::Error> {
    for _ in 0..BATCHES {
        let deleted = sqlx::query(statement).bind(BATCH).execute(&mut *db).await?.rows_affected();
        if deleted == 0 {
            break;
        }
    }
    Ok(())
}

/// Waits until `message` is as far as an event that is about an earlier message: whether that is kept
/// is known only then.
pub(super) async fn message_reaches(
    db: &mut PgConnection,
    position: Position,
) -> Result<(), ApplyError> {
    let there: bool = sqlx::query_scalar(
        "select exists (
           select from projection_reached where projection = $1 and position >= $2
         )",
    )
    .bind(Message::NAME)
    .bind(position.to_bytes())
    .fetch_one(db)
    .await?;
    if there { Ok(()) } else { Err(ApplyError::Waits) }
}
