//! The end of the log that grows: a batch is written, synced and then durable, or taken back.

use std::{
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::segment::{Segment, Segments};
use crate::error::Error;

/// Owned by the committer alone, so that no two appends can interleave.
pub(crate) struct Writer {
    folder: PathBuf,
    segments: Arc<Segments>,
    current: Arc<Segment>,
    segment_bytes: u64,
    head: u64,
    /// A write failed and what it left could not be taken back yet.
    dirty: bool,
}

impl Writer {
    /// Goes on at the head, which recovery found.
    pub(crate) fn new(
        folder: &Path,
        segments: Arc<Segments>,
        segment_bytes: u64,
        head: u64,
    ) -> Self {
        let (current, _) = segments.holding(head).expect("a recovered log has a segment");
        Self { folder: folder.to_owned(), segments, current, segment_bytes, head, dirty: false }
    }

    /// The position behind the last durable byte.
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// Makes ready for a batch and says at which position it will start.
    pub(crate) fn begin(&mut self) -> Result<u64, Error> {
        if self.dirty {
            self.take_back()?;
        }
        if self.head - self.current.base >= self.segment_bytes {
            let next = Arc::new(Segment::create(&self.folder, self.head)?);
            self.head = next.first();
            self.segments.push(Arc::clone(&next));
            self.current = next;
        }
        Ok(self.head)
    }

    /// Writes the bytes at the head and returns the new head once they are durable. After an
    /// error the log is as it was before.
    pub(crate) fn commit(&mut self, bytes: &[u8]) -> Result<u64, Error> {
        let segment = &self.current;
        let written = segment
            .file
            .write_all_at(bytes, self.head - segment.base)
            .map_err(Error::io("write", &segment.path))
            .and_then(|()| segment.file.sync_data().map_err(Error::io("sync", &segment.path)));
        if let Err(error) = written {
            self.dirty = true;
            if let Err(again) = self.take_back() {
                tracing::error!(error = %again, "a failed write could not be taken back yet");
            }
            return Err(error);
        }
        self.head += bytes.len() as u64;
        Ok(self.head)
    }

    /// Cuts off what a failed write may have left, so that it cannot become an event later.
    fn take_back(&mut self) -> Result<(), Error> {
        let segment = &self.current;
        segment
            .file
            .set_len(self.head - segment.base)
            .and_then(|()| segment.file.sync_all())
            .map_err(Error::io("truncate", &segment.path))?;
        self.dirty = false;
        Ok(())
    }
}
