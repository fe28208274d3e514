//! `/v1/conversations/{id}/invites` and `/v1/invites`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use events::{ConversationId, InviteId, Moment, Position};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use service::openapi::{Key, Refusal};
use service::{IdempotencyKey, Identity, InviteCode, Json, Path, Problem};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Recorded;
use crate::App;
use crate::commands::invites::{JoinByInvite, MakeInvite, RevokeInvite};
use crate::commands::{Command, Made};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(make)).routes(routes!(revoke)).routes(routes!(join))
}

/// A new invitation.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewInvite {
    /// Until when it may be used; for ever when absent.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires: Option<Moment>,
    /// By how many people; by any number when absent.
    #[schema(minimum = 1)]
    uses: Option<u32>,
}

/// 201 with the code of the invitation, which lets people in.
#[derive(Serialize, ToSchema)]
struct MadeInvite {
    id: InviteId,
    #[schema(value_type = String)]
    code: InviteCode,
    position: Position,
}

impl IntoResponse for MadeInvite {
    fn into_response(self) -> Response {
        let headers = [(header::CACHE_CONTROL, "no-store")];
        (StatusCode::CREATED, headers, axum::Json(self)).into_response()
    }
}

/// 202 with the conversation that the code led to.
#[derive(Serialize, ToSchema)]
struct Joined {
    conversation: ConversationId,
    position: Position,
}

/// Makes an invitation into a group.
#[utoipa::path(
    post,
    path = "/v1/conversations/{id}/invites",
    tag = "invites",
    params(("id" = ConversationId, Path), Key),
    request_body = NewInvite,
    responses((status = 201, body = MadeInvite), Refusal),
)]
async fn make(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(conversation): Path<ConversationId>,
    Json(NewInvite { expires, uses }): Json<NewInvite>,
) -> Result<MadeInvite, Problem> {
    let made = MakeInvite { conversation, expires, uses }.run(&app, identity, key).await?;
    let Some(Made::Invite(invitation)) = made.made else {
        unreachable!("who makes an invitation is told its code");
    };
    Ok(MadeInvite { id: invitation.id, code: invitation.code, position: made.position })
}

/// Lets an invitation be used no more.
#[utoipa::path(
    delete,
    path = "/v1/conversations/{id}/invites/{invite}",
    tag = "invites",
    params(("id" = ConversationId, Path), ("invite" = InviteId, Path), Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn revoke(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path((conversation, invite)): Path<(ConversationId, InviteId)>,
) -> Result<Recorded, Problem> {
    RevokeInvite { conversation, invite }.run(&app, identity, key).await.map(Recorded::from)
}

/// Comes into a group by the code of an invitation.
#[utoipa::path(
    post,
    path = "/v1/invites/{code}/join",
    tag = "invites",
    params(("code" = String, Path), Key),
    responses((status = 202, body = Joined), Refusal),
)]
async fn join(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(code): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    let joined = JoinByInvite { code }.run(&app, identity, key).await?;
    let Some(Made::Conversation(conversation)) = joined.made else {
        unreachable!("who comes by an invitation is told where they are");
    };
    let body = Joined { conversation, position: joined.position };
    Ok((StatusCode::ACCEPTED, axum::Json(body)))
}
