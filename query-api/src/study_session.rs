//! Study sessions, as everybody signed in may know them, and who is in them, as their people may.

use axum::Extension;
use axum::extract::State;
use event_log::EventLog;
use events::{ConversationId, Moment, StudySessionId, UserId};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use service::openapi::{After, Refusal};
use service::{Json, Path, Problem};
use sqlx::{FromRow, Postgres, QueryBuilder};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::as_of::{AsOf, Past};
use crate::asked::Asked;
use crate::failure::{Answer, Failure};
use crate::page::{Limit, Page};
use crate::place::Place;
use crate::reads::{Eyes, Reads};

const PROJECTIONS: &[&str] = &["study_session", "member"];

const COLUMNS: &str = "session_id, conversation_id, tutor_id, title, subject, description, \
    capacity, participants as participants_count, capacity - 1 - guests as seats_left, status, \
    starts, scheduled_at, started_at, ended_at, position";

pub(crate) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(one))
}

/// A study session. What was erased is `null`.
#[derive(Debug, Serialize, FromRow, ToSchema)]
pub(crate) struct StudySession {
    #[sqlx(rename = "session_id", try_from = "Uuid")]
    pub(crate) id: StudySessionId,
    /// Where its people talk.
    #[sqlx(try_from = "Uuid")]
    pub(crate) conversation_id: ConversationId,
    #[sqlx(try_from = "Uuid")]
    pub(crate) tutor_id: UserId,
    pub(crate) title: Option<String>,
    pub(crate) subject: String,
    pub(crate) description: Option<String>,
    /// `scheduled`, `active`, `completed` or `cancelled`.
    pub(crate) status: String,
    /// Seats, the tutor's included.
    pub(crate) capacity: i32,
    /// How many are in it now.
    pub(crate) participants_count: i32,
    /// For others than the tutor, who always has a seat.
    pub(crate) seats_left: i32,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) starts: Moment,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) scheduled_at: Moment,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) started_at: Option<Moment>,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) ended_at: Option<Moment>,
    pub(crate) position: Place,
}

/// A session and who is in it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StudySessionDetail {
    #[serde(flatten)]
    pub(crate) session: StudySession,
    /// Who is in it now; `null` for who is not in its room.
    pub(crate) participants: Option<Vec<StudyParticipant>>,
}

/// Somebody in a session.
#[derive(Debug, Serialize, FromRow, ToSchema)]
pub(crate) struct StudyParticipant {
    #[sqlx(try_from = "Uuid")]
    pub(crate) user_id: UserId,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) joined_at: Moment,
    /// `present`; or `away`: the connection was lost, and may come back.
    pub(crate) state: String,
    /// Until when they may come back, if they are away.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) away_until: Option<Moment>,
}

/// Which sessions.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum WhichSessions {
    /// Those that go on or are to come, the next one first.
    #[default]
    Upcoming,
    /// Those that the reader leads, or is or was in, the latest first.
    Mine,
    /// All there ever were, the latest first.
    All,
}

/// Which page of which sessions.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct WantedSessions {
    #[serde(default)]
    #[param(inline)]
    which: WhichSessions,
    /// Only those with this subject, in any case.
    subject: Option<String>,
    /// Only those of this tutor.
    tutor: Option<UserId>,
    #[serde(default)]
    limit: Limit,
    /// Only those after this one in the list.
    after_id: Option<StudySessionId>,
}

/// Study sessions; the next page with `?after_id=`.
#[utoipa::path(
    get,
    path = "/v1/study-sessions",
    tag = "study sessions",
    params(WantedSessions, After),
    responses((status = 200, body = Page<StudySession, StudySessionId>), Refusal),
)]
async fn list(
    State(reads): State<Reads>,
    asked: Asked<WantedSessions>,
) -> Answer<Page<StudySession, StudySessionId>> {
    let Asked { reader, after, query: wanted } = asked;
    reads.checkpoints.reach(PROJECTIONS, after).await?;
    let mut eyes = reads.eyes_of(reader).await?;
    let from = match wanted.after_id {
        Some(id) => Some((starts(&mut eyes, id).await?, id)),
        None => None,
    };
    let mut query = select(reader, &wanted, from);
    let sessions = query.build_query_as().fetch_all(&mut *eyes).await?;
    eyes.commit().await?;
    Ok(Json(Page::of(sessions, wanted.limit, |session: &StudySession| session.id)))
}

