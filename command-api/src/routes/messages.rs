//! `/v1/conversations/{id}/messages` and what is done to them; `/v1/conversations/{id}/pins`.

use axum::extract::State;
use axum::response::IntoResponse;
use events::message::MessageKind;
use events::{ConversationId, FileId, MessageId, UserId};
use http::header;
use serde::Deserialize;
use service::openapi::{Key, Refusal};
use service::{IdempotencyKey, Identity, Json, Path, Problem};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Created, Recorded};
use crate::App;
use crate::commands::messages::{DeleteMessage, EditMessage, React, SendMessage, Unreact};
use crate::commands::pins::{Pin, Unpin};
use crate::commands::{Command, Made};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(send))
        .routes(routes!(edit, delete))
        .routes(routes!(react, unreact))
        .routes(routes!(pin, unpin))
}

/// A new message.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Send {
    id: Option<MessageId>,
    /// At most 8000 characters; nothing only where there are attachments.
    #[serde(default)]
    text: String,
    #[serde(default)]
    kind: MessageKind,
    /// The message it answers.
    reply_to: Option<MessageId>,
    /// The first message of the thread it belongs to.
    thread: Option<MessageId>,
    /// At most 50.
    #[serde(default)]
    mentions: Vec<UserId>,
    /// At most 10 files that the sender uploaded to this conversation.
    #[serde(default)]
    attachments: Vec<FileId>,
}

/// What a message is to say.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Edit {
    text: String,
    #[serde(default)]
    mentions: Vec<UserId>,
}

/// Says something in a conversation.
#[utoipa::path(
    post,
    path = "/v1/conversations/{id}/messages",
    tag = "messages",
    params(("id" = ConversationId, Path), Key),
    request_body = Send,
    responses((status = 201, body = Created<MessageId>), Refusal),
)]
async fn send(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(conversation): Path<ConversationId>,
    Json(body): Json<Send>,
) -> Result<impl IntoResponse, Problem> {
    let Send { id: message, text, kind, reply_to, thread, mentions, attachments } = body;
    let command =
        SendMessage { conversation, message, text, kind, reply_to, thread, mentions, attachments };
    let sent = command.run(&app, identity, key).await?;
    let Some(Made::Message(id)) = sent.made else {
        unreachable!("who sends a message is told its id");
    };
    let location = format!("/v1/conversations/{conversation}/messages/{id}");
    Ok(([(header::LOCATION, location)], Created { id, position: sent.position }))
}

/// Changes what one's own message says.
#[utoipa::path(
    patch,
    path = "/v1/conversations/{id}/messages/{message}",
    tag = "messages",
    params(("id" = ConversationId, Path), ("message" = MessageId, Path), Key),
    request_body = Edit,
    responses((status = 202, body = Recorded), Refusal),
)]
async fn edit(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path((conversation, message)): Path<(ConversationId, MessageId)>,
    Json(Edit { text, mentions }): Json<Edit>,
) -> Result<Recorded, Problem> {
    let command = EditMessage { conversation, message, text, mentions };
    command.run(&app, identity, key).await.map(Recorded::from)
}

/// Shows a message no more: one's own, or that of another as a moderator of the group.
#[utoipa::path(
    delete,
    path = "/v1/conversations/{id}/messages/{message}",
    tag = "messages",
    params(("id" = ConversationId, Path), ("message" = MessageId, Path), Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn delete(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path((conversation, message)): Path<(ConversationId, MessageId)>,
) -> Result<Recorded, Problem> {
    DeleteMessage { conversation, message }.run(&app, identity, key).await.map(Recorded::from)
}

/// Reacts to a message with an emoji.
#[utoipa::path(
    put,
    path = "/v1/conversations/{id}/messages/{message}/reactions/{emoji}",
    tag = "messages",
    params(
        ("id" = ConversationId, Path),
        ("message" = MessageId, Path),
        ("emoji" = String, Path, description = "One emoji, percent-encoded"),
        Key,
    ),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn react(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path((conversation, message, emoji)): Path<(ConversationId, MessageId, String)>,
) -> Result<Recorded, Problem> {
    React { conversation, message, emoji }.run(&app, identity, key).await.map(Recorded::from)
}

/// Takes a reaction back.
#[utoipa::path(
    delete,
    path = "/v1/conversations/{id}/messages/{message}/reactions/{emoji}",
    tag = "messages",
    params(
        ("id" = ConversationId, Path),
        ("message" = MessageId, Path),
        ("emoji" = String, Path, description = "One emoji, percent-encoded"),
        Key,
    ),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn unreact(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path((conversation, message, emoji)): Path<(ConversationId, MessageId, String)>,
) -> Result<Recorded, Problem> {
    Unreact { conversation, message, emoji }.run(&app, identity, key).await.map(Recorded::from)
}

/// Shows a message to everybody at the top.
#[utoipa::path(
    put,
    path = "/v1/conversations/{id}/pins/{message}",
    tag = "messages",
    params(("id" = ConversationId, Path), ("message" = MessageId, Path), Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn pin(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path((conversation, message)): Path<(ConversationId, MessageId)>,
) -> Result<Recorded, Problem> {
    Pin { conversation, message }.run(&app, identity, key).await.map(Recorded::from)
}

/// Shows a message there no more.
#[utoipa::path(
    delete,
    path = "/v1/conversations/{id}/pins/{message}",
    tag = "messages",
    params(("id" = ConversationId, Path), ("message" = MessageId, Path), Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn unpin(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path((conversation, message)): Path<(ConversationId, MessageId)>,
) -> Result<Recorded, Problem> {
    Unpin { conversation, message }.run(&app, identity, key).await.map(Recorded::from)
}
