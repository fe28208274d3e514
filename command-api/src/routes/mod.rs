//! The REST routes: each takes a request apart, runs one command, and answers.

mod conversations;
mod friends;
mod sessions;
mod users;

use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post, put};
use events::Position;
use http::StatusCode;
use serde::Serialize;

use crate::commands::Accepted;
use crate::{App, gateway};

/// All routes.
pub(crate) fn router() -> Router<App> {
    Router::new()
        .route("/v1/users", post(users::sign_up))
        .route("/v1/users/me", patch(users::change_profile))
        .route("/v1/sessions", post(sessions::log_in))
        .route("/v1/sessions/refresh", post(sessions::refresh))
        .route("/v1/sessions/current", delete(sessions::log_out))
        .route("/v1/friend-requests", post(friends::request))
        .route("/v1/friend-requests/{user}", delete(friends::cancel))
        .route("/v1/friend-requests/{user}/accept", post(friends::accept))
        .route("/v1/friend-requests/{user}/decline", post(friends::decline))
        .route("/v1/friends/{user}", delete(friends::remove))
        .route("/v1/conversations", post(conversations::open))
        .route(
            "/v1/conversations/{id}/members/{user}",
            put(conversations::add).delete(conversations::remove),
        )
        .route(
            "/v1/conversations/{id}/bans/{user}",
            put(conversations::ban).delete(conversations::unban),
        )
        .route("/v1/conversations/{id}/messages", post(conversations::send))
        .route("/v1/conversations/{id}/receipts", put(conversations::receipt))
        .route("/v1/gateway", get(gateway::upgrade))
        .route("/.well-known/jwks.json", get(sessions::jwks))
}

/// 202: recorded, and soon visible; `after` this position it is.
#[derive(Serialize)]
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
#[derive(Serialize)]
struct Created<I> {
    id: I,
    position: Position,
}

impl<I: Serialize> IntoResponse for Created<I> {
    fn into_response(self) -> Response {
        (StatusCode::CREATED, axum::Json(self)).into_response()
    }
}
