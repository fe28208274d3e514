//! The bytes of one record in the log, written and checked.
//!
//! ```text
//!  0 u32 length of the body          24 u64 created, 100 ns ticks since 1970
//!  4 u32 CRC-32C of position, length 32 16  event id, big-endian
//!        and body                    48 u8  flags: 1 = data is JSON
//!  8 u32 distance back to the head   49 u8  zero
//!        that was durable then       50 u16 length of the type
//! 12 u32 records of the same append  52 u16 length of the stream's name
//!        that follow                 54 u16 zero
//! 16 u64 revision                    56 u32 length of the custom metadata
//!                                    60 u32 length of the data
//! 64 stream, type, custom metadata, data; then u32 length of the body again, to read backwards
//! ```
//!
//! The checksum covers the position, so that bytes left over from elsewhere are never a record.
//! An append is durable as a whole or not at all: recovery drops one whose last record is missing.
//! The distance to the durable head tells a torn tail from corruption: a record that says
//! "everything below was durable" proves that a broken record below it was once acknowledged.

use bytes::{BufMut, Bytes};
use uuid::Uuid;

/// Bytes before the variable part.
pub(crate) const HEADER: usize = 64;
/// Bytes of length and checksum, which the length does not count.
pub(crate) const PREFIX: usize = 8;
/// Bytes of the length at the end.
pub(crate) const SUFFIX: usize = 4;
/// The least length of a body.
const BODY_MIN: usize = HEADER - PREFIX;
/// The most length of a body: far above any limit that can be configured sensibly.
const BODY_MAX: usize = 1 << 30;
const JSON: u8 = 1;

/// What the writer knows of a record, apart from its bytes.
pub(crate) struct Head<'a> {
    pub(crate) position: u64,
    pub(crate) durable: u64,
    pub(crate) following: u32,
    pub(crate) revision: u64,
    pub(crate) created: u64,
    pub(crate) stream: &'a [u8],
}

/// An event as it is proposed, before it has a place.
#[derive(Clone, Debug)]
pub(crate) struct Proposed {
    pub(crate) id: Uuid,
    pub(crate) event_type: Bytes,
    pub(crate) is_json: bool,
    pub(crate) custom_metadata: Bytes,
    pub(crate) data: Bytes,
}

