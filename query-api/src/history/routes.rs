//! What admins of the platform read of the log: events, and the states of streams.

use axum::Extension;
use axum::extract::State;
use event_log::{EventLog, Seals};
use events::{ConversationId, Position, StreamName, UserId};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use service::openapi::{After, Refusal};
use service::{Json, Path, Problem};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::entry::{Entry, subjects};
use super::explain::subject::Subject;
use super::explain::{self, Explanation};
use super::filter::{Filter, category};
use super::state::{Change, StreamState, changes, state};
use super::when::When;
use super::{access, list};
use crate::asked::Asked;
use crate::failure::{Answer, Failure};
use crate::page::{Limit, Page};
use crate::place::Place;
use crate::reads::Reads;

const PROJECTIONS: &[&str] = &["event_index", "standing"];

pub(crate) fn router() -> OpenApiRouter<Reads> {
    OpenApiRouter::new()
        .routes(routes!(events))
        .routes(routes!(state_of))
        .routes(routes!(explain_it))
}

/// Which events.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct WantedEvents {
    /// Of streams of this category, such as `message`.
    category: Option<String>,
    /// Of this stream.
    stream: Option<String>,
    /// Of this type, such as `message.sent`.
    #[serde(rename = "type")]
    #[param(rename = "type")]
    event_type: Option<String>,
    /// That this person did, or that happened to them.
    person: Option<UserId>,
    /// About this conversation.
    conversation: Option<ConversationId>,
    /// That one request caused.
    correlation: Option<Uuid>,
    /// Not before this place.
    #[param(inline)]
    from: Option<When>,
    /// Not after this place.
    #[param(inline)]
    to: Option<When>,
    /// The newest first.
    #[serde(default)]
    reverse: bool,
    /// The position of the last event of the page before.
    next: Option<Position>,
    /// With what they say of persons: recorded as a fact.
    #[serde(default)]
    open: bool,
    #[serde(default)]
    limit: Limit,
}

impl WantedEvents {
    fn filter(&self) -> Result<Filter, Problem> {
        let named = self.category.as_deref().map(category).transpose();
        Ok(Filter {
            category: named
                .map_err(|error| Problem::invalid_query(format!("category: {error}")))?,
            stream: self.stream.as_deref().map(StreamName::recorded),
            event_type: self.event_type.clone(),
            person: self.person,
            conversation: self.conversation,
            correlation: self.correlation,
            from: self.from,
            to: self.to,
        })
    }
}

/// Events of the log, for admins of the platform; the next page with `?next=`.
///
/// What is personal in them stays sealed, unless `open` is asked for: that is recorded as an event
/// of its own, with whose data it was, before the answer is given.
#[utoipa::path(
    get,
    path = "/v1/admin/events",
    tag = "administration",
    params(WantedEvents, After),
    responses((status = 200, body = Page<Entry, Place>), Refusal),
)]
async fn events(
    State(reads): State<Reads>,
    Extension(log): Extension<EventLog>,
    asked: Asked<WantedEvents>,
) -> Answer<Page<Entry, Place>> {
    let Asked { reader, after, query } = asked;
    let filter = query.filter()?;
    let told = format!("{filter} reverse={}", query.reverse);
    reads.checkpoints.reach(PROJECTIONS, after).await?;
    let mut eyes = reads.eyes_of_admin(reader).await?;
    let mut bounded = filter.bounded(&mut eyes).await?;
    if let Some(next) = query.next {
        match query.reverse {
            false => bounded.after = bounded.after.max(next),
            true => bounded.upto = Some(before(next).min(bounded.upto.unwrap_or(next))),
        }
    }
    let rows = usize::try_from(query.limit.and_one()).expect("at most 101");
    let seals = seals(query.open);
    // The last one only says that there is more.
    let found = list::list(&log, &mut eyes, &bounded, query.reverse, rows, seals).await?;
    eyes.commit().await?;
    let page = Page::of(found, query.limit, |entry: &Entry| Place(entry.position));
    if query.open {
        access::opened(&log, reader, "events", told, &page.items).await?;
    }
    Ok(Json(page))
}

/// The position before another: positions are numbers, whether or not an event is there.
const fn before(position: Position) -> Position {
    let Position { commit, prepare } = position;
    match prepare.checked_sub(1) {
        Some(prepare) => Position { commit, prepare },
        None => Position { commit: commit.saturating_sub(1), prepare: u64::MAX },
    }
}

