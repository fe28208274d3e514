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
    let wanted = (to + 1).saturating_sub(from).min(PAGE_EVENTS as u64);
    let from = if backwards { to + 1 - wanted } else { from };
    let mut positions = engine.index().positions(key, from, wanted as usize);
    let (Some(&start), Some(&end)) = (positions.first(), positions.last()) else {
        return Ok(Vec::new());
    };
    // Events that lie close together are read at once, scattered ones each by itself.
    let close = (end - start) / (positions.len() as u64) < 2 * RANDOM as u64;
    if backwards {
        positions.reverse();
    }
    let mut records = Vec::with_capacity(positions.len());
    let mut bytes = 0;
    for position in positions {
        if backwards && close {
            reader.look_back(position, start)?;
        }
        let rest = (end - position) as usize + RANDOM;
        let ahead = if close { rest.min(SEQUENTIAL) } else { RANDOM };
        let Some(record) = reader.at(position, ahead)? else { break };
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
        let read = records.len() as u64;
        let left = if self.backwards { next - end } else { end - next };
        self.range = (read > 0 && read <= left).then(|| {
            let next = if self.backwards { next - read } else { next + read };
            (next, end)
        });
        self.remaining -= read;
        records.into_iter().map(|record| self.resolver.resolve(engine, record)).collect()
    }
}
