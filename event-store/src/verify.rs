//! Reads a whole log and checks everything that can be checked, going on behind each fault.
//!
//! It takes no lock and writes nothing, so the folder may be that of a running store. What stands
//! behind the last whole append of the last segment is then being written; after a crash it is what
//! the next start cuts off. Either way nobody was told that it is durable, and it is no fault.
//!
//! Memory: 17 to 40 bytes for each stream of the log, and nothing else that grows. A stream is
//! known by 96 bits of keyed hash and the lower 32 bits of its last revision.

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    io,
    path::{Path, PathBuf},
};

use crate::{
    Error,
    log::{
        frame::Record,
        kept,
        segment::SEGMENT_HEADER,
        walk::{self, Named, Walk},
    },
    metadata::TOMBSTONE_REVISION,
};

/// What a log holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Report {
    /// Events whose checksums hold, up to the last whole append.
    pub events: u64,
    /// Streams that have events, those of metadata included.
    pub streams: u64,
    /// Bytes of all segment files.
    pub bytes: u64,
    /// Segment files.
    pub segments: u64,
    /// The position behind the last whole append.
    pub head: u64,
    /// Bytes at the end that are not a whole append, and were never acknowledged.
    pub in_flight: u64,
    /// How many faults were told.
    pub faults: u64,
}

/// Something that is not as the store wrote it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fault {
    /// The segment file.
    pub file: PathBuf,
    /// The place in that file, in bytes from its start.
    pub offset: u64,
    /// What does not fit.
    pub reason: String,
}

/// Reads the log in the folder, tells each fault as it is found, and sums up.
///
/// # Errors
///
/// When the folder or a file cannot be read; a log that is read but wrong is no error but a report
/// with faults. A folder without any segment is an error too: it is no store's.
pub fn verify(data: &Path, mut tell: impl FnMut(&Fault)) -> Result<Report, Error> {
    let mut check = Check {
        report: Report::default(),
        streams: Streams::default(),
        created: 0,
        gaps: false,
        tell: &mut tell,
    };
    let mut expected = 0;
    let all = walk::list(data)?;
    if all.is_empty() {
        let source = io::Error::new(io::ErrorKind::NotFound, "it holds no segment of a log");
        return Err(Error::io("verify", data)(source));
    }
    let last = all.len() - 1;
    for (at, named) in all.iter().enumerate() {
        let (named, mut walk) = walk::open(data, named.clone())?;
        check.report.segments += 1;
        check.report.bytes += walk.length();
        if named.base != expected {
            check.fault(&named, 0, follows(expected, named.base));
        }
        let failed = Error::io("read", &named.path);
        if named.generation > 0 {
            let end = check.scavenged(&named, &mut walk).map_err(failed)?;
            // Without a table, only the next segment can tell where this one ends.
            expected = end.or(all.get(at + 1).map(|next| next.base)).unwrap_or(named.base);
            check.report.head = expected;
        } else {
            check.segment(&named, &mut walk, at == last).map_err(failed)?;
            expected = walk.position(walk.length());
        }
    }
    check.report.streams = check.streams.count();
    Ok(check.report)
}

fn follows(expected: u64, base: u64) -> String {
    if base > expected {
        format!("the positions from {expected} to {base} are missing: a segment is lost or cut")
    } else {
        format!("the segment before it reaches to {expected} and overlaps this one")
    }
}

struct Check<'a> {
    report: Report,
    streams: Streams,
    /// When the event before this one was created.
    created: u64,
    /// Scavenging has removed events, so revisions may be missing from here on.
    gaps: bool,
    tell: &'a mut dyn FnMut(&Fault),
}

