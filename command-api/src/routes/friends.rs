//! `/v1/friend-requests` and `/v1/friends`.

use axum::extract::State;
use events::UserId;
use service::openapi::{Key, Refusal};
use service::{IdempotencyKey, Identity, Json, Path, Problem};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Recorded;
use crate::App;
use crate::commands::Command;
use crate::commands::friendships::{
    AcceptRequest, CancelRequest, DeclineRequest, RemoveFriend, RequestFriend,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(request))
        .routes(routes!(cancel))
        .routes(routes!(accept))
        .routes(routes!(decline))
        .routes(routes!(remove))
}

/// Asks somebody to be friends; accepts, if they have asked already.
#[utoipa::path(
    post,
    path = "/v1/friend-requests",
    tag = "friends",
    params(Key),
    request_body = RequestFriend,
    responses((status = 202, body = Recorded), Refusal),
)]
async fn request(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Json(body): Json<RequestFriend>,
) -> Result<Recorded, Problem> {
    body.run(&app, identity, key).await.map(Recorded::from)
}

/// Says yes to a friend request.
#[utoipa::path(
    post,
    path = "/v1/friend-requests/{user}/accept",
    tag = "friends",
    params(("user" = UserId, Path), Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn accept(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(from): Path<UserId>,
) -> Result<Recorded, Problem> {
    AcceptRequest { from }.run(&app, identity, key).await.map(Recorded::from)
}

/// Says no to a friend request.
#[utoipa::path(
    post,
    path = "/v1/friend-requests/{user}/decline",
    tag = "friends",
    params(("user" = UserId, Path), Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn decline(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(from): Path<UserId>,
) -> Result<Recorded, Problem> {
    DeclineRequest { from }.run(&app, identity, key).await.map(Recorded::from)
}

/// Takes a friend request back.
#[utoipa::path(
    delete,
    path = "/v1/friend-requests/{user}",
    tag = "friends",
    params(("user" = UserId, Path), Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn cancel(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(to): Path<UserId>,
) -> Result<Recorded, Problem> {
    CancelRequest { to }.run(&app, identity, key).await.map(Recorded::from)
}

/// Ends a friendship.
#[utoipa::path(
    delete,
    path = "/v1/friends/{user}",
    tag = "friends",
    params(("user" = UserId, Path), Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn remove(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(user): Path<UserId>,
) -> Result<Recorded, Problem> {
    RemoveFriend { user }.run(&app, identity, key).await.map(Recorded::from)
}
