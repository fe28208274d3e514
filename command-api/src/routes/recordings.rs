//! `/v1/calls/{id}/recordings`.

use axum::extract::State;
use axum::response::IntoResponse;
use events::{CallId, RecordingId};
use http::header;
use serde::Deserialize;
use service::openapi::{Key, Refusal};
use service::{IdempotencyKey, Identity, Json, Path, Problem};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Created, Recorded};
use crate::App;
use crate::commands::recordings::{StartRecording, StopRecording};
use crate::commands::{Command, Made};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(start)).routes(routes!(stop))
}

/// A recording that is to begin.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewRecording {
    /// The new id; one is made if it is absent.
    recording: Option<RecordingId>,
}

/// Records a call whose people all agree: as who called or moderates the group, between two as either.
#[utoipa::path(
    post,
    path = "/v1/calls/{id}/recordings",
    tag = "calls",
    params(("id" = CallId, Path), Key),
    request_body = NewRecording,
    responses((status = 201, body = Created<RecordingId>), Refusal),
)]
async fn start(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(call): Path<CallId>,
    Json(NewRecording { recording }): Json<NewRecording>,
) -> Result<impl IntoResponse, Problem> {
    let begun = StartRecording { call, recording }.run(&app, identity, key).await?;
    let Some(Made::Recording(id)) = begun.made else {
        unreachable!("who records is told the recording's id");
    };
    let location = [(header::LOCATION, format!("/v1/calls/{call}/recordings"))];
    Ok((location, Created { id, position: begun.position }))
}

/// Records a call no more. Its files come a moment later.
#[utoipa::path(
    post,
    path = "/v1/calls/{id}/recordings/{recording}/stop",
    tag = "calls",
    params(("id" = CallId, Path), ("recording" = RecordingId, Path), Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn stop(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path((call, recording)): Path<(CallId, RecordingId)>,
) -> Result<Recorded, Problem> {
    StopRecording { call, recording }.run(&app, identity, key).await.map(Recorded::from)
}
