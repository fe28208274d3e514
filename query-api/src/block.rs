//! Whom the reader blocks.

use axum::extract::State;
use events::{Moment, UserId};
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
use crate::person::Summary;
use crate::reads::Reads;

pub(crate) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Somebody whom the reader blocks.
#[derive(Debug, Serialize, ToSchema)]
struct Blocked {
    #[serde(flatten)]
    block: Block,
    /// Without a name, if they block the reader as well.
    person: Summary,
}

#[derive(Debug, Serialize, FromRow, ToSchema)]
struct Block {
    #[sqlx(rename = "blocked_id", try_from = "Uuid")]
    user_id: UserId,
    #[schema(value_type = String, format = DateTime)]
    blocked_at: Moment,
}

/// Which page.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ById {
    #[serde(default)]
    limit: Limit,
    after_id: Option<UserId>,
}

/// Whom the reader blocks, in the order of their ids; the next page with `?after_id=`.
#[utoipa::path(
    get,
    path = "/v1/blocks",
    tag = "friends",
    params(ById, After),
    responses((status = 200, body = Page<Blocked, UserId>), Refusal),
)]
async fn list(State(reads): State<Reads>, asked: Asked<ById>) -> Answer<Page<Blocked, UserId>> {
    let Asked { reader, after, query: ById { limit, after_id } } = asked;
    reads.checkpoints.reach(&["block"], after).await?;
    let mut eyes = reads.eyes_of(reader).await?;
    let rows: Vec<Block> = sqlx::query_as(
        "select blocked_id, blocked_at from block
         where blocker_id = $1 and ($2::uuid is null or blocked_id > $2)
         order by blocked_id limit $3",
    )
    .bind(reader.uuid())
    .bind(after_id.map(UserId::uuid))
    .bind(limit.and_one())
    .fetch_all(&mut *eyes)
    .await?;
    eyes.commit().await?;
    let page = Page::of(rows, limit, |block| block.user_id);
    let ids = page.items.iter().map(|block| block.user_id);
    let mut people = reads.summaries(reader, after, ids).await?;
    Ok(Json(page.map(|block| Blocked { person: people.take(block.user_id), block })))
}
