//! Reading one stream: what of it is visible, and pages in both directions.

use std::time::SystemTime;

use super::{Failure, PAGE_BYTES, PAGE_EVENTS, Resolved, Resolver};
use crate::{
    committer::ticks,
    engine::Engine,
    index::{entry::Range, key::StreamKey},
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
    let catalog = &engine.catalog;
    let key = catalog.key(stream);
    let described = metadata::described(stream).map(|name| catalog.key(name));
    // The metadata of a deleted stream is gone with it.
    if let Some(described) = described
        && let Some(at) = catalog.state(described)?.tombstone
    {
        return Ok(Look::Deleted(at));
    }
    let state = catalog.state(key)?;
    if let Some(at) = state.tombstone {
        return Ok(Look::Deleted(at));
    }
    // The state is not older than what the reader may see.
    reader.set_limit(engine.head());
    let mut rules = catalog.rules(&state)?;
    if described.is_some() {
        rules = Rules::METADATA;
    }
    let Some(last) = state.last.filter(|_| !rules.is_soft_deleted()) else {
        return Ok(Look::Missing);
    };
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
        let position = engine.catalog.position(key, middle)?;
        let record = position.map(|position| reader.exactly(position, RANDOM)).transpose()?;
        // What was scavenged is older than what was not.
        if record.flatten().is_none_or(|record| record.created < oldest) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// Events of one stream, and where to go on behind them.
pub(crate) struct Records {
    pub(crate) records: Vec<Record>,
    /// The next revision in the direction of the read; `None` when there is no more.
    pub(crate) next: Option<u64>,
}

/// Reads at most so many of the revisions `from..=to` from the log, from that end and in the order of
/// the direction.
pub(crate) fn records(
    engine: &Engine,
    key: StreamKey,
    (from, to): (u64, u64),
    backwards: bool,
    most: u64,
    reader: &mut LogReader,
) -> Result<Records, Failure> {
    let most = most.min(PAGE_EVENTS as u64) as usize;
    let low = if backwards { from.max((to + 1).saturating_sub(most as u64)) } else { from };
    let mut places = engine.catalog.places(key, Range { from: low, to, most })?;
    let behind = |revision: u64| {
        let next = if backwards { revision.checked_sub(1) } else { revision.checked_add(1) };
        next.filter(|next| (from..=to).contains(next))
    };
    let (Some(&(_, start)), Some(&(last, end))) = (places.first(), places.last()) else {
        // Backwards there may be more below a hole that a scavenge has left.
        let next = if backwards { behind(low) } else { None };
        return Ok(Records { records: Vec::new(), next });
    };
    let next = behind(if backwards { low } else { last });
    // Events that lie close together are read at once, scattered ones each by itself.
    let close = (end - start) / (places.len() as u64) < 2 * RANDOM as u64;
    if backwards {
        places.reverse();
    }
    let mut records = Vec::with_capacity(places.len());
    let mut bytes = 0;
    for (revision, position) in places {
        if backwards && close {
            reader.look_back(position, start)?;
        }
        let rest = (end - position) as usize + RANDOM;
        let ahead = if close { rest.min(SEQUENTIAL) } else { RANDOM };
        let Some(record) = reader.exactly(position, ahead)? else { continue };
        bytes += record.next - position;
        records.push(record);
        if bytes > PAGE_BYTES {
            return Ok(Records { records, next: behind(revision) });
        }
    }
    Ok(Records { records, next })
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
        let mut records = Vec::new();
        // A page of scavenged events is not the end.
        while records.is_empty()
            && self.remaining > 0
            && let Some((next, end)) = self.range
        {
            let range = if self.backwards { (end, next) } else { (next, end) };
            let (backwards, most) = (self.backwards, self.remaining);
            let page = self::records(engine, self.key, range, backwards, most, &mut self.reader)?;
            records = page.records;
            self.remaining -= records.len() as u64;
            self.range = page.next.map(|next| (next, end));
        }
        records.into_iter().map(|record| self.resolver.resolve(engine, record)).collect()
    }
}
