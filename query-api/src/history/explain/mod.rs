//! Why something is as it is: the requests, commands and events that made it, across services.

pub mod badge;
mod led_to;
pub mod subject;
mod tree;

use event_log::{EventLog, Seals};
use events::{Position, StreamName};
use serde::Serialize;
use sqlx::PgConnection;
use utoipa::ToSchema;
use uuid::Uuid;

use super::entry::Entry;
use super::{HistoryError, list};
use crate::place::Place;
use badge::Badge;
pub use led_to::projections;
use subject::Subject;

/// The most events of one explanation.
const MOST: usize = 500;

/// Why something is as it is.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Explanation {
    /// What is explained.
    pub subject: String,
    /// What made it, and what else came of that: a tree, each step after the one that led to it.
    pub steps: Vec<Step>,
    /// Whether that is all of it: an explanation has at most 500 events.
    pub complete: bool,
    /// The number, where an unread count is explained.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub badge: Option<Badge>,
}

/// A request, or an event.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Step {
    /// How deep in the tree it is, from 0.
    pub depth: u16,
    /// `request`: a command that came over REST or the gateway, or that a service gave by itself;
    /// `event`: something that happened.
    pub kind: StepKind,
    /// Of the request, or of the event.
    pub id: Uuid,
    /// The step that led to it.
    pub parent: Option<Uuid>,
    /// Whether it belongs to what is explained.
    pub focus: bool,
    /// The event.
    pub event: Option<Entry>,
    /// The projections that read it.
    pub projections: Vec<&'static str>,
    /// The NATS subjects on which a frame of it went to sockets.
    pub frames: Vec<String>,
}

/// What a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// A command.
    Request,
    /// Something that happened.
    Event,
}

/// Explains something; none if nothing of it ever happened.
///
/// # Errors
/// When the log or Postgres is away.
pub async fn explain(
    log: &EventLog,
    db: &mut PgConnection,
    subject: &Subject,
    seals: Seals,
) -> Result<Option<Explanation>, HistoryError> {
    let badge = match subject {
        Subject::Badge { conversation, user } => {
            match badge::badge(log, db, *conversation, *user).await? {
                Some(badge) => Some(badge),
                None => return Ok(None),
            }
        }
        _ => None,
    };
    let focus = match (&badge, subject) {
        (Some(badge), _) => list::read(log, badge.events(), seals).await?,
        (None, Subject::Streams(streams)) => of_streams(log, streams, seals).await?,
        (None, Subject::Position(position)) => {
            list::read(log, exists(db, *position).await?, seals).await?
        }
        (None, Subject::Event(id)) => {
            let found = places(db, "event_id = $1", &[*id]).await?;
            list::read(log, found, seals).await?
        }
        (None, Subject::Correlation(id)) => {
            let found = places(db, "correlation = $1", &[*id]).await?;
            list::read(log, found, seals).await?
        }
        (None, Subject::Badge { .. }) => vec![],
    };
    if focus.is_empty() && badge.is_none() {
        return Ok(None);
    }
    // Of a count, the messages are told, and not all that came of each.
    let (events, complete) = match &badge {
        Some(_) => (focus.clone(), true),
        None => gather(log, db, focus.clone(), seals).await?,
    };
    let focus: Vec<Uuid> = focus.iter().map(|entry| entry.id.uuid()).collect();
    let steps = tree::steps(events, &focus);
    Ok(Some(Explanation { subject: subject.to_string(), steps, complete, badge }))
}

async fn of_streams(
    log: &EventLog,
    streams: &[StreamName],
    seals: Seals,
) -> Result<Vec<Entry>, HistoryError> {
    let mut found = vec![];
    for stream in streams {
        for recorded in log.read_stream(stream, 0).await?.iter().take(MOST) {
            found.push(Entry::of(log, recorded, seals).await?);
        }
    }
    Ok(found)
}

/// Adds what led to these events, and what else came of it.
async fn gather(
    log: &EventLog,
    db: &mut PgConnection,
    focus: Vec<Entry>,
    seals: Seals,
) -> Result<(Vec<Entry>, bool), HistoryError> {
    let mut events = focus;
    let mut asked: Vec<Uuid> = vec![];
    loop {
        let known: Vec<Position> = events.iter().map(|entry| entry.position).collect();
        let ids: Vec<Uuid> = events.iter().map(|entry| entry.id.uuid()).collect();
        let of = |id: fn(&Entry) -> Option<Uuid>| {
            let mut ids: Vec<Uuid> = events.iter().filter_map(id).collect();
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        let correlations: Vec<Uuid> =
            of(|entry| entry.correlation).into_iter().filter(|id| !asked.contains(id)).collect();
        let parents: Vec<Uuid> =
            of(|entry| entry.causation).into_iter().filter(|id| !ids.contains(id)).collect();
        let mut found = places(db, "correlation = any($1)", &correlations).await?;
        found.extend(places(db, "event_id = any($1)", &parents).await?);
        let led = "causation = any($1) and causation <> correlation";
        found.extend(places(db, led, &ids).await?);
        found.sort_unstable();
        found.dedup();
        found.retain(|position| !known.contains(position));
        asked.extend(correlations);
        let room = MOST.saturating_sub(events.len());
        let complete = found.len() <= room;
        found.truncate(room);
        if found.is_empty() {
            return Ok((events, complete));
        }
        events.extend(list::read(log, found, seals).await?);
        if !complete {
            return Ok((events, false));
        }
    }
}

/// Where the events are that fit a condition on the index.
async fn places(
    db: &mut PgConnection,
    condition: &'static str,
    ids: &[Uuid],
) -> Result<Vec<Position>, sqlx::Error> {
    let condition = condition.replace("= $1", "= any($1)");
    let most = i64::try_from(MOST).unwrap_or(i64::MAX) + 1;
    let found: Vec<Place> = sqlx::query_scalar(&format!(
        // By the ids first: they are few, and the order alone would walk through everything.
        "with found as materialized (select position from event_index where {condition})
         select position from found order by position limit $2"
    ))
    .bind(ids)
    .bind(most)
    .fetch_all(db)
    .await?;
    Ok(found.into_iter().map(|Place(position)| position).collect())
}

/// A position, if an event of ours is there: the log has no answer for places in between.
async fn exists(
    db: &mut PgConnection,
    position: Position,
) -> Result<Option<Position>, sqlx::Error> {
    let there: Option<Place> =
        sqlx::query_scalar("select position from event_index where position = $1")
            .bind(Place(position))
            .fetch_optional(db)
            .await?;
    Ok(there.map(|Place(position)| position))
}
