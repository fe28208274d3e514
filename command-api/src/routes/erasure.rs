//! `/v1/users/{id}/erasure` and `/v1/holds`.

use axum::extract::State;
use events::UserId;
use serde::Deserialize;
use service::openapi::{Key, Refusal};
use service::{IdempotencyKey, Identity, Json, Path, Problem};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Recorded;
use crate::App;
use crate::commands::Command;
use crate::commands::erasure::{EraseUser, PlaceHold, ReleaseHold};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(erase)).routes(routes!(place)).routes(routes!(release))
}

/// What confirms an erasure.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    /// One's own password, if one erases oneself.
    #[serde(default)]
    password: Option<String>,
}

/// Destroys everything of a person, for good: oneself with the password, or anybody as an admin of
/// the platform. A legal hold forbids it (409 `legal-hold`).
#[utoipa::path(
    put,
    path = "/v1/users/{id}/erasure",
    tag = "erasure",
    params(("id" = UserId, Path), Key),
    request_body = Confirmation,
    responses((status = 202, body = Recorded), Refusal),
)]
async fn erase(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(user): Path<UserId>,
    Json(Confirmation { password }): Json<Confirmation>,
) -> Result<Recorded, Problem> {
    EraseUser { user, password }.run(&app, identity, key).await.map(Recorded::from)
}

/// Keeps a person or a conversation for a legal matter, as an admin of the platform: nothing of it
/// is erased, or dropped with age, before every matter has released it.
#[utoipa::path(
    post,
    path = "/v1/holds",
    tag = "erasure",
    params(Key),
    request_body = PlaceHold,
    responses((status = 202, body = Recorded), Refusal),
)]
async fn place(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Json(body): Json<PlaceHold>,
) -> Result<Recorded, Problem> {
    body.run(&app, identity, key).await.map(Recorded::from)
}

/// Releases what was kept for a matter, as an admin of the platform.
#[utoipa::path(
    post,
    path = "/v1/holds/release",
    tag = "erasure",
    params(Key),
    request_body = ReleaseHold,
    responses((status = 202, body = Recorded), Refusal),
)]
async fn release(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Json(body): Json<ReleaseHold>,
) -> Result<Recorded, Problem> {
    body.run(&app, identity, key).await.map(Recorded::from)
}
