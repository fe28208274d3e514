//! Where the kept records of a scavenged segment are in its file.
//!
//! Records that adjoin in the log and were all kept form a *run*, which lies in the file as it lay
//! in the log. Behind the last run follow
//!
//! ```text
//! blocks  up to 255 runs each: u64 position, u64 offset in the file; then u64 offset where the
//!         last run ends, u32 number of runs, u32 CRC-32C of the base and the block
//! fence   u64 position of the first run, for each block
//! footer   0 u64 magic                    32 u64 number of runs
//!          8 u64 base                     40 u64 number of records
//!         16 u64 base of the next segment 48 u32 CRC-32C of the fence
//!         24 u64 offset of the blocks     52 u32 CRC-32C of the header and the footer so far
//! ```
//!
//! Only the fence is in memory, a byte for each 32 runs; a block is read when it is asked for.

use std::{fs::File, io, os::unix::fs::FileExt};

/// Bytes of a run in a block, and of what ends a block.
const ENTRY: usize = 16;
/// Runs of a full block, which is 4 KiB.
const BLOCK_RUNS: usize = 255;
const FULL_BLOCK: u64 = ((BLOCK_RUNS + 1) * ENTRY) as u64;
const FENCE_ENTRY: u64 = 8;
const FOOTER: usize = 56;
const MAGIC: &[u8; 8] = b"RTKEPT\0\x01";

/// Records that were kept and adjoin in the log.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Run {
    pub(crate) position: u64,
    pub(crate) offset: u64,
}

/// A part of the table, and the positions it speaks for.
#[derive(Debug)]
pub(crate) struct Block {
    from: u64,
    until: u64,
    runs: Vec<Run>,
    /// Where the last run ends in the file.
    end: u64,
}

/// What a block says of a position.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Found {
    /// It lies in a run, at this offset in the file.
    Inside(u64),
    /// It was removed; what was kept next begins or is to be looked for at this position.
    Removed(u64),
}

impl Block {
    pub(crate) fn speaks_for(&self, position: u64) -> bool {
        (self.from..self.until).contains(&position)
    }

    /// Looks for a position that the block speaks for.
    pub(crate) fn find(&self, position: u64) -> Found {
        let behind = self.runs.partition_point(|run| run.position <= position);
        if let Some(at) = behind.checked_sub(1) {
            let run = self.runs[at];
            if position - run.position < self.length(at) {
                return Found::Inside(run.offset + (position - run.position));
            }
        }
        Found::Removed(self.runs.get(behind).map_or(self.until, |run| run.position))
    }

    /// The run that starts last at or below the position, and its length in bytes.
    pub(crate) fn run_below(&self, position: u64) -> Option<(Run, u64)> {
        let at = self.runs.partition_point(|run| run.position <= position).checked_sub(1)?;
        Some((self.runs[at], self.length(at)))
    }

    fn length(&self, at: usize) -> u64 {
        self.runs.get(at + 1).map_or(self.end, |next| next.offset) - self.runs[at].offset
    }
}

/// What is known of a scavenged segment without reading its blocks.
#[derive(Debug)]
pub(crate) struct Table {
    base: u64,
    /// The base of the next segment.
    pub(crate) end: u64,
    /// The offset in the file where the records end and the blocks begin.
    pub(crate) records_end: u64,
    pub(crate) records: u64,
    runs: u64,
    fence: Vec<u64>,
}