/// A record that was read and whose checksum holds. Its parts share the buffer it was read into.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) position: u64,
    /// The position right behind this record.
    pub(crate) next: u64,
    pub(crate) durable: u64,
    pub(crate) following: u32,
    pub(crate) revision: u64,
    pub(crate) created: u64,
    pub(crate) id: Uuid,
    pub(crate) is_json: bool,
    pub(crate) stream: Bytes,
    pub(crate) event_type: Bytes,
    pub(crate) custom_metadata: Bytes,
    pub(crate) data: Bytes,
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refused {
    /// This many bytes are needed to tell.
    Short(usize),
    /// No record starts here, or it was changed.
    Broken(&'static str),
}

/// The bytes a record takes in the log.
pub(crate) fn size(stream: &[u8], event: &Proposed) -> usize {
    HEADER
        + stream.len()
        + event.event_type.len()
        + event.custom_metadata.len()
        + event.data.len()
        + SUFFIX
}

/// Appends a record to the buffer. The names' lengths were checked to fit in 16 bits.
pub(crate) fn encode(out: &mut Vec<u8>, head: &Head<'_>, event: &Proposed) {
    let start = out.len();
    let length = (size(head.stream, event) - PREFIX - SUFFIX) as u32;
    out.put_u32_le(length);
    out.put_u32_le(0);
    let back = u32::try_from(head.position - head.durable);
    out.put_u32_le(back.expect("a batch is shorter than 4 GiB"));
    out.put_u32_le(head.following);
    out.put_u64_le(head.revision);
    out.put_u64_le(head.created);
    out.put_slice(event.id.as_bytes());
    out.put_u8(if event.is_json { JSON } else { 0 });
    out.put_u8(0);
    for name in [&event.event_type[..], head.stream] {
        out.put_u16_le(u16::try_from(name.len()).expect("names are checked where they come in"));
    }
    out.put_u16_le(0);
    out.put_u32_le(event.custom_metadata.len() as u32);
    out.put_u32_le(event.data.len() as u32);
    out.put_slice(head.stream);
    out.put_slice(&event.event_type);
    out.put_slice(&event.custom_metadata);
    out.put_slice(&event.data);
    let crc = checksum(head.position, length, &out[start + PREFIX..]);
    out[start + 4..start + PREFIX].copy_from_slice(&crc.to_le_bytes());
    out.put_u32_le(length);
}

/// Reads the record at the start of the bytes, which lie at the position.
pub(crate) fn decode(bytes: &Bytes, position: u64) -> Result<Record, Refused> {
    if bytes.len() < HEADER {
        return Err(Refused::Short(HEADER));
    }
    let length = u32_at(bytes, 0) as usize;
    if !(BODY_MIN..=BODY_MAX).contains(&length) {
        return Err(Refused::Broken("the length of a record is impossible"));
    }
    let (type_len, stream_len) = (u16_at(bytes, 50), u16_at(bytes, 52));
    let (metadata_len, data_len) = (u32_at(bytes, 56) as usize, u32_at(bytes, 60) as usize);
    if length != BODY_MIN + type_len + stream_len + metadata_len + data_len {
        return Err(Refused::Broken("the lengths of a record contradict each other"));
    }
    let end = PREFIX + length;
    if bytes.len() < end + SUFFIX {
        return Err(Refused::Short(end + SUFFIX));
    }
    if checksum(position, length as u32, &bytes[PREFIX..end]) != u32_at(bytes, 4) {
        return Err(Refused::Broken("the checksum of a record is wrong"));
    }
    if u32_at(bytes, end) as usize != length {
        return Err(Refused::Broken("the end of a record is wrong"));
    }
    let type_at = HEADER + stream_len;
    let metadata_at = type_at + type_len;
    let data_at = metadata_at + metadata_len;
    Ok(Record {
        position,
        next: position.saturating_add((end + SUFFIX) as u64),
        durable: position.saturating_sub(u64::from(u32_at(bytes, 8))),
        following: u32_at(bytes, 12),
        revision: u64_at(bytes, 16),
        created: u64_at(bytes, 24),
        id: Uuid::from_slice(&bytes[32..48]).expect("sixteen bytes are an id"),
        is_json: bytes[48] & JSON != 0,
        stream: bytes.slice(HEADER..type_at),
        event_type: bytes.slice(type_at..metadata_at),
        custom_metadata: bytes.slice(metadata_at..data_at),
        data: bytes.slice(data_at..end),
    })
}

/// A cheap test that most places fail where no record starts.
pub(crate) fn plausible(bytes: &[u8]) -> bool {
    bytes.len() >= HEADER && {
        let (type_len, stream_len) = (u16_at(bytes, 50) as u64, u16_at(bytes, 52) as u64);
        let (metadata_len, data_len) = (u32_at(bytes, 56), u32_at(bytes, 60));
        let parts = type_len + stream_len + u64::from(metadata_len) + u64::from(data_len);
        u64::from(u32_at(bytes, 0)) == BODY_MIN as u64 + parts
    }
}

/// The whole size of a record, from the length at its end.
pub(crate) fn size_from_suffix(length: u32) -> Option<usize> {
    let length = length as usize;
    (BODY_MIN..=BODY_MAX).contains(&length).then_some(PREFIX + length + SUFFIX)
}

fn checksum(position: u64, length: u32, body: &[u8]) -> u32 {
    let mut place = [0; 12];
    place[..8].copy_from_slice(&position.to_le_bytes());
    place[8..].copy_from_slice(&length.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c(&place), body)
}

fn u16_at(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
