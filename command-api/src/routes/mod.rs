//! The REST routes: each takes a request apart, runs one command, and answers.

mod calls;
mod conversations;
mod erasure;
mod files;
mod friends;
mod groups;
mod invites;
mod messages;
mod moderation;
mod notifications;
mod parked;
mod push;
mod recordings;
mod reports;
mod sessions;
mod study;
mod tokens;
mod users;
mod webhooks;

use axum::response::{IntoResponse, Response};
use axum::routing::get;
use events::Position;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;

use crate::commands::Accepted;
use crate::{App, gateway};

/// All routes, with their descriptions.
pub(crate) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .merge(users::router())
        .merge(sessions::router())
        .merge(friends::router())
        .merge(conversations::router())
        .merge(messages::router())
        .merge(groups::router())
        .merge(invites::router())
        .merge(reports::router())
        .merge(moderation::router())
        .merge(erasure::router())
        .merge(parked::router())
        .merge(study::router())
        .merge(files::router())
        .merge(notifications::router())
        .merge(push::router())
        .merge(calls::router())
        .merge(recordings::router())
        .merge(tokens::router())
        .merge(webhooks::router())
        .route("/v1/gateway", get(gateway::upgrade))
}

/// 202: recorded, and soon visible; `after` this position it is.
#[derive(Serialize, ToSchema)]
struct Recorded {
    position: Position,
}

impl IntoResponse for Recorded {
    fn into_response(self) -> Response {
        (StatusCode::ACCEPTED, axum::Json(self)).into_response()
    }
}

impl From<Accepted> for Recorded {
    fn from(accepted: Accepted) -> Self {
        Self { position: accepted.position }
    }
}

/// 201 with the id of what was made.
#[derive(Serialize, ToSchema)]
struct Created<I> {
    id: I,
    position: Position,
}

impl<I: Serialize> IntoResponse for Created<I> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, axum::Json(self)).into_response()
    }
}
