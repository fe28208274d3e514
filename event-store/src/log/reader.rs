//! Reads records by position, forwards and backwards, through one buffer and positioned reads.

use std::{io, os::unix::fs::FileExt, sync::Arc};

use bytes::Bytes;

use super::{
    frame::{self, Record, Refused, SUFFIX},
    segment::{SEGMENT_HEADER, Segment, Segments},
};

/// Read ahead when going through the log.
pub(crate) const SEQUENTIAL: usize = 128 << 10;
/// Read ahead when jumping to one event: most records fit.
pub(crate) const RANDOM: usize = 4 << 10;

/// Why a position could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("the log cannot be read at {position}")]
    Io { position: u64, source: io::Error },
    #[error("no event at position {position}: {reason}")]
    NotARecord { position: u64, reason: &'static str },
    #[error("the index cannot be read: {0}")]
    Index(io::Error),
}

/// A view of the log below its limit, which is at most the durable head.
pub(crate) struct LogReader {
    segments: Arc<Segments>,
    current: Option<(Arc<Segment>, Option<u64>)>,
    buffer: Bytes,
    buffer_at: u64,
    limit: u64,
}

impl LogReader {
    pub(crate) fn new(segments: Arc<Segments>, limit: u64) -> Self {
        Self { segments, current: None, buffer: Bytes::new(), buffer_at: 0, limit }
    }

    /// Lets the reader see more of the log.
    pub(crate) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// The record at or, over the edge of a segment, right behind the position; `None` at the end.
    pub(crate) fn at(&mut self, position: u64, ahead: usize) -> Result<Option<Record>, ReadError> {
        let Some(position) = self.normal(position) else { return Ok(None) };
        let mut wanted = frame::HEADER;
        loop {
            let bytes = self.window(position, wanted, ahead)?;
            match frame::decode(&bytes, position) {
                Ok(record) => return Ok(Some(record)),
                Err(Refused::Short(needed)) if needed > wanted => wanted = needed,
                Err(Refused::Short(_)) => {
                    return Err(ReadError::NotARecord { position, reason: "the log ends there" });
                }
                Err(Refused::Broken(reason)) => {
                    return Err(ReadError::NotARecord { position, reason });
                }
            }
        }
    }

    /// The record that ends at the position; `None` at the start of the log.
    pub(crate) fn before(&mut self, end: u64) -> Result<Option<Record>, ReadError> {
        let mut end = end.min(self.limit);
        let base = loop {
            let Some((segment, _)) = end.checked_sub(1).and_then(|at| self.segments.holding(at))
            else {
                return Ok(None);
            };
            if end > segment.first() {
                break segment.base;
            }
            end = segment.base;
        };
        let suffix_at = end - SUFFIX as u64;
        if !self.holds(suffix_at, SUFFIX) {
            let start = end.saturating_sub(SEQUENTIAL as u64).max(base + SEGMENT_HEADER);
            self.fill(start, (end - start) as usize)?;
        }
        let suffix = self.held(suffix_at);
        let suffix = u32::from_le_bytes(suffix[..SUFFIX].try_into().expect("four bytes"));
        let start = frame::size_from_suffix(suffix)
            .and_then(|size| end.checked_sub(size as u64))
            .filter(|start| *start >= base + SEGMENT_HEADER)
            .ok_or(ReadError::NotARecord { position: end, reason: "no event ends there" })?;
        match self.at(start, (end - start) as usize)? {
            Some(record) if record.next == end => Ok(Some(record)),
            _ => Err(ReadError::NotARecord { position: end, reason: "no event ends there" }),
        }
    }

    /// Reads what lies before the position too, down to the floor, for records that are wanted in
    /// falling order.
    pub(crate) fn look_back(&mut self, position: u64, floor: u64) -> Result<(), ReadError> {
        if self.holds(position, frame::HEADER) {
            return Ok(());
        }
        let Some((segment, next)) = self.segments.holding(position) else { return Ok(()) };
        let start = position.saturating_sub(SEQUENTIAL as u64).max(floor).max(segment.first());
        let end = (position + RANDOM as u64).min(self.limit).min(next.unwrap_or(u64::MAX));
        self.fill(start, end.saturating_sub(start) as usize)
    }

    /// Steps over the header of a segment; `None` at or beyond the limit.
    fn normal(&mut self, position: u64) -> Option<u64> {
        if position >= self.limit {
            return None;
        }
        let known = self.current.as_ref().is_some_and(|(segment, next)| {
            segment.base <= position && next.is_some_and(|next| position < next)
        });
        if !known {
            self.current = self.segments.holding(position);
        }
        let (segment, _) = self.current.as_ref()?;
        let position = position.max(segment.first());
        (position < self.limit).then_some(position)
    }

    /// The bytes from the position on: at least `wanted` if the segment and the limit allow it.
    fn window(&mut self, position: u64, wanted: usize, ahead: usize) -> Result<Bytes, ReadError> {
        if !self.holds(position, wanted) {
            let next = self.current.as_ref().and_then(|(_, next)| *next);
            let end = next.unwrap_or(u64::MAX).min(self.limit);
            let available = end.saturating_sub(position);
            let length = (wanted.max(ahead) as u64).min(available) as usize;
            self.fill(position, length)?;
        }
        Ok(self.held(position))
    }

    fn holds(&self, position: u64, wanted: usize) -> bool {
        position >= self.buffer_at
            && position + wanted as u64 <= self.buffer_at + self.buffer.len() as u64
    }

    fn held(&self, position: u64) -> Bytes {
        self.buffer.slice((position - self.buffer_at) as usize..)
    }

    fn fill(&mut self, position: u64, length: usize) -> Result<(), ReadError> {
        let (segment, _) = self
            .segments
            .holding(position)
            .ok_or(ReadError::NotARecord { position, reason: "the log starts later" })?;
        let mut bytes = vec![0; length];
        segment
            .file
            .read_exact_at(&mut bytes, position - segment.base)
            .map_err(|source| ReadError::Io { position, source })?;
        self.buffer = Bytes::from(bytes);
        self.buffer_at = position;
        Ok(())
    }
}
