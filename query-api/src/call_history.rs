//! Calls: the history of the reader, one call with who is in it and what of them is on, and the one
//! that a conversation has now.

use axum::Extension;
use axum::extract::State;
use event_log::EventLog;
use events::{CallId, ConversationId, LoginId, Moment, Position, RecordingId, UserId};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use service::openapi::{After, Refusal};
use service::{Json, Path, Problem};
use sqlx::FromRow;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::as_of::{AsOf, Past};
use crate::asked::Asked;
use crate::failure::Answer;
use crate::page::{Limit, Page};
use crate::place::Place;
use crate::reads::{Eyes, Reads};
use crate::study_session::is_in_room;

const PROJECTIONS: &[&str] = &["call_history", "member"];

const COLUMNS: &str = "h.call_id, h.conversation_id, h.started_by, h.media, h.direct, h.carrier, \
    h.node, h.status, h.cause, h.ended_by, h.consent_asked, h.recording_id, h.started_at, \
    h.connected_at, h.ended_at, h.position, p.outcome";

pub(crate) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one)).routes(routes!(active))
}

/// A call.
#[derive(Debug, Serialize, FromRow, ToSchema)]
pub(crate) struct Call {
    #[sqlx(rename = "call_id", try_from = "Uuid")]
    pub(crate) id: CallId,
    #[sqlx(try_from = "Uuid")]
    pub(crate) conversation_id: ConversationId,
    #[sqlx(try_from = "Uuid")]
    pub(crate) started_by: UserId,
    /// `audio` or `video`.
    pub(crate) media: String,
    /// Whether it is between the two of a direct conversation.
    pub(crate) direct: bool,
    /// `peers`: devices are connected to each other; `sfu`: a node carries it.
    pub(crate) carrier: String,
    /// That node.
    pub(crate) node: Option<String>,
    /// `ringing`, `connected` or `ended`.
    pub(crate) status: String,
    /// How it ended: `completed`, `declined`, `cancelled`, `missed`, `busy`, `failed`, `lost` or
    /// `idle`.
    pub(crate) cause: Option<String>,
    /// Who ended it, if somebody did.
    #[schema(value_type = Option<UserId>)]
    pub(crate) ended_by: Option<Uuid>,
    /// Whether it was asked whether it may be recorded.
    pub(crate) consent_asked: bool,
    /// The recording that runs.
    #[schema(value_type = Option<RecordingId>)]
    pub(crate) recording_id: Option<Uuid>,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) started_at: Moment,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) connected_at: Option<Moment>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) ended_at: Option<Moment>,
    /// What it is or was to the reader: `called` (who began it), `ringing`, `accepted`, `joined`,
    /// `declined`, `missed` or `busy`; `null` if it did not concern them.
    pub(crate) outcome: Option<String>,
    pub(crate) position: Place,
}

/// A call, whom it concerns, and the devices that are in it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CallDetail {
    #[serde(flatten)]
    pub(crate) call: Call,
    /// Whom it concerns; `null` for who is not in its conversation any more.
    pub(crate) people: Option<Vec<CallPerson>>,
    /// The devices that are in it now, in the order in which they came; `null` likewise.
    pub(crate) participants: Option<Vec<CallParticipant>>,
}

/// What a call is to somebody.
#[derive(Debug, Serialize, FromRow, ToSchema)]
pub(crate) struct CallPerson {
    #[sqlx(try_from = "Uuid")]
    pub(crate) user_id: UserId,
    /// As for the reader.
    pub(crate) outcome: String,
    /// What they answered when they were asked to be recorded.
    pub(crate) agrees: Option<bool>,
}

/// A device in a call, and what of it is on.
#[derive(Debug, Serialize, FromRow, ToSchema)]
pub(crate) struct CallParticipant {
    #[sqlx(try_from = "Uuid")]
    pub(crate) user_id: UserId,
    /// The device: its log-in.
    #[sqlx(try_from = "Uuid")]
    pub(crate) device_id: LoginId,
    pub(crate) microphone: bool,
    pub(crate) camera: bool,
    pub(crate) screen: bool,
    /// Whether it is connected to the SFU.
    pub(crate) in_media: bool,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) joined_at: Moment,
}

/// The call that a conversation has now.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ActiveCall {
    /// `null` if there is none.
    call: Option<CallDetail>,
}

/// What a call was to the reader.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum OutcomeOfCall {
    Called,
    Ringing,
    Accepted,
    Joined,
    Declined,
    Missed,
    Busy,
}

impl OutcomeOfCall {
    const fn name(self) -> &'static str {
        match self {
            Self::Called => "called",
            Self::Ringing => "ringing",
            Self::Accepted => "accepted",
            Self::Joined => "joined",
            Self::Declined => "declined",
            Self::Missed => "missed",
            Self::Busy => "busy",
        }
    }
}

/// Which page of which calls.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct WantedCalls {
    /// Only those that were this to the reader.
    #[param(inline)]
    outcome: Option<OutcomeOfCall>,
    #[serde(default)]
    limit: Limit,
    /// Only those that began before this position.
    before: Option<Position>,
}

