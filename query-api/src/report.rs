//! The reports, for the moderators of the platform.

use axum::extract::State;
use events::{Moment, Position, ReportId, UserId};
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
use crate::standing::must_be_moderator;

const PROJECTIONS: &[&str] = &["report", "standing"];

const SELECT: &str = "select report_id, reported_by, kind, user_id, conversation_id, message_id,
       reason, text, quoted, filed_at, verdict, note, resolved_by, resolved_at, position
     from report";

pub(crate) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one))
}

/// A report. What was erased is `null`.
#[derive(Serialize, FromRow, ToSchema)]
pub(crate) struct Report {
    #[sqlx(rename = "report_id", try_from = "Uuid")]
    id: ReportId,
    #[sqlx(try_from = "Uuid")]
    reported_by: UserId,
    /// What is reported: `user`, `message` or `conversation`.
    kind: String,
    /// The person who is reported, or who sent the message.
    user_id: Option<Uuid>,
    conversation_id: Option<Uuid>,
    message_id: Option<Uuid>,
    /// `spam`, `harassment`, `violence`, `sexual`, `impersonation` or `other`.
    reason: String,
    /// In the words of whoever reported it.
    text: Option<String>,
    /// What the message said when it was reported.
    quoted: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    filed_at: Moment,
    /// `dismissed`, `warned`, `removed` or `suspended`; `null` while nobody has decided.
    verdict: Option<String>,
    note: Option<String>,
    resolved_by: Option<Uuid>,
    #[schema(value_type = Option<String>, format = DateTime)]
    resolved_at: Option<Moment>,
    /// Of the filing: the order of the queue.
    position: Place,
}

/// Whether somebody has decided.
#[derive(Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum ReportState {
    /// Nobody has: the queue.
    #[default]
    Open,
    /// Somebody has.
    Resolved,
}

/// Which page.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Queue {
    #[serde(default)]
    #[param(inline)]
    state: ReportState,
    #[serde(default)]
    limit: Limit,
    /// The position of the last report of the page before.
    after_position: Option<Position>,
}

/// The reports in one state, the oldest first; the next page with
/// `?after_position=`.
#[utoipa::path(
    get,
    path = "/v1/reports",
    tag = "moderation",
    params(Queue, After),
    responses((status = 200, body = Page<Report, Place>), Refusal),
)]
async fn list(State(reads): State<Reads>, asked: Asked<Queue>) -> Answer<Page<Report, Place>> {
    let Asked { reader, after, query: Queue { state, limit, after_position } } = asked;
    reads.checkpoints.reach(PROJECTIONS, after).await?;
    let mut eyes = reads.eyes_of(reader).await?;
    must_be_moderator(&mut eyes).await?;
    let resolved = match state {
        ReportState::Open => "resolved_at is null",
        ReportState::Resolved => "resolved_at is not null",
    };
    let rows: Vec<Report> = sqlx::query_as(&format!(
        "{SELECT} where {resolved} and ($1::bytea is null or position > $1)
         order by position limit $2"
    ))
    .bind(after_position.map(Place))
    .bind(limit.and_one())
    .fetch_all(&mut *eyes)
    .await?;
    eyes.commit().await?;
    Ok(Json(Page::of(rows, limit, |report| report.position)))
}

/// One report.
#[utoipa::path(
    get,
    path = "/v1/reports/{id}",
    tag = "moderation",
    params(("id" = ReportId, Path), After),
    responses((status = 200, body = Report), Refusal),
)]
async fn one(
    State(reads): State<Reads>,
    Path(id): Path<ReportId>,
    asked: Asked<Nothing>,
) -> Answer<Report> {
    reads.checkpoints.reach(PROJECTIONS, asked.after).await?;
    let mut eyes = reads.eyes_of(asked.reader).await?;
    must_be_moderator(&mut eyes).await?;
    let found: Option<Report> = sqlx::query_as(&format!("{SELECT} where report_id = $1"))
        .bind(id.uuid())
        .fetch_optional(&mut *eyes)
        .await?;
    eyes.commit().await?;
    let title = "This report does not exist";
    let missing = || Problem::new(StatusCode::NOT_FOUND, "no-such-report", title);
    found.map(Json).ok_or_else(|| Failure::from(missing()))
}
