//! Lists of events: where they are is asked of the index, what they say of the log.

use event_log::{EventLog, Recorded, Seals};
use events::Position;
use futures::{StreamExt, TryStreamExt};
use sqlx::PgConnection;

use super::HistoryError;
use super::entry::Entry;
use super::filter::Bounded;
use crate::place::Place;

/// How many events are read from the log at once.
const AT_ONCE: usize = 8;
/// How many events a scan reads from the log at a time.
const PAGE: usize = 1000;

/// At most `limit` events that fit, in the order of the log, or the newest first. A stream is read
/// itself; everything else is found by the index, which knows the events of ours alone.
///
/// # Errors
/// When the log or Postgres is away.
pub async fn list(
    log: &EventLog,
    db: &mut PgConnection,
    bounded: &Bounded,
    newest_first: bool,
    limit: usize,
    seals: Seals,
) -> Result<Vec<Entry>, HistoryError> {
    if let Some(stream) = &bounded.filter.stream {
        let until = bounded.upto.unwrap_or(Position::at(u64::MAX));
        let mut recorded = log.read_stream_until(stream, until).await?;
        if newest_first {
            recorded.reverse();
        }
        let mut found = vec![];
        for recorded in recorded.iter().filter(|event| event.position > bounded.after) {
            if found.len() == limit {
                break;
            }
            let entry = Entry::of(log, recorded, Seals::Kept).await?;
            if bounded.fits(&entry) {
                found.push(again(log, recorded, entry, seals).await?);
            }
        }
        return Ok(found);
    }
    let rows = i64::try_from(limit).unwrap_or(i64::MAX);
    let places: Vec<Place> =
        bounded.select(newest_first, rows).build_query_scalar().fetch_all(&mut *db).await?;
    read(log, places.into_iter().map(|Place(position)| position), seals).await
}

/// The events at these places.
///
/// # Errors
/// When the log is away.
pub async fn read(
    log: &EventLog,
    places: impl IntoIterator<Item = Position>,
    seals: Seals,
) -> Result<Vec<Entry>, HistoryError> {
    let found: Vec<Option<Entry>> = futures::stream::iter(places)
        .map(async |position| match log.read_at(position).await? {
            Some(recorded) => Ok(Some(Entry::of(log, &recorded, seals).await?)),
            None => Ok::<_, HistoryError>(None),
        })
        .buffered(AT_ONCE)
        .try_collect()
        .await?;
    Ok(found.into_iter().flatten().collect())
}

/// Reads the whole log from the lower bound on, foreign events included, and hands over those that
/// fit, until it is told that it is enough or the end is reached. `seen` is told each position.
///
/// # Errors
/// When the log is away.
pub async fn scan(
    log: &EventLog,
    bounded: &Bounded,
    seals: Seals,
    mut seen: impl FnMut(Position),
    mut take: impl FnMut(Entry) -> bool,
) -> Result<(), HistoryError> {
    let mut last = bounded.after;
    loop {
        let page = log.read_all(last, PAGE).await?;
        let Some(end) = page.last().map(|event| event.position) else { return Ok(()) };
        for recorded in &page {
            let entry = Entry::of(log, recorded, Seals::Kept).await?;
            if bounded.upto.is_some_and(|upto| entry.position > upto) {
                return Ok(());
            }
            if bounded.fits(&entry) && !take(again(log, recorded, entry, seals).await?) {
                return Ok(());
            }
        }
        last = end;
        seen(last);
    }
}

/// Only what fits is opened.
pub(super) async fn again(
    log: &EventLog,
    recorded: &Recorded,
    sealed: Entry,
    seals: Seals,
) -> Result<Entry, HistoryError> {
    match seals {
        Seals::Kept => Ok(sealed),
        Seals::Opened => Ok(Entry::of(log, recorded, seals).await?),
    }
}

/// An event as it comes, if it fits.
///
/// # Errors
/// When it is to be opened and the keys cannot be fetched.
pub async fn fitting(
    log: &EventLog,
    recorded: &Recorded,
    bounded: &Bounded,
    seals: Seals,
) -> Result<Option<Entry>, HistoryError> {
    let entry = Entry::of(log, recorded, Seals::Kept).await?;
    match bounded.fits(&entry) {
        true => again(log, recorded, entry, seals).await.map(Some),
        false => Ok(None),
    }
}