/// The calls that concerned the reader, the latest first; the next page with `?before=`.
#[utoipa::path(
    get,
    path = "/v1/calls",
    tag = "calls",
    params(WantedCalls, After),
    responses((status = 200, body = Page<Call, Place>), Refusal),
)]
async fn list(State(reads): State<Reads>, asked: Asked<WantedCalls>) -> Answer<Page<Call, Place>> {
    let Asked { reader, after, query: WantedCalls { outcome, limit, before } } = asked;
    reads.checkpoints.reach(PROJECTIONS, after).await?;
    let mut eyes = reads.eyes_of(reader).await?;
    let calls = sqlx::query_as(&format!(
        "select {COLUMNS} from call_person p join call_history h using (call_id)
         where p.user_id = $1 and ($2::bytea is null or p.position < $2)
           and ($3::text is null or p.outcome = $3)
         order by p.position desc limit $4"
    ))
    .bind(reader.uuid())
    .bind(before.map(Place))
    .bind(outcome.map(OutcomeOfCall::name))
    .bind(limit.and_one())
    .fetch_all(&mut *eyes)
    .await?;
    eyes.commit().await?;
    Ok(Json(Page::of(calls, limit, |call: &Call| call.position)))
}

/// A call, with what a newcomer has to know: who is in it, and what of them is on.
#[utoipa::path(
    get,
    path = "/v1/calls/{id}",
    tag = "calls",
    params(("id" = CallId, Path), AsOf, After),
    responses((status = 200, body = CallDetail), Refusal),
)]
async fn one(
    State(reads): State<Reads>,
    Extension(log): Extension<EventLog>,
    Path(id): Path<CallId>,
    asked: Asked<AsOf>,
) -> Answer<CallDetail> {
    reads.checkpoints.reach(PROJECTIONS, asked.after).await?;
    let mut eyes = reads.eyes_of(asked.reader).await?;
    let call: Option<Call> = sqlx::query_as(&format!(
        "select {COLUMNS} from call_history h
         left join call_person p on p.call_id = h.call_id and p.user_id = $2
         where h.call_id = $1"
    ))
    .bind(id.uuid())
    .bind(asked.reader.uuid())
    .fetch_optional(&mut *eyes)
    .await?;
    let call = call.ok_or_else(no_such_call)?;
    if let Some(when) = asked.query.as_of {
        reads.checkpoints.reach(&["event_index"], asked.after).await?;
        let past = Past::of(when, log, &mut eyes).await?;
        return past.call(&mut eyes, id, asked.reader).await.map(Json);
    }
    let detail = detail(&mut eyes, call, asked.reader).await?;
    eyes.commit().await?;
    Ok(Json(detail))
}

/// The call that goes on in a conversation, if one does.
#[utoipa::path(
    get,
    path = "/v1/conversations/{id}/call",
    tag = "calls",
    params(("id" = ConversationId, Path), AsOf, After),
    responses((status = 200, body = ActiveCall), Refusal),
)]
async fn active(
    State(reads): State<Reads>,
    Extension(log): Extension<EventLog>,
    Path(id): Path<ConversationId>,
    asked: Asked<AsOf>,
) -> Answer<ActiveCall> {
    reads.checkpoints.reach(PROJECTIONS, asked.after).await?;
    let mut eyes = reads.eyes_of(asked.reader).await?;
    if let Some(when) = asked.query.as_of {
        reads.checkpoints.reach(&["event_index"], asked.after).await?;
        let past = Past::of(when, log, &mut eyes).await?;
        let call = past.active_call(&mut eyes, id, asked.reader).await?;
        return Ok(Json(ActiveCall { call }));
    }
    if !is_in_room(&mut eyes, id, asked.reader).await? {
        return Err(Problem::no_such_conversation().into());
    }
    let call: Option<Call> = sqlx::query_as(&format!(
        "select {COLUMNS} from call_history h
         left join call_person p on p.call_id = h.call_id and p.user_id = $2
         where h.conversation_id = $1 and h.status <> 'ended'
         order by h.position desc limit 1"
    ))
    .bind(id.uuid())
    .bind(asked.reader.uuid())
    .fetch_optional(&mut *eyes)
    .await?;
    let call = match call {
        Some(call) => Some(detail(&mut eyes, call, asked.reader).await?),
        None => None,
    };
    eyes.commit().await?;
    Ok(Json(ActiveCall { call }))
}

async fn detail(eyes: &mut Eyes, call: Call, reader: UserId) -> Result<CallDetail, sqlx::Error> {
    if !is_in_room(eyes, call.conversation_id, reader).await? {
        return Ok(CallDetail { call, people: None, participants: None });
    }
    let people = sqlx::query_as(
        "select user_id, outcome, agrees from call_person where call_id = $1 order by user_id",
    )
    .bind(call.id.uuid())
    .fetch_all(&mut **eyes)
    .await?;
    let participants = sqlx::query_as(
        "select user_id, device_id, microphone, camera, screen, in_media, joined_at
         from call_participant where call_id = $1 and left_at is null
         order by position",
    )
    .bind(call.id.uuid())
    .fetch_all(&mut **eyes)
    .await?;
    Ok(CallDetail { call, people: Some(people), participants: Some(participants) })
}

/// 404.
pub(crate) const fn no_such_call() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no-such-call", "This call does not exist")
}
