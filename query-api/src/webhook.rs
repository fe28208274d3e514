//! Webhooks: the reader's own, those of conversations that the reader runs, and for admins all.

use axum::extract::State;
use events::{ConversationId, EventId, Moment, UserId, WebhookId};
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
use crate::reads::{Eyes, Reads};

/// Who may see a webhook goes by who runs a conversation, and the platform.
const PROJECTIONS: &[&str] = &["webhook", "member", "standing"];

pub(crate) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one)).routes(routes!(deliveries))
}

/// A webhook, and how far it was told. Its secret is told when it is made, and never again.
#[derive(Debug, Serialize, FromRow, ToSchema)]
pub(crate) struct Webhook {
    #[sqlx(rename = "webhook_id", try_from = "Uuid")]
    id: WebhookId,
    #[sqlx(rename = "owner_id", try_from = "Uuid")]
    owner: UserId,
    /// The conversation it is told of; everything when `null`.
    #[sqlx(rename = "conversation_id")]
    conversation: Option<Uuid>,
    /// Where to, for its owner only: addresses often hold a secret.
    url: Option<String>,
    /// Types of events; all when it is empty.
    types: Vec<String>,
    enabled: bool,
    /// Why it is told of nothing: `asked`, `failing`, `gone` or `rights_lost`.
    disabled_reason: Option<String>,
    #[schema(value_type = Option<String>, format = DateTime)]
    disabled_at: Option<Moment>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Moment,
    /// Everything up to this position was taken, or is nothing for it; `null` until it is taken up.
    delivered_to: Option<Place>,
    /// Since when nothing was taken.
    #[schema(value_type = Option<String>, format = DateTime)]
    failing_since: Option<Moment>,
    /// When it is tried again, while it fails.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_attempt_at: Option<Moment>,
}

const SELECT: &str = "select w.webhook_id, w.owner_id, w.conversation_id,
       case when w.owner_id = $1 then w.url end as url, w.types, w.disabled is null as enabled,
       w.disabled as disabled_reason, w.disabled_at, w.created_at, l.position as delivered_to,
       l.failing_since,
       case when w.disabled is null and l.failing_since is not null then l.due_at end
         as next_attempt_at
     from webhook w left join webhook_lane l using (webhook_id)";

/// Which page.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ById {
    #[serde(default)]
    limit: Limit,
    after_id: Option<WebhookId>,
    /// Those of one conversation only.
    conversation: Option<ConversationId>,
}

/// The webhooks that the reader may see, in the order of their ids; the next page with `?after_id=`.
#[utoipa::path(
    get,
    path = "/v1/webhooks",
    tag = "bots",
    params(ById, After),
    responses((status = 200, body = Page<Webhook, WebhookId>), Refusal),
)]
async fn list(State(reads): State<Reads>, asked: Asked<ById>) -> Answer<Page<Webhook, WebhookId>> {
    let Asked { reader, after, query: ById { limit, after_id, conversation } } = asked;
    reads.checkpoints.reach(PROJECTIONS, after).await?;
    let mut eyes = reads.eyes_of(reader).await?;
    let rows: Vec<Webhook> = sqlx::query_as(&format!(
        "{SELECT} where ($2::uuid is null or w.webhook_id > $2)
           and ($4::uuid is null or w.conversation_id = $4)
         order by w.webhook_id limit $3"
    ))
    .bind(reader.uuid())
    .bind(after_id.map(WebhookId::uuid))
    .bind(limit.and_one())
    .bind(conversation.map(ConversationId::uuid))
    .fetch_all(&mut *eyes)
    .await?;
    eyes.commit().await?;
    Ok(Json(Page::of(rows, limit, |webhook| webhook.id)))
}

/// One webhook.
#[utoipa::path(
    get,
    path = "/v1/webhooks/{id}",
    tag = "bots",
    params(("id" = WebhookId, Path), After),
    responses((status = 200, body = Webhook), Refusal),
)]
async fn one(
    State(reads): State<Reads>,
    Path(id): Path<WebhookId>,
    asked: Asked<Nothing>,
) -> Answer<Webhook> {
    reads.checkpoints.reach(PROJECTIONS, asked.after).await?;
    let mut eyes = reads.eyes_of(asked.reader).await?;
    let found = find(&mut eyes, asked.reader, id).await?;
    eyes.commit().await?;
    Ok(Json(found))
}

async fn find(eyes: &mut Eyes, reader: UserId, id: WebhookId) -> Result<Webhook, Failure> {
    let found: Option<Webhook> = sqlx::query_as(&format!("{SELECT} where w.webhook_id = $2"))
        .bind(reader.uuid())
        .bind(id.uuid())
        .fetch_optional(&mut **eyes)
        .await?;
    let title = "This webhook does not exist";
    let missing = || Problem::new(StatusCode::NOT_FOUND, "no-such-webhook", title);
    found.ok_or_else(|| Failure::from(missing()))
}

/// An attempt to deliver an event.
#[derive(Debug, Serialize, FromRow, ToSchema)]
pub(crate) struct WebhookAttempt {
    /// Counts up, over all webhooks.
    number: i64,
    /// The event; `webhook-id` is `msg_` and this, without hyphens.
    #[sqlx(rename = "event_id", try_from = "Uuid")]
    event: EventId,
    event_type: String,
    position: Place,
    /// How often this event was tried, this time included.
    attempt: i32,
    #[schema(value_type = String, format = DateTime)]
    attempted_at: Moment,
    duration_ms: i32,
    /// The HTTP status of the answer; `null` where there was none.
    status: Option<i32>,
    delivered: bool,
    /// Why it was not taken.
    reason: Option<String>,
}

/// Which page.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Before {
    #[serde(default)]
    limit: Limit,
    /// The number of the last attempt of the page before.
    before: Option<i64>,
}

/// What was tried for a webhook in the last two weeks, the newest first; the next page with
/// `?before=`.
#[utoipa::path(
    get,
    path = "/v1/webhooks/{id}/deliveries",
    tag = "bots",
    params(("id" = WebhookId, Path), Before, After),
    responses((status = 200, body = Page<WebhookAttempt, i64>), Refusal),
)]
async fn deliveries(
    State(reads): State<Reads>,
    Path(id): Path<WebhookId>,
    asked: Asked<Before>,
) -> Answer<Page<WebhookAttempt, i64>> {
    let Asked { reader, after, query: Before { limit, before } } = asked;
    reads.checkpoints.reach(PROJECTIONS, after).await?;
    let mut eyes = reads.eyes_of(reader).await?;
    find(&mut eyes, reader, id).await?;
    let rows: Vec<WebhookAttempt> = sqlx::query_as(
        "select number, event_id, event_type, position, attempt, attempted_at, duration_ms, status,
           delivered, reason
         from webhook_attempt where webhook_id = $1 and ($2::bigint is null or number < $2)
         order by number desc limit $3",
    )
    .bind(id.uuid())
    .bind(before)
    .bind(limit.and_one())
    .fetch_all(&mut *eyes)
    .await?;
    eyes.commit().await?;
    Ok(Json(Page::of(rows, limit, |attempt| attempt.number)))
}
