//! `/v1/users`.

use axum::extract::State;
use axum::response::IntoResponse;
use events::UserId;
use http::header;
use service::openapi::{Key, Refusal};
use service::{IdempotencyKey, Identity, Json, Problem};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Created, Recorded};
use crate::App;
use crate::commands::Command;
use crate::commands::users::{self, ChangeProfile, CompleteOnboarding, SignUp};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(sign_up))
        .routes(routes!(change_profile))
        .routes(routes!(complete_onboarding))
}

/// Signs somebody up.
#[utoipa::path(
    post,
    path = "/v1/users",
    tag = "users",
    params(Key),
    request_body = SignUp,
    responses((status = 201, body = Created<UserId>), Refusal),
    security(()),
)]
async fn sign_up(
    State(app): State<App>,
    IdempotencyKey(key): IdempotencyKey,
    Json(body): Json<SignUp>,
) -> Result<impl IntoResponse, Problem> {
    let users::SignedUp { id, position } = users::sign_up(&app, key, body).await?;
    Ok(([(header::LOCATION, format!("/v1/users/{id}"))], Created { id, position }))
}

/// Changes what others see of the person who asks; what is absent stays.
#[utoipa::path(
    patch,
    path = "/v1/users/me",
    tag = "users",
    params(Key),
    request_body = ChangeProfile,
    responses((status = 202, body = Recorded), Refusal),
)]
async fn change_profile(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Json(body): Json<ChangeProfile>,
) -> Result<Recorded, Problem> {
    body.run(&app, identity, key).await.map(Recorded::from)
}

/// Tells everything that others need to find the person who asks: only then are they recommended.
/// Once more, it changes the profile.
#[utoipa::path(
    post,
    path = "/v1/users/me/onboarding",
    tag = "users",
    params(Key),
    request_body = CompleteOnboarding,
    responses((status = 202, body = Recorded), Refusal),
)]
async fn complete_onboarding(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Json(body): Json<CompleteOnboarding>,
) -> Result<Recorded, Problem> {
    body.run(&app, identity, key).await.map(Recorded::from)
}
