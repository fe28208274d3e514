//! WHIP (RFC 9725) and WHEP: one request to begin, one to end, with the ticket as a bearer token.

use std::collections::HashMap;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use service::openapi::Refusal;
use service::tickets::Ticket;
use service::{Path, Problem};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::admit;
use crate::App;
use crate::room::event::ParticipantId;
use crate::room::{Refused, Who};
use crate::sdp::Description;

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";

/// Sends into a call (WHIP, RFC 9725)
///
/// The `Location` of the answer is where the session is changed and ended.
#[utoipa::path(
    post,
    path = "/v1/whip/{call}",
    tag = "media",
    params(("call" = Uuid, Path)),
    request_body(content = String, content_type = "application/sdp", description = "The offer"),
    responses(
        (status = 201, body = String, content_type = "application/sdp", description = "The answer",
         headers(("Location" = String, description = "The session"))),
        Refusal,
    ),
    security(("ticket" = [])),
)]
pub(super) async fn publish(
    State(app): State<App>,
    Path(call): Path<Uuid>,
    headers: HeaderMap,
    body: String,
) -> Result<Response, Problem> {
    let ticket = admitted(&app, call, &headers)?;
    let offer = Description::read(&body).map_err(Refused::from)?;
    let id = join(&app, &ticket).await?;
    let answer = app
        .thread(call)
        .with(call, move |room, around| room.publish(around, id, &offer, &HashMap::new()));
    begun(&app, "whip", call, id, answer.await?).await
}

/// Receives what is sent in a call (WHEP)
///
/// The `Location` of the answer is where the session is changed and ended.
#[utoipa::path(
    post,
    path = "/v1/whep/{call}",
    tag = "media",
    params(("call" = Uuid, Path)),
    request_body(content = String, content_type = "application/sdp", description = "The offer"),
    responses(
        (status = 201, body = String, content_type = "application/sdp", description = "The answer",
         headers(("Location" = String, description = "The session"))),
        Refusal,
    ),
    security(("ticket" = [])),
)]
pub(super) async fn view(
    State(app): State<App>,
    Path(call): Path<Uuid>,
    headers: HeaderMap,
    body: String,
) -> Result<Response, Problem> {
    let ticket = admitted(&app, call, &headers)?;
    let offer = Description::read(&body).map_err(Refused::from)?;
    let id = join(&app, &ticket).await?;
    let answer = app.thread(call).with(call, move |room, around| room.view(around, id, &offer));
    begun(&app, "whep", call, id, answer.await?).await
}

/// Restarts ICE of a session of WHIP
///
/// Candidates are taken and nobody needs them: the client's checks bring them. Who knows the URL of
/// the session needs nothing else.
#[utoipa::path(
    patch,
    path = "/v1/whip/{call}/{session}",
    tag = "media",
    params(("call" = Uuid, Path), ("session" = Uuid, Path)),
    request_body(content = String, content_type = "application/trickle-ice-sdpfrag"),
    responses(
        (status = 200, body = String, content_type = "application/trickle-ice-sdpfrag",
         description = "The new credentials"),
        (status = 204, description = "Nothing had to change"),
        Refusal,
    ),
    security(()),
)]
pub(super) async fn change(
    State(app): State<App>,
    Path((call, session)): Path<(Uuid, Uuid)>,
    headers: HeaderMap,
    body: String,
) -> Result<Response, Problem> {
    content(&headers, FRAGMENT)?;
    let id = app.shared.sessions.of(call, session).ok_or_else(Problem::not_found)?;
    let name = body.lines().find_map(|line| line.trim().strip_prefix("a=ice-ufrag:"));
    let Some(name) = name.map(str::to_owned) else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let order = app.thread(call).with(call, move |room, _| room.restart_named(id, &name)).await?;
    match order? {
        None => Ok(StatusCode::NO_CONTENT.into_response()),
        Some(own) => {
            let fragment = format!("a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", own.name, own.password);
            Ok(([(header::CONTENT_TYPE, FRAGMENT)], fragment).into_response())
        }
    }
}

