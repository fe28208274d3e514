//! `/v1/admin/parked-events`.

use axum::extract::State;
use serde::Deserialize;
use service::openapi::{Key, Refusal};
use service::{IdempotencyKey, Identity, Json, Path, Problem};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::Recorded;
use crate::App;
use crate::commands::Command;
use crate::commands::parked::{RetryParked, SkipParked};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(retry)).routes(routes!(skip))
}

/// Which projection tries it again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Retry {
    projection: String,
}

/// Tries a parked event again, and then the later ones of its stream, as an admin of the platform.
/// What came of it is read from `/v1/admin/parked-events?projection=` with the position of this answer.
#[utoipa::path(
    post,
    path = "/v1/admin/parked-events/{id}/retry",
    tag = "admin",
    params(("id" = Uuid, Path), Key),
    request_body = Retry,
    responses((status = 202, body = Recorded), Refusal),
)]
async fn retry(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(event): Path<Uuid>,
    Json(Retry { projection }): Json<Retry>,
) -> Result<Recorded, Problem> {
    let command = RetryParked { event: event.into(), projection };
    command.run(&app, identity, key).await.map(Recorded::from)
}

/// Which projection does without it, and why.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Skip {
    projection: String,
    /// No personal data.
    reason: String,
}

/// Skips a parked event, and goes on with the later ones of its stream, as an admin of the platform.
#[utoipa::path(
    post,
    path = "/v1/admin/parked-events/{id}/skip",
    tag = "admin",
    params(("id" = Uuid, Path), Key),
    request_body = Skip,
    responses((status = 202, body = Recorded), Refusal),
)]
async fn skip(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(event): Path<Uuid>,
    Json(Skip { projection, reason }): Json<Skip>,
) -> Result<Recorded, Problem> {
    let command = SkipParked { event: event.into(), projection, reason };
    command.run(&app, identity, key).await.map(Recorded::from)
}
