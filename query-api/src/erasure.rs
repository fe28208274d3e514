//! Erasures and legal holds, for admins of the platform.

use axum::extract::State;
use events::{Moment, UserId};
use http::StatusCode;
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
use crate::page::{Limit, Page};
use crate::place::Place;
use crate::reads::Reads;

pub(crate) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new().routes(routes!(one)).routes(routes!(holds))
}

/// An erasure, and how far it is.
#[derive(Serialize, FromRow, ToSchema)]
pub(crate) struct Erasure {
    #[sqlx(try_from = "Uuid")]
    user_id: UserId,
    /// The nil UUID is the operator of the deployment.
    requested_by: Uuid,
    #[schema(value_type = String, format = DateTime)]
    requested_at: Moment,
    /// `null` while something is left to do.
    #[schema(value_type = Option<String>, format = DateTime)]
    certified_at: Option<Moment>,
    /// What was destroyed: the JSON text that is signed.
    certificate: Option<String>,
    /// The Ed25519 signature of it, in base64.
    signature: Option<String>,
    /// Why the last try to finish it failed; it goes on by itself.
    failure: Option<String>,
}

/// The erasure of a person, with its certificate once it is done.
#[utoipa::path(
    get,
    path = "/v1/users/{id}/erasure",
    tag = "erasure",
    params(("id" = UserId, Path), After),
    responses((status = 200, body = Erasure), Refusal),
)]
async fn one(
    State(reads): State<Reads>,
    Path(id): Path<UserId>,
    asked: Asked<Nothing>,
) -> Answer<Erasure> {
    reads.checkpoints.reach(&["erasure", "standing"], asked.after).await?;
    let mut eyes = reads.eyes_of_admin(asked.reader).await?;
    let found: Option<Erasure> = sqlx::query_as(
        "select user_id, requested_by, requested_at, certified_at, certificate, signature, failure
         from erasure where user_id = $1",
    )
    .bind(id.uuid())
    .fetch_optional(&mut *eyes)
    .await?;
    eyes.commit().await?;
    let missing =
        || Problem::new(StatusCode::NOT_FOUND, "not-erased", "This person was not erased");
    found.map(Json).ok_or_else(|| Failure::from(missing()))
}

/// Something that is kept for a legal matter.
#[derive(Serialize, FromRow, ToSchema)]
pub(crate) struct LegalHold {
    /// `user` or `conversation`.
    kind: String,
    id: Uuid,
    matter: String,
    /// The nil UUID is the operator of the deployment.
    placed_by: Uuid,
    #[schema(value_type = String, format = DateTime)]
    placed_at: Moment,
    position: Place,
}

/// Which page.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Oldest {
    #[serde(default)]
    limit: Limit,
    /// The position of the last hold of the page before.
    after_position: Option<events::Position>,
}

/// The legal holds in force, the oldest first; the next page with `?after_position=`.
#[utoipa::path(
    get,
    path = "/v1/holds",
    tag = "erasure",
    params(Oldest, After),
    responses((status = 200, body = Page<LegalHold, Place>), Refusal),
)]
async fn holds(State(reads): State<Reads>, asked: Asked<Oldest>) -> Answer<Page<LegalHold, Place>> {
    let Asked { reader, after, query: Oldest { limit, after_position } } = asked;
    reads.checkpoints.reach(&["legal_hold", "standing"], after).await?;
    let mut eyes = reads.eyes_of_admin(reader).await?;
    let rows: Vec<LegalHold> = sqlx::query_as(
        "select held_kind as kind, held_id as id, matter, placed_by, placed_at, position
         from legal_hold where $1::bytea is null or position > $1 order by position limit $2",
    )
    .bind(after_position.map(Place))
    .bind(limit.and_one())
    .fetch_all(&mut *eyes)
    .await?;
    eyes.commit().await?;
    Ok(Json(Page::of(rows, limit, |hold| hold.position)))
}
