//! `/v1/conversations/{id}`: what is set for a group, and who runs it.

use axum::extract::State;
use events::conversation::Role;
use events::{ConversationId, UserId};
use serde::Deserialize;
use service::openapi::{Key, Refusal};
use service::{IdempotencyKey, Identity, Json, Path, Problem};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Recorded;
use crate::App;
use crate::commands::Command;
use crate::commands::groups::{ChangeRole, ChangeSettings, TransferOwnership};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(change_settings))
        .routes(routes!(change_role))
        .routes(routes!(transfer_ownership))
}

/// What is set for a group; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct GroupSettings {
    title: Option<String>,
    /// How many seconds members wait between two messages; 0 lets them send freely.
    slow_mode_seconds: Option<u32>,
}

/// A role in a group.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct GroupRole {
    role: Role,
}

/// The next owner of a group.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NextOwner {
    to: UserId,
}

/// Changes the title or the slow mode of a group.
#[utoipa::path(
    patch,
    path = "/v1/conversations/{id}",
    tag = "conversations",
    params(("id" = ConversationId, Path), Key),
    request_body = GroupSettings,
    responses((status = 202, body = Recorded), Refusal),
)]
async fn change_settings(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(conversation): Path<ConversationId>,
    Json(GroupSettings { title, slow_mode_seconds }): Json<GroupSettings>,
) -> Result<Recorded, Problem> {
    let command = ChangeSettings { conversation, title, slow_mode_seconds };
    command.run(&app, identity, key).await.map(Recorded::from)
}

/// Makes somebody an admin of a group, or a member again.
#[utoipa::path(
    put,
    path = "/v1/conversations/{id}/members/{user}/role",
    tag = "conversations",
    params(("id" = ConversationId, Path), ("user" = UserId, Path), Key),
    request_body = GroupRole,
    responses((status = 202, body = Recorded), Refusal),
)]
async fn change_role(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path((conversation, user)): Path<(ConversationId, UserId)>,
    Json(GroupRole { role }): Json<GroupRole>,
) -> Result<Recorded, Problem> {
    ChangeRole { conversation, user, role }.run(&app, identity, key).await.map(Recorded::from)
}

/// Gives a group to somebody in it; the old owner is an admin from then on.
#[utoipa::path(
    post,
    path = "/v1/conversations/{id}/owner",
    tag = "conversations",
    params(("id" = ConversationId, Path), Key),
    request_body = NextOwner,
    responses((status = 202, body = Recorded), Refusal),
)]
async fn transfer_ownership(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(conversation): Path<ConversationId>,
    Json(NextOwner { to }): Json<NextOwner>,
) -> Result<Recorded, Problem> {
    TransferOwnership { conversation, to }.run(&app, identity, key).await.map(Recorded::from)
}
