//! The reader's friends.

use axum::Extension;
use axum::extract::State;
use event_log::EventLog;
use events::{Moment, UserId};
use serde::{Deserialize, Serialize};
use service::Json;
use service::openapi::{After, Refusal};
use sqlx::FromRow;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::as_of::Past;
use crate::asked::Asked;
use crate::cache::List;
use crate::failure::{Answer, Failure};
use crate::history::when::When;
use crate::page::{Limit, Page};
use crate::person::Summary;
use crate::reads::{Reads, position_of};

const PROJECTION: &str = "friend_list";

/// A longer list is not kept in the cache; its pages are read from Postgres.
const CACHED_AT_MOST: i64 = 2000;

pub(crate) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A friend of the reader, as the cache keeps it.
#[derive(Clone, Debug, Serialize, Deserialize, FromRow, ToSchema)]
pub(crate) struct Tie {
    #[sqlx(rename = "friend_id", try_from = "Uuid")]
    user_id: UserId,
    #[schema(value_type = String, format = DateTime)]
    since: Moment,
}

/// A friend of the reader.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Friend {
    #[serde(flatten)]
    tie: Tie,
    person: Summary,
}

/// Which page.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct ById {
    #[serde(default)]
    limit: Limit,
    after_id: Option<UserId>,
    /// Those that there were then: a position in the log, or a moment.
    #[param(inline)]
    as_of: Option<When>,
}

/// The friends, in the order of their ids; the next page with `?after_id=`.
#[utoipa::path(
    get,
    path = "/v1/friends",
    tag = "friends",
    params(ById, After),
    responses((status = 200, body = Page<Friend, UserId>), Refusal),
)]
async fn list(
    State(reads): State<Reads>,
    Extension(log): Extension<EventLog>,
    asked: Asked<ById>,
) -> Answer<Page<Friend, UserId>> {
    let Asked { reader, after, query: ById { limit, after_id, as_of } } = asked;
    let cached = match as_of {
        Some(_) => None,
        None => reads.cache.read(List::Friends, reader, after).await,
    };
    let rows = match (cached, as_of) {
        (_, Some(when)) => {
            reads.checkpoints.reach(&["event_index", "friendship_interval"], after).await?;
            let mut eyes = reads.eyes_of(reader).await?;
            let past = Past::of(when, log, &mut eyes).await?;
            let ties = past.ties(&mut eyes, reader, "friend", after_id, limit).await?;
            ties.into_iter().map(|(user_id, since)| Tie { user_id, since }).collect()
        }
        (Some(all), None) => cut(all, after_id, limit),
        (None, None) => {
            reads.checkpoints.reach(&[PROJECTION], after).await?;
            from_postgres(&reads, reader, after_id, limit).await?
        }
    };
    let page = Page::of(rows, limit, |tie| tie.user_id);
    let ids = page.items.iter().map(|tie| tie.user_id);
    let mut people = reads.summaries(reader, after, ids).await?;
    Ok(Json(page.map(|tie| Friend { person: people.take(tie.user_id), tie })))
}

async fn from_postgres(
    reads: &Reads,
    reader: UserId,
    after_id: Option<UserId>,
    limit: Limit,
) -> Result<Vec<Tie>, Failure> {
    const SELECT: &str = "select friend_id, since from friend_list
         where user_id = $1 and ($2::uuid is null or friend_id > $2)
         order by friend_id limit $3";
    let mut eyes = reads.eyes_of(reader).await?;
    let position = position_of(&mut eyes, PROJECTION).await?;
    let all: Vec<Tie> = sqlx::query_as(SELECT)
        .bind(reader.uuid())
        .bind(None::<Uuid>)
        .bind(CACHED_AT_MOST + 1)
        .fetch_all(&mut *eyes)
        .await?;
    if i64::try_from(all.len()).is_ok_and(|rows| rows <= CACHED_AT_MOST) {
        eyes.commit().await?;
        reads.cache.fill(List::Friends, reader, position, &all).await;
        return Ok(cut(all, after_id, limit));
    }
    let page = sqlx::query_as(SELECT)
        .bind(reader.uuid())
        .bind(after_id.map(UserId::uuid))
        .bind(limit.and_one())
        .fetch_all(&mut *eyes)
        .await?;
    eyes.commit().await?;
    Ok(page)
}

/// The rows of a page and one more, out of the whole list.
fn cut(all: Vec<Tie>, after_id: Option<UserId>, limit: Limit) -> Vec<Tie> {
    let from = all.partition_point(|tie| after_id.is_some_and(|after| tie.user_id <= after));
    let rows = usize::try_from(limit.and_one()).expect("at most 101");
    all.into_iter().skip(from).take(rows).collect()
}
