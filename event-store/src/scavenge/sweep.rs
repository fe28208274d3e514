//! One scavenge: through the closed segments, one after the other.

use std::{
    error::Error as _,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Order, Stopped, journal::Journal, pace::Pace, verdict::Judge};
use crate::{
    Error,
    engine::Engine,
    log::{
        reader::{LogReader, ReadError, SEQUENTIAL},
        rewrite::{self, Keep, Unfinished},
        segment::Segment,
    },
};

/// What a scavenge, or a part of it, came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    pub(crate) looked_at: u64,
    pub(crate) rewritten: u64,
    pub(crate) removed: u64,
    pub(crate) freed: u64,
}

/// Why a scavenge did not come to its end.
enum Break {
    Stopped,
    Failed(String),
}

impl From<Stopped> for Break {
    fn from(Stopped: Stopped) -> Self {
        Self::Stopped
    }
}

impl From<Error> for Break {
    fn from(error: Error) -> Self {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        Self::Failed(format!("{error}{cause}"))
    }
}

impl From<Unfinished<Stopped>> for Break {
    fn from(unfinished: Unfinished<Stopped>) -> Self {
        match unfinished {
            Unfinished::Failed(error) => error.into(),
            Unfinished::Stopped(stopped) => stopped.into(),
        }
    }
}

/// Does what was ordered, and says in the log and in `$scavenges` how it went. It ends at the first
/// failure: a disk that is full or broken gets no better by going on.
pub(crate) fn run(engine: &Engine, order: Order) {
    let begun = Instant::now();
    let bases = engine.segments().closed();
    let bases = &bases[order.skip.min(bases.len())..];
    let mut journal = Journal::new(engine, order.id);
    journal.started(order.skip, bases.len());
    let mut sum = Sum::default();
    let mut pace = Pace::new(&engine.scavenger, engine.config.scavenge_bytes_per_second);
    let mut sweep = || {
        for base in bases {
            pace.check()?;
            segment(engine, *base, &mut pace, &mut sum, &mut journal)?;
        }
        Ok(())
    };
    let (result, error) = match sweep() {
        Ok(()) => ("Success", None),
        Err(Break::Stopped) => ("Stopped", None),
        Err(Break::Failed(error)) => ("Errored", Some(error)),
    };
    if sum.removed > 0 {
        engine.sweep_index();
    }
    // Who reads that it has completed may order the next one.
    engine.scavenger.done();
    journal.completed(result, error.as_deref(), sum, begun.elapsed());
}

fn segment(
    engine: &Engine,
    base: u64,
    pace: &mut Pace<'_>,
    sum: &mut Sum,
    journal: &mut Journal<'_>,
) -> Result<(), Break> {
    let begun = Instant::now();
    let (segment, _) = engine.segments().holding(base).expect("segments never leave the log");
    let (keep, removed) = look_through(engine, &segment, pace)?;
    sum.looked_at += 1;
    let before = segment.length()?;
    let freed = before.saturating_sub(keep.file_length());
    let least = engine.config.scavenge_least_bytes;
    if removed == 0 || freed < least.min(before / 10) {
        return Ok(());
    }
    let mut spend = |bytes| pace.spend(bytes);
    rewrite::rewrite(&engine.config.data, engine.segments(), &segment, &keep, &mut spend)?;
    sum.rewritten += 1;
    sum.removed += removed;
    sum.freed += freed;
    let part = Sum { looked_at: 1, rewritten: 1, removed, freed };
    journal.rewritten(base, segment.end()?, part, begun.elapsed());
    Ok(())
}

/// Reads a segment: what stays, and how many records do not.
fn look_through(
    engine: &Engine,
    segment: &Segment,
    pace: &mut Pace<'_>,
) -> Result<(Keep, u64), Break> {
    let mut reader = LogReader::new(Arc::clone(engine.segments()), segment.end()?);
    let judge = Judge::new(engine);
    let (mut keep, mut removed) = (Keep::default(), 0);
    let mut position = segment.base;
    let failed = |error: ReadError| {
        let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
        Break::Failed(format!("{error}{cause}"))
    };
    while let Some(record) = reader.at(position, SEQUENTIAL).map_err(failed)? {
        position = record.next;
        if judge.keeps(&record).map_err(failed)? {
            keep.record(record.position, record.next);
        } else {
            removed += 1;
        }
        pace.spend(record.next - record.position)?;
    }
    Ok((keep, removed))
}

/// A time in whole milliseconds.
pub(crate) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
