//! `/v1/conversations`.

use axum::extract::State;
use axum::response::IntoResponse;
use events::{ConversationId, MessageId, UserId};
use http::header;
use serde::Deserialize;
use service::openapi::{Key, Refusal};
use service::{IdempotencyKey, Identity, Json, Path, Problem};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Created, Recorded};
use crate::App;
use crate::commands::conversations::{
    AddMember, BanMember, OpenDirect, OpenGroup, RemoveMember, UnbanMember,
};
use crate::commands::receipts::{Delivered, Read};
use crate::commands::{Command, Made};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(open))
        .routes(routes!(add, remove))
        .routes(routes!(ban, unban))
        .routes(routes!(receipt))
}

/// A new conversation.
#[derive(Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Open {
    /// With a friend.
    Direct { with: UserId },
    /// A group.
    Group { id: Option<ConversationId>, title: String, members: Vec<UserId> },
}

/// Received by a device, or read by the person.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Delivered,
    Read,
}

/// How far somebody received or read.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Upto {
    kind: Kind,
    message: MessageId,
}

/// Opens a conversation: with a friend, or a group.
#[utoipa::path(
    post,
    path = "/v1/conversations",
    tag = "conversations",
    params(Key),
    request_body = Open,
    responses((status = 201, body = Created<ConversationId>), Refusal),
)]
async fn open(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Json(body): Json<Open>,
) -> Result<impl IntoResponse, Problem> {
    let opened = match body {
        Open::Direct { with } => OpenDirect { with }.run(&app, identity, key).await?,
        Open::Group { id: conversation, title, members } => {
            OpenGroup { conversation, title, members }.run(&app, identity, key).await?
        }
    };
    let Some(Made::Conversation(id)) = opened.made else {
        unreachable!("who opens a conversation is told its id");
    };
    let location = [(header::LOCATION, format!("/v1/conversations/{id}"))];
    Ok((location, Created { id, position: opened.position }))
}

/// Adds somebody to a group.
#[utoipa::path(
    put,
    path = "/v1/conversations/{id}/members/{user}",
    tag = "conversations",
    params(("id" = ConversationId, Path), ("user" = UserId, Path), Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn add(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path((conversation, user)): Path<(ConversationId, UserId)>,
) -> Result<Recorded, Problem> {
    AddMember { conversation, user }.run(&app, identity, key).await.map(Recorded::from)
}

/// Removes somebody from a group, or leaves it.
#[utoipa::path(
    delete,
    path = "/v1/conversations/{id}/members/{user}",
    tag = "conversations",
    params(("id" = ConversationId, Path), ("user" = UserId, Path), Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn remove(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path((conversation, user)): Path<(ConversationId, UserId)>,
) -> Result<Recorded, Problem> {
    RemoveMember { conversation, user }.run(&app, identity, key).await.map(Recorded::from)
}

/// Removes somebody from a group for good.
#[utoipa::path(
    put,
    path = "/v1/conversations/{id}/bans/{user}",
    tag = "conversations",
    params(("id" = ConversationId, Path), ("user" = UserId, Path), Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn ban(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path((conversation, user)): Path<(ConversationId, UserId)>,
) -> Result<Recorded, Problem> {
    BanMember { conversation, user }.run(&app, identity, key).await.map(Recorded::from)
}

/// Lets somebody be added again.
#[utoipa::path(
    delete,
    path = "/v1/conversations/{id}/bans/{user}",
    tag = "conversations",
    params(("id" = ConversationId, Path), ("user" = UserId, Path), Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn unban(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path((conversation, user)): Path<(ConversationId, UserId)>,
) -> Result<Recorded, Problem> {
    UnbanMember { conversation, user }.run(&app, identity, key).await.map(Recorded::from)
}

/// Says how far the person who asks received or read a conversation.
#[utoipa::path(
    put,
    path = "/v1/conversations/{id}/receipts",
    tag = "messages",
    params(("id" = ConversationId, Path), Key),
    request_body = Upto,
    responses((status = 202, body = Recorded), Refusal),
)]
async fn receipt(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(conversation): Path<ConversationId>,
    Json(Upto { kind, message }): Json<Upto>,
) -> Result<Recorded, Problem> {
    let moved = match kind {
        Kind::Delivered => Delivered { conversation, message }.run(&app, identity, key).await,
        Kind::Read => Read { conversation, message }.run(&app, identity, key).await,
    };
    moved.map(Recorded::from)
}
