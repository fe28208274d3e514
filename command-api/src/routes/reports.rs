//! `/v1/reports`.

use axum::extract::State;
use axum::response::IntoResponse;
use events::report::{Reason, Verdict};
use events::{Moment, ReportId};
use http::header;
use serde::Deserialize;
use service::openapi::{Key, Refusal};
use service::{IdempotencyKey, Identity, Json, Path, Problem};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Created, Recorded};
use crate::App;
use crate::commands::reports::{About, FileReport, ResolveReport};
use crate::commands::{Command, Made};

pub(super) fn router() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(file)).routes(routes!(resolve))
}

/// A new report.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewReport {
    /// One is made if it is absent.
    id: Option<ReportId>,
    subject: About,
    reason: Reason,
    /// In one's own words.
    #[serde(default)]
    text: String,
}

/// What a moderator decided.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Resolution {
    /// `removed` deletes the message that was reported, `suspended` suspends its sender, or the
    /// person who was reported.
    verdict: Verdict,
    /// Why, for other moderators to read.
    #[serde(default)]
    note: String,
    /// Until when a person is suspended; for good when absent.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Moment>,
    /// Why a person is suspended, for them to read.
    reason: Option<String>,
}

/// Reports a person, a message or a conversation to the moderators.
#[utoipa::path(
    post,
    path = "/v1/reports",
    tag = "moderation",
    params(Key),
    request_body = NewReport,
    responses((status = 201, body = Created<ReportId>), Refusal),
)]
async fn file(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Json(NewReport { id: report, subject, reason, text }): Json<NewReport>,
) -> Result<impl IntoResponse, Problem> {
    let filed = FileReport { report, subject, reason, text }.run(&app, identity, key).await?;
    let Some(Made::Report(id)) = filed.made else {
        unreachable!("who files a report is told its id");
    };
    let location = [(header::LOCATION, format!("/v1/reports/{id}"))];
    Ok((location, Created { id, position: filed.position }))
}

/// Decides about a report, as a moderator of the platform.
#[utoipa::path(
    put,
    path = "/v1/reports/{id}/resolution",
    tag = "moderation",
    params(("id" = ReportId, Path), Key),
    request_body = Resolution,
    responses((status = 202, body = Recorded), Refusal),
)]
async fn resolve(
    State(app): State<App>,
    identity: Identity,
    IdempotencyKey(key): IdempotencyKey,
    Path(report): Path<ReportId>,
    Json(Resolution { verdict, note, until, reason }): Json<Resolution>,
) -> Result<Recorded, Problem> {
    let command = ResolveReport { report, verdict, note, until, reason };
    command.run(&app, identity, key).await.map(Recorded::from)
}
