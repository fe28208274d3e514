//! What the reader was told, the newest first, and how much of it they have not seen.

use axum::extract::State;
use events::{EventId, Moment, NotificationId, Position};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service::Json;
use service::openapi::{After, Refusal};
use sqlx::FromRow;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::asked::{Asked, Nothing};
use crate::failure::Answer;
use crate::page::{Limit, Page};
use crate::place::Place;
use crate::reads::{Eyes, Reads};

const PROJECTION: &str = "notification_log";

pub(crate) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(unread))
}

/// Something that the reader was told.
#[derive(Debug, Serialize, FromRow, ToSchema)]
pub(crate) struct Notification {
    #[sqlx(rename = "notification_id", try_from = "Uuid")]
    id: NotificationId,
    /// What it is about: `kind` is `friend_request`, `friend_accepted`, `message`, `mention`,
    /// `added_to_group`, `session_reminder` or `session_cancelled`, and ids beside it say of whom,
    /// which and where.
    #[schema(value_type = Object)]
    about: Value,
    /// The event that caused it.
    #[sqlx(try_from = "Uuid")]
    cause: EventId,
    #[schema(value_type = String, format = DateTime)]
    raised_at: Moment,
    /// `null` while it is unread.
    #[schema(value_type = Option<String>, format = DateTime)]
    read_at: Option<Moment>,
    /// For each way that was tried (`live`, `push`, `email`): `attempts`, `status` (`delivered`,
    /// `failed`, `dead` or `skipped`), `reason` and `at`.
    #[schema(value_type = Object)]
    channels: Value,
    position: Place,
}

/// A page of notifications.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Notifications {
    items: Vec<Notification>,
    /// What to ask for to get the next page; `null` on the last.
    next: Option<Place>,
    /// How many the reader has not seen, on all pages.
    unread: i64,
}

/// How many the reader has not seen.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Unread {
    unread: i64,
}

/// Which page.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Which {
    #[serde(default)]
    limit: Limit,
    /// The position of the last notification of the page before.
    before_position: Option<Position>,
}

/// What the reader was told, the newest first; the next page with `?before_position=`.
#[utoipa::path(
    get,
    path = "/v1/notifications",
    tag = "notifications",
    params(Which, After),
    responses((status = 200, body = Notifications), Refusal),
)]
async fn list(State(reads): State<Reads>, asked: Asked<Which>) -> Answer<Notifications> {
    let Asked { reader, after, query: Which { limit, before_position } } = asked;
    reads.checkpoints.reach(&[PROJECTION], after).await?;
    let mut eyes = reads.eyes_of(reader).await?;
    let rows: Vec<Notification> = sqlx::query_as(
        "select notification_id, about, cause, raised_at, read_at, channels, position
         from notification_log
         where user_id = $1 and ($2::bytea is null or position < $2)
         order by position desc limit $3",
    )
    .bind(reader.uuid())
    .bind(before_position.map(Place))
    .bind(limit.and_one())
    .fetch_all(&mut *eyes)
    .await?;
    let unread = count(&mut eyes, reader.uuid()).await?;
    eyes.commit().await?;
    let Page { items, next } = Page::of(rows, limit, |row| row.position);
    Ok(Json(Notifications { items, next, unread }))
}

/// How many notifications the reader has not seen.
#[utoipa::path(
    get,
    path = "/v1/notifications/unread",
    tag = "notifications",
    params(After),
    responses((status = 200, body = Unread), Refusal),
)]
async fn unread(State(reads): State<Reads>, asked: Asked<Nothing>) -> Answer<Unread> {
    reads.checkpoints.reach(&[PROJECTION], asked.after).await?;
    let mut eyes = reads.eyes_of(asked.reader).await?;
    let unread = count(&mut eyes, asked.reader.uuid()).await?;
    eyes.commit().await?;
    Ok(Json(Unread { unread }))
}

async fn count(eyes: &mut Eyes, reader: Uuid) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(
        "select count(*) from notification_log where user_id = $1 and read_at is null",
    )
    .bind(reader)
    .fetch_one(&mut **eyes)
    .await
}
