//! `/v1/calls`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use events::{CallId, Position, UserId};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use service::openapi::{Key, Refusal};
use service::{IdempotencyKey, Identity, Json, Path, Problem};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Created, Recorded};
use crate::App;
use crate::calls::{self, JoinedCall, SfuTicket};
use crate::commands::call_media::{AddVideo, AskConsent, GiveConsent, MoveCall, ToggleMedia};
use crate::commands::calls::{
    AcceptCall, CancelCall, DeclineCall, EndCall, FailCall, JoinCall, LeaveCall, RingMore,
    StartCall,
};
use crate::commands::{Accepted, Command, Made};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(start))
        .routes(routes!(accept))
        .routes(routes!(join))
        .routes(routes!(decline))
        .routes(routes!(cancel))
        .routes(routes!(leave))
        .routes(routes!(fail))
        .routes(routes!(end))
        .routes(routes!(toggle))
        .routes(routes!(ring))
        .routes(routes!(add_video))
        .routes(routes!(carry))
        .routes(routes!(ask_consent))
        .routes(routes!(consent))
        .routes(routes!(ticket))
}

const fn on() -> bool {
    true
}

/// With what somebody comes into a call.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Entering {
    /// Whether the microphone is on.
    #[serde(default = "on")]
    microphone: bool,
    /// Whether the camera is on; in a video call it is if this is absent.
    camera: Option<bool>,
    /// Whether they agree to be recorded, should they be asked.
    #[serde(default)]
    agrees: bool,
}

/// What is turned on or off; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Toggling {
    /// Whether one can be heard.
    microphone: Option<bool>,
    /// Whether one can be seen.
    camera: Option<bool>,
    /// Whether the screen is shared.
    screen: Option<bool>,
}

/// Who is wanted in a call.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Wanting {
    /// At whom it rings; who is in it, or hears it ring, is left as they are.
    people: Vec<UserId>,
}

/// Whether somebody agrees to be recorded.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Consenting {
    agrees: bool,
}

/// 202: in the call, and what there is to know about it.
#[derive(Serialize, ToSchema)]
struct Entered {
    position: Position,
    joined: Option<JoinedCall>,
}

impl IntoResponse for Entered {
    fn into_response(self) -> Response {
        (StatusCode::ACCEPTED, axum::Json(self)).into_response()
    }
}

impl From<Accepted> for Entered {
    fn from(accepted: Accepted) -> Self {
        Self { position: accepted.position, joined: accepted.joined }
    }
}

/// Calls the other one of a direct conversation, or a group.
#[utoipa::path(
    post,
    path = "/v1/calls",
    tag = "calls",
    params(Key),
    request_body = StartCall,
    responses((status = 201, body = Created<CallId>), Refusal),
)]
async fn start(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Json(body): Json<StartCall>,
) -> Result<impl IntoResponse, Problem> {
    let started = body.run(&app, identity, key).await?;
    let Some(Made::Call(id)) = started.made else {
        unreachable!("who calls is told the call's id");
    };
    let location = [(header::LOCATION, format!("/v1/calls/{id}"))];
    Ok((location, Created { id, position: started.position }))
}

/// Takes a call; one's other devices stop ringing.
#[utoipa::path(
    post,
    path = "/v1/calls/{id}/accept",
    tag = "calls",
    params(("id" = CallId, Path), Key),
    request_body = Entering,
    responses((status = 202, body = Entered), Refusal),
)]
async fn accept(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(call): Path<CallId>,
    Json(body): Json<Entering>,
) -> Result<Entered, Problem> {
    let Entering { microphone, camera, agrees } = body;
    let accept = AcceptCall { call, microphone, camera, agrees };
    accept.run(&app, identity, key).await.map(Entered::from)
}

/// Comes into a call that goes on, or comes back.
#[utoipa::path(
    post,
    path = "/v1/calls/{id}/join",
    tag = "calls",
    params(("id" = CallId, Path), Key),
    request_body = Entering,
    responses((status = 202, body = Entered), Refusal),
)]
async fn join(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(call): Path<CallId>,
    Json(body): Json<Entering>,
) -> Result<Entered, Problem> {
    let Entering { microphone, camera, agrees } = body;
    let join = JoinCall { call, microphone, camera, agrees };
    join.run(&app, identity, key).await.map(Entered::from)
}

