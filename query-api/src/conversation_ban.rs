//! Who may not come back into a conversation, for those who decide it.

use axum::extract::State;
use domain::conversation::Action;
use events::{ConversationId, Moment, UserId};
use serde::{Deserialize, Serialize};
use service::openapi::{After, Refusal};
use service::{Json, Path};
use sqlx::FromRow;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::asked::Asked;
use crate::conversation::must_be_allowed;
use crate::failure::Answer;
use crate::page::{Limit, Page};
use crate::reads::Reads;

const PROJECTIONS: &[&str] = &["conversation_ban", "conversation", "member"];

pub(crate) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new().routes(routes!(list))
}

/// Somebody who may not come back.
#[derive(Serialize, FromRow, ToSchema)]
pub(crate) struct Ban {
    #[sqlx(try_from = "Uuid")]
    user_id: UserId,
    #[sqlx(try_from = "Uuid")]
    banned_by: UserId,
    #[schema(value_type = String, format = DateTime)]
    banned_at: Moment,
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

/// Who is banned from a conversation, in the order of their ids; the next page with `?after_id=`.
/// For those whose role lets them unban.
#[utoipa::path(
    get,
    path = "/v1/conversations/{id}/bans",
    tag = "conversations",
    params(("id" = ConversationId, Path), ById, After),
    responses((status = 200, body = Page<Ban, UserId>), Refusal),
)]
async fn list(
    State(reads): State<Reads>,
    Path(id): Path<ConversationId>,
    asked: Asked<ById>,
) -> Answer<Page<Ban, UserId>> {
    let Asked { reader, after, query: ById { limit, after_id } } = asked;
    reads.checkpoints.reach(PROJECTIONS, after).await?;
    let mut eyes = reads.eyes_of(reader).await?;
    must_be_allowed(&mut eyes, reader, id, Action::Unban).await?;
    let bans: Vec<Ban> = sqlx::query_as(
        "select user_id, banned_by, banned_at from conversation_ban
         where conversation_id = $1 and ($2::uuid is null or user_id > $2)
         order by user_id limit $3",
    )
    .bind(id.uuid())
    .bind(after_id.map(UserId::uuid))
    .bind(limit.and_one())
    .fetch_all(&mut *eyes)
    .await?;
    eyes.commit().await?;
    Ok(Json(Page::of(bans, limit, |ban| ban.user_id)))
}
