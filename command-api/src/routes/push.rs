//! `/v1/push-subscriptions`.

use axum::extract::State;
use events::PushId;
use serde::Serialize;
use service::openapi::{Key, Refusal};
use service::{IdempotencyKey, Identity, Json, Path, Problem, Vapid};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Created, Recorded};
use crate::App;
use crate::commands::push::{SubscribePush, UnsubscribePush};
use crate::commands::{Command, Made};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(key))
        .routes(routes!(subscribe))
        .routes(routes!(unsubscribe))
}

/// What a browser subscribes with.
#[derive(Serialize, ToSchema)]
struct PushKey {
    /// The `applicationServerKey` (RFC 8292): an uncompressed point of P-256, in base64url.
    key: String,
}

/// What a browser subscribes with.
#[utoipa::path(
    get,
    path = "/v1/push-subscriptions/key",
    tag = "notifications",
    responses((status = 200, body = PushKey), Refusal),
)]
async fn key(State(app): State<App>, _: Identity) -> Json<PushKey> {
    Json(PushKey { key: Vapid::of(app.secrets()).public_key() })
}

/// Gets notifications on this browser. The body is its `PushSubscription`, as JSON, without
/// `expirationTime`.
#[utoipa::path(
    put,
    path = "/v1/push-subscriptions",
    tag = "notifications",
    params(Key),
    request_body = SubscribePush,
    responses((status = 201, body = Created<PushId>), Refusal),
)]
async fn subscribe(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Json(body): Json<SubscribePush>,
) -> Result<Created<PushId>, Problem> {
    let subscribed = body.run(&app, identity, key).await?;
    let Some(Made::PushSubscription(id)) = subscribed.made else {
        unreachable!("who subscribes is told the subscription's id");
    };
    Ok(Created { id, position: subscribed.position })
}

/// Gets them there no more.
#[utoipa::path(
    delete,
    path = "/v1/push-subscriptions/{id}",
    tag = "notifications",
    params(("id" = PushId, Path), Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn unsubscribe(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(subscription): Path<PushId>,
) -> Result<Recorded, Problem> {
    UnsubscribePush { subscription }.run(&app, identity, key).await.map(Recorded::from)
}
