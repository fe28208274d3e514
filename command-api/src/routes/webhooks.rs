//! `/v1/webhooks`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use events::{Position, WebhookId};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use service::openapi::{Key, Refusal};
use service::webhooks::Secret;
use service::{IdempotencyKey, Identity, Json, Path, Problem};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Recorded;
use crate::App;
use crate::commands::webhooks::{
    ChangeWebhook, CreateWebhook, NewSecret, RemoveWebhook, ReplayWebhook, RotateSecret,
    TestWebhook,
};
use crate::commands::{Accepted, Command, Made};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(change))
        .routes(routes!(remove))
        .routes(routes!(rotate))
        .routes(routes!(replay))
        .routes(routes!(test))
}

/// 201 with the secret, which is told this once.
#[derive(Serialize, ToSchema)]
struct MadeSecret {
    id: WebhookId,
    /// What deliveries are signed with: `whsec_` and base64.
    #[schema(value_type = String)]
    secret: Secret,
    position: Position,
}

impl From<Accepted> for MadeSecret {
    fn from(accepted: Accepted) -> Self {
        let Some(Made::Webhook(NewSecret { id, secret })) = accepted.made else {
            unreachable!("who makes a secret is told the secret");
        };
        Self { id, secret, position: accepted.position }
    }
}

impl IntoResponse for MadeSecret {
    fn into_response(self) -> Response {
        let headers = [(header::CACHE_CONTROL, "no-store")];
        (StatusCode::CREATED, headers, axum::Json(self)).into_response()
    }
}

/// What is new about a webhook.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct WebhookChange {
    /// Where to from now on.
    url: Option<String>,
    /// Which types of events from now on; all when it is empty.
    types: Option<Vec<String>>,
    /// Whether it is told of anything. What is enabled goes on where it was.
    enabled: Option<bool>,
}

/// For how long the old secret signs as well.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Rotation {
    /// In hours: 24 when absent, 168 at the most.
    #[schema(maximum = 168)]
    overlap_hours: Option<u32>,
}

/// From where on.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Replay {
    /// What came after this position.
    from: Position,
}

/// Tells an address of what happens in a conversation, for those who run it; or of everything, for
/// admins of the platform.
#[utoipa::path(
    post,
    path = "/v1/webhooks",
    tag = "bots",
    params(Key),
    request_body = CreateWebhook,
    responses((status = 201, body = MadeSecret), Refusal),
)]
async fn create(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Json(body): Json<CreateWebhook>,
) -> Result<MadeSecret, Problem> {
    body.run(&app, identity, key).await.map(MadeSecret::from)
}

/// Sends a webhook elsewhere or something else, or switches it on or off.
#[utoipa::path(
    patch,
    path = "/v1/webhooks/{id}",
    tag = "bots",
    params(("id" = WebhookId, Path), Key),
    request_body = WebhookChange,
    responses((status = 202, body = Recorded), Refusal),
)]
async fn change(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(webhook): Path<WebhookId>,
    Json(WebhookChange { url, types, enabled }): Json<WebhookChange>,
) -> Result<Recorded, Problem> {
    let command = ChangeWebhook { webhook, url, types, enabled };
    command.run(&app, identity, key).await.map(Recorded::from)
}

/// Removes a webhook. Those who run its conversation may do so, too.
#[utoipa::path(
    delete,
    path = "/v1/webhooks/{id}",
    tag = "bots",
    params(("id" = WebhookId, Path), Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn remove(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(webhook): Path<WebhookId>,
) -> Result<Recorded, Problem> {
    RemoveWebhook { webhook }.run(&app, identity, key).await.map(Recorded::from)
}

/// Gives a webhook a new secret. For a while deliveries are signed with both.
#[utoipa::path(
    post,
    path = "/v1/webhooks/{id}/secret",
    tag = "bots",
    params(("id" = WebhookId, Path), Key),
    request_body = Rotation,
    responses((status = 201, body = MadeSecret), Refusal),
)]
async fn rotate(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(webhook): Path<WebhookId>,
    Json(Rotation { overlap_hours }): Json<Rotation>,
) -> Result<MadeSecret, Problem> {
    let command = RotateSecret { webhook, overlap_hours };
    command.run(&app, identity, key).await.map(MadeSecret::from)
}

/// Tells a webhook again what came after a position, with the same ids.
#[utoipa::path(
    post,
    path = "/v1/webhooks/{id}/replay",
    tag = "bots",
    params(("id" = WebhookId, Path), Key),
    request_body = Replay,
    responses((status = 202, body = Recorded), Refusal),
)]
async fn replay(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(webhook): Path<WebhookId>,
    Json(Replay { from }): Json<Replay>,
) -> Result<Recorded, Problem> {
    ReplayWebhook { webhook, from }.run(&app, identity, key).await.map(Recorded::from)
}

/// Tells a webhook `webhook.tested`, whatever its types are, after what waits for it.
#[utoipa::path(
    post,
    path = "/v1/webhooks/{id}/test",
    tag = "bots",
    params(("id" = WebhookId, Path), Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn test(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(webhook): Path<WebhookId>,
) -> Result<Recorded, Problem> {
    TestWebhook { webhook }.run(&app, identity, key).await.map(Recorded::from)
}