fn select(
    reader: UserId,
    wanted: &WantedSessions,
    from: Option<(Moment, StudySessionId)>,
) -> QueryBuilder<'static, Postgres> {
    let mut query = columns();
    let forwards = match wanted.which {
        WhichSessions::Upcoming => {
            // One that its tutor forgot does not stand in front for ever.
            query.push(
                " where status in ('scheduled', 'active')
                   and (status = 'active' or starts > now() - interval '1 day')",
            );
            true
        }
        WhichSessions::Mine => {
            query.push(" where (tutor_id = ").push_bind(reader.uuid());
            query.push(
                " or session_id in (select p.session_id from study_participant p where p.user_id = ",
            );
            query.push_bind(reader.uuid()).push("))");
            false
        }
        WhichSessions::All => {
            query.push(" where true");
            false
        }
    };
    if let Some(subject) = &wanted.subject {
        query
            .push(" and subject_folded = lower(")
            .push_bind(subject.replace('\0', "\u{FFFD}"))
            .push(")");
    }
    if let Some(tutor) = wanted.tutor {
        query.push(" and tutor_id = ").push_bind(tutor.uuid());
    }
    let (than, order) = if forwards { (">", "asc") } else { ("<", "desc") };
    if let Some((starts, id)) = from {
        query.push(format!(" and (starts, session_id) {than} ("));
        query.push_bind(starts).push(", ").push_bind(id.uuid()).push(")");
    }
    query.push(format!(" order by starts {order}, session_id {order} limit "));
    query.push_bind(wanted.limit.and_one());
    query
}

fn columns() -> QueryBuilder<'static, Postgres> {
    QueryBuilder::new(format!("select {COLUMNS} from study_session"))
}

/// Where in the list the page before ended.
async fn starts(eyes: &mut Eyes, id: StudySessionId) -> Result<Moment, Failure> {
    let starts = sqlx::query_scalar("select starts from study_session where session_id = $1")
        .bind(id.uuid())
        .fetch_optional(&mut **eyes)
        .await?;
    starts.ok_or_else(|| no_such_session().detail("after_id: names no session").into())
}

/// A session; who is in it is told to who is in its room.
#[utoipa::path(
    get,
    path = "/v1/study-sessions/{id}",
    tag = "study sessions",
    params(("id" = StudySessionId, Path), AsOf, After),
    responses((status = 200, body = StudySessionDetail), Refusal),
)]
async fn one(
    State(reads): State<Reads>,
    Extension(log): Extension<EventLog>,
    Path(id): Path<StudySessionId>,
    asked: Asked<AsOf>,
) -> Answer<StudySessionDetail> {
    reads.checkpoints.reach(PROJECTIONS, asked.after).await?;
    let mut eyes = reads.eyes_of(asked.reader).await?;
    if let Some(when) = asked.query.as_of {
        reads.checkpoints.reach(&["event_index"], asked.after).await?;
        let past = Past::of(when, log, &mut eyes).await?;
        return past.study_session(&mut eyes, id, asked.reader).await.map(Json);
    }
    let mut query = columns();
    query.push(" where session_id = ").push_bind(id.uuid());
    let session: Option<StudySession> = query.build_query_as().fetch_optional(&mut *eyes).await?;
    let session = session.ok_or_else(no_such_session)?;
    let participants = match is_in_room(&mut eyes, session.conversation_id, asked.reader).await? {
        true => Some(participants(&mut eyes, id).await?),
        false => None,
    };
    eyes.commit().await?;
    Ok(Json(StudySessionDetail { session, participants }))
}

async fn participants(
    eyes: &mut Eyes,
    id: StudySessionId,
) -> Result<Vec<StudyParticipant>, sqlx::Error> {
    sqlx::query_as(
        "select p.user_id, p.joined_at, t.due_at as away_until,
           case when t.due_at is null then 'present' else 'away' end as state
         from study_participant p
         left join timer t
           on t.kind = 'grace' and t.subject = p.session_id and t.person = p.user_id
         where p.session_id = $1 and p.left_at is null
         order by p.position",
    )
    .bind(id.uuid())
    .fetch_all(&mut **eyes)
    .await
}

/// Whether somebody is in a room now.
pub(crate) async fn is_in_room(
    eyes: &mut Eyes,
    room: ConversationId,
    reader: UserId,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar(
        "select exists (select from member where conversation_id = $1 and user_id = $2)",
    )
    .bind(room.uuid())
    .bind(reader.uuid())
    .fetch_one(&mut **eyes)
    .await
}

/// 404.
pub(crate) const fn no_such_session() -> Problem {
    let title = "This session does not exist";
    Problem::new(StatusCode::NOT_FOUND, "no-such-study-session", title)
}
