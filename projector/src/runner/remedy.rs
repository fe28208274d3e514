//! What an administrator decided about parked events, which the runner of the projection carries out
//! when it comes to the fact: in the order of the log, once, and in a rebuild again.

use std::sync::Arc;
use std::time::Duration;

use event_log::EventLog;
use events::{DomainEvent, EventId, ParkedEvent, Position, StreamName};
use sqlx::{Connection, PgConnection};
use tokio::time::sleep;
use uuid::Uuid;

use super::claim::Checkpoint;
use super::is_poison;
use super::parked::Parked;
use crate::projections::{ApplyError, Projection};
use crate::tail::{Content, Item, open};

/// With the event store away, or another projection behind, the next try is after this long.
const PAUSE: Duration = Duration::from_millis(250);

/// What an event decides about the parked events of a projection.
pub(crate) fn of<P: Projection>(item: &Item) -> Option<&ParkedEvent> {
    match &item.content {
        Content::Ours(event) => match &event.event {
            DomainEvent::Parked(remedy) if remedy.about().1 == P::NAME => Some(remedy),
            _ => None,
        },
        Content::Foreign | Content::Poison(_) => None,
    }
}

/// How many of the first items go together: a decision about parked events goes alone.
pub(crate) fn alone_length<P: Projection>(items: &[Arc<Item>]) -> usize {
    let first = items.iter().position(|item| of::<P>(item).is_some());
    first.map_or(items.len(), |first| first.max(1))
}

/// The first items that go together.
pub(super) fn alone<P: Projection>(mut items: Vec<Arc<Item>>) -> Vec<Arc<Item>> {
    items.truncate(alone_length::<P>(&items));
    items
}

/// A parked event.
type Row = (Vec<u8>, i64, Uuid);

/// Does what was decided, and moves the checkpoint to where that is. Answers with the cached answers
/// that are stale.
pub(crate) async fn carry_out<P: Projection>(
    db: &mut PgConnection,
    log: &EventLog,
    projection: &mut P,
    parked: &mut Parked,
    (from, to): (Checkpoint, Position),
    remedy: &ParkedEvent,
) -> Result<Vec<String>, ApplyError> {
    let (event, _) = remedy.about();
    let rows = rows(db, P::NAME, event).await?;
    let items = match rows.first() {
        Some((stream, (_, revision, _))) => read(log, stream, *revision).await,
        None => vec![],
    };
    loop {
        *projection = P::default();
        let mut transaction = db.begin().await?;
        from.move_to(&mut transaction, P::NAME, to).await?;
        match apply(&mut transaction, projection, &rows, &items, remedy).await {
            Ok(stale) => {
                transaction.commit().await?;
                *projection = P::default();
                *parked = Parked::load(db, P::NAME).await?;
                return Ok(stale);
            }
            Err(ApplyError::Waits) => transaction.rollback().await?,
            Err(error) => return Err(error),
        }
        sleep(PAUSE).await;
    }
}

/// The parked events of the stream of one of them, in the order of the stream.
async fn rows(
    db: &mut PgConnection,
    projection: &str,
    event: EventId,
) -> Result<Vec<(StreamName, Row)>, sqlx::Error> {
    let rows: Vec<(String, Vec<u8>, i64, Uuid)> = sqlx::query_as(
        "select stream, position, revision, event_id from parked_event
         where projection = $1 and stream = (
           select stream from parked_event where projection = $1 and event_id = $2 limit 1
         )
         order by revision",
    )
    .bind(projection)
    .bind(event.uuid())
    .fetch_all(db)
    .await?;
    let rows = rows.into_iter();
    Ok(rows
        .map(|(stream, at, revision, id)| (StreamName::recorded(stream), (at, revision, id)))
        .collect())
}

/// The events of a stream, from a revision on.
async fn read(log: &EventLog, stream: &StreamName, from: i64) -> Vec<Item> {
    let from = u64::try_from(from).unwrap_or_default();
    let events = loop {
        match log.read_stream(stream, from).await {
            Ok(events) => break events,
            Err(error) => {
                tracing::debug!(%error, "a stream cannot be read");
                sleep(PAUSE).await;
            }
        }
    };
    let mut items = Vec::with_capacity(events.len());
    for event in events {
        items.push(open(log, event).await);
    }
    items
}

/// Forgets the event that is skipped. Then what is parked of its stream is applied in its order, up to
/// the first event that fails again.
async fn apply<P: Projection>(
    db: &mut PgConnection,
    projection: &mut P,
    rows: &[(StreamName, Row)],
    items: &[Item],
    remedy: &ParkedEvent,
) -> Result<Vec<String>, ApplyError> {
    let mut rows: Vec<&Row> = rows.iter().map(|(_, row)| row).collect();
    if let ParkedEvent::Skipped { event, .. } = remedy {
        let Some(place) = rows.iter().position(|(_, _, id)| *id == event.uuid()) else {
            return Ok(vec![]);
        };
        forget(db, P::NAME, rows.remove(place)).await?;
        if place > 0 {
            // The events before it are parked as they were.
            return Ok(vec![]);
        }
    }
    let mut stale = Vec::new();
    for row in rows {
        let item = items.iter().find(|item| i64::try_from(item.revision) == Ok(row.1));
        match apply_one(db, projection, item).await? {
            Ok(keys) => {
                forget(db, P::NAME, row).await?;
                stale.extend(keys);
            }
            Err(error) => {
                *projection = P::default();
                failed_again(db, P::NAME, row, &error).await?;
                break;
            }
        }
    }
    Ok(stale)
}

/// Applies an event; the inner error is what is wrong with it.
async fn apply_one<P: Projection>(
    db: &mut PgConnection,
    projection: &mut P,
    item: Option<&Item>,
) -> Result<Result<Vec<String>, String>, ApplyError> {
    let event = match item.map(|item| &item.content) {
        Some(Content::Ours(event)) => event,
        Some(Content::Poison(error)) => return Ok(Err(error.clone())),
        Some(Content::Foreign) | None => return Ok(Err("the log does not have it".to_owned())),
    };
    let ops = P::project(event);
    let stale = ops.iter().flat_map(P::stale_caches).collect();
    let mut savepoint = db.begin().await?;
    match projection.apply(&mut savepoint, ops).await {
        Ok(()) => {
            savepoint.commit().await?;
            Ok(Ok(stale))
        }
        Err(ApplyError::Postgres(error)) if is_poison(&error) => {
            savepoint.rollback().await?;
            Ok(Err(error.to_string()))
        }
        Err(error) => Err(error),
    }
}

async fn forget(db: &mut PgConnection, projection: &str, row: &Row) -> Result<(), sqlx::Error> {
    sqlx::query("delete from parked_event where projection = $1 and position = $2")
        .bind(projection)
        .bind(&row.0)
        .execute(db)
        .await?;
    Ok(())
}

async fn failed_again(
    db: &mut PgConnection,
    projection: &str,
    row: &Row,
    error: &str,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "update parked_event set error = $3, retries = retries + 1, retried_at = now()
         where projection = $1 and position = $2",
    )
    .bind(projection)
    .bind(&row.0)
    .bind(error.replace('\0', "\u{FFFD}"))
    .execute(db)
    .await?;
    Ok(())
}
