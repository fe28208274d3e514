//! `/v1/study-sessions`.

use axum::extract::State;
use axum::response::IntoResponse;
use events::{ConversationId, ElementId, Moment, Position, StudySessionId, UserId};
use http::header;
use serde::{Deserialize, Serialize};
use service::openapi::{Key, Refusal};
use service::{IdempotencyKey, Identity, Json, Path, Problem};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Created, Recorded};
use crate::App;
use crate::commands::study::{
    CancelSession, ChangeSession, CompleteSession, JoinSession, LeaveSession, RemoveParticipant,
    ScheduleSession, StartSession,
};
use crate::commands::whiteboard::{ClearWhiteboard, DrawElement, EraseElement};
use crate::commands::{Command, Made};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(schedule))
        .routes(routes!(change))
        .routes(routes!(start))
        .routes(routes!(complete))
        .routes(routes!(cancel))
        .routes(routes!(join))
        .routes(routes!(leave))
        .routes(routes!(remove))
        .routes(routes!(draw, erase))
        .routes(routes!(clear))
}

/// What is to be different in a plan; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SessionChange {
    title: Option<String>,
    subject: Option<String>,
    description: Option<String>,
    capacity: Option<u16>,
    #[schema(value_type = Option<String>, format = DateTime)]
    starts: Option<Moment>,
}

/// How something looks.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ElementShape {
    /// A text of JSON, which only clients understand.
    shape: String,
}

/// Somebody joined.
#[derive(Serialize, ToSchema)]
struct JoinedSession {
    position: Position,
    /// Where the people of the session talk.
    conversation: ConversationId,
    /// Who was there already.
    participants: Vec<UserId>,
}

/// Plans a session, as its tutor.
#[utoipa::path(
    post,
    path = "/v1/study-sessions",
    tag = "study sessions",
    params(Key),
    request_body = ScheduleSession,
    responses((status = 201, body = Created<StudySessionId>), Refusal),
)]
async fn schedule(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Json(body): Json<ScheduleSession>,
) -> Result<impl IntoResponse, Problem> {
    let scheduled = body.run(&app, identity, key).await?;
    let Some(Made::StudySession(id)) = scheduled.made else {
        unreachable!("who plans a session is told its id");
    };
    let location = [(header::LOCATION, format!("/v1/study-sessions/{id}"))];
    Ok((location, Created { id, position: scheduled.position }))
}

/// Changes the plan of a session.
#[utoipa::path(
    patch,
    path = "/v1/study-sessions/{id}",
    tag = "study sessions",
    params(("id" = StudySessionId, Path), Key),
    request_body = SessionChange,
    responses((status = 202, body = Recorded), Refusal),
)]
async fn change(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(session): Path<StudySessionId>,
    Json(body): Json<SessionChange>,
) -> Result<Recorded, Problem> {
    let SessionChange { title, subject, description, capacity, starts } = body;
    let change = ChangeSession { session, title, subject, description, capacity, starts };
    change.run(&app, identity, key).await.map(Recorded::from)
}

/// The session begins.
#[utoipa::path(
    post,
    path = "/v1/study-sessions/{id}/start",
    tag = "study sessions",
    params(("id" = StudySessionId, Path), Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn start(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(session): Path<StudySessionId>,
) -> Result<Recorded, Problem> {
    StartSession { session }.run(&app, identity, key).await.map(Recorded::from)
}

/// The session ends, and everybody leaves it.
#[utoipa::path(
    post,
    path = "/v1/study-sessions/{id}/complete",
    tag = "study sessions",
    params(("id" = StudySessionId, Path), Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn complete(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(session): Path<StudySessionId>,
) -> Result<Recorded, Problem> {
    CompleteSession { session }.run(&app, identity, key).await.map(Recorded::from)
}

/// The session is called off, or broken off.
#[utoipa::path(
    post,
    path = "/v1/study-sessions/{id}/cancel",
    tag = "study sessions",
    params(("id" = StudySessionId, Path), Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn cancel(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(session): Path<StudySessionId>,
) -> Result<Recorded, Problem> {
    CancelSession { session }.run(&app, identity, key).await.map(Recorded::from)
}

/// Comes into a session and its room.
#[utoipa::path(
    post,
    path = "/v1/study-sessions/{id}/join",
    tag = "study sessions",
    params(("id" = StudySessionId, Path), Key),
    responses((status = 200, body = JoinedSession), Refusal),
)]
async fn join(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(session): Path<StudySessionId>,
) -> Result<axum::Json<JoinedSession>, Problem> {
    let joined = JoinSession { session }.run(&app, identity, key).await?;
    let Some(Made::Conversation(conversation)) = joined.made else {
        unreachable!("who joins is told where the others talk");
    };
    let participants = joined.participants.unwrap_or_default();
    Ok(axum::Json(JoinedSession { position: joined.position, conversation, participants }))
}

/// Goes out of a session and its room.
#[utoipa::path(
    post,
    path = "/v1/study-sessions/{id}/leave",
    tag = "study sessions",
    params(("id" = StudySessionId, Path), Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn leave(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(session): Path<StudySessionId>,
) -> Result<Recorded, Problem> {
    LeaveSession { session }.run(&app, identity, key).await.map(Recorded::from)
}

/// Sends somebody out of a session and its room.
#[utoipa::path(
    delete,
    path = "/v1/study-sessions/{id}/participants/{user}",
    tag = "study sessions",
    params(("id" = StudySessionId, Path), ("user" = UserId, Path), Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn remove(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path((session, user)): Path<(StudySessionId, UserId)>,
) -> Result<Recorded, Problem> {
    RemoveParticipant { session, user }.run(&app, identity, key).await.map(Recorded::from)
}

/// Draws something on the whiteboard, or draws it anew in the place of what it was.
#[utoipa::path(
    put,
    path = "/v1/study-sessions/{id}/whiteboard/{element}",
    tag = "study sessions",
    params(("id" = StudySessionId, Path), ("element" = ElementId, Path), Key),
    request_body = ElementShape,
    responses((status = 202, body = Recorded), Refusal),
)]
async fn draw(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path((session, element)): Path<(StudySessionId, ElementId)>,
    Json(ElementShape { shape }): Json<ElementShape>,
) -> Result<Recorded, Problem> {
    DrawElement { session, element, shape }.run(&app, identity, key).await.map(Recorded::from)
}

/// Wipes something out on the whiteboard.
#[utoipa::path(
    delete,
    path = "/v1/study-sessions/{id}/whiteboard/{element}",
    tag = "study sessions",
    params(("id" = StudySessionId, Path), ("element" = ElementId, Path), Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn erase(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path((session, element)): Path<(StudySessionId, ElementId)>,
) -> Result<Recorded, Problem> {
    EraseElement { session, element }.run(&app, identity, key).await.map(Recorded::from)
}

/// Wipes everything out on the whiteboard.
#[utoipa::path(
    delete,
    path = "/v1/study-sessions/{id}/whiteboard",
    tag = "study sessions",
    params(("id" = StudySessionId, Path), Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn clear(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(session): Path<StudySessionId>,
) -> Result<Recorded, Problem> {
    ClearWhiteboard { session }.run(&app, identity, key).await.map(Recorded::from)
}
