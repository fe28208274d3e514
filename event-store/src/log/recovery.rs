//! Opens the log: checks every record, cuts off a torn tail, refuses corruption.

use std::{
    fs,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    frame::Record,
    reader::{LogReader, ReadError, SEQUENTIAL},
    segment::{self, Segment, Segments},
    table::Found,
    walk::Walk,
};
use crate::{error::Error, index::Reach};

const GAP: &str = "the segment before this one is missing or incomplete";

/// What opening found.
pub(crate) struct Recovered {
    pub(crate) segments: Arc<Segments>,
    pub(crate) head: u64,
    /// When the newest event was created, so that the clock of the log never runs backwards.
    pub(crate) last_created: u64,
}

/// A log that was opened, but of which nothing was read yet.
pub(crate) struct Log {
    folder: PathBuf,
    segments: Arc<Segments>,
    found: Vec<Arc<Segment>>,
    half_made: Option<Segment>,
}

impl Log {
    /// Opens the segments in the folder and checks that they follow each other.
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        let (found, half_made) = whole_segments(folder)?;
        let found: Vec<_> = found.into_iter().map(Arc::new).collect();
        let segments = Arc::new(Segments::default());
        found.iter().for_each(|segment| segments.push(Arc::clone(segment)));
        Ok(Self { folder: folder.to_owned(), segments, found, half_made })
    }

    /// Whether this is the log that an index with this reach was made from.
    pub(crate) fn continues(&self, reach: &Reach) -> Result<bool, Error> {
        let last = self.found.last().expect("a log has a segment");
        let end = last.end()?;
        if reach.covered > end {
            // What the index covers was durable: to go on would hide that it is lost.
            return Err(corrupt(
                last,
                end,
                "the log ends before what its index knows (remove the folder `index` when the log is another one)",
            ));
        }
        let mut reader = LogReader::new(Arc::clone(&self.segments), end);
        let (id, position) = reach.last;
        let newest = reader.before(reach.covered);
        let knows = newest.is_ok_and(|record| record.is_some_and(|record| record.id == id))
            || reader.is_removed(position).unwrap_or(false);
        Ok(knows && reader.at(reach.recent_from, SEQUENTIAL).is_ok())
    }

    /// Hands every durable record that the reach does not cover to `apply`, in order, after those
    /// whose ids it wants remembered.
    pub(crate) fn replay(
        self,
        reach: Option<&Reach>,
        mut apply: impl FnMut(&Record) -> Result<(), Error>,
    ) -> Result<Recovered, Error> {
        let Self { folder, segments, found, half_made } = self;
        let from = reach.map_or(0, |reach| reach.recent_from.min(reach.covered));
        let durable = reach.map_or(0, |reach| reach.covered);
        let mut scan = Scan {
            segments: &segments,
            durable,
            head: from,
            group: from,
            last_created: 0,
            apply: &mut apply,
        };
        let last = found.len() - 1;
        for (at, segment) in found.iter().enumerate() {
            let ends_before = found.get(at + 1).is_some_and(|next| next.base <= from);
            if !ends_before {
                scan.segment(segment, from, at == last && half_made.is_none())?;
            }
        }
        if scan.head < durable {
            let reason = "the log ends before what is known of it";
            return Err(corrupt(&found[last], scan.head, reason));
        }
        let Scan { head, group, mut last_created, .. } = scan;
        if from > 0 && last_created == 0 {
            last_created = newest_created(&segments, head)?;
        }
        if let Some(half_made) = half_made {
            fs::remove_file(&half_made.path).map_err(Error::io("remove", &half_made.path))?;
        }
        keep(&folder, &segments, group, head)?;
        Ok(Recovered { segments, head, last_created })
    }
}

/// When the last record below the head was created, for a log of which nothing was replayed.
fn newest_created(segments: &Arc<Segments>, head: u64) -> Result<u64, Error> {
    let newest = LogReader::new(Arc::clone(segments), head).before(head);
    let newest = newest.map_err(|error| match (error, segments.holding(head)) {
        (ReadError::Io { source, .. } | ReadError::Index(source), Some((segment, _))) => {
            Error::io("read", &segment.path)(source)
        }
        (ReadError::NotARecord { position, reason }, Some((segment, _))) => {
            corrupt(&segment, position, reason)
        }
        (_, None) => unreachable!("the head is in a segment"),
    })?;
    Ok(newest.map_or(0, |record| record.created))
}