/// Ends a session of WHIP
#[utoipa::path(
    delete,
    path = "/v1/whip/{call}/{session}",
    tag = "media",
    params(("call" = Uuid, Path), ("session" = Uuid, Path)),
    responses((status = 200, description = "It has ended"), Refusal),
    security(()),
)]
pub(super) async fn end(
    State(app): State<App>,
    Path((call, session)): Path<(Uuid, Uuid)>,
) -> Result<StatusCode, Problem> {
    let id = app.shared.sessions.of(call, session).ok_or_else(Problem::not_found)?;
    app.thread(call).with(call, move |room, around| room.leave(around, id, "left")).await?;
    app.shared.sessions.end(session);
    Ok(StatusCode::OK)
}

/// Restarts ICE of a session of WHEP
///
/// As that of WHIP.
#[utoipa::path(
    patch,
    path = "/v1/whep/{call}/{session}",
    tag = "media",
    params(("call" = Uuid, Path), ("session" = Uuid, Path)),
    request_body(content = String, content_type = "application/trickle-ice-sdpfrag"),
    responses(
        (status = 200, body = String, content_type = "application/trickle-ice-sdpfrag",
         description = "The new credentials"),
        (status = 204, description = "Nothing had to change"),
        Refusal,
    ),
    security(()),
)]
pub(super) async fn change_view(
    app: State<App>,
    path: Path<(Uuid, Uuid)>,
    headers: HeaderMap,
    body: String,
) -> Result<Response, Problem> {
    change(app, path, headers, body).await
}

/// Ends a session of WHEP
#[utoipa::path(
    delete,
    path = "/v1/whep/{call}/{session}",
    tag = "media",
    params(("call" = Uuid, Path), ("session" = Uuid, Path)),
    responses((status = 200, description = "It has ended"), Refusal),
    security(()),
)]
pub(super) async fn end_view(
    app: State<App>,
    path: Path<(Uuid, Uuid)>,
) -> Result<StatusCode, Problem> {
    end(app, path).await
}

fn admitted(app: &App, call: Uuid, headers: &HeaderMap) -> Result<Ticket, Problem> {
    let token = service::auth::bearer(headers)?.ok_or_else(Problem::unauthenticated)?;
    // Before the ticket, which is good once.
    content(headers, SDP)?;
    let ticket = admit(app, token)?;
    match ticket.call == call {
        true => Ok(ticket),
        false => {
            let title = "The ticket is for another call";
            Err(Problem::new(StatusCode::FORBIDDEN, "ticket-call", title))
        }
    }
}

fn content(headers: &HeaderMap, wanted: &'static str) -> Result<(), Problem> {
    let said = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let said = said.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    if said.eq_ignore_ascii_case(wanted) {
        return Ok(());
    }
    let title = "The body is of another type than it must be";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", title).detail(wanted))
}

async fn join(app: &App, ticket: &Ticket) -> Result<ParticipantId, Problem> {
    let who = Who { user: ticket.user, device: ticket.device };
    let rights = ticket.rights;
    let joined = app.thread(ticket.call).with(ticket.call, move |room, around| {
        // Nobody listens to its events: the media says whether it is there.
        let (id, _) = room.join(around, who, rights, mpsc::channel(1).0, false)?;
        room.without_signalling(id, around.now);
        Some(id)
    });
    joined.await?.ok_or_else(|| Refused::Full.into())
}

async fn begun(
    app: &App,
    kind: &str,
    call: Uuid,
    id: ParticipantId,
    answer: Result<String, Refused>,
) -> Result<Response, Problem> {
    match answer {
        Ok(answer) => {
            let session = app.shared.sessions.begin(call, id);
            let location = format!("/v1/{kind}/{call}/{session}");
            let headers = [(header::CONTENT_TYPE, SDP.to_owned()), (header::LOCATION, location)];
            Ok((StatusCode::CREATED, headers, answer).into_response())
        }
        Err(refused) => {
            let thread = app.thread(call);
            thread.with(call, move |room, around| room.leave(around, id, "refused")).await?;
            Err(refused.into())
        }
    }
}
