//! Opens the log: checks every record, cuts off a torn tail, refuses corruption.

use std::{fs, path::Path, sync::Arc};

use super::{
    frame::Record,
    reader::{LogReader, ReadError, SEQUENTIAL},
    segment::{self, Segment, Segments},
    walk::Walk,
};
use crate::error::Error;

/// What opening found.
pub(crate) struct Recovered {
    pub(crate) segments: Arc<Segments>,
    pub(crate) head: u64,
    /// When the newest event was created, so that the clock of the log never runs backwards.
    pub(crate) last_created: u64,
}

/// Opens the log in the folder and hands every durable record to `apply`, in order.
pub(crate) fn recover(folder: &Path, mut apply: impl FnMut(&Record)) -> Result<Recovered, Error> {
    let (found, half_made) = whole_segments(folder)?;
    let segments = Arc::new(Segments::default());
    let mut scan = Scan { segments: &segments, head: 0, last_created: 0, apply: &mut apply };
    let last = found.len() - 1;
    for (at, segment) in found.into_iter().enumerate() {
        let segment = Arc::new(segment);
        segments.push(Arc::clone(&segment));
        scan.segment(&segment, at == last && half_made.is_none())?;
    }
    let Scan { head, last_created, .. } = scan;
    if let Some(half_made) = half_made {
        fs::remove_file(&half_made.path).map_err(Error::io("remove", &half_made.path))?;
    }
    keep(folder, &segments, head)?;
    Ok(Recovered { segments, head, last_created })
}

/// The segments, proved to follow each other without a gap; a new one in an empty folder. And the
/// file that the process ended while it made, which holds nothing, but whose name proves that all
/// before it was durable.
fn whole_segments(folder: &Path) -> Result<(Vec<Segment>, Option<Segment>), Error> {
    let mut found = segment::list(folder)?;
    let mut half_made = None;
    if let Some(newest) = found.pop() {
        if newest.header_holds()? || newest.end()? > newest.first() {
            found.push(newest);
        } else if newest.base > 0 || !found.is_empty() {
            half_made = Some(newest);
        }
    }
    if found.is_empty() && half_made.is_none() {
        found.push(Segment::create(folder, 0)?);
    }
    let mut expected = 0;
    for (at, segment) in found.iter().enumerate() {
        let refuse = |reason| Err(corrupt(segment, 0, reason));
        if segment.base != expected {
            return refuse(GAP);
        }
        if !segment.header_holds()? {
            return refuse("the header of the segment is wrong");
        }
        expected = segment.end()?;
        if at + 1 < found.len() && expected == segment.first() {
            return refuse("the segment is empty but not the last");
        }
    }
    match half_made {
        Some(half_made) if half_made.base != expected => Err(corrupt(&half_made, 0, GAP)),
        half_made => Ok((found, half_made)),
    }
}

const GAP: &str = "the segment before this one is missing or incomplete";

/// Makes durable what was found, before anyone sees it or goes on behind it: the process before
/// this one may have ended between a write and its sync.
fn keep(folder: &Path, segments: &Segments, head: u64) -> Result<(), Error> {
    let (last, _) = segments.holding(head).expect("a recovered log has a segment");
    last.file.sync_all().map_err(Error::io("sync", &last.path))?;
    segment::sync_folder(folder)
}

struct Scan<'a> {
    segments: &'a Arc<Segments>,
    head: u64,
    last_created: u64,
    apply: &'a mut dyn FnMut(&Record),
}

impl Scan<'_> {
    fn segment(&mut self, segment: &Segment, is_last: bool) -> Result<(), Error> {
        let end = segment.end()?;
        self.head = segment.first();
        let Some((broken, reason)) = self.records(segment, end)? else { return Ok(()) };
        if !is_last || was_durable(segment, self.head, broken)? {
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
                Err(ReadError::Io { source, .. }) => {
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
                    (self.apply)(&record);
                }
                self.head = position;
            }
        }
        Ok(if append.is_empty() { None } else { Some((end, "an append lacks its last event")) })
    }
}

/// Whether a later record proves that the append which starts at `append` was durable once.
fn was_durable(segment: &Segment, append: u64, broken: u64) -> Result<bool, Error> {
    segment
        .file
        .try_clone()
        .and_then(|file| Walk::new(file, segment.base, 0))
        .and_then(|mut walk| walk.proves_durable(append, broken + 1 - segment.base))
        .map_err(Error::io("read", &segment.path))
}

fn corrupt(segment: &Segment, position: u64, reason: &'static str) -> Error {
    let offset = position.saturating_sub(segment.base);
    Error::Corrupt { path: segment.path.clone(), offset, reason }
}