macro_rules! steps {
    ($(#[doc = $doc:literal] $handler:ident, $path:literal, $command:ident;)*) => {$(
        #[doc = $doc]
        #[utoipa::path(
            post,
            path = $path,
            tag = "calls",
            params(("id" = CallId, Path), Key),
            responses((status = 202, body = Recorded), Refusal),
        )]
        async fn $handler(
            State(app): State<App>,
            identity: Identity,
            IdempotencyKey(key): IdempotencyKey,
            Path(call): Path<CallId>,
        ) -> Result<Recorded, Problem> {
            $command { call }.run(&app, identity, key).await.map(Recorded::from)
        }
    )*};
}

steps! {
    /// Does not take a call; it stops ringing at all of one's devices.
    decline, "/v1/calls/{id}/decline", DeclineCall;
    /// Calls no more, before anybody took it.
    cancel, "/v1/calls/{id}/cancel", CancelCall;
    /// Hangs up.
    leave, "/v1/calls/{id}/leave", LeaveCall;
    /// Says that the media finds no way, and hangs up.
    fail, "/v1/calls/{id}/fail", FailCall;
    /// Ends the call for all, as who called or moderates the group.
    end, "/v1/calls/{id}/end", EndCall;
    /// Lets a call of voices have cameras, too; nobody's is turned on by that.
    add_video, "/v1/calls/{id}/video", AddVideo;
    /// Lets the SFU carry a call whose devices are connected to each other.
    carry, "/v1/calls/{id}/move", MoveCall;
    /// Asks everybody in a call whether it may be recorded, and agrees.
    ask_consent, "/v1/calls/{id}/consent-request", AskConsent;
}

/// Rings at more people of the conversation, from within a call.
#[utoipa::path(
    post,
    path = "/v1/calls/{id}/ring",
    tag = "calls",
    params(("id" = CallId, Path), Key),
    request_body = Wanting,
    responses((status = 202, body = Recorded), Refusal),
)]
async fn ring(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(call): Path<CallId>,
    Json(Wanting { people }): Json<Wanting>,
) -> Result<Recorded, Problem> {
    RingMore { call, people }.run(&app, identity, key).await.map(Recorded::from)
}

/// Turns one's microphone, camera or shared screen on or off.
#[utoipa::path(
    patch,
    path = "/v1/calls/{id}/toggles",
    tag = "calls",
    params(("id" = CallId, Path), Key),
    request_body = Toggling,
    responses((status = 202, body = Recorded), Refusal),
)]
async fn toggle(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(call): Path<CallId>,
    Json(body): Json<Toggling>,
) -> Result<Recorded, Problem> {
    let Toggling { microphone, camera, screen } = body;
    let toggle = ToggleMedia { call, microphone, camera, screen };
    toggle.run(&app, identity, key).await.map(Recorded::from)
}

/// Agrees to be recorded, or does not (any more).
#[utoipa::path(
    put,
    path = "/v1/calls/{id}/consent",
    tag = "calls",
    params(("id" = CallId, Path), Key),
    request_body = Consenting,
    responses((status = 202, body = Recorded), Refusal),
)]
async fn consent(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(call): Path<CallId>,
    Json(Consenting { agrees }): Json<Consenting>,
) -> Result<Recorded, Problem> {
    GiveConsent { call, agrees }.run(&app, identity, key).await.map(Recorded::from)
}

/// A ticket for the SFU node that carries a call, for a device that is in it; good for a minute.
/// Should that node be gone, the call moves to another one first.
#[utoipa::path(
    post,
    path = "/v1/calls/{id}/ticket",
    tag = "calls",
    params(("id" = CallId, Path)),
    responses((status = 200, body = SfuTicket), Refusal),
)]
async fn ticket(
    State(app): State<App>,
    identity: Identity,
    Path(call): Path<CallId>,
) -> Result<impl IntoResponse, Problem> {
    let ticket = calls::ticket(&app, identity, call).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], axum::Json(ticket)))
}