/// At which place.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct WantedState {
    /// The state as of then; as it is now when absent.
    #[param(inline)]
    as_of: Option<When>,
    /// Also tell what has changed since then.
    #[param(inline)]
    since: Option<When>,
    /// With what it says of persons: recorded as a fact.
    #[serde(default)]
    open: bool,
}

/// A state, and what has changed.
#[derive(Serialize, ToSchema)]
struct StateAndChanges {
    #[serde(flatten)]
    state: StreamState,
    /// What has changed since the earlier place, if one was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    changes: Option<Vec<Change>>,
}

/// What the rules of a stream knew at a place in the past, for admins of the platform.
#[utoipa::path(
    get,
    path = "/v1/admin/streams/{stream}/state",
    tag = "administration",
    params(("stream" = String, Path), WantedState, After),
    responses((status = 200, body = StateAndChanges), Refusal),
)]
async fn state_of(
    State(reads): State<Reads>,
    Extension(log): Extension<EventLog>,
    Path(stream): Path<String>,
    asked: Asked<WantedState>,
) -> Answer<StateAndChanges> {
    let Asked { reader, after, query } = asked;
    let stream = StreamName::recorded(stream);
    reads.checkpoints.reach(PROJECTIONS, after).await?;
    let mut eyes = reads.eyes_of_admin(reader).await?;
    let head = log.head().await.map_err(Failure::from)?;
    let at = match query.as_of {
        Some(when) => crate::as_of::position(when, head, &mut eyes).await?,
        None => head,
    };
    let since = match query.since {
        Some(when) => Some(when.last_event(&mut eyes).await?.unwrap_or(Position::START)),
        None => None,
    };
    eyes.commit().await?;
    let seals = seals(query.open);
    let found = state(&log, &stream, at, seals).await?.ok_or_else(no_such_stream)?;
    let earlier = match since {
        Some(since) => state(&log, &stream, since, seals).await?,
        None => None,
    };
    if found.revision.is_none() && earlier.as_ref().is_none_or(|it| it.revision.is_none()) {
        return Err(no_such_stream().into());
    }
    if query.open {
        let mut whose = vec![];
        subjects(&found.state, &mut whose);
        earlier.iter().for_each(|earlier| subjects(&earlier.state, &mut whose));
        if !whose.is_empty() {
            let told = format!("stream={stream} as_of={at}");
            access::record(&log, reader, "state", told, whose).await?;
        }
    }
    let changes = earlier.map(|earlier| changes(&earlier.state, &found.state));
    Ok(Json(StateAndChanges { state: found, changes }))
}

/// What is explained.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct WantedExplanation {
    /// `message:ID`, or another kind: call, notification, conversation, user, session, file, report,
    /// login; `friendship:USER:USER`, `read_cursor:CONVERSATION:USER`, and other rows of read models
    /// by their names; `badge:CONVERSATION:USER`; `event:ID`, `position:N`, `correlation:ID` or
    /// `stream:NAME`.
    #[param(value_type = String)]
    of: Subject,
    /// With what events say of persons: recorded as a fact.
    #[serde(default)]
    open: bool,
}

/// Why something is as it is, for admins of the platform: the tree of requests and events that made
/// it, with the projections and the frames that each event led to.
#[utoipa::path(
    get,
    path = "/v1/admin/explain",
    tag = "administration",
    params(WantedExplanation, After),
    responses((status = 200, body = Explanation), Refusal),
)]
async fn explain_it(
    State(reads): State<Reads>,
    Extension(log): Extension<EventLog>,
    asked: Asked<WantedExplanation>,
) -> Answer<Explanation> {
    let Asked { reader, after, query: WantedExplanation { of, open } } = asked;
    reads.checkpoints.reach(PROJECTIONS, after).await?;
    let mut eyes = reads.eyes_of_admin(reader).await?;
    let found = explain::explain(&log, &mut eyes, &of, seals(open)).await?;
    eyes.commit().await?;
    let title = "Nothing of this ever happened";
    let none = || Problem::new(StatusCode::NOT_FOUND, "nothing-to-explain", title);
    let found = found.ok_or_else(none)?;
    if open {
        let events: Vec<Entry> = found.steps.iter().filter_map(|step| step.event.clone()).collect();
        access::opened(&log, reader, "explain", of.to_string(), &events).await?;
    }
    Ok(Json(found))
}

pub(super) const fn seals(open: bool) -> Seals {
    if open { Seals::Opened } else { Seals::Kept }
}

/// 404.
const fn no_such_stream() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no-such-stream", "This stream had no events by then")
}