impl Check<'_> {
    fn fault(&mut self, named: &Named, offset: u64, reason: impl Into<String>) {
        self.report.faults += 1;
        (self.tell)(&Fault { file: named.path.clone(), offset, reason: reason.into() });
    }

    /// Checks a segment that scavenging wrote; of an append, only a part may be left.
    fn scavenged(&mut self, named: &Named, walk: &mut Walk) -> io::Result<Option<u64>> {
        self.gaps = true;
        kept::each(walk, named.base, &mut |offset, found| match found {
            Ok(record) => self.take(named, &mut vec![(without_data(record), offset)]),
            Err(reason) => self.fault(named, offset, reason),
        })
    }

    fn segment(&mut self, named: &Named, walk: &mut Walk, is_last: bool) -> io::Result<()> {
        if !walk.header_holds()? {
            if is_last && walk.length() <= SEGMENT_HEADER {
                // The file is being made, or the store ended while it made it.
                self.report.in_flight += walk.length();
                return Ok(());
            }
            self.fault(named, 0, "the header of the segment is wrong");
        }
        self.report.head = walk.position(SEGMENT_HEADER);
        let mut append = Vec::new();
        // Where the append starts, and where the next record is expected.
        let (mut start, mut offset) = (SEGMENT_HEADER, SEGMENT_HEADER);
        while offset < walk.length() {
            let record = match read(walk, offset)? {
                Ok(record) => record,
                Err(reason) => {
                    if is_last && !walk.proves_durable(walk.position(start), offset + 1)? {
                        break;
                    }
                    self.fault(named, offset, reason);
                    self.take(named, &mut append);
                    let Some(found) = walk.next_sound(offset + 1)? else {
                        start = walk.length();
                        break;
                    };
                    start = found.position - named.base;
                    offset = start;
                    continue;
                }
            };
            if append
                .last()
                .is_some_and(|(last, _): &(Record, _)| last.following != record.following + 1)
            {
                if is_last && !walk.proves_durable(walk.position(start), offset + 1)? {
                    break;
                }
                self.fault(named, offset, "an append lacks an event");
                self.take(named, &mut append);
            }
            let complete = record.following == 0;
            let next = record.next - named.base;
            append.push((without_data(record), offset));
            offset = next;
            if complete {
                self.take(named, &mut append);
                start = offset;
                self.report.head = walk.position(offset);
            }
        }
        if is_last {
            self.report.in_flight += walk.length().saturating_sub(start);
        } else if !append.is_empty() {
            self.fault(named, offset, "an append lacks its last event");
            self.take(named, &mut append);
        } else if walk.length() <= SEGMENT_HEADER {
            self.fault(named, 0, "the segment is empty but not the last");
        }
        Ok(())
    }

    /// Counts the records of an append and compares them with what was before.
    fn take(&mut self, named: &Named, append: &mut Vec<(Record, u64)>) {
        for (record, offset) in append.drain(..) {
            self.report.events += 1;
            if record.created < self.created {
                self.fault(named, offset, "the event is older than the one before it");
            }
            self.created = record.created;
            if let Err(reason) = self.streams.next(&record, self.gaps) {
                self.fault(named, offset, reason);
            }
        }
    }
}

/// Reads the record, and once more when it is broken: a running store may be just writing it.
fn read(walk: &mut Walk, offset: u64) -> io::Result<walk::Found> {
    let found = walk.record(offset)?;
    if found.is_ok() {
        return Ok(found);
    }
    walk.forget();
    walk.record(offset)
}

/// An append may be large, and only its heads are of interest.
fn without_data(record: Record) -> Record {
    use bytes::Bytes;

    Record {
        stream: Bytes::copy_from_slice(&record.stream),
        event_type: Bytes::new(),
        custom_metadata: Bytes::new(),
        data: Bytes::new(),
        ..record
    }
}

/// The last revision of every stream.
#[derive(Default)]
struct Streams {
    last: HashMap<[u32; 3], u32>,
    keys: (RandomState, RandomState),
}

/// Stands for the tombstone; revisions are counted modulo this number.
const ENDED: u32 = u32::MAX;

impl Streams {
    fn count(&self) -> u64 {
        self.last.len() as u64
    }

    /// Whether the record may follow what the stream holds.
    fn next(&mut self, record: &Record, gaps: bool) -> Result<(), String> {
        let (high, low) =
            (self.keys.0.hash_one(&record.stream), self.keys.1.hash_one(&record.stream));
        let key = [high as u32, (high >> 32) as u32, low as u32];
        let counted = |revision: u64| (revision % u64::from(ENDED)) as u32;
        let ends = record.revision == TOMBSTONE_REVISION;
        let new = if ends { ENDED } else { counted(record.revision) };
        let last = self.last.insert(key, new);
        let refuse = |what: String| {
            let name = String::from_utf8_lossy(&record.stream);
            Err(format!("revision {} of the stream {name:?} {what}", record.revision))
        };
        match last {
            Some(ENDED) => {
                self.last.insert(key, ENDED);
                refuse("follows the tombstone".to_owned())
            }
            _ if ends => Ok(()),
            None if new == 0 || gaps => Ok(()),
            None => refuse("is its first".to_owned()),
            Some(last) if new == counted(u64::from(last) + 1) => Ok(()),
            Some(last) if gaps && new > last => Ok(()),
            Some(last) => refuse(format!("follows revision {last}")),
        }
    }
}
