//! The reader's API tokens.

use axum::extract::State;
use chrono::NaiveDate;
use events::{LoginId, Moment};
use serde::{Deserialize, Serialize};
use service::Json;
use service::openapi::{After, Refusal};
use sqlx::FromRow;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::asked::Asked;
use crate::failure::Answer;
use crate::page::{Limit, Page};
use crate::reads::Reads;

const PROJECTIONS: &[&str] = &["api_token"];

pub(crate) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new().routes(routes!(list))
}

/// An API token that was not revoked. The token itself is told when it is made, and never again.
#[derive(Debug, Serialize, FromRow, ToSchema)]
pub(crate) struct ApiToken {
    #[sqlx(rename = "token_id", try_from = "Uuid")]
    id: LoginId,
    name: Option<String>,
    /// What it may be used for.
    scopes: Vec<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Moment,
    /// From then on it is good no more; for ever when `null`.
    #[schema(value_type = Option<String>, format = DateTime)]
    expires_at: Option<Moment>,
    /// The last day, in UTC, on which it was used.
    #[schema(value_type = Option<String>, format = Date)]
    last_used_on: Option<NaiveDate>,
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

/// The API tokens of the person who asks, in the order of their ids; the next page with `?after_id=`.
#[utoipa::path(
    get,
    path = "/v1/api-tokens",
    tag = "bots",
    params(ById, After),
    responses((status = 200, body = Page<ApiToken, LoginId>), Refusal),
)]
async fn list(State(reads): State<Reads>, asked: Asked<ById>) -> Answer<Page<ApiToken, LoginId>> {
    let Asked { reader, after, query: ById { limit, after_id } } = asked;
    reads.checkpoints.reach(PROJECTIONS, after).await?;
    let mut eyes = reads.eyes_of(reader).await?;
    let rows: Vec<ApiToken> = sqlx::query_as(
        "select token_id, name, scopes, created_at, expires_at, last_used_on from api_token
         where user_id = $1 and ($2::uuid is null or token_id > $2)
         order by token_id limit $3",
    )
    .bind(reader.uuid())
    .bind(after_id.map(LoginId::uuid))
    .bind(limit.and_one())
    .fetch_all(&mut *eyes)
    .await?;
    eyes.commit().await?;
    Ok(Json(Page::of(rows, limit, |token| token.id)))
}
