//! The rows of lanes: how far each webhook was told, who tells it, and what was tried.

use chrono::TimeDelta;
use events::{Moment, Position, WebhookId};
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

use super::telling::Told;

/// How long a process may work on a lane before another one takes it over, counted by Postgres from the
/// last time that it was saved: longer than an attempt takes. By its clock, not by `now()`, which is when
/// the transaction began: it may have stood still since.
pub(super) const LEASE: TimeDelta = TimeDelta::seconds(15);
/// How long it is kept what was tried.
const KEPT: TimeDelta = TimeDelta::days(14);

/// How far a webhook was told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) webhook: WebhookId,
    /// Everything up to here was taken, or is nothing for it.
    pub(super) position: Position,
    /// How many of its replays were begun.
    pub(super) replays: u32,
    /// How often the next event was tried.
    pub(super) attempts: u32,
    /// Since when nothing was taken.
    pub(super) failing_since: Option<Moment>,
    /// The next event is not tried before.
    pub(super) due_at: Moment,
}

/// What came of an attempt, as people see it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Attempt {
    pub(super) attempt: u32,
    pub(super) at: Moment,
    pub(super) milliseconds: u32,
    pub(super) status: Option<u16>,
    /// Why it was not taken.
    pub(super) reason: Option<String>,
}

#[derive(FromRow)]
struct Claimed {
    webhook_id: Uuid,
    position: Vec<u8>,
    replays: i32,
    attempts: i32,
    failing_since: Option<Moment>,
    due_at: Moment,
}

/// Whether there are webhooks without a lane.
pub(super) async fn are_missing(postgres: &PgPool) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "select exists (
           select from webhook w where w.disabled is null
             and not exists (select from webhook_lane l where l.webhook_id = w.webhook_id)
         )",
    )
    .fetch_one(postgres)
    .await
}

/// Begins the lanes of new webhooks where they were made. An old one has lost its lane, as after a
/// restore without these tables: it goes on at the end of the log, and its owner may replay what they
/// miss, rather than to be told everything again.
pub(super) async fn begin(postgres: &PgPool, head: Position) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into webhook_lane (webhook_id, position, replays)
         select w.webhook_id,
           case when w.created_at > now() - interval '1 day' then w.position else $1 end,
           case when w.created_at > now() - interval '1 day' then 0 else w.replays end
         from webhook w where w.disabled is null
         on conflict do nothing",
    )
    .bind(head.to_bytes())
    .execute(postgres)
    .await?;
    Ok(())
}

/// Claims lanes that nobody works on.
pub(super) async fn claim(
    postgres: &PgPool,
    process: Uuid,
    at_most: usize,
) -> Result<Vec<Row>, sqlx::Error> {
    let claimed: Vec<Claimed> = sqlx::query_as(
        "with free as materialized (
           select l.webhook_id from webhook_lane l join webhook w using (webhook_id)
           where w.disabled is null and (l.claimed_until is null or l.claimed_until <= clock_timestamp())
           order by l.due_at limit $2
           for update of l skip locked
         )
         update webhook_lane l set claimed_by = $1, claimed_until = clock_timestamp() + $3
         from free where l.webhook_id = free.webhook_id
         returning l.webhook_id, l.position::bytea as position, l.replays, l.attempts,
           l.failing_since, l.due_at",
    )
    .bind(process)
    .bind(i64::try_from(at_most).unwrap_or(i64::MAX))
    .bind(LEASE)
    .fetch_all(postgres)
    .await?;
    claimed.into_iter().map(row).collect()
}

fn row(claimed: Claimed) -> Result<Row, sqlx::Error> {
    let position = Position::from_bytes(&claimed.position);
    Ok(Row {
        webhook: claimed.webhook_id.into(),
        position: position.ok_or_else(|| sqlx::Error::Decode("16 bytes".into()))?,
        replays: u32::try_from(claimed.replays).unwrap_or_default(),
        attempts: u32::try_from(claimed.attempts).unwrap_or_default(),
        failing_since: claimed.failing_since,
        due_at: claimed.due_at,
    })
}

/// Notes how far a lane is, and renews its claim; with it what was tried, if anything was. Says whether
/// the claim still held: if not, somebody else works on it, and what they note counts.
pub(super) async fn save(
    postgres: &PgPool,
    process: Uuid,
    row: &Row,
    tried: Option<(&Told, &Attempt)>,
) -> Result<bool, sqlx::Error> {
    let mut transaction = postgres.begin().await?;
    let saved = sqlx::query(
        "update webhook_lane set position = $3, replays = $4, attempts = $5, failing_since = $6,
           due_at = $7, claimed_until = clock_timestamp() + $8
         where webhook_id = $1 and claimed_by = $2 and claimed_until > clock_timestamp()",
    )
    .bind(row.webhook.uuid())
    .bind(process)
    .bind(row.position.to_bytes())
    .bind(i32::try_from(row.replays).unwrap_or(i32::MAX))
    .bind(i32::try_from(row.attempts).unwrap_or(i32::MAX))
    .bind(row.failing_since)
    .bind(row.due_at)
    .bind(LEASE)
    .execute(&mut *transaction)
    .await?;
    if let Some((told, attempt)) = tried {
        sqlx::query(
            "insert into webhook_attempt (webhook_id, event_id, event_type, position, attempt,
               attempted_at, duration_ms, status, delivered, reason)
             values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        )
        .bind(row.webhook.uuid())
        .bind(told.event.uuid())
        .bind(told.event_type)
        .bind(told.position.to_bytes())
        .bind(i32::try_from(attempt.attempt).unwrap_or(i32::MAX))
        .bind(attempt.at)
        .bind(i32::try_from(attempt.milliseconds).unwrap_or(i32::MAX))
        .bind(attempt.status.map(i32::from))
        .bind(attempt.reason.is_none())
        .bind(&attempt.reason)
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    Ok(saved.rows_affected() == 1)
}

/// Gives a lane up: somebody may take it at once.
pub(super) async fn release(
    postgres: &PgPool,
    process: Uuid,
    webhook: WebhookId,
) -> Result<(), sqlx::Error> {
    let release = "update webhook_lane set claimed_until = null
                   where webhook_id = $1 and claimed_by = $2";
    sqlx::query(release).bind(webhook.uuid()).bind(process).execute(postgres).await?;
    Ok(())
}

/// Gives all lanes of a process up.
pub(super) async fn release_all(postgres: &PgPool, process: Uuid) -> Result<(), sqlx::Error> {
    let release = "update webhook_lane set claimed_until = null where claimed_by = $1";
    sqlx::query(release).bind(process).execute(postgres).await?;
    Ok(())
}

/// The webhook was removed.
pub(super) async fn remove(
    postgres: &PgPool,
    process: Uuid,
    webhook: WebhookId,
) -> Result<(), sqlx::Error> {
    let remove = "delete from webhook_lane where webhook_id = $1 and claimed_by = $2";
    sqlx::query(remove).bind(webhook.uuid()).bind(process).execute(postgres).await?;
    Ok(())
}

/// Forgets what was tried long ago.
pub(super) async fn forget_old(postgres: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query("delete from webhook_attempt where attempted_at < now() - $1")
        .bind(KEPT)
        .execute(postgres)
        .await?;
    Ok(())
}
