//! `/v1/conversations`.

use axum::extract::State;
use axum::response::IntoResponse;
use events::{ConversationId, MessageId, UserId};
use http::header;
use serde::Deserialize;
use service::{IdempotencyKey, Identity, Json, Path, Problem};

use super::{Created, Recorded};
use crate::App;
use crate::commands::conversations::{self, Change, Membership, OpenDirect, OpenGroup};
use crate::commands::messages::{self, SendMessage};
use crate::commands::receipts::{self, Receipt, ReceiptKind};

/// A new conversation.
#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Open {
    /// With a friend.
    Direct { with: UserId },
    /// A group.
    Group { id: Option<ConversationId>, title: String, members: Vec<UserId> },
}

/// A new message.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Send {
    id: Option<MessageId>,
    text: String,
}

/// How far somebody received or read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Upto {
    kind: ReceiptKind,
    message: MessageId,
}

pub(super) async fn open(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Json(body): Json<Open>,
) -> Result<impl IntoResponse, Problem> {
    let opened = match body {
        Open::Direct { with } => {
            conversations::open_direct(&app, identity, key, OpenDirect { with }).await?
        }
        Open::Group { id: conversation, title, members } => {
            let body = OpenGroup { conversation, title, members };
            conversations::open_group(&app, identity, key, body).await?
        }
    };
    let id = opened.conversation.expect("who opens a conversation is told its id");
    let location = [(header::LOCATION, format!("/v1/conversations/{id}"))];
    Ok((location, Created { id, position: opened.position }))
}

pub(super) async fn add(
    state: State<App>,
    identity: Identity,
    key: IdempotencyKey,
    path: Path<(ConversationId, UserId)>,
) -> Result<Recorded, Problem> {
    change(state, identity, key, path, Change::Add).await
}

pub(super) async fn remove(
    state: State<App>,
    identity: Identity,
    key: IdempotencyKey,
    path: Path<(ConversationId, UserId)>,
) -> Result<Recorded, Problem> {
    change(state, identity, key, path, Change::Remove).await
}

pub(super) async fn ban(
    state: State<App>,
    identity: Identity,
    key: IdempotencyKey,
    path: Path<(ConversationId, UserId)>,
) -> Result<Recorded, Problem> {
    change(state, identity, key, path, Change::Ban).await
}

pub(super) async fn unban(
    state: State<App>,
    identity: Identity,
    key: IdempotencyKey,
    path: Path<(ConversationId, UserId)>,
) -> Result<Recorded, Problem> {
    change(state, identity, key, path, Change::Unban).await
}

async fn change(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path((conversation, user)): Path<(ConversationId, UserId)>,
    change: Change,
) -> Result<Recorded, Problem> {
    let body = Membership { conversation, user };
    conversations::change_member(&app, identity, key, change, body).await.map(Recorded::from)
}

pub(super) async fn send(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(conversation): Path<ConversationId>,
    Json(Send { id: message, text }): Json<Send>,
) -> Result<Created<MessageId>, Problem> {
    let body = SendMessage { conversation, message, text };
    let sent = messages::send_message(&app, identity, key, body).await?;
    let id = sent.message.expect("who sends a message is told its id");
    Ok(Created { id, position: sent.position })
}

pub(super) async fn receipt(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(conversation): Path<ConversationId>,
    Json(Upto { kind, message }): Json<Upto>,
) -> Result<Recorded, Problem> {
    let body = Receipt { conversation, message };
    receipts::receive(&app, identity, key, kind, body).await.map(Recorded::from)
}
