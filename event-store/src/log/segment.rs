//! Segment files: their names, their headers, and which of them holds a position.
//!
//! `log-<base>` is a segment as it was written. `log-<base>.<generation>` is the same part of the
//! log after that many scavenges; the highest generation counts, lower ones are left over from a
//! process that ended before it could remove them, as are files that end with `.new`.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
};

use super::table::{Found, Table};
use crate::error::Error;

/// Bytes before the first record of a segment. They count as positions, so no event is at 0.
pub(crate) const SEGMENT_HEADER: u64 = 20;
const MAGIC: &[u8; 8] = b"RTLOG\0\0\x01";
const SCAVENGED_MAGIC: &[u8; 8] = b"RTLOG\0\0\x02";
/// Ends the name of a file that is not whole yet.
const UNFINISHED: &str = ".new";

/// One file of the log: the positions from `base` to the next segment's.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base: u64,
    /// How often it was scavenged.
    pub(crate) generation: u32,
    pub(crate) path: PathBuf,
    pub(crate) file: File,
    /// Where its records are in the file, when it was scavenged.
    pub(crate) table: Option<Table>,
}

impl Segment {
    /// The position of the first record.
    pub(crate) fn first(&self) -> u64 {
        self.base.saturating_add(SEGMENT_HEADER)
    }

    /// Makes a new, empty segment and does not return before it is durable, its name included.
    pub(crate) fn create(folder: &Path, base: u64) -> Result<Self, Error> {
        let path = folder.join(file_name(base, 0));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(Error::io("create", &path))?;
        file.write_all_at(&header(base, 0), 0).map_err(Error::io("write", &path))?;
        file.sync_all().map_err(Error::io("sync", &path))?;
        sync_folder(folder)?;
        Ok(Self { base, generation: 0, path, file, table: None })
    }

    /// Opens a segment file; the table of a scavenged one is read.
    pub(crate) fn open(path: PathBuf, base: u64, generation: u32) -> Result<Self, Error> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(Error::io("open", &path))?;
        let mut segment = Self { base, generation, path, file, table: None };
        if generation > 0 {
            segment.table = Some(segment.read_table()?);
        }
        Ok(segment)
    }

    fn read_table(&self) -> Result<Table, Error> {
        let corrupt = |reason| Error::Corrupt { path: self.path.clone(), offset: 0, reason };
        if !self.header_holds()? {
            return Err(corrupt("the header of the segment is wrong"));
        }
        let header = header(self.base, self.generation);
        Table::read(&self.file, self.base, &header).map_err(|source| match source.kind() {
            io::ErrorKind::InvalidData => corrupt("the table of the scavenged segment is wrong"),
            _ => Error::io("read", &self.path)(source),
        })
    }

    /// The position behind the last one of the segment.
    pub(crate) fn end(&self) -> Result<u64, Error> {
        Ok(match &self.table {
            Some(table) => table.end,
            None => self.base.saturating_add(self.length()?),
        })
    }

    /// The bytes of the file.
    pub(crate) fn length(&self) -> Result<u64, Error> {
        Ok(self.file.metadata().map_err(Error::io("examine", &self.path))?.len())
    }

    /// Whether the file starts as a segment of this base does.
    pub(crate) fn header_holds(&self) -> Result<bool, Error> {
        let mut found = [0; SEGMENT_HEADER as usize];
        if self.length()? < SEGMENT_HEADER {
            return Ok(false);
        }
        self.file.read_exact_at(&mut found, 0).map_err(Error::io("read", &self.path))?;
        Ok(found == header(self.base, self.generation))
    }
}

/// All segments, in the order of the log; shared by the writer, who adds, the scavenger, who
/// replaces, and the readers.
#[derive(Debug, Default)]
pub(crate) struct Segments(RwLock<Vec<Arc<Segment>>>);

impl Segments {
    /// The segment that holds the position, and where the next one starts, if there is one.
    pub(crate) fn holding(&self, position: u64) -> Option<(Arc<Segment>, Option<u64>)> {
        let all = self.0.read().expect("no panic while the segments are locked");
        let at = all.partition_point(|segment| segment.base <= position).checked_sub(1)?;
        Some((Arc::clone(&all[at]), all.get(at + 1).map(|next| next.base)))
    }

