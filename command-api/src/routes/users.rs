//! `/v1/users`.

use axum::extract::State;
use axum::response::IntoResponse;
use http::header;
use service::{IdempotencyKey, Identity, Json, Problem};

use super::{Created, Recorded};
use crate::App;
use crate::commands::users::{self, ChangeProfile, SignUp};

pub(super) async fn sign_up(
    State(app): State<App>,
    IdempotencyKey(key): IdempotencyKey,
    Json(body): Json<SignUp>,
) -> Result<impl IntoResponse, Problem> {
    let users::SignedUp { id, position } = users::sign_up(&app, key, body).await?;
    Ok(([(header::LOCATION, format!("/v1/users/{id}"))], Created { id, position }))
}

pub(super) async fn change_profile(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Json(body): Json<ChangeProfile>,
) -> Result<Recorded, Problem> {
    users::change_profile(&app, identity, key, body).await.map(Recorded::from)
}
