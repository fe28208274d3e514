//! Reads records by position, forwards and backwards, through one buffer and positioned reads.

use std::{io, os::unix::fs::FileExt, sync::Arc};

use bytes::Bytes;

use super::{
    frame::{self, Record, Refused, SUFFIX},
    segment::{SEGMENT_HEADER, Segments},
    table::{Block, Found},
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
    view: Option<View>,
    /// Bytes of the file that the view is of.
    buffer: Bytes,
    buffer_at: u64,
    limit: u64,
}

/// What is remembered of the segment that was read last. It holds no file: a segment that was
/// scavenged meanwhile is let go, and found out when the file is read the next time.
struct View {
    base: u64,
    generation: u32,
    /// Positions from the base to here are in the segment. No record reaches over this end, but
    /// the newest segment may have grown.
    until: u64,
    kept: Kept,
}

enum Kept {
    All,
    /// Scavenged: where the records end in the file, and the part of the table read last.
    Some {
        records_end: u64,
        block: Block,
    },
}

/// A position, and where it is in the file of the view.
#[derive(Clone, Copy)]
struct Spot {
    position: u64,
    offset: u64,
}

/// How a read of the file ended.
enum Filled {
    Yes,
    /// The segment was replaced by a scavenged one, so offsets have changed.
    Replaced,
}

impl LogReader {
    pub(crate) fn new(segments: Arc<Segments>, limit: u64) -> Self {
        Self { segments, view: None, buffer: Bytes::new(), buffer_at: 0, limit }
    }

    /// Lets the reader see more of the log.
    pub(crate) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    /// The record at the position or, over the edge of a segment and where records were removed,
    /// the next one behind it; `None` at the end.
    pub(crate) fn at(&mut self, position: u64, ahead: usize) -> Result<Option<Record>, ReadError> {
        loop {
            let Some(spot) = self.spot(position)? else { return Ok(None) };
            if let Some(record) = self.record(spot, ahead)? {
                return Ok(Some(record));
            }
        }
    }

    /// The record at exactly this position; `None` when it was removed.
    pub(crate) fn exactly(
        &mut self,
        position: u64,
        ahead: usize,
    ) -> Result<Option<Record>, ReadError> {
        Ok(self.at(position, ahead)?.filter(|record| record.position == position))
    }

    /// Whether the position is one that a scavenge has removed.
    pub(crate) fn is_removed(&mut self, position: u64) -> Result<bool, ReadError> {
        if position >= self.limit || !self.enter(position)? {
            return Ok(false);
        }
        let view = self.view.as_ref().expect("the segment was entered");
        Ok(match &view.kept {
            Kept::All => false,
            Kept::Some { block, .. } => matches!(block.find(position), Found::Removed(_)),
        })
    }

    /// The last record that starts below the position, which is where a record starts, ends or
    /// was; `None` at the start of the log.
    pub(crate) fn before(&mut self, end: u64) -> Result<Option<Record>, ReadError> {
        let not_a_record = ReadError::NotARecord { position: end, reason: "no event ends there" };
        loop {
            let Some((end, floor)) = self.end_below(end)? else { return Ok(None) };
            let suffix_at = end.offset - SUFFIX as u64;
            if !self.holds(suffix_at, SUFFIX) {
                let start = end.offset.saturating_sub(SEQUENTIAL as u64).max(SEGMENT_HEADER);
                let length = (end.offset - start) as usize;
                if let Filled::Replaced = self.fill(end.position - 1, start, length)? {
                    continue;
                }
            }
            let suffix = self.held(suffix_at);
            let suffix = u32::from_le_bytes(suffix[..SUFFIX].try_into().expect("four bytes"));
            let Some(size) = frame::size_from_suffix(suffix)
                .map(|size| size as u64)
                .filter(|size| end.position - floor >= *size)
            else {
                return Err(not_a_record);
            };
            let spot = Spot { position: end.position - size, offset: end.offset - size };
            match self.record(spot, size as usize)? {
                Some(record) if record.next == end.position => return Ok(Some(record)),
                Some(_) => return Err(not_a_record),
                None => {}
            }
        }
    }

    /// Reads what lies before the position too, down to the floor, for records that are wanted in
    /// falling order.
    pub(crate) fn look_back(&mut self, position: u64, floor: u64) -> Result<(), ReadError> {
        let Some(spot) = self.spot(position)? else { return Ok(()) };
        if self.holds(spot.offset, frame::HEADER) {
            return Ok(());
        }
        // Records never lie farther from each other in a file than in the log.
        let back = spot.position.saturating_sub(floor).min(SEQUENTIAL as u64);
        let start = spot.offset.saturating_sub(back).max(SEGMENT_HEADER);
        let end = (spot.offset + RANDOM as u64).min(self.available());
        // When the segment is replaced meanwhile, the next read finds what it needs by itself.
        self.fill(spot.position, start, end.saturating_sub(start) as usize).map(drop)
    }

