//! Events that projections could not work on, for admins of the platform.

use axum::extract::State;
use events::{EventId, Moment, Position};
use serde::{Deserialize, Serialize};
use service::openapi::{After, Refusal};
use service::{Json, Path};
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

const SELECT: &str = "select projection, position, stream, revision, event_id, error, parked_at,
       retries, retried_at
     from parked_event";

pub(crate) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(of_event))
}

/// An event that a projection could not work on, or a later one of its stream.
#[derive(Serialize, FromRow, ToSchema)]
pub(crate) struct ParkedEvent {
    /// The projection.
    projection: String,
    #[sqlx(rename = "event_id", try_from = "Uuid")]
    #[schema(value_type = String, format = Uuid)]
    event: EventId,
    stream: String,
    revision: i64,
    /// Why. It may quote what the event says.
    error: String,
    #[schema(value_type = String, format = DateTime)]
    parked_at: Moment,
    /// How often it was tried again in vain.
    retries: i32,
    #[schema(value_type = Option<String>, format = DateTime)]
    retried_at: Option<Moment>,
    position: Place,
}

/// Which page.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Oldest {
    /// Of this projection only: then `after` waits for what it did about a retry or a skip.
    projection: Option<String>,
    #[serde(default)]
    limit: Limit,
    /// The position of the last event of the page before: all that is parked of one event comes
    /// together.
    after_position: Option<Position>,
}

/// The parked events, the oldest first; the next page with `?after_position=`.
#[utoipa::path(
    get,
    path = "/v1/admin/parked-events",
    tag = "admin",
    params(Oldest, After),
    responses((status = 200, body = Page<ParkedEvent, Place>), Refusal),
)]
async fn list(
    State(reads): State<Reads>,
    asked: Asked<Oldest>,
) -> Answer<Page<ParkedEvent, Place>> {
    let Asked { reader, after, query: Oldest { projection, limit, after_position } } = asked;
    let mut waits_for = vec!["standing"];
    waits_for.extend(projection.as_deref());
    let mut eyes = reads.eyes_of_admin(reader).await?;
    if let Some(projection) = &projection
        && !is_known(&mut eyes, projection).await?
    {
        return Ok(Json(Page::of(vec![], limit, |it: &ParkedEvent| it.position)));
    }
    eyes.commit().await?;
    reads.checkpoints.reach(&waits_for, after).await?;
    let mut eyes = reads.eyes_of(reader).await?;
    let rows: Vec<ParkedEvent> = sqlx::query_as(&format!(
        "{SELECT} where ($1::text is null or projection = $1)
           and ($2::bytea is null or position > $2)
         order by position, projection limit $3"
    ))
    .bind(projection)
    .bind(after_position.map(Place))
    .bind(limit.and_one())
    .fetch_all(&mut *eyes)
    .await?;
    eyes.commit().await?;
    Ok(Json(Page::of(rows, limit, |it| it.position)))
}

/// All projections that could not work on one event.
#[utoipa::path(
    get,
    path = "/v1/admin/parked-events/{id}",
    tag = "admin",
    params(("id" = Uuid, Path), After),
    responses((status = 200, body = Vec<ParkedEvent>), Refusal),
)]
async fn of_event(
    State(reads): State<Reads>,
    Path(id): Path<Uuid>,
    asked: Asked<Nothing>,
) -> Answer<Vec<ParkedEvent>> {
    reads.checkpoints.reach(&["standing"], asked.after).await?;
    let mut eyes = reads.eyes_of_admin(asked.reader).await?;
    let rows: Vec<ParkedEvent> =
        sqlx::query_as(&format!("{SELECT} where event_id = $1 order by projection"))
            .bind(id)
            .fetch_all(&mut *eyes)
            .await?;
    eyes.commit().await?;
    Ok(Json(rows))
}

async fn is_known(eyes: &mut Eyes, projection: &str) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar("select exists (select from projection_checkpoint where projection = $1)")
        .bind(projection)
        .fetch_one(&mut **eyes)
        .await
}