/// Makes durable what was found, before anyone sees it or goes on behind it: the process before
/// this one may have ended between a write and its sync, or after a sync that failed. After that a
/// page may count as written though it is not, so the last batch is written once more.
fn keep(folder: &Path, segments: &Segments, group: u64, head: u64) -> Result<(), Error> {
    let (last, _) = segments.holding(head).expect("a recovered log has a segment");
    let mut at = group.max(last.base);
    let mut bytes = vec![0; SEQUENTIAL];
    while at < head && last.table.is_none() {
        let length = (head - at).min(SEQUENTIAL as u64) as usize;
        let part = &mut bytes[..length];
        last.file.read_exact_at(part, at - last.base).map_err(Error::io("read", &last.path))?;
        last.file.write_all_at(part, at - last.base).map_err(Error::io("write", &last.path))?;
        at += length as u64;
    }
    last.file.sync_all().map_err(Error::io("sync", &last.path))?;
    segment::sync_folder(folder)
}

/// The segments, proved to follow each other without a gap; a new one in an empty folder, and
/// behind a scavenged one, which nothing can be added to. And the file that the process ended while
/// it made, which holds nothing, but whose name proves that all before it was durable.
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
        let refuse = |reason| Err(corrupt(segment, segment.base, reason));
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
    if let Some(half_made) = &half_made
        && half_made.base != expected
    {
        return Err(corrupt(half_made, half_made.base, GAP));
    }
    if found.last().is_some_and(|newest| newest.table.is_some()) {
        // It replaces the half-made one, if there is one.
        found.push(Segment::create(folder, expected)?);
        half_made = None;
    }
    Ok((found, half_made))
}

struct Scan<'a> {
    segments: &'a Arc<Segments>,
    /// Below this position everything was durable once.
    durable: u64,
    head: u64,
    /// Where the batch of the last record began: what lies below was synced before it.
    group: u64,
    last_created: u64,
    apply: &'a mut dyn FnMut(&Record) -> Result<(), Error>,
}

impl Scan<'_> {
    fn segment(&mut self, segment: &Segment, from: u64, is_last: bool) -> Result<(), Error> {
        let end = segment.end()?;
        self.head = segment.first().max(from.min(end));
        if let Some(table) = &segment.table {
            if from < end {
                self.kept(segment, end, (from <= segment.base).then_some(table.records))?;
            }
            self.head = end;
            return Ok(());
        }
        let Some((broken, reason)) = self.records(segment, end)? else { return Ok(()) };
        let proven = self.head < self.durable || was_durable(segment, self.head, broken)?;
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

    /// Applies what was kept of a scavenged segment, from the head on. Appends may have lost some
    /// of their events there, but the table knows how many there are in all.
    fn kept(&mut self, segment: &Segment, end: u64, count: Option<u64>) -> Result<(), Error> {
        let mut reader = LogReader::new(Arc::clone(self.segments), end);
        let mut position = self.head;
        let mut found = 0;
        loop {
            match reader.at(position, SEQUENTIAL) {
                Ok(Some(record)) => {
                    position = record.next;
                    found += 1;
                    self.last_created = self.last_created.max(record.created);
                    (self.apply)(&record)?;
                }
                Ok(None) => break,
                Err(ReadError::NotARecord { position, reason }) => {
                    return Err(corrupt(segment, position, reason));
                }
                Err(ReadError::Io { source, .. })
                    if source.kind() == std::io::ErrorKind::InvalidData =>
                {
                    return Err(corrupt(segment, position, "a block of the table is wrong"));
                }
                Err(ReadError::Io { source, .. } | ReadError::Index(source)) => {
                    return Err(Error::io("read", &segment.path)(source));
                }
            }
        }
        if count.is_some_and(|count| count != found) {
            return Err(corrupt(segment, position, "records of the scavenged segment are missing"));
        }
        Ok(())
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
                    self.group = record.durable;
                    (self.apply)(&record)?;
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
    let offset = match &segment.table {
        None => position.saturating_sub(segment.base),
        Some(table) => {
            table.block(&segment.file, position).map_or(0, |block| match block.find(position) {
                Found::Inside(offset) => offset,
                Found::Removed(_) => 0,
            })
        }
    };
    Error::Corrupt { path: segment.path.clone(), offset, reason }
}
