//! Friend requests that nobody has answered yet: those to the reader, and the reader's own.

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

const PROJECTION: &str = "friend_request";

/// A longer list is not kept in the cache; its pages are read from Postgres.
const CACHED_AT_MOST: i64 = 1000;

pub(crate) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new().routes(routes!(list))
}

/// A request between the reader and somebody, as the cache keeps it.
#[derive(Clone, Debug, Serialize, Deserialize, FromRow, ToSchema)]
pub(crate) struct Request {
    #[sqlx(rename = "from_id", try_from = "Uuid")]
    pub(crate) from: UserId,
    #[sqlx(rename = "to_id", try_from = "Uuid")]
    pub(crate) to: UserId,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) requested_at: Moment,
}

/// A request between the reader and somebody.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FriendRequest {
    #[serde(flatten)]
    request: Request,
    /// The other.
    person: Summary,
}

/// Which of the two lists.
#[derive(Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Direction {
    Incoming,
    Outgoing,
}

/// Which list, which page.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Which {
    #[param(inline)]
    direction: Direction,
    #[serde(default)]
    limit: Limit,
    after_id: Option<UserId>,
    /// Those that there were then: a position in the log, or a moment.
    #[param(inline)]
    as_of: Option<When>,
}

impl Direction {
    const fn list(self) -> List {
        match self {
            Self::Incoming => List::Incoming,
            Self::Outgoing => List::Outgoing,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Incoming => "incoming",
            Self::Outgoing => "outgoing",
        }
    }

    const fn request(self, reader: UserId, other: UserId, requested_at: Moment) -> Request {
        match self {
            Self::Incoming => Request { from: other, to: reader, requested_at },
            Self::Outgoing => Request { from: reader, to: other, requested_at },
        }
    }

    /// The other of the two, by whom the list is ordered.
    const fn other(self, request: &Request) -> UserId {
        match self {
            Self::Incoming => request.from,
            Self::Outgoing => request.to,
        }
    }

    const fn select(self) -> &'static str {
        match self {
            Self::Incoming => {
                "select from_id, to_id, requested_at from friend_request
                 where to_id = $1 and ($2::uuid is null or from_id > $2)
                 order by from_id limit $3"
            }
            Self::Outgoing => {
                "select from_id, to_id, requested_at from friend_request
                 where from_id = $1 and ($2::uuid is null or to_id > $2)
                 order by to_id limit $3"
            }
        }
    }
}

/// The requests that nobody has answered yet, in the order of the others' ids; the next page with
/// `?after_id=`.
#[utoipa::path(
    get,
    path = "/v1/friend-requests",
    tag = "friends",
    params(Which, After),
    responses((status = 200, body = Page<FriendRequest, UserId>), Refusal),
)]
async fn list(
    State(reads): State<Reads>,
    Extension(log): Extension<EventLog>,
    asked: Asked<Which>,
) -> Answer<Page<FriendRequest, UserId>> {
    let Asked { reader, after, query: which } = asked;
    let cached = match which.as_of {
        Some(_) => None,
        None => reads.cache.read(which.direction.list(), reader, after).await,
    };
    let rows = match (cached, which.as_of) {
        (_, Some(when)) => {
            reads.checkpoints.reach(&["event_index", "friendship_interval"], after).await?;
            let mut eyes = reads.eyes_of(reader).await?;
            let past = Past::of(when, log, &mut eyes).await?;
            let Which { direction, after_id, limit, .. } = which;
            let ties = past.ties(&mut eyes, reader, direction.name(), after_id, limit).await?;
            let request = |(other, at)| direction.request(reader, other, at);
            ties.into_iter().map(request).collect()
        }
        (Some(all), None) => cut(all, &which),
        (None, None) => {
            reads.checkpoints.reach(&[PROJECTION], after).await?;
            from_postgres(&reads, reader, &which).await?
        }
    };
    let other = |request: &Request| which.direction.other(request);
    let page = Page::of(rows, which.limit, other);
    let mut people = reads.summaries(reader, after, page.items.iter().map(other)).await?;
    Ok(Json(page.map(|request| FriendRequest { person: people.take(other(&request)), request })))
}

async fn from_postgres(
    reads: &Reads,
    reader: UserId,
    which: &Which,
) -> Result<Vec<Request>, Failure> {
    let mut eyes = reads.eyes_of(reader).await?;
    let position = position_of(&mut eyes, PROJECTION).await?;
    let all: Vec<Request> = sqlx::query_as(which.direction.select())
        .bind(reader.uuid())
        .bind(None::<Uuid>)
        .bind(CACHED_AT_MOST + 1)
        .fetch_all(&mut *eyes)
        .await?;
    if i64::try_from(all.len()).is_ok_and(|rows| rows <= CACHED_AT_MOST) {
        eyes.commit().await?;
        reads.cache.fill(which.direction.list(), reader, position, &all).await;
        return Ok(cut(all, which));
    }
    let page = sqlx::query_as(which.direction.select())
        .bind(reader.uuid())
        .bind(which.after_id.map(UserId::uuid))
        .bind(which.limit.and_one())
        .fetch_all(&mut *eyes)
        .await?;
    eyes.commit().await?;
    Ok(page)
}

/// The rows of a page and one more, out of the whole list.
fn cut(all: Vec<Request>, which: &Which) -> Vec<Request> {
    let before = |request: &Request| {
        which.after_id.is_some_and(|after| which.direction.other(request) <= after)
    };
    let from = all.partition_point(before);
    let rows = usize::try_from(which.limit.and_one()).expect("at most 101");
    all.into_iter().skip(from).take(rows).collect()
}
