//! What Postgres keeps on the disk of rows that were changed: it goes when their table is rewritten.
//!
//! A changed row stays in its page until the page is used again, its words stay in the statistics, and
//! both stay in the write-ahead log until that is recycled. `VACUUM FULL` writes a table anew, and needs it
//! alone so long: a table that is too large for that, or is too busy, is named as left.

use anyhow::Result;
use events::UserId;
use serde::{Deserialize, Serialize};
use sqlx::{Connection, Executor, PgConnection, PgPool};

/// Larger tables are not rewritten while the system serves: nobody reads one meanwhile, and this
/// much takes about a second.
const LARGEST: i64 = 1 << 26;

/// The tables with personal data, but for the messages.
const TABLES: &[&str] = &[
    "api_token",
    "change_feed_entry",
    "change_feed_frame",
    "conversation",
    "file",
    "login",
    "message_edit",
    "message_search",
    "parked_event",
    "report",
    "standing",
    "study_session",
    "user_account",
    "user_profile",
    "user_search_term",
    "webhook",
    "whiteboard",
];

/// Which tables were rewritten.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Scrubbed {
    /// Those that were.
    pub(super) rewritten: Vec<String>,
    /// Those that Postgres rewrites in time.
    pub(super) left: Vec<String>,
    /// Whether what was written ahead is gone as well.
    write_ahead_log: bool,
}

/// Rewrites what the person's rows were in.
pub(super) async fn tables(postgres: &PgPool, user: UserId) -> Result<Scrubbed> {
    // A connection of its own, whose settings end with it.
    let mut db = PgConnection::connect_with(&postgres.connect_options()).await?;
    db.execute("set lock_timeout = '3s'").await?;
    let months: Vec<String> = sqlx::query_scalar(
        "select distinct tableoid::regclass::text from message where sender_id = $1 order by 1",
    )
    .bind(user.uuid())
    .fetch_all(&mut db)
    .await?;
    let mut scrubbed = Scrubbed::default();
    for table in months.into_iter().chain(TABLES.iter().map(|table| (*table).to_owned())) {
        match rewrite(&mut db, &table).await {
            Ok(true) => scrubbed.rewritten.push(table),
            Ok(false) => scrubbed.left.push(table),
            Err(error) => {
                tracing::warn!(%error, table, "a table is not rewritten");
                scrubbed.left.push(table);
            }
        }
    }
    scrubbed.write_ahead_log = forget(&mut db).await.is_ok();
    db.close().await?;
    Ok(scrubbed)
}

async fn rewrite(db: &mut PgConnection, table: &str) -> sqlx::Result<bool> {
    let bytes: i64 = sqlx::query_scalar("select pg_total_relation_size($1::regclass)")
        .bind(table)
        .fetch_one(&mut *db)
        .await?;
    if bytes > LARGEST {
        return Ok(false);
    }
    // The name comes from the list above, or from Postgres, which quotes it.
    let statement = format!("vacuum (full, analyze) {table}");
    db.execute(statement.as_str()).await?;
    Ok(true)
}

/// The statistics and what was written ahead: only a superuser may, as of a private server.
async fn forget(db: &mut PgConnection) -> sqlx::Result<()> {
    for statement in [
        "vacuum full pg_catalog.pg_statistic",
        "checkpoint",
        "select pg_switch_wal()",
        "checkpoint",
    ] {
        db.execute(statement).await?;
    }
    Ok(())
}
