//! Reads one segment file from outside, without a lock and past what is broken in it.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;

use super::{
    frame::{self, Record, Refused},
    segment::{self, SEGMENT_HEADER},
};
use crate::error::Error;

/// Bytes that are read at a time.
const WINDOW: usize = 256 << 10;

/// A segment file as it is named in the folder.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Named {
    pub(crate) base: u64,
    /// How often scavenging has replaced the file; 0 for one that is as it was written.
    pub(crate) generation: u32,
    pub(crate) path: PathBuf,
}

/// The segment files of the folder in the order of the log, each in its highest generation.
pub(crate) fn list(folder: &Path) -> Result<Vec<Named>, Error> {
    let mut found = list_all(folder)?;
    // The highest generation of a base first, so that the others are the repeats.
    found.sort_by_key(|named| (named.base, u32::MAX - named.generation));
    found.dedup_by_key(|named| named.base);
    Ok(found)
}

/// The segment files of the folder, those that were replaced included.
pub(crate) fn list_all(folder: &Path) -> Result<Vec<Named>, Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        let path = entry.map_err(Error::io("list", folder))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some((base, generation)) = segment::parts_of(name) {
            found.push(Named { base, generation, path });
        }
    }
    Ok(found)
}

/// Opens the file for reading, or what scavenging has replaced it by since it was listed.
pub(crate) fn open(folder: &Path, mut named: Named) -> Result<(Named, Walk), Error> {
    loop {
        match File::open(&named.path).and_then(|file| Walk::new(file, named.base, named.generation))
        {
            Ok(walk) => return Ok((named, walk)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let newer = list(folder)?.into_iter().find(|other| other.base == named.base);
                named = newer
                    .filter(|newer| *newer != named)
                    .ok_or_else(|| Error::io("open", &named.path)(error))?;
            }
            Err(error) => return Err(Error::io("open", &named.path)(error)),
        }
    }
}

/// Whether the bytes can be a record, and which.
pub(crate) type Found = Result<Record, &'static str>;

/// Goes through the records of one file. What is added to it later is not seen.
pub(crate) struct Walk {
    file: File,
    /// The position of the first byte of the file.
    base: u64,
    header: [u8; SEGMENT_HEADER as usize],
    length: u64,
    buffer: Bytes,
    buffer_at: u64,
}

impl Walk {
    pub(crate) fn new(file: File, base: u64, generation: u32) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let header = segment::header(base, generation);
        Ok(Self { file, base, header, length, buffer: Bytes::new(), buffer_at: 0 })
    }

    /// Looks at the file as if it began at another position and ended at the offset.
    pub(crate) fn view(&mut self, base: u64, length: u64) {
        self.base = base;
        self.length = length;
        self.forget();
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// The bytes of the file when it was opened.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// The position of the byte at the offset.
    pub(crate) fn position(&self, offset: u64) -> u64 {
        self.base.saturating_add(offset)
    }

    /// Whether the file starts as a segment of its base does.
    pub(crate) fn header_holds(&mut self) -> io::Result<bool> {
        let bytes = self.window(0, SEGMENT_HEADER as usize)?;
        Ok(bytes.starts_with(&self.header))
    }

    /// The record at the offset.
    pub(crate) fn record(&mut self, offset: u64) -> io::Result<Found> {
        let mut wanted = frame::HEADER;
        loop {
            let bytes = self.window(offset, wanted)?;
            return Ok(match frame::decode(&bytes, self.position(offset)) {
                Ok(record) => Ok(record),
                Err(Refused::Short(needed))
                    if needed > bytes.len() && offset + needed as u64 <= self.length =>
                {
                    if needed <= wanted {
                        // The file was cut while it was read.
                        return Ok(Err("the file ends within a record"));
                    }
                    wanted = needed;
                    continue;
                }
                Err(Refused::Short(_)) => Err("the file ends within a record"),
                Err(Refused::Broken(reason)) => Err(reason),
            });
        }
    }

    /// The first record at or behind the offset whose checksum holds.
    pub(crate) fn next_sound(&mut self, from: u64) -> io::Result<Option<Record>> {
        let mut offset = from;
        while offset + frame::HEADER as u64 <= self.length {
            let bytes = self.window(offset, frame::HEADER)?;
            let places = (bytes.len() + 1).saturating_sub(frame::HEADER);
            if places == 0 {
                break;
            }
            for at in (0..places).filter(|at| frame::plausible(&bytes[*at..])) {
                if let Ok(record) = self.record(offset + at as u64)? {
                    return Ok(Some(record));
                }
            }
            offset += places as u64;
        }
        Ok(None)
    }

    /// Whether a record at or behind the offset says that what lies at the position was durable
    /// when it was written.
    pub(crate) fn proves_durable(&mut self, position: u64, from: u64) -> io::Result<bool> {
        let mut offset = from;
        while let Some(record) = self.next_sound(offset)? {
            if record.durable > position {
                return Ok(true);
            }
            offset = record.next - self.base;
        }
        Ok(false)
    }

    /// Forgets what was read, so that the file is asked again.
    pub(crate) fn forget(&mut self) {
        self.buffer = Bytes::new();
    }

    /// The bytes from the offset on, at least as many as wanted if the file has them.
    fn window(&mut self, offset: u64, wanted: usize) -> io::Result<Bytes> {
        let end = self.buffer_at + self.buffer.len() as u64;
        if offset < self.buffer_at || offset + wanted as u64 > end {
            let available = self.length.saturating_sub(offset);
            let length = (wanted.max(WINDOW) as u64).min(available) as usize;
            self.buffer = Bytes::from(read(&self.file, offset, length)?);
            self.buffer_at = offset;
        }
        Ok(self.buffer.slice((offset - self.buffer_at) as usize..))
    }
}

/// Reads that many bytes, or fewer when the file ends.
fn read(file: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut filled = 0;
    while filled < length {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}
