//! The rows of deliveries: what is due is claimed with a lease, then done with or put off.

use chrono::TimeDelta;
use events::notification::Channel;
use events::{Moment, NotificationId, Position, UserId};
use sqlx::{FromRow, PgConnection, PgPool};
use uuid::Uuid;

use super::raiser::Raised;
use crate::projections::notification_log::channel_name;

/// How long a projector may work on a delivery before another one takes it over: longer than any
/// attempt takes.
const LEASE: TimeDelta = TimeDelta::seconds(120);

/// How long it is kept that something was done with.
const KEPT: TimeDelta = TimeDelta::days(30);

/// Something to deliver on one way.
#[derive(Clone, Debug)]
pub(super) struct Due {
    pub(super) notification: NotificationId,
    pub(super) channel: Channel,
    pub(super) user: UserId,
    /// Of the event that raised it.
    pub(super) position: Position,
    /// The browsers that have it.
    pub(super) reached: Vec<Uuid>,
    /// The lease, by which the claim is known.
    claimed_until: Moment,
}

/// What is to become of a row.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Next {
    /// Nothing more.
    Done,
    /// Nothing more, but these ways are tried instead.
    Instead(Vec<Channel>),
    /// It is tried again then.
    Again(Moment),
    /// It was given up.
    Dead,
}

#[derive(FromRow)]
struct Row {
    notification_id: Uuid,
    channel: String,
    user_id: Uuid,
    position: Vec<u8>,
    reached: Vec<Uuid>,
    claimed_until: Moment,
}

/// What was raised is first to be seen by connected devices.
pub(super) async fn insert(
    db: &mut PgConnection,
    raised: &[Raised],
    due_at: Moment,
) -> Result<(), sqlx::Error> {
    let (mut ids, mut users, mut positions) = (vec![], vec![], vec![]);
    for Raised { notification, user, position } in raised {
        ids.push(notification.uuid());
        users.push(user.uuid());
        positions.push(position.to_bytes());
    }
    sqlx::query(
        "insert into notification_delivery (notification_id, channel, user_id, position, due_at)
         select id, $1, user_id, position, $2
         from unnest($3::uuid[], $4::uuid[], $5::bytea[]) as raised (id, user_id, position)
         on conflict do nothing",
    )
    .bind(channel_name(Channel::Live))
    .bind(due_at)
    .bind(ids)
    .bind(users)
    .bind(positions)
    .execute(db)
    .await?;
    Ok(())
}

/// Claims what is due: nobody else gets it before the lease ends.
pub(super) async fn claim(postgres: &PgPool, at_once: i64) -> Result<Vec<Due>, sqlx::Error> {
    let now = service::clock::now();
    let rows: Vec<Row> = sqlx::query_as(
        "with due as materialized (
           select notification_id, channel from notification_delivery
           where state = 'waiting' and due_at <= $1
             and (claimed_until is null or claimed_until <= $1)
           order by due_at limit $2
           for update skip locked
         )
         update notification_delivery d set claimed_until = $3
         from due where d.notification_id = due.notification_id and d.channel = due.channel
         returning d.notification_id, d.channel, d.user_id, d.position::bytea as position,
           d.reached, d.claimed_until",
    )
    .bind(now)
    .bind(at_once)
    .bind(now + LEASE)
    .fetch_all(postgres)
    .await?;
    Ok(rows.into_iter().filter_map(due).collect())
}

fn due(row: Row) -> Option<Due> {
    let channels = [Channel::Live, Channel::Push, Channel::Email];
    Some(Due {
        notification: row.notification_id.into(),
        channel: channels.into_iter().find(|channel| channel_name(*channel) == row.channel)?,
        user: row.user_id.into(),
        position: Position::from_bytes(&row.position)?,
        reached: row.reached,
        claimed_until: row.claimed_until,
    })
}

/// Notes what came of an attempt, unless somebody else has taken over meanwhile.
pub(super) async fn settle(
    postgres: &PgPool,
    due: &Due,
    attempt: u16,
    reason: Option<&str>,
    next: &Next,
) -> Result<(), sqlx::Error> {
    let (state, due_at) = match next {
        Next::Done | Next::Instead(_) => ("done", None),
        Next::Again(at) => ("waiting", Some(*at)),
        Next::Dead => ("dead", None),
    };
    let now = service::clock::now();
    let mut transaction = postgres.begin().await?;
    let updated = sqlx::query(
        "update notification_delivery set state = $4, attempts = $5, reason = $6, reached = $7,
           due_at = coalesce($8, due_at), claimed_until = null,
           done_at = case when $4 <> 'waiting' then $9::timestamptz end
         where notification_id = $1 and channel = $2 and claimed_until = $3",
    )
    .bind(due.notification.uuid())
    .bind(channel_name(due.channel))
    .bind(due.claimed_until)
    .bind(state)
    .bind(i32::from(attempt))
    .bind(reason)
    .bind(&due.reached)
    .bind(due_at)
    .bind(now)
    .execute(&mut *transaction)
    .await?;
    if updated.rows_affected() == 1
        && let Next::Instead(channels) = next
    {
        sqlx::query(
            "insert into notification_delivery
               (notification_id, channel, user_id, position, due_at)
             select $1, channel, $2, $3, $4 from unnest($5::text[]) as channel
             on conflict do nothing",
        )
        .bind(due.notification.uuid())
        .bind(due.user.uuid())
        .bind(due.position.to_bytes())
        .bind(now)
        .bind(channels.iter().map(|channel| channel_name(*channel)).collect::<Vec<_>>())
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await
}

/// It could not be tried, for a reason of ours: that is no attempt.
pub(super) async fn put_off(
    postgres: &PgPool,
    due: &Due,
    until: Moment,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update notification_delivery set claimed_until = $4
         where notification_id = $1 and channel = $2 and claimed_until = $3",
    )
    .bind(due.notification.uuid())
    .bind(channel_name(due.channel))
    .bind(due.claimed_until)
    .bind(until)
    .execute(postgres)
    .await?;
    Ok(())
}

/// Forgets what was done with long ago. Dead letters stay.
pub(super) async fn forget_old(postgres: &PgPool) -> Result<(), sqlx::Error> {
    sqlx::query("delete from notification_delivery where state = 'done' and done_at < $1")
        .bind(service::clock::now() - KEPT)
        .execute(postgres)
        .await?;
    Ok(())
}
