//! Reading one stream: what of it is visible, and pages in both directions.

use std::time::SystemTime;

use super::{Failure, PAGE_BYTES, PAGE_EVENTS, Resolved, Resolver};
use crate::{
    committer::ticks,
    engine::Engine,
    index::StreamKey,
    log::{
        frame::Record,
        reader::{LogReader, RANDOM, SEQUENTIAL},
    },
    metadata::{self, Rules},
};

/// What there is of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Look {
    /// Never written, or soft-deleted.
    Missing,
    /// Ended for ever by the tombstone at this position.
    Deleted(u64),
    /// The revisions that can be seen; none when `first` is greater than `last`.
    Present { key: StreamKey, first: u64, last: u64 },
}

/// Looks at the stream as it is now.
pub(crate) fn look(
    engine: &Engine,
    stream: &[u8],
    reader: &mut LogReader,
) -> Result<Look, Failure> {
    let key = engine.keys.key(stream);
    let described = metadata::described(stream).map(|name| engine.keys.key(name));
    let (last, mut rules) = {
        let index = engine.index();
        // The metadata of a deleted stream is gone with it.
        if let Some(at) = described.and_then(|described| index.rules(described).tombstone) {
            return Ok(Look::Deleted(at));
        }
        (index.last_revision(key), index.rules(key))
    };
    if let Some(at) = rules.tombstone {
        return Ok(Look::Deleted(at));
    }
    if described.is_some() {
        rules = Rules::METADATA;
    }
    let Some(last) = last.filter(|_| !rules.is_soft_deleted()) else { return Ok(Look::Missing) };
    let first = rules.first_visible(last);
    let first = match rules.max_age {
        Some(seconds) => first_young(engine, key, first, last, seconds, reader)?,
        None => first,
    };
    Ok(Look::Present { key, first, last })
}

/// The first revision that is not older than the age; times in a stream never go back.
fn first_young(
    engine: &Engine,
    key: StreamKey,
    first: u64,
    last: u64,
    seconds: u64,
    reader: &mut LogReader,
) -> Result<u64, Failure> {
    let oldest = ticks(SystemTime::now()).saturating_sub(seconds.saturating_mul(10_000_000));
    let (mut low, mut high) = (first, last + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let position = engine.index().position(key, middle);
        let record = position.map(|position| reader.at(position, RANDOM)).transpose()?.flatten();
        if record.is_some_and(|record| record.created < oldest) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// Reads revisions `from..=to` from the log, as many from that end as a page holds, in the order of
/// the direction.
pub(crate) fn records(
    engine: &Engine,
    key: StreamKey,
    (from, to): (u64, u64),
    backwards: bool,
    reader: &mut LogReader,
) -> Result<Vec<Record>, Failure> {
    let (mut low, mut high) = (from, to + 1);
    while low < high {
        let part = (high - low).min(PAGE_EVENTS as u64);
        let range = if backwards { (high - part, high) } else { (low, low + part) };
        let records = part_of(engine, key, range, backwards, reader)?;
        if !records.is_empty() {
            return Ok(records);
        }
        // All of them were removed, and can be seen only because the rules were loosened since.
        (low, high) = if backwards { (low, range.0) } else { (range.1, high) };
    }
    Ok(Vec::new())
}

/// Reads what is left of the revisions `from..until`, which are no more than a page.
fn part_of(
    engine: &Engine,
    key: StreamKey,
    (from, until): (u64, u64),
    backwards: bool,
    reader: &mut LogReader,
) -> Result<Vec<Record>, Failure> {
    let mut positions = engine.index().positions(key, from, (until - from) as usize);
    let (Some(&start), Some(&end)) = (positions.first(), positions.last()) else {
        return Ok(Vec::new());
    };
    // Events that lie close together are read at once, scattered ones each by itself.
    let close = end.saturating_sub(start) / (positions.len() as u64) < 2 * RANDOM as u64;
    if backwards {
        positions.reverse();
    }
    let mut records = Vec::with_capacity(positions.len());
    let mut bytes = 0;
    for position in positions {
        if backwards && close {
            reader.look_back(position, start)?;
        }
        let rest = end.saturating_sub(position) as usize + RANDOM;
        let ahead = if close { rest.min(SEQUENTIAL) } else { RANDOM };
        let Some(record) = reader.exactly(position, ahead)? else { continue };
        bytes += record.next - position;
        records.push(record);
        if bytes > PAGE_BYTES {
            break;
        }
    }
    Ok(records)
}

/// A read of a stream with a limit on the number of events.
pub(crate) struct StreamRead {
    pub(crate) key: StreamKey,
    /// The next revision, and the last one in that direction; `None` when there is no more.
    pub(crate) range: Option<(u64, u64)>,
    pub(crate) backwards: bool,
    pub(crate) remaining: u64,
    pub(crate) reader: LogReader,
    pub(crate) resolver: Resolver,
}

impl StreamRead {
    /// The next page; empty at the end.
    pub(crate) fn page(&mut self, engine: &Engine) -> Result<Vec<Resolved>, Failure> {
        let Some((next, end)) = self.range.filter(|_| self.remaining > 0) else {
            return Ok(Vec::new());
        };
        let most = self.remaining - 1;
        let range = if self.backwards {
            (next.saturating_sub(most).max(end), next)
        } else {
            (next, next.saturating_add(most).min(end))
        };
        let records = records(engine, self.key, range, self.backwards, &mut self.reader)?;
        // What a scavenge has removed is stepped over: the revisions read may have gaps.
        self.range = records
            .last()
            .map(|last| last.revision)
            .filter(|last| *last != end)
            .map(|last| (if self.backwards { last - 1 } else { last + 1 }, end));
        self.remaining -= records.len() as u64;
        records.into_iter().map(|record| self.resolver.resolve(engine, record)).collect()
    }
}
