//! The recordings of a call, for those who were in it.

use axum::extract::State;
use events::{CallId, FileId, LoginId, Moment, RecordingId, UserId};
use http::StatusCode;
use serde::Serialize;
use service::openapi::{After, Refusal};
use service::{Json, Path, Problem};
use sqlx::FromRow;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::asked::{Asked, Nothing};
use crate::failure::Answer;
use crate::reads::Reads;

const PROJECTIONS: &[&str] = &["recording", "call_history", "member", "file"];

pub(crate) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new().routes(routes!(list))
}

/// The recordings of a call.
#[derive(Debug, Serialize, ToSchema)]
struct Recordings {
    /// In the order in which they began.
    items: Vec<Recording>,
}

/// A recording.
#[derive(Debug, Serialize, FromRow, ToSchema)]
struct Recording {
    #[sqlx(rename = "recording_id", try_from = "Uuid")]
    id: RecordingId,
    #[sqlx(try_from = "Uuid")]
    started_by: UserId,
    #[schema(value_type = String, format = DateTime)]
    started_at: Moment,
    /// `null` while it runs.
    #[schema(value_type = Option<String>, format = DateTime)]
    stopped_at: Option<Moment>,
    /// How it ended: `stopped`, `withdrawn` (somebody does not agree any more), `newcomer` (somebody
    /// came who did not agree), `ended` (the call did) or `node_lost`.
    cause: Option<String>,
    /// Why it, or a part of it, could not be kept; files that came after all are there nevertheless.
    failure: Option<String>,
    /// What is stored of it, in the order in which it was stored.
    #[sqlx(skip)]
    files: Vec<RecordingFile>,
}

/// A file of a recording: what one device sent of one source. Its bytes are at
/// `/v1/files/{file}/content`.
#[derive(Debug, Serialize, FromRow, ToSchema)]
struct RecordingFile {
    #[sqlx(rename = "file_id", try_from = "Uuid")]
    file: FileId,
    #[serde(skip)]
    #[sqlx(rename = "recording_id", try_from = "Uuid")]
    recording: RecordingId,
    /// Whose media it is.
    #[schema(value_type = Option<UserId>)]
    user_id: Option<Uuid>,
    /// Of which device.
    #[schema(value_type = Option<LoginId>)]
    device_id: Option<Uuid>,
    /// `camera` (with the microphone), `screen`, or what the device called it.
    source: Option<String>,
    /// How long it plays.
    milliseconds: i64,
    /// How long after the recording's begin it begins: so files are put beside each other.
    offset_milliseconds: Option<i64>,
    /// As its content tells.
    media_type: Option<String>,
    bytes: Option<i64>,
    #[schema(value_type = String, format = DateTime)]
    stored_at: Moment,
}

/// The recordings of a call with their files. To who was not in the call it has none, and whoever may
/// not know of the call gets 404.
#[utoipa::path(
    get,
    path = "/v1/calls/{id}/recordings",
    tag = "calls",
    params(("id" = CallId, Path), After),
    responses((status = 200, body = Recordings), Refusal),
)]
async fn list(
    State(reads): State<Reads>,
    Path(call): Path<CallId>,
    asked: Asked<Nothing>,
) -> Answer<Recordings> {
    reads.checkpoints.reach(PROJECTIONS, asked.after).await?;
    let mut eyes = reads.eyes_of(asked.reader).await?;
    let known: bool =
        sqlx::query_scalar("select exists (select from call_history where call_id = $1)")
            .bind(call.uuid())
            .fetch_one(&mut *eyes)
            .await?;
    if !known {
        return Err(no_such_call().into());
    }
    let mut items: Vec<Recording> = sqlx::query_as(
        "select recording_id, started_by, started_at, stopped_at, cause, failure
         from recording where call_id = $1 order by position",
    )
    .bind(call.uuid())
    .fetch_all(&mut *eyes)
    .await?;
    let files: Vec<RecordingFile> = sqlx::query_as(
        "select r.file_id, r.recording_id, r.user_id, r.device_id, r.source, r.milliseconds,
           r.offset_milliseconds, f.media_type, f.bytes, r.stored_at
         from recording_file r left join file f using (file_id)
         where r.call_id = $1 order by r.position",
    )
    .bind(call.uuid())
    .fetch_all(&mut *eyes)
    .await?;
    eyes.commit().await?;
    for file in files {
        if let Some(recording) = items.iter_mut().find(|it| it.id == file.recording) {
            recording.files.push(file);
        }
    }
    Ok(Json(Recordings { items }))
}

/// 404.
const fn no_such_call() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no-such-call", "This call does not exist")
}
