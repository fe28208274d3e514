//! A page of a run: 127 sorted entries and a checksum.
//!
//! ```text
//!    0  entries: stream key (2 x u64), slot u64, position u64, 32 bytes each
//! 4064  u32 number of entries    4068  u32 number of this page
//! 4072  zeros                    4092  u32 CRC-32C of all before
//! ```

use super::{entry::Entry, key::StreamKey};

pub(crate) const PAGE_BYTES: usize = 4096;
pub(crate) const ENTRIES: usize = 127;
const ENTRY_BYTES: usize = 32;
const COUNT_AT: usize = ENTRIES * ENTRY_BYTES;
const NUMBER_AT: usize = COUNT_AT + 4;
const CRC_AT: usize = PAGE_BYTES - 4;

/// A page whose checksum holds.
pub(crate) struct Page {
    bytes: Box<[u8; PAGE_BYTES]>,
    len: usize,
}

impl Page {
    /// Checks bytes that were read as the page of this number.
    pub(crate) fn new(bytes: Box<[u8; PAGE_BYTES]>, number: u32) -> Option<Self> {
        let len = u32_at(&bytes[..], COUNT_AT) as usize;
        let holds = u32_at(&bytes[..], CRC_AT) == crc32c::crc32c(&bytes[..CRC_AT])
            && u32_at(&bytes[..], NUMBER_AT) == number
            && (1..=ENTRIES).contains(&len);
        holds.then_some(Self { bytes, len })
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn entry(&self, at: usize) -> Entry {
        assert!(at < self.len, "an entry is asked for that the page does not hold");
        let at = at * ENTRY_BYTES;
        let word = |number: usize| u64_at(&self.bytes[..], at + 8 * number);
        Entry { key: StreamKey(word(0), word(1)), slot: word(2), position: word(3) }
    }

    /// The first place whose entry is at or behind the slot of the stream.
    pub(crate) fn lower_bound(&self, key: StreamKey, slot: u64) -> usize {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = low + (high - low) / 2;
            let entry = self.entry(middle);
            if (entry.key, entry.slot) < (key, slot) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }
}

/// The bytes of a page of these entries, of which there are at most [`ENTRIES`].
pub(crate) fn encode(entries: &[Entry], number: u32) -> [u8; PAGE_BYTES] {
    let mut bytes = [0; PAGE_BYTES];
    for (room, entry) in bytes.chunks_exact_mut(ENTRY_BYTES).zip(entries) {
        let words = [entry.key.0, entry.key.1, entry.slot, entry.position];
        for (room, word) in room.chunks_exact_mut(8).zip(words) {
            room.copy_from_slice(&word.to_le_bytes());
        }
    }
    let count = u32::try_from(entries.len()).expect("a page holds few entries");
    bytes[COUNT_AT..NUMBER_AT].copy_from_slice(&count.to_le_bytes());
    bytes[NUMBER_AT..NUMBER_AT + 4].copy_from_slice(&number.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..CRC_AT]);
    bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
