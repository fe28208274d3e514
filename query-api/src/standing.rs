//! What people may do on the whole platform: their own, and for moderators everybody's.

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
use crate::reads::{Eyes, Reads};

const PROJECTIONS: &[&str] = &["standing", "user_profile"];

pub(crate) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new().routes(routes!(mine)).routes(routes!(of_user)).routes(routes!(suspended))
}

/// What a person may do on the whole platform.
#[derive(Serialize, FromRow, ToSchema)]
pub(crate) struct Standing {
    #[sqlx(try_from = "Uuid")]
    user_id: UserId,
    /// `user`, `moderator` or `admin`.
    role: String,
    /// `null` for who is not suspended.
    #[schema(value_type = Option<String>, format = DateTime)]
    suspended_at: Option<Moment>,
    /// `null` for who is not, or for good.
    #[schema(value_type = Option<String>, format = DateTime)]
    suspended_until: Option<Moment>,
    suspended_by: Option<Uuid>,
    /// `null` for who is not, or once erased.
    reason: Option<String>,
}

/// A suspension that is over is none.
const SELECT: &str = "select p.user_id, coalesce(s.role, 'user') as role,
       case when active then s.suspended_at end as suspended_at,
       case when active then s.suspended_until end as suspended_until,
       case when active then s.suspended_by end as suspended_by,
       case when active then s.reason end as reason
     from user_profile p left join standing s on s.user_id = p.user_id
     cross join lateral (
       select s.suspended_at is not null
         and (s.suspended_until is null or s.suspended_until > clock_timestamp()) as active
     ) now";

/// Who is suspended now, after a person: `$1`, at most `$2`. Few of all people are, so it begins from
/// them.
pub(crate) const SUSPENDED: &str = "select s.user_id, s.role, s.suspended_at, s.suspended_until,
       s.suspended_by, s.reason
     from standing s join user_profile p on p.user_id = s.user_id
     where s.suspended_at is not null
       and (s.suspended_until is null or s.suspended_until > clock_timestamp())
       and s.user_id > $1
     order by s.user_id limit $2";

/// The standing of the person who asks.
#[utoipa::path(
    get,
    path = "/v1/users/me/standing",
    tag = "moderation",
    params(After),
    responses((status = 200, body = Standing), Refusal),
)]
async fn mine(State(reads): State<Reads>, asked: Asked<Nothing>) -> Answer<Standing> {
    reads.checkpoints.reach(PROJECTIONS, asked.after).await?;
    let mut eyes = reads.eyes_of(asked.reader).await?;
    standing(&mut eyes, asked.reader).await
}

/// Somebody's standing, for moderators.
#[utoipa::path(
    get,
    path = "/v1/users/{id}/standing",
    tag = "moderation",
    params(("id" = UserId, Path), After),
    responses((status = 200, body = Standing), Refusal),
)]
async fn of_user(
    State(reads): State<Reads>,
    Path(id): Path<UserId>,
    asked: Asked<Nothing>,
) -> Answer<Standing> {
    reads.checkpoints.reach(PROJECTIONS, asked.after).await?;
    let mut eyes = reads.eyes_of(asked.reader).await?;
    if id != asked.reader {
        must_be_moderator(&mut eyes).await?;
    }
    standing(&mut eyes, id).await
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

/// Who is suspended now, in the order of their ids, for moderators; the next page with
/// `?after_id=`.
#[utoipa::path(
    get,
    path = "/v1/suspensions",
    tag = "moderation",
    params(ById, After),
    responses((status = 200, body = Page<Standing, UserId>), Refusal),
)]
async fn suspended(
    State(reads): State<Reads>,
    asked: Asked<ById>,
) -> Answer<Page<Standing, UserId>> {
    let Asked { reader, after, query: ById { limit, after_id } } = asked;
    reads.checkpoints.reach(PROJECTIONS, after).await?;
    let mut eyes = reads.eyes_of(reader).await?;
    must_be_moderator(&mut eyes).await?;
    let rows: Vec<Standing> = sqlx::query_as(SUSPENDED)
        .bind(after_id.map_or(Uuid::nil(), UserId::uuid))
        .bind(limit.and_one())
        .fetch_all(&mut *eyes)
        .await?;
    eyes.commit().await?;
    Ok(Json(Page::of(rows, limit, |standing| standing.user_id)))
}

async fn standing(eyes: &mut Eyes, user: UserId) -> Answer<Standing> {
    let found: Option<Standing> = sqlx::query_as(&format!("{SELECT} where p.user_id = $1"))
        .bind(user.uuid())
        .fetch_optional(&mut **eyes)
        .await?;
    found.map(Json).ok_or_else(|| Failure::from(Problem::no_such_user()))
}

/// Refuses who is no moderator of the platform.
pub(crate) async fn must_be_moderator(eyes: &mut Eyes) -> Result<(), Failure> {
    let moderator: bool =
        sqlx::query_scalar("select reader_is_moderator()").fetch_one(&mut **eyes).await?;
    if moderator {
        return Ok(());
    }
    let title = "Only a moderator of the platform may do this";
    Err(Problem::new(StatusCode::FORBIDDEN, "moderators-only", title).into())
}
