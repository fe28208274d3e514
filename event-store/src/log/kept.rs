//! Reads a scavenged segment from outside: every record that was kept, and its whole table.
//!
//! The table stands behind the records, and says which positions each run of them has:
//! ```text
//! blocks  up to 255 runs each: u64 position, u64 offset in the file; then u64 offset where the
//!         last run ends, u32 number of runs, u32 CRC-32C of the base and the block
//! fence   u64 position of the first run, for each block
//! footer   0 u64 magic                    32 u64 number of runs
//!          8 u64 base                     40 u64 number of records
//!         16 u64 base of the next segment 48 u32 CRC-32C of the fence
//!         24 u64 offset of the blocks     52 u32 CRC-32C of the header and the footer so far
//! ```

use std::{fs::File, io, os::unix::fs::FileExt};

use super::{
    segment::SEGMENT_HEADER,
    walk::{Found, Walk},
};

const BLOCK_RUNS: u64 = 255;
const ENTRY: u64 = 16;
const FENCE_ENTRY: u64 = 8;
const FOOTER: u64 = 56;
const MAGIC: &[u8; 8] = b"RTKEPT\0\x01";

/// Hands out every record of the scavenged file with its offset, and every fault. Returns the base
/// of the next segment; `None` when the table is wrong, without which nothing has a position.
pub(crate) fn each(
    walk: &mut Walk,
    base: u64,
    tell: &mut dyn FnMut(u64, Found),
) -> io::Result<Option<u64>> {
    let length = walk.length();
    if !walk.header_holds()? {
        tell(0, Err("the header of the segment is wrong"));
    }
    let footer = match footer(walk.file(), base, length)? {
        Ok(footer) => footer,
        Err(reason) => {
            tell(length.saturating_sub(FOOTER), Err(reason));
            return Ok(None);
        }
    };
    let [end, records_end, runs, records] = footer;
    let (mut found, mut offset) = (0, SEGMENT_HEADER);
    for block in 0..runs.div_ceil(BLOCK_RUNS) {
        let count = (runs - block * BLOCK_RUNS).min(BLOCK_RUNS);
        let at = records_end + block * (BLOCK_RUNS + 1) * ENTRY;
        let bytes = read(walk.file(), at, ((count + 1) * ENTRY) as usize)?;
        let fence = records_end + (runs + runs.div_ceil(BLOCK_RUNS)) * ENTRY + block * FENCE_ENTRY;
        let fence = read(walk.file(), fence, FENCE_ENTRY as usize)?;
        let sum =
            crc32c::crc32c_append(crc32c::crc32c(&base.to_le_bytes()), &bytes[..bytes.len() - 4]);
        let wrong = u32_at(&bytes, bytes.len() - 4) != sum
            || u64::from(u32_at(&bytes, bytes.len() - 8)) != count
            || bytes[..8] != fence;
        if wrong {
            tell(at, Err("a block of the segment's table is wrong"));
            continue;
        }
        for run in 0..count as usize {
            let (position, start) = (u64_at(&bytes, run * 16), u64_at(&bytes, run * 16 + 8));
            // Behind the last run stands where it ends, in the place of an offset.
            let last = run + 1 == count as usize;
            let until = u64_at(&bytes, (run + 1) * 16 + if last { 0 } else { 8 });
            let shift = position.checked_sub(start).filter(|shift| *shift >= base);
            let Some(shift) = shift.filter(|_| start >= offset && until <= records_end) else {
                tell(at, Err("a run of the segment's table is impossible"));
                continue;
            };
            offset = until;
            walk.view(shift, until);
            found += records_of(walk, start, until, tell)?;
        }
    }
    walk.view(base, length);
    if found != records {
        tell(records_end, Err("the segment does not hold as many records as its table says"));
    }
    Ok(Some(end))
}

fn records_of(
    walk: &mut Walk,
    start: u64,
    until: u64,
    tell: &mut dyn FnMut(u64, Found),
) -> io::Result<u64> {
    let (mut offset, mut found) = (start, 0);
    while offset < until {
        let record = walk.record(offset)?;
        let next = record.as_ref().map(|record| offset + (record.next - record.position));
        let next = match next {
            Ok(next) => next,
            Err(_) => match walk.next_sound(offset + 1)? {
                Some(record) => record.position - walk.position(0),
                None => until,
            },
        };
        found += u64::from(record.is_ok());
        tell(offset, record);
        offset = next;
    }
    Ok(found)
}

/// The base of the next segment, where the records end, and how many runs and records there are.
fn footer(file: &File, base: u64, length: u64) -> io::Result<Result<[u64; 4], &'static str>> {
    let Some(at) = length.checked_sub(FOOTER).filter(|at| *at >= SEGMENT_HEADER) else {
        return Ok(Err("the segment is shorter than its footer"));
    };
    let (header, footer) =
        (read(file, 0, SEGMENT_HEADER as usize)?, read(file, at, FOOTER as usize)?);
    let sum = crc32c::crc32c_append(crc32c::crc32c(&header), &footer[..52]);
    if &footer[..8] != MAGIC || u64_at(&footer, 8) != base || u32_at(&footer, 52) != sum {
        return Ok(Err("the footer of the segment is wrong"));
    }
    let [end, records_end, runs, records] = [16, 24, 32, 40].map(|at| u64_at(&footer, at));
    let blocks = runs.div_ceil(BLOCK_RUNS);
    let table = runs.saturating_add(blocks).saturating_mul(ENTRY);
    let fence = records_end.saturating_add(table);
    if fence.saturating_add(blocks.saturating_mul(FENCE_ENTRY)) != at {
        return Ok(Err("the length of the segment is wrong"));
    }
    if crc32c::crc32c(&read(file, fence, (at - fence) as usize)?) != u32_at(&footer, 48) {
        return Ok(Err("the fence of the segment is wrong"));
    }
    Ok(Ok([end, records_end, runs, records]))
}

fn read(file: &File, at: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
