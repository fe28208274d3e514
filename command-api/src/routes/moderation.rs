//! `/v1/users/{id}/suspension` and `/v1/users/{id}/role`.

use axum::extract::State;
use events::user::PlatformRole;
use events::{Moment, UserId};
use serde::Deserialize;
use service::openapi::{Key, Refusal};
use service::{IdempotencyKey, Identity, Json, Path, Problem};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Recorded;
use crate::App;
use crate::commands::Command;
use crate::commands::moderation::{ChangePlatformRole, Reinstate, Suspend};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(suspend, reinstate)).routes(routes!(change_role))
}

/// How a person is suspended.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Suspension {
    /// Until when; for good when absent.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Moment>,
    /// Why, for the person to read.
    reason: String,
}

/// A role on the platform.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPlatformRole {
    role: PlatformRole,
}

/// Suspends a person, as a moderator of the platform.
#[utoipa::path(
    put,
    path = "/v1/users/{id}/suspension",
    tag = "moderation",
    params(("id" = UserId, Path), Key),
    request_body = Suspension,
    responses((status = 202, body = Recorded), Refusal),
)]
async fn suspend(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(user): Path<UserId>,
    Json(Suspension { until, reason }): Json<Suspension>,
) -> Result<Recorded, Problem> {
    Suspend { user, until, reason }.run(&app, identity, key).await.map(Recorded::from)
}

/// Lets a suspended person act again, as a moderator of the platform.
#[utoipa::path(
    delete,
    path = "/v1/users/{id}/suspension",
    tag = "moderation",
    params(("id" = UserId, Path), Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn reinstate(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(user): Path<UserId>,
) -> Result<Recorded, Problem> {
    Reinstate { user }.run(&app, identity, key).await.map(Recorded::from)
}

/// Gives a person another role on the platform, as one of its admins.
#[utoipa::path(
    put,
    path = "/v1/users/{id}/role",
    tag = "moderation",
    params(("id" = UserId, Path), Key),
    request_body = NewPlatformRole,
    responses((status = 202, body = Recorded), Refusal),
)]
async fn change_role(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(user): Path<UserId>,
    Json(NewPlatformRole { role }): Json<NewPlatformRole>,
) -> Result<Recorded, Problem> {
    ChangePlatformRole { user, role }.run(&app, identity, key).await.map(Recorded::from)
}
