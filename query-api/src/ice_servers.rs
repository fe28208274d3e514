//! The servers by which devices in a call find each other, with credentials for the reader.

use axum::Extension;
use axum::response::IntoResponse;
use events::Moment;
use http::header;
use serde::Serialize;
use service::openapi::Refusal;
use service::{CallSettings, clock};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::asked::Reader;
use crate::reads::Reads;

pub(crate) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new().routes(routes!(list))
}

/// What a browser's `RTCPeerConnection` takes.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IceServers {
    ice_servers: Vec<IceServer>,
    /// Until when the credentials are good; `null` where there are none.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires: Option<Moment>,
}

/// A server, as `RTCIceServer` has it.
#[derive(Debug, Serialize, ToSchema)]
struct IceServer {
    /// `stun:` or `turn:` URLs.
    urls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<String>,
}

/// STUN and TURN servers; the credentials are the reader's, and good for a while.
#[utoipa::path(
    get,
    path = "/v1/ice-servers",
    tag = "calls",
    responses((status = 200, body = IceServers), Refusal),
)]
async fn list(
    Extension(settings): Extension<CallSettings>,
    Extension(Reader(reader)): Extension<Reader>,
) -> impl IntoResponse {
    let mut ice_servers = vec![];
    if !settings.stun.is_empty() {
        ice_servers.push(IceServer { urls: settings.stun, username: None, credential: None });
    }
    let mut expires = None;
    if let Some(turn) = settings.turn {
        let made = turn.credential(reader, clock::now());
        expires = Some(made.expires);
        ice_servers.push(IceServer {
            urls: turn.urls,
            username: Some(made.username),
            credential: Some(made.credential),
        });
    }
    ([(header::CACHE_CONTROL, "no-store")], axum::Json(IceServers { ice_servers, expires }))
}