impl Table {
    /// Reads the footer and the fence. `InvalidData` says what is wrong with them.
    pub(crate) fn read(file: &File, base: u64, header: &[u8]) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let invalid = |what| Err(io::Error::new(io::ErrorKind::InvalidData, what));
        let Some(footer_at) = length.checked_sub(FOOTER as u64) else {
            return invalid("the segment is shorter than its footer");
        };
        let mut footer = [0; FOOTER];
        file.read_exact_at(&mut footer, footer_at)?;
        let number = |at: usize| u64_at(&footer, at);
        let crc = crc32c::crc32c_append(crc32c::crc32c(header), &footer[..52]);
        if &footer[..8] != MAGIC || number(8) != base || u32_at(&footer, 52) != crc {
            return invalid("the footer of the segment is wrong");
        }
        let (end, records_end, runs, records) = (number(16), number(24), number(32), number(40));
        let blocks = runs.div_ceil(BLOCK_RUNS as u64);
        let fence_at = records_end + (runs + blocks) * ENTRY as u64;
        if fence_at + blocks * FENCE_ENTRY != footer_at {
            return invalid("the length of the segment is wrong");
        }
        let mut fence = vec![0; (footer_at - fence_at) as usize];
        file.read_exact_at(&mut fence, fence_at)?;
        if u32_at(&footer, 48) != crc32c::crc32c(&fence) {
            return invalid("the fence of the segment is wrong");
        }
        let fence = fence.chunks_exact(FENCE_ENTRY as usize).map(|entry| u64_at(entry, 0));
        Ok(Self { base, end, records_end, records, runs, fence: fence.collect() })
    }

    /// Reads the block that speaks for the position, which lies in the segment.
    pub(crate) fn block(&self, file: &File, position: u64) -> io::Result<Block> {
        let behind = self.fence.partition_point(|first| *first <= position);
        // What lies before the first run is the first block's to tell.
        let at = behind.saturating_sub(1);
        let from = if at == 0 { self.base } else { self.fence[at] };
        let until = self.fence.get(at + 1).copied().unwrap_or(self.end);
        let before = (at * BLOCK_RUNS) as u64;
        let count = (self.runs - before).min(BLOCK_RUNS as u64) as usize;
        if count == 0 {
            return Ok(Block { from, until, runs: Vec::new(), end: self.records_end });
        }
        let mut bytes = vec![0; (count + 1) * ENTRY];
        file.read_exact_at(&mut bytes, self.records_end + at as u64 * FULL_BLOCK)?;
        let (entries, last) = bytes.split_at(count * ENTRY);
        let crc = block_crc(self.base, entries, &last[..12]);
        if u32_at(last, 8) as usize != count || u32_at(last, 12) != crc {
            let wrong = "a block of the segment's table is wrong";
            return Err(io::Error::new(io::ErrorKind::InvalidData, wrong));
        }
        let run = |entry: &[u8]| Run { position: u64_at(entry, 0), offset: u64_at(entry, 8) };
        let runs = entries.chunks_exact(ENTRY).map(run).collect();
        Ok(Block { from, until, runs, end: u64_at(last, 0) })
    }
}

/// What is written behind the records: blocks, fence and footer.
pub(crate) fn encode(
    base: u64,
    end: u64,
    header: &[u8],
    records: u64,
    records_end: u64,
    runs: &[Run],
) -> Vec<u8> {
    let mut out = Vec::with_capacity(length(runs.len()) as usize);
    let mut fence = Vec::new();
    for (at, block) in runs.chunks(BLOCK_RUNS).enumerate() {
        let start = out.len();
        fence.extend(block[0].position.to_le_bytes());
        for run in block {
            out.extend(run.position.to_le_bytes());
            out.extend(run.offset.to_le_bytes());
        }
        let entries_end = out.len();
        let next = runs.get((at + 1) * BLOCK_RUNS).map_or(records_end, |run| run.offset);
        out.extend(next.to_le_bytes());
        out.extend((block.len() as u32).to_le_bytes());
        let crc = block_crc(base, &out[start..entries_end], &out[entries_end..]);
        out.extend(crc.to_le_bytes());
    }
    out.extend(&fence);
    let footer = out.len();
    out.extend(MAGIC);
    for number in [base, end, records_end, runs.len() as u64, records] {
        out.extend(number.to_le_bytes());
    }
    out.extend(crc32c::crc32c(&fence).to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(header), &out[footer..]);
    out.extend(crc.to_le_bytes());
    out
}

/// The bytes behind the records of a segment with as many runs.
pub(crate) fn length(runs: usize) -> u64 {
    let blocks = runs.div_ceil(BLOCK_RUNS) as u64;
    (runs as u64 + blocks) * ENTRY as u64 + blocks * FENCE_ENTRY + FOOTER as u64
}

fn block_crc(base: u64, entries: &[u8], last: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&base.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(crc, entries), last)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
