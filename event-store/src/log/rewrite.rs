//! Writes a segment anew, with only those of its records that are kept.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    segment::{self, SEGMENT_HEADER, Segment, Segments},
    table::{self, Block, Found, Run},
};
use crate::error::Error;

/// Copied at once.
const CHUNK: u64 = 1 << 20;
/// Synced when as much was written, so that no sync of an append has to wait for a whole segment.
const SYNC: u64 = 8 << 20;

/// Which parts of a segment are kept: runs of records that adjoin.
#[derive(Debug, Default)]
pub(crate) struct Keep {
    /// Position and length of each.
    runs: Vec<(u64, u64)>,
    records: u64,
    bytes: u64,
}

impl Keep {
    /// Keeps the record too, which lies behind those kept before.
    pub(crate) fn record(&mut self, position: u64, next: u64) {
        self.records += 1;
        self.bytes += next - position;
        match self.runs.last_mut() {
            Some((start, length)) if *start + *length == position => *length += next - position,
            _ => self.runs.push((position, next - position)),
        }
    }

    /// The bytes that the new file will have.
    pub(crate) fn file_length(&self) -> u64 {
        SEGMENT_HEADER + self.bytes + table::length(self.runs.len())
    }
}

/// Why a segment was not written anew. The old one is still there and in use.
#[derive(Debug)]
pub(crate) enum Unfinished<S> {
    Failed(Error),
    /// The pace said that it is enough.
    Stopped(S),
}

impl<S> From<Error> for Unfinished<S> {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// Writes what is kept of the segment to a file of the next generation, puts that in its place and
/// removes the old file. `pace` is told how many bytes were read and written, and may end the work.
/// At every moment the folder holds the old segment or the new one, whole and durable.
pub(crate) fn rewrite<S>(
    folder: &Path,
    segments: &Segments,
    old: &Segment,
    keep: &Keep,
    pace: &mut dyn FnMut(u64) -> Result<(), S>,
) -> Result<(), Unfinished<S>> {
    let generation = old.generation + 1;
    let unfinished = folder.join(segment::unfinished_name(old.base, generation));
    let path = folder.join(segment::file_name(old.base, generation));
    let written = write(&unfinished, old, generation, keep, pace);
    let named = written.and_then(|()| {
        fs::rename(&unfinished, &path).map_err(Error::io("rename", &unfinished))?;
        Ok(())
    });
    if let Err(error) = named {
        // What cannot be removed now is removed when the store opens.
        let _ = fs::remove_file(&unfinished);
        return Err(error);
    }
    segment::sync_folder(folder)?;
    segments.replace(Arc::new(Segment::open(path, old.base, generation)?));
    if let Err(error) = fs::remove_file(&old.path) {
        tracing::warn!(%error, path = %old.path.display(), "an old segment stays until the next start");
    }
    Ok(())
}

fn write<S>(
    path: &PathBuf,
    old: &Segment,
    generation: u32,
    keep: &Keep,
    pace: &mut dyn FnMut(u64) -> Result<(), S>,
) -> Result<(), Unfinished<S>> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
        .map_err(Error::io("create", path))?;
    let header = segment::header(old.base, generation);
    file.write_all_at(&header, 0).map_err(Error::io("write", path))?;
    let (at, buffer) = (SEGMENT_HEADER, Vec::new());
    let mut copy = Copy { old, block: None, path, file: &file, at, synced: 0, buffer };
    let mut runs = Vec::with_capacity(keep.runs.len());
    for &(position, length) in &keep.runs {
        runs.push(Run { position, offset: copy.at + copy.buffer.len() as u64 });
        copy.run(position, length, pace)?;
    }
    copy.flush(pace)?;
    let end = copy.at;
    let behind = table::encode(old.base, old.end()?, &header, keep.records, end, &runs);
    file.write_all_at(&behind, end).map_err(Error::io("write", path))?;
    file.sync_all().map_err(Error::io("sync", path))?;
    Ok(())
}

/// Copies runs, gathered to large writes.
struct Copy<'a> {
    old: &'a Segment,
    /// The part of the old segment's table that was read last.
    block: Option<Block>,
    path: &'a Path,
    file: &'a File,
    at: u64,
    synced: u64,
    buffer: Vec<u8>,
}

impl Copy<'_> {
    fn run<S>(
        &mut self,
        position: u64,
        mut length: u64,
        pace: &mut dyn FnMut(u64) -> Result<(), S>,
    ) -> Result<(), Unfinished<S>> {
        let old = self.old;
        let mut offset = self.offset(position).map_err(Error::io("read", &old.path))?;
        while length > 0 {
            let filled = self.buffer.len();
            let part = length.min(CHUNK - filled as u64);
            self.buffer.resize(filled + part as usize, 0);
            old.file
                .read_exact_at(&mut self.buffer[filled..], offset)
                .map_err(Error::io("read", &old.path))?;
            (offset, length) = (offset + part, length - part);
            if self.buffer.len() as u64 == CHUNK {
                self.flush(pace)?;
            }
        }
        Ok(())
    }

    fn flush<S>(
        &mut self,
        pace: &mut dyn FnMut(u64) -> Result<(), S>,
    ) -> Result<(), Unfinished<S>> {
        self.file.write_all_at(&self.buffer, self.at).map_err(Error::io("write", self.path))?;
        let bytes = self.buffer.len() as u64;
        self.at += bytes;
        self.buffer.clear();
        if self.at - self.synced >= SYNC {
            self.file.sync_data().map_err(Error::io("sync", self.path))?;
            self.synced = self.at;
        }
        pace(2 * bytes).map_err(Unfinished::Stopped)
    }

    /// Where the record at the position is in the old file. What is kept now lies within one run
    /// of what was kept before.
    fn offset(&mut self, position: u64) -> io::Result<u64> {
        let Some(table) = &self.old.table else { return Ok(position - self.old.base) };
        let block = match self.block.take().filter(|block| block.speaks_for(position)) {
            Some(block) => block,
            None => table.block(&self.old.file, position)?,
        };
        match self.block.insert(block).find(position) {
            Found::Inside(offset) => Ok(offset),
            Found::Removed(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "it was removed")),
        }
    }
}
