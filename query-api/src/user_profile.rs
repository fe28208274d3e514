//! People, as everybody signed in may know them.

use axum::extract::State;
use events::{Moment, UserId};
use serde::{Deserialize, Serialize};
use service::openapi::{After, Refusal};
use service::{Json, Path, Problem};
use sqlx::FromRow;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::asked::{Asked, Nothing};
use crate::failure::{Answer, Failure};
use crate::page::Page;
use crate::place::Place;
use crate::reads::Reads;

const PROJECTIONS: &[&str] = &["user_profile"];

pub(crate) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new().routes(routes!(by_handle)).routes(routes!(me)).routes(routes!(by_id))
}

/// A person. What was erased is `null`.
#[derive(Serialize, FromRow, ToSchema)]
pub(crate) struct Profile {
    #[sqlx(rename = "user_id", try_from = "Uuid")]
    id: UserId,
    handle: Option<String>,
    name: Option<String>,
    bio: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Moment,
    position: Place,
}

/// Whom to look for.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ByHandle {
    handle: String,
}

/// The person who asks.
#[utoipa::path(
    get,
    path = "/v1/users/me",
    tag = "users",
    params(After),
    responses((status = 200, body = Profile), Refusal),
)]
async fn me(State(reads): State<Reads>, asked: Asked<Nothing>) -> Answer<Profile> {
    let id = asked.reader;
    profile(&reads, &asked, id).await
}

/// A person.
#[utoipa::path(
    get,
    path = "/v1/users/{id}",
    tag = "users",
    params(("id" = UserId, Path), After),
    responses((status = 200, body = Profile), Refusal),
)]
async fn by_id(
    State(reads): State<Reads>,
    Path(id): Path<UserId>,
    asked: Asked<Nothing>,
) -> Answer<Profile> {
    profile(&reads, &asked, id).await
}

async fn profile(reads: &Reads, asked: &Asked<Nothing>, id: UserId) -> Answer<Profile> {
    reads.checkpoints.reach(PROJECTIONS, asked.after).await?;
    let mut eyes = reads.eyes_of(asked.reader).await?;
    let profile = sqlx::query_as(
        "select user_id, handle, name, bio, created_at, position
         from user_profile where user_id = $1",
    )
    .bind(id.uuid())
    .fetch_optional(&mut *eyes)
    .await?;
    eyes.commit().await?;
    profile.map(Json).ok_or_else(|| Failure::from(Problem::no_such_user()))
}

/// The person with exactly this handle, in any case, or nobody.
#[utoipa::path(
    get,
    path = "/v1/users",
    tag = "users",
    params(ByHandle, After),
    responses((status = 200, body = Page<Profile, Place>), Refusal),
)]
async fn by_handle(
    State(reads): State<Reads>,
    asked: Asked<ByHandle>,
) -> Answer<Page<Profile, Place>> {
    let handle = asked.query.handle.trim().to_lowercase();
    if handle.is_empty() {
        return Err(Problem::invalid_query("handle: must not be empty").into());
    }
    reads.checkpoints.reach(PROJECTIONS, asked.after).await?;
    let mut eyes = reads.eyes_of(asked.reader).await?;
    let items = sqlx::query_as(
        "select user_id, handle, name, bio, created_at, position
         from user_profile where handle = $1 order by position desc limit 1",
    )
    .bind(handle)
    .fetch_all(&mut *eyes)
    .await?;
    eyes.commit().await?;
    Ok(Json(Page { items, next: None }))
}
