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
use crate::commands::study::{Cancel, Change, Complete, Join, Leave, Remove, Schedule, Start};
use crate::commands::whiteboard::{Clear, Draw, Erase};
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
struct ChangeOfPlan {
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
struct Shape {
    /// A text of JSON, which only clients understand.
    shape: String,
}

/// Somebody joined.
#[derive(Serialize, ToSchema)]
struct Joined {
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
    request_body = Schedule,
    responses((status = 201, body = Created<StudySessionId>), Refusal),
)]
async fn schedule(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Json(body): Json<Schedule>,
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
    request_body = ChangeOfPlan,
    responses((status = 202, body = Recorded), Refusal),
)]
async fn change(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(session): Path<StudySessionId>,
    Json(body): Json<ChangeOfPlan>,
) -> Result<Recorded, Problem> {
    let ChangeOfPlan { title, subject, description, capacity, starts } = body;
    let change = Change { session, title, subject, description, capacity, starts };
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
    Start { session }.run(&app, identity, key).await.map(Recorded::from)
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
    Complete { session }.run(&app, identity, key).await.map(Recorded::from)
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
    Cancel { session }.run(&app, identity, key).await.map(Recorded::from)
}

/// Comes into a session and its room.
#[utoipa::path(
    post,
    path = "/v1/study-sessions/{id}/join",
    tag = "study sessions",
    params(("id" = StudySessionId, Path), Key),
    responses((status = 200, body = Joined), Refusal),
)]
async fn join(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(session): Path<StudySessionId>,
) -> Result<axum::Json<Joined>, Problem> {
    let joined = Join { session }.run(&app, identity, key).await?;
    let Some(Made::Conversation(conversation)) = joined.made else {
        unreachable!("who joins is told where the others talk");
    };
    let participants = joined.participants.unwrap_or_default();
    Ok(axum::Json(Joined { position: joined.position, conversation, participants }))
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
    Leave { session }.run(&app, identity, key).await.map(Recorded::from)
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
    Remove { session, user }.run(&app, identity, key).await.map(Recorded::from)
}

/// Draws something on the whiteboard, or draws it anew in the place of what it was.
#[utoipa::path(
    put,
    path = "/v1/study-sessions/{id}/whiteboard/{element}",
    tag = "study sessions",
    params(("id" = StudySessionId, Path), ("element" = ElementId, Path), Key),
    request_body = Shape,
    responses((status = 202, body = Recorded), Refusal),
)]
async fn draw(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path((session, element)): Path<(StudySessionId, ElementId)>,
    Json(Shape { shape }): Json<Shape>,
) -> Result<Recorded, Problem> {
    Draw { session, element, shape }.run(&app, identity, key).await.map(Recorded::from)
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
    Erase { session, element }.run(&app, identity, key).await.map(Recorded::from)
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
    Clear { session }.run(&app, identity, key).await.map(Recorded::from)
}
