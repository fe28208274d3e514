//! `/v1/notifications`.

use axum::extract::State;
use events::NotificationId;
use service::openapi::{Key, Refusal};
use service::{IdempotencyKey, Identity, Json, Path, Problem};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Recorded;
use crate::App;
use crate::commands::Command;
use crate::commands::notifications::{ReadNotification, ReadNotifications};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(read)).routes(routes!(read_all))
}

/// Has seen a notification.
#[utoipa::path(
    put,
    path = "/v1/notifications/{id}/read",
    tag = "notifications",
    params(("id" = NotificationId, Path), Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn read(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(notification): Path<NotificationId>,
) -> Result<Recorded, Problem> {
    ReadNotification { notification }.run(&app, identity, key).await.map(Recorded::from)
}

/// Has seen all notifications up to a position.
#[utoipa::path(
    put,
    path = "/v1/notifications/read",
    tag = "notifications",
    params(Key),
    request_body = ReadNotifications,
    responses((status = 202, body = Recorded), Refusal),
)]
async fn read_all(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Json(body): Json<ReadNotifications>,
) -> Result<Recorded, Problem> {
    body.run(&app, identity, key).await.map(Recorded::from)
}