    pub(crate) fn push(&self, segment: Arc<Segment>) {
        self.0.write().expect("no panic while the segments are locked").push(segment);
    }

    /// The bases of the segments that nothing is written to any more. All of them is durable.
    pub(crate) fn closed(&self) -> Vec<u64> {
        let all = self.0.read().expect("no panic while the segments are locked");
        all[..all.len().saturating_sub(1)].iter().map(|segment| segment.base).collect()
    }

    /// Puts a scavenged segment where the one with the same base was. Whoever reads the old one
    /// at this moment goes on with its open file, and finds the new one with its next read.
    pub(crate) fn replace(&self, segment: Arc<Segment>) {
        let mut all = self.0.write().expect("no panic while the segments are locked");
        let at = all.binary_search_by_key(&segment.base, |segment| segment.base);
        all[at.expect("only a segment of the log is replaced")] = segment;
    }

    /// Whether the record that was written at the position is still there.
    ///
    /// # Errors
    ///
    /// When the table of a scavenged segment cannot be read.
    pub(crate) fn holds_record(&self, position: u64) -> io::Result<bool> {
        let Some((segment, _)) = self.holding(position) else { return Ok(false) };
        let Some(table) = &segment.table else { return Ok(true) };
        let block = table.block(&segment.file, position)?;
        Ok(matches!(block.find(position), Found::Inside(_)))
    }
}

/// Opens the segment files of the folder, in the order of the log, and removes what a scavenge that
/// was interrupted has left over.
pub(crate) fn list(folder: &Path) -> Result<Vec<Segment>, Error> {
    let mut found = Vec::new();
    let mut left_over = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let path = entry.map_err(Error::io("list", folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some((base, generation)) = parts_of(name) {
            found.push((base, generation, path));
        } else if name.strip_suffix(UNFINISHED).and_then(parts_of).is_some() {
            left_over.push(path);
        }
    }
    found.sort();
    let mut segments: Vec<Segment> = Vec::new();
    // The newest of each base is opened, and so checked, before an older one is removed.
    while let Some((base, generation, path)) = found.pop() {
        if segments.last().is_some_and(|newer| newer.base == base) {
            left_over.push(path);
        } else {
            segments.push(Segment::open(path, base, generation)?);
        }
    }
    segments.reverse();
    for path in &left_over {
        fs::remove_file(path).map_err(Error::io("remove", path))?;
    }
    if !left_over.is_empty() {
        sync_folder(folder)?;
    }
    Ok(segments)
}

/// Makes names that were added to or removed from the folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::io("sync", folder))
}

pub(crate) fn file_name(base: u64, generation: u32) -> String {
    match generation {
        0 => format!("log-{base:016x}"),
        _ => format!("log-{base:016x}.{generation}"),
    }
}

pub(crate) fn unfinished_name(base: u64, generation: u32) -> String {
    file_name(base, generation) + UNFINISHED
}

/// The base and the generation that a name tells; none for a name that is written otherwise.
pub(crate) fn parts_of(name: &str) -> Option<(u64, u32)> {
    let (digits, generation) = match name.strip_prefix("log-")?.split_once('.') {
        Some((digits, generation)) => (digits, generation.parse().ok()?),
        None => (name.strip_prefix("log-")?, 0),
    };
    let base = u64::from_str_radix(digits, 16).ok()?;
    (file_name(base, generation) == name).then_some((base, generation))
}

pub(crate) fn header(base: u64, generation: u32) -> [u8; SEGMENT_HEADER as usize] {
    let mut bytes = [0; SEGMENT_HEADER as usize];
    bytes[..8].copy_from_slice(if generation == 0 { MAGIC } else { SCAVENGED_MAGIC });
    bytes[8..16].copy_from_slice(&base.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..16]);
    bytes[16..].copy_from_slice(&crc.to_le_bytes());
    bytes
}
