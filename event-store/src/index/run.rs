//! A run: a file of sorted entries that never changes.
//!
//! ```text
//! pages            4096 bytes each, see `page.rs`
//! fences           u64 for each page: the first half of the key it starts with
//! filter           blocks of the Bloom filter over all streams
//! footer, 48 bytes magic, entries u64, streams u64, pages u32, blocks u32,
//!                  CRC-32C of fences and filter u32, zero u32, CRC-32C of the footer u32, zero u32
//! ```
//!
//! Of a run only fences and filter are in memory: about two bytes for an event.

use std::{
    fs::File,
    io::{self, ErrorKind},
    os::unix::fs::FileExt,
    path::Path,
};

use super::{
    bloom::{BLOCK_BYTES, Bloom},
    entry::{Entry, METADATA, Range, State, TOMBSTONE},
    key::StreamKey,
    page::{PAGE_BYTES, Page},
};

pub(crate) const FOOTER: usize = 48;
pub(crate) const MAGIC: &[u8; 8] = b"RTINDEX\x01";

/// An open run.
#[derive(Debug)]
pub(crate) struct Run {
    file: File,
    pub(crate) entries: u64,
    /// How many different streams there are.
    pub(crate) streams: u64,
    fences: Vec<u64>,
    filter: Bloom,
}

impl Run {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        let footer_at = length.checked_sub(FOOTER as u64).ok_or_else(|| damaged("is cut short"))?;
        let mut footer = [0; FOOTER];
        file.read_exact_at(&mut footer, footer_at)?;
        let footer = Footer::decode(&footer)?;
        let pages_end = u64::from(footer.pages) * PAGE_BYTES as u64;
        let fences_bytes = footer.pages as usize * 8;
        let wanted = fences_bytes + footer.blocks as usize * BLOCK_BYTES;
        if pages_end + wanted as u64 != footer_at {
            return Err(damaged("has the wrong length"));
        }
        let mut bytes = vec![0; wanted];
        file.read_exact_at(&mut bytes, pages_end)?;
        if crc32c::crc32c(&bytes) != footer.crc {
            return Err(damaged("has a wrong checksum"));
        }
        let (fences, blocks) = bytes.split_at(fences_bytes);
        let fences = fences.as_chunks::<8>().0.iter().map(|fence| u64::from_le_bytes(*fence));
        let filter = Bloom::from_bytes(blocks).ok_or_else(|| damaged("has no filter"))?;
        let Footer { entries, streams, .. } = footer;
        Ok(Self { file, entries, streams, fences: fences.collect(), filter })
    }

    /// False when the run certainly knows nothing of the stream.
    pub(crate) fn may_hold(&self, key: StreamKey) -> bool {
        self.filter.may_hold(key)
    }

    pub(crate) fn state(&self, key: StreamKey) -> io::Result<State> {
        let mut state = State::default();
        let Some(mut cursor) = self.seek(key, TOMBSTONE)? else { return Ok(state) };
        let mut forward = cursor.step(0)?;
        while let Some(entry) = forward.filter(|entry| entry.key == key) {
            match entry.slot {
                METADATA => state.metadata = Some(entry.position),
                _ => state.tombstone = Some(entry.position),
            }
            forward = cursor.step(1)?;
        }
        // Back over what was just seen, to the last ordinary event.
        let marks = i64::from(state.metadata.is_some()) + i64::from(state.tombstone.is_some());
        let before = cursor.step(-1 - marks)?;
        state.last = before.filter(|entry| entry.key == key).map(|entry| entry.slot);
        Ok(state)
    }

    /// Appends revisions and positions within the range, in order.
    pub(crate) fn places(
        &self,
        key: StreamKey,
        range: Range,
        found: &mut Vec<(u64, u64)>,
    ) -> io::Result<()> {
        let Some(mut cursor) = self.seek(key, range.from)? else { return Ok(()) };
        let mut next = cursor.step(0)?;
        while let Some(entry) = next.filter(|entry| entry.key == key && entry.slot <= range.to)
            && found.len() < range.most
        {
            found.push((entry.slot, entry.position));
            next = cursor.step(1)?;
        }
        Ok(())
    }

    /// The place of the first entry at or behind the slot of the stream; `None` in an empty run.
    fn seek(&self, key: StreamKey, slot: u64) -> io::Result<Option<Cursor<'_>>> {
        if self.fences.is_empty() {
            return Ok(None);
        }
        // The last page that starts before the entry holds it, or ends right before it.
        let mut low = self.fences.partition_point(|fence| *fence < key.0).saturating_sub(1);
        let mut high = self.fences.partition_point(|fence| *fence <= key.0).max(low + 1);
        let mut page = None;
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let candidate = self.page(middle)?;
            let first = candidate.entry(0);
            if (first.key, first.slot) <= (key, slot) {
                low = middle;
                page = Some(candidate);
            } else {
                high = middle;
            }
        }
        let page = match page {
            Some(page) => page,
            None => self.page(low)?,
        };
        let at = page.lower_bound(key, slot);
        Ok(Some(Cursor { run: self, number: low, page, at: at as i64 }))
    }

    pub(crate) fn pages(&self) -> usize {
        self.fences.len()
    }

    pub(crate) fn page(&self, number: usize) -> io::Result<Page> {
        let mut bytes = Box::new([0; PAGE_BYTES]);
        self.file.read_exact_at(&mut bytes[..], number as u64 * PAGE_BYTES as u64)?;
        Page::new(bytes, number as u32).ok_or_else(|| damaged("has a wrong checksum"))
    }
}

/// A place in a run; it may lie one step before the first entry or behind the last one.
struct Cursor<'a> {
    run: &'a Run,
    number: usize,
    page: Page,
    at: i64,
}

impl Cursor<'_> {
    /// Moves by this many entries, which are few, and tells the entry there.
    fn step(&mut self, by: i64) -> io::Result<Option<Entry>> {
        self.at += by;
        while self.at < 0 && self.number > 0 {
            self.number -= 1;
            self.page = self.run.page(self.number)?;
            self.at += self.page.len() as i64;
        }
        while self.at >= self.page.len() as i64 && self.number + 1 < self.run.pages() {
            self.at -= self.page.len() as i64;
            self.number += 1;
            self.page = self.run.page(self.number)?;
        }
        let at = usize::try_from(self.at).ok().filter(|at| *at < self.page.len());
        Ok(at.map(|at| self.page.entry(at)))
    }
}

/// What the end of the file says of the rest.
pub(crate) struct Footer {
    pub(crate) entries: u64,
    pub(crate) streams: u64,
    pub(crate) pages: u32,
    pub(crate) blocks: u32,
    /// Of fences and filter.
    pub(crate) crc: u32,
}

impl Footer {
    pub(crate) fn encode(&self) -> [u8; FOOTER] {
        let mut bytes = [0; FOOTER];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..16].copy_from_slice(&self.entries.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.streams.to_le_bytes());
        bytes[24..28].copy_from_slice(&self.pages.to_le_bytes());
        bytes[28..32].copy_from_slice(&self.blocks.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.crc.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..40]);
        bytes[40..44].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; FOOTER]) -> io::Result<Self> {
        let u32_at = |at| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let u64_at = |at| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        if &bytes[..8] != MAGIC || u32_at(40) != crc32c::crc32c(&bytes[..40]) {
            return Err(damaged("has no footer"));
        }
        Ok(Self {
            entries: u64_at(8),
            streams: u64_at(16),
            pages: u32_at(24),
            blocks: u32_at(28),
            crc: u32_at(32),
        })
    }
}

pub(crate) fn damaged(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("a file of the index {what}"))
}
