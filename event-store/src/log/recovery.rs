//! Opens the log: checks every record, cuts off a torn tail, refuses corruption.

use std::{fs, path::Path, sync::Arc};

use bytes::Bytes;

use super::{
    frame::{self, Record},
    reader::{LogReader, ReadError, SEQUENTIAL},
    segment::{self, Segment, Segments},
};
use crate::{error::Error, index::Reach};

/// What opening found.
pub(crate) struct Recovered {
    pub(crate) segments: Arc<Segments>,
    pub(crate) head: u64,
    /// When the newest event was created, so that the clock of the log never runs backwards.
    pub(crate) last_created: u64,
}

/// A log that was opened, but of which nothing was read yet.
pub(crate) struct Log {
    segments: Arc<Segments>,
    found: Vec<Arc<Segment>>,
}

impl Log {
    /// Opens the segments in the folder and checks that they follow each other.
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        let found: Vec<_> = whole_segments(folder)?.into_iter().map(Arc::new).collect();
        let segments = Arc::new(Segments::default());
        found.iter().for_each(|segment| segments.push(Arc::clone(segment)));
        Ok(Self { segments, found })
    }

    /// Whether this is the log that an index with this reach was made from.
    pub(crate) fn continues(&self, reach: &Reach) -> Result<bool, Error> {
        let last = self.found.last().expect("a log has a segment");
        let end = last.end()?;
        if reach.covered > end {
            return Ok(false);
        }
        let mut reader = LogReader::new(Arc::clone(&self.segments), end);
        let newest = reader.before(reach.covered);
        let oldest = reader.at(reach.recent_from, SEQUENTIAL);
        Ok(newest.is_ok_and(|record| record.is_some_and(|record| record.id == reach.last_id))
            && oldest.is_ok())
    }

    /// Hands every durable record that the reach does not cover to `apply`, in order, after those
    /// whose ids it wants remembered.
    pub(crate) fn replay(
        self,
        reach: Option<&Reach>,
        mut apply: impl FnMut(&Record) -> Result<(), Error>,
    ) -> Result<Recovered, Error> {
        let Self { segments, found } = self;
        let from = reach.map_or(0, |reach| reach.recent_from.min(reach.covered));
        let durable = reach.map_or(0, |reach| reach.covered);
        let mut scan =
            Scan { segments: &segments, durable, head: from, last_created: 0, apply: &mut apply };
        let last = found.len() - 1;
        for (at, segment) in found.iter().enumerate() {
            let ends_before = found.get(at + 1).is_some_and(|next| next.base <= from);
            if !ends_before {
                scan.segment(segment, at == last)?;
            }
        }
        let Scan { head, last_created, .. } = scan;
        Ok(Recovered { segments, head, last_created })
    }
}

/// The segments, proved to follow each other without a gap; a new one in an empty folder.
fn whole_segments(folder: &Path) -> Result<Vec<Segment>, Error> {
    let mut found = segment::list(folder)?;
    if let Some(newest) = found.pop() {
        if newest.header_holds()? || newest.end()? > newest.first() {
            found.push(newest);
        } else {
            // The process ended while it made this file; nothing was ever written behind it.
            fs::remove_file(&newest.path).map_err(Error::io("remove", &newest.path))?;
            segment::sync_folder(folder)?;
        }
    }
    if found.is_empty() {
        found.push(Segment::create(folder, 0)?);
    }
    let mut expected = 0;
    for (at, segment) in found.iter().enumerate() {
        let refuse = |reason| Err(corrupt(segment, 0, reason));
        if segment.base != expected {
            return refuse("the segment before this one is missing or incomplete");
        }
        if !segment.header_holds()? {
            return refuse("the header of the segment is wrong");
        }
        expected = segment.end()?;
        if at + 1 < found.len() && expected == segment.first() {
            return refuse("the segment is empty but not the last");
        }
    }
    Ok(found)
}

struct Scan<'a> {
    segments: &'a Arc<Segments>,
    /// Below this position everything was durable once.
    durable: u64,
    head: u64,
    last_created: u64,
    apply: &'a mut dyn FnMut(&Record) -> Result<(), Error>,
}

impl Scan<'_> {
    fn segment(&mut self, segment: &Segment, is_last: bool) -> Result<(), Error> {
        let end = segment.end()?;
        self.head = self.head.max(segment.first());
        let Some((broken, reason)) = self.records(segment, end)? else { return Ok(()) };
        let proven = self.head < self.durable || was_durable(segment, self.head, broken, end)?;
        if !is_last || proven {
            return Err(corrupt(segment, broken, reason));
        }
        tracing::warn!(
            log.position = self.head,
            log.bytes = end - self.head,
            "the end of the log was never acknowledged and is cut off: {reason}"
        );
        segment
            .file
            .set_len(self.head - segment.base)
            .and_then(|()| segment.file.sync_all())
            .map_err(Error::io("truncate", &segment.path))
    }

    /// Applies whole appends until the end, or until the returned place where one is broken.
    fn records(
        &mut self,
        segment: &Segment,
        end: u64,
    ) -> Result<Option<(u64, &'static str)>, Error> {
        let mut reader = LogReader::new(Arc::clone(self.segments), end);
        let mut append: Vec<Record> = Vec::new();
        let mut position = self.head;
        while position < end {
            let record = match reader.at(position, SEQUENTIAL) {
                Ok(Some(record)) => record,
                Ok(None) => break,
                Err(ReadError::NotARecord { reason, .. }) => return Ok(Some((position, reason))),
                Err(ReadError::Io { source, .. } | ReadError::Index(source)) => {
                    return Err(Error::io("read", &segment.path)(source));
                }
            };
            if append.last().is_some_and(|last| last.following != record.following + 1) {
                return Ok(Some((position, "an append lacks an event")));
            }
            position = record.next;
            let complete = record.following == 0;
            append.push(record);
            if complete {
                for record in append.drain(..) {
                    self.last_created = self.last_created.max(record.created);
                    (self.apply)(&record)?;
                }
                self.head = position;
            }
        }
        Ok(if append.is_empty() { None } else { Some((end, "an append lacks its last event")) })
    }
}

/// Whether a later record proves that the append which starts at `append` was durable once.
fn was_durable(segment: &Segment, append: u64, broken: u64, end: u64) -> Result<bool, Error> {
    use std::os::unix::fs::FileExt;

    let from = (broken + 1).min(end);
    let mut rest = vec![0; (end - from) as usize];
    segment
        .file
        .read_exact_at(&mut rest, from - segment.base)
        .map_err(Error::io("read", &segment.path))?;
    let rest = Bytes::from(rest);
    Ok((0..rest.len()).filter(|at| frame::plausible(&rest[*at..])).any(|at| {
        frame::decode(&rest.slice(at..), from + at as u64)
            .is_ok_and(|record| record.durable > append)
    }))
}

fn corrupt(segment: &Segment, position: u64, reason: &'static str) -> Error {
    let offset = position.saturating_sub(segment.base);
    Error::Corrupt { path: segment.path.clone(), offset, reason }
}
