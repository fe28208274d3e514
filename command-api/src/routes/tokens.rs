//! `/v1/api-tokens`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use events::{LoginId, Position};
use http::{StatusCode, header};
use serde::Serialize;
use service::auth::ApiToken;
use service::openapi::{Key, Refusal};
use service::{IdempotencyKey, Identity, Json, Path, Problem};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Recorded;
use crate::App;
use crate::commands::tokens::{MakeToken, NewToken, RevokeToken};
use crate::commands::{Command, Made};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(make)).routes(routes!(revoke))
}

/// 201 with the token, which is told this once.
#[derive(Serialize, ToSchema)]
struct MadeToken {
    id: LoginId,
    /// `rtk_` and 80 hex digits.
    #[schema(value_type = String)]
    token: ApiToken,
    position: Position,
}

impl IntoResponse for MadeToken {
    fn into_response(self) -> Response {
        let headers = [(header::CACHE_CONTROL, "no-store")];
        (StatusCode::CREATED, headers, axum::Json(self)).into_response()
    }
}

/// Makes an API token. Who logged in may do so; no API token may.
#[utoipa::path(
    post,
    path = "/v1/api-tokens",
    tag = "bots",
    params(Key),
    request_body = MakeToken,
    responses((status = 201, body = MadeToken), Refusal),
)]
async fn make(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Json(body): Json<MakeToken>,
) -> Result<MadeToken, Problem> {
    let made = body.run(&app, identity, key).await?;
    let Some(Made::ApiToken(NewToken { id, token })) = made.made else {
        unreachable!("who makes a token is told the token");
    };
    Ok(MadeToken { id, token, position: made.position })
}

/// Lets an API token be used no more, at once and everywhere; its sockets end.
#[utoipa::path(
    delete,
    path = "/v1/api-tokens/{id}",
    tag = "bots",
    params(("id" = LoginId, Path), Key),
    responses((status = 202, body = Recorded), Refusal),
)]
async fn revoke(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(token): Path<LoginId>,
) -> Result<Recorded, Problem> {
    RevokeToken { token }.run(&app, identity, key).await.map(Recorded::from)
}
