//! What the reader missed: the live frames since a position.

use axum::extract::State;
use events::{Position, UserId};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use service::openapi::{After, Refusal};
use service::{Json, Problem};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::asked::Asked;
use crate::failure::{Answer, Failure};
use crate::page::Limit;
use crate::place::Place;
use crate::reads::{Eyes, Reads, position_of};

const PROJECTION: &str = "change_feed";

pub(crate) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new().routes(routes!(page))
}

/// A page of the reader's frames, in the order of the log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Feed {
    #[schema(value_type = Vec<serde_json::Value>)]
    items: Vec<Box<RawValue>>,
    /// What to ask for next: all up to here has been said.
    next: Position,
    /// Frames up to here are no longer kept.
    horizon: Position,
}

/// Since when.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Since {
    after_position: Option<Position>,
    #[serde(default)]
    limit: Limit,
}

/// The frames after a position; without one, from the horizon on. From before the horizon there is
/// nothing to resume (410): the client has to load anew.
#[utoipa::path(
    get,
    path = "/v1/feed",
    tag = "feed",
    params(Since, After),
    responses((status = 200, body = Feed), Refusal),
)]
async fn page(State(reads): State<Reads>, asked: Asked<Since>) -> Answer<Feed> {
    let Asked { reader, after, query: Since { after_position, limit } } = asked;
    reads.checkpoints.reach(&[PROJECTION], after).await?;
    let mut eyes = reads.eyes_of(reader).await?;
    let horizon = horizon(&mut eyes).await?;
    let since = after_position.unwrap_or(horizon);
    if since < horizon {
        let title = "The change feed no longer reaches back so far";
        return Err(Problem::new(StatusCode::GONE, "feed-horizon", title)
            .detail("load anew, then follow the feed from the position of what was loaded")
            .into());
    }
    let reached = position_of(&mut eyes, PROJECTION).await?;
    let rows = frames(&mut eyes, reader, since, limit).await?;
    eyes.commit().await?;

    let is_full = i64::try_from(rows.len()).is_ok_and(|rows| rows == limit.rows());
    let next = match rows.last() {
        Some((Place(last), _)) if is_full => *last,
        // The feed may hold fewer frames than the log has events: nothing of them is the reader's.
        Some(_) | None => reached.max(since),
    };
    let items = rows.into_iter().map(|(_, frame)| raw(frame)).collect::<Result<_, _>>()?;
    Ok(Json(Feed { items, next, horizon }))
}

async fn horizon(eyes: &mut Eyes) -> Result<Position, sqlx::Error> {
    let horizon: Option<Place> = sqlx::query_scalar("select position from change_feed_horizon")
        .fetch_optional(&mut **eyes)
        .await?;
    Ok(horizon.map_or(Position::START, |Place(position)| position))
}

/// Each audience of the reader is read by its index, and no further than the page goes; a frame
/// that came to several of them is there once. The frames are looked up one by one (`limit 1`): the
/// planner, which does not know how short a page is, would read all that the feed holds.
pub(crate) const PAGE: &str = "
    with mine as (
      (select position, audience from change_feed_entry
       where audience = 'user:' || $1::text and position > $2
       order by position limit $3)
      union all
      select f.position, f.audience
      from change_feed_member m cross join lateral (
        select e.position, e.audience from change_feed_entry e
        where e.audience = 'conversation:' || m.conversation_id
          and e.position > $2
          and e.position >= m.from_position
          and (m.until_position is null or e.position <= m.until_position)
        order by e.position limit $3
      ) f
      where m.user_id = $1 and (m.until_position is null or m.until_position > $2)
    ),
    page as (
      select position, min(audience) as audience from mine
      group by position order by position limit $3
    )
    select page.position, feed.frame
    from page cross join lateral (
      select frame from change_feed f
      where f.position = page.position and f.audience = page.audience
      limit 1
    ) feed
    order by page.position";

async fn frames(
    eyes: &mut Eyes,
    reader: UserId,
    since: Position,
    limit: Limit,
) -> Result<Vec<(Place, String)>, sqlx::Error> {
    sqlx::query_as(PAGE)
        .bind(reader.uuid())
        .bind(Place(since))
        .bind(limit.rows())
        .fetch_all(&mut **eyes)
        .await
}

fn raw(frame: String) -> Result<Box<RawValue>, Failure> {
    RawValue::from_string(frame).map_err(|_| {
        tracing::error!("a frame of the change feed is no JSON");
        Problem::internal().into()
    })
}