    /// Where the first record at or behind the position is; `None` at or beyond the limit.
    fn spot(&mut self, mut position: u64) -> Result<Option<Spot>, ReadError> {
        loop {
            if position >= self.limit || !self.enter(position)? {
                return Ok(None);
            }
            let view = self.view.as_ref().expect("the segment was entered");
            match &view.kept {
                Kept::All => {
                    position = position.max(view.base + SEGMENT_HEADER);
                    if position < view.until && position < self.limit {
                        return Ok(Some(Spot { position, offset: position - view.base }));
                    }
                }
                Kept::Some { block, .. } => match block.find(position) {
                    Found::Inside(offset) => return Ok(Some(Spot { position, offset })),
                    Found::Removed(next) => position = next,
                },
            }
        }
    }

    /// Where the last record that starts below the position ends, and what it cannot reach below;
    /// `None` at the start of the log.
    fn end_below(&mut self, end: u64) -> Result<Option<(Spot, u64)>, ReadError> {
        let mut end = end.min(self.limit);
        loop {
            let Some(last) = end.checked_sub(1) else { return Ok(None) };
            if !self.enter(last)? {
                return Ok(None);
            }
            let view = self.view.as_ref().expect("the segment was entered");
            match &view.kept {
                Kept::All => {
                    let floor = view.base + SEGMENT_HEADER;
                    if end > floor {
                        return Ok(Some((Spot { position: end, offset: end - view.base }, floor)));
                    }
                }
                Kept::Some { block, .. } => {
                    if let Some((run, length)) = block.run_below(last) {
                        let length = length.min(end - run.position);
                        let position = run.position + length;
                        let spot = Spot { position, offset: run.offset + length };
                        return Ok(Some((spot, run.position)));
                    }
                }
            }
            end = view.base;
        }
    }

    /// Reads the record at the spot; `None` when the segment was replaced meanwhile.
    fn record(&mut self, spot: Spot, ahead: usize) -> Result<Option<Record>, ReadError> {
        let Spot { position, offset } = spot;
        let mut wanted = frame::HEADER;
        loop {
            if !self.holds(offset, wanted) {
                let available = self.available().saturating_sub(offset);
                let length = (wanted.max(ahead) as u64).min(available) as usize;
                if let Filled::Replaced = self.fill(position, offset, length)? {
                    return Ok(None);
                }
            }
            match frame::decode(&self.held(offset), position) {
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

    /// Where in the file of the view there is nothing more to read.
    fn available(&self) -> u64 {
        match &self.view {
            Some(View { base, until, kept: Kept::All, .. }) => until - base,
            Some(View { kept: Kept::Some { records_end, .. }, .. }) => *records_end,
            None => 0,
        }
    }

    /// Makes the view one that can tell where the position is; no when no segment holds it.
    fn enter(&mut self, position: u64) -> Result<bool, ReadError> {
        if let Some(view) = &self.view
            && (view.base..view.until).contains(&position)
            && match &view.kept {
                Kept::All => true,
                Kept::Some { block, .. } => block.speaks_for(position),
            }
        {
            return Ok(true);
        }
        let Some((segment, next)) = self.segments.holding(position) else { return Ok(false) };
        // What is durable now and in the last segment will never be in another one.
        let until = next.unwrap_or(self.limit);
        let same = self
            .view
            .as_ref()
            .is_some_and(|view| (view.base, view.generation) == (segment.base, segment.generation));
        if !same {
            self.forget();
        }
        let kept = match &segment.table {
            None => Kept::All,
            Some(table) => {
                let block = table.block(&segment.file, position);
                let block = block.map_err(|source| ReadError::Io { position, source })?;
                Kept::Some { records_end: table.records_end, block }
            }
        };
        self.view = Some(View { base: segment.base, generation: segment.generation, until, kept });
        Ok(true)
    }

    fn forget(&mut self) {
        self.view = None;
        self.buffer = Bytes::new();
        self.buffer_at = 0;
    }

    fn holds(&self, offset: u64, wanted: usize) -> bool {
        offset >= self.buffer_at
            && offset + wanted as u64 <= self.buffer_at + self.buffer.len() as u64
    }

    fn held(&self, offset: u64) -> Bytes {
        self.buffer.slice((offset - self.buffer_at) as usize..)
    }

    /// Reads a part of the file that the view is of, for the position.
    fn fill(&mut self, position: u64, offset: u64, length: usize) -> Result<Filled, ReadError> {
        let view = self.view.as_ref().expect("the segment was entered");
        let holding = self.segments.holding(view.base);
        let Some((segment, _)) = holding.filter(|(segment, _)| {
            (segment.base, segment.generation) == (view.base, view.generation)
        }) else {
            self.forget();
            return Ok(Filled::Replaced);
        };
        let mut bytes = vec![0; length];
        segment
            .file
            .read_exact_at(&mut bytes, offset)
            .map_err(|source| ReadError::Io { position, source })?;
        self.buffer = Bytes::from(bytes);
        self.buffer_at = offset;
        Ok(Filled::Yes)
    }
}
