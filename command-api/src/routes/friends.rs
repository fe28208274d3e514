//! `/v1/friend-requests`, `/v1/friends` and `/v1/blocks`.

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
    AcceptRequest, Block, CancelRequest, DeclineRequest, RemoveFriend, RequestFriend, Unblock,
};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(request))
        .routes(routes!(cancel))
        .routes(routes!(accept))
        .routes(routes!(decline))
        .routes(routes!(remove))
        .routes(routes!(block))
        .routes(routes!(unblock))
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

/// Wants nothing to do with somebody: ends what is between the two. For the other, who asks does
/// not exist from then on.
#[utoipa::path(
    put,
    path = "/v1/blocks/{user}",
    tag = "friends",
    params(("user" = UserId, Path), Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn block(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(user): Path<UserId>,
) -> Result<Recorded, Problem> {
    Block { user }.run(&app, identity, key).await.map(Recorded::from)
}

/// Lets somebody come near again.
#[utoipa::path(
    delete,
    path = "/v1/blocks/{user}",
    tag = "friends",
    params(("user" = UserId, Path), Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn unblock(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(user): Path<UserId>,
) -> Result<Recorded, Problem> {
    Unblock { user }.run(&app, identity, key).await.map(Recorded::from)
}
