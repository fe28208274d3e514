//! The log for a rebuild: read in big pages, decoded once for all projections that are built, and
//! only where it concerns one of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use event_log::{EventLog, Recorded};
use events::{Category, Position};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::tail::{Item, open};

/// How many events are read at once.
const PAGE: usize = 4096;
/// After so many events others have their turn: decoding waits for nothing by itself.
const TURN: usize = 32;
/// How many pages are read and decoded ahead.
const AHEAD: usize = 2;

/// The events after one position and up to another, without those that concern nobody.
#[derive(Debug)]
pub(super) struct Page {
    /// Its last position.
    pub(super) to: Position,
    /// How many events that were, of whatever kind.
    pub(super) events: u64,
    pub(super) items: Vec<Arc<Item>>,
}

/// The pages of the log from one position to another, in order. They end with an error, or with the
/// page in which `until` is.
pub(super) fn pages(
    log: EventLog,
    after: Position,
    until: Position,
    follows: BTreeSet<Category>,
) -> mpsc::Receiver<JoinHandle<Result<Page>>> {
    let (pages, taken) = mpsc::channel(AHEAD);
    let follows = Arc::new(follows);
    tokio::spawn(async move {
        let mut last = after;
        while last < until {
            let read = log.read_all(last, PAGE).await.context("the event store does not answer");
            let read = read.and_then(|events| {
                let end = events.last().context("the log ends before the read models do")?;
                last = end.position;
                Ok(events)
            });
            let failed = read.is_err();
            let (log, follows) = (log.clone(), follows.clone());
            let page = tokio::spawn(async move { Ok(decoded(&log, &follows, read?).await) });
            if pages.send(page).await.is_err() || failed {
                return;
            }
        }
    });
    taken
}

async fn decoded(log: &EventLog, follows: &BTreeSet<Category>, events: Vec<Recorded>) -> Page {
    let to = events.last().map_or(Position::START, |event| event.position);
    let count = events.len() as u64;
    let mut items = Vec::with_capacity(events.len());
    for (number, event) in events.into_iter().enumerate() {
        if number % TURN == 0 {
            tokio::task::yield_now().await;
        }
        if event.stream.category().is_some_and(|category| follows.contains(&category)) {
            items.push(Arc::new(open(log, event).await));
        }
    }
    Page { to, events: count, items }
}
