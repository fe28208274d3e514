//! Segment files: their names, their headers, and which of them holds a position.

use std::{
    fs::{self, File, OpenOptions},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{Arc, RwLock},
};

use crate::error::Error;

/// Bytes before the first record of a segment. They count as positions, so no event is at 0.
pub(crate) const SEGMENT_HEADER: u64 = 20;
const MAGIC: &[u8; 8] = b"RTLOG\0\0\x01";

/// One file of the log: the positions from `base` to the next segment's.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base: u64,
    pub(crate) path: PathBuf,
    pub(crate) file: File,
}

impl Segment {
    /// The position of the first record.
    pub(crate) fn first(&self) -> u64 {
        self.base.saturating_add(SEGMENT_HEADER)
    }

    /// Makes a new, empty segment and does not return before it is durable, its name included.
    pub(crate) fn create(folder: &Path, base: u64) -> Result<Self, Error> {
        let path = folder.join(file_name(base));
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .map_err(Error::io("create", &path))?;
        file.write_all_at(&header(base), 0).map_err(Error::io("write", &path))?;
        file.sync_all().map_err(Error::io("sync", &path))?;
        sync_folder(folder)?;
        Ok(Self { base, path, file })
    }

    fn open(path: PathBuf, base: u64) -> Result<Self, Error> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(&path)
            .map_err(Error::io("open", &path))?;
        Ok(Self { base, path, file })
    }

    /// The position behind the last byte of the file.
    pub(crate) fn end(&self) -> Result<u64, Error> {
        let length = self.file.metadata().map_err(Error::io("examine", &self.path))?.len();
        Ok(self.base.saturating_add(length))
    }

    /// Whether the file starts as a segment of this base does.
    pub(crate) fn header_holds(&self) -> Result<bool, Error> {
        let mut found = [0; SEGMENT_HEADER as usize];
        if self.end()? - self.base < SEGMENT_HEADER {
            return Ok(false);
        }
        self.file.read_exact_at(&mut found, 0).map_err(Error::io("read", &self.path))?;
        Ok(found == header(self.base))
    }
}

/// All segments, in the order of the log; shared by the writer, who adds, and the readers.
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
}

/// Opens the segment files of the folder, in the order of the log.
pub(crate) fn list(folder: &Path) -> Result<Vec<Segment>, Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let path = entry.map_err(Error::io("list", folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(base) = base_of(name) {
            found.push((base, path));
        }
    }
    found.sort();
    found.into_iter().map(|(base, path)| Segment::open(path, base)).collect()
}

/// Makes names that were added to or removed from the folder durable.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), Error> {
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::io("sync", folder))
}

fn file_name(base: u64) -> String {
    format!("log-{base:016x}")
}

pub(crate) fn base_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("log-").filter(|digits| digits.len() == 16)?;
    u64::from_str_radix(digits, 16).ok()
}

pub(crate) fn header(base: u64) -> [u8; SEGMENT_HEADER as usize] {
    let mut bytes = [0; SEGMENT_HEADER as usize];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..16].copy_from_slice(&base.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..16]);
    bytes[16..].copy_from_slice(&crc.to_le_bytes());
    bytes
}
