//! The reader's log-ins: the devices that are signed in.

use axum::Extension;
use axum::extract::State;
use events::{LoginId, Moment};
use serde::{Deserialize, Serialize};
use service::openapi::{After, Refusal};
use service::{Identity, Json};
use sqlx::FromRow;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::asked::Asked;
use crate::failure::Answer;
use crate::page::{Limit, Page};
use crate::reads::Reads;

const PROJECTIONS: &[&str] = &["login"];

pub(crate) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new().routes(routes!(list))
}

/// An open log-in of the reader.
#[derive(Debug, Serialize, FromRow, ToSchema)]
pub(crate) struct Login {
    #[sqlx(rename = "login_id", try_from = "Uuid")]
    id: LoginId,
    /// What the device calls itself: the name it gave, or its `User-Agent`.
    device: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Moment,
    /// When it last got new tokens, which a device in use does every quarter of an hour.
    #[schema(value_type = String, format = DateTime)]
    refreshed_at: Moment,
    /// From then on it is over, unless it is refreshed before.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Moment,
    /// Whether it is the one that asks.
    #[sqlx(skip)]
    current: bool,
}

/// Which page.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ById {
    #[serde(default)]
    limit: Limit,
    after_id: Option<LoginId>,
}

/// The open log-ins of the person who asks, in the order of their ids; the next page with
/// `?after_id=`.
#[utoipa::path(
    get,
    path = "/v1/sessions",
    tag = "sessions",
    params(ById, After),
    responses((status = 200, body = Page<Login, LoginId>), Refusal),
)]
async fn list(
    State(reads): State<Reads>,
    Extension(identity): Extension<Identity>,
    asked: Asked<ById>,
) -> Answer<Page<Login, LoginId>> {
    let Asked { reader, after, query: ById { limit, after_id } } = asked;
    reads.checkpoints.reach(PROJECTIONS, after).await?;
    let mut eyes = reads.eyes_of(reader).await?;
    let mut rows: Vec<Login> = sqlx::query_as(
        "select login_id, device, created_at, refreshed_at, expires_at from login
         where user_id = $1 and expires_at > now() and ($2::uuid is null or login_id > $2)
         order by login_id limit $3",
    )
    .bind(reader.uuid())
    .bind(after_id.map(LoginId::uuid))
    .bind(limit.and_one())
    .fetch_all(&mut *eyes)
    .await?;
    eyes.commit().await?;
    for row in &mut rows {
        row.current = identity.login == row.id;
    }
    Ok(Json(Page::of(rows, limit, |login| login.id)))
}
