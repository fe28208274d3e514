//! The events that are written, and the names of their streams.

use eventstore::{AppendToStreamOptions, EventData, StreamState};
use uuid::{Builder, Uuid};

/// Bytes of an event's data.
pub(super) const DATA: usize = 300;

/// The stream with this number: a `UUIDv7` like those of Roundtable's messages, which grow with
/// time and end in noise. The same number always gives the same name, so that a stream that was
/// written can be found again without a list of them.
pub(super) fn stream(number: u64) -> String {
    /// An ordinary moment of 2026; sixteen streams are made in each millisecond.
    const FIRST_MS: u64 = 1_780_000_000_000;
    let mut random = [0; 10];
    random[..8].copy_from_slice(&scatter(number).to_le_bytes());
    let id = Builder::from_unix_timestamp_millis(FIRST_MS + number / 16, &random).into_uuid();
    format!("message-{id}")
}

/// An event of 300 bytes; the client gives it a random id.
pub(super) fn event() -> EventData {
    EventData::binary("message-sent", vec![b'x'; DATA].into())
}

/// The rule by which a message is written: its stream is new.
pub(super) fn no_stream() -> AppendToStreamOptions {
    AppendToStreamOptions::default().stream_state(StreamState::NoStream)
}

/// An id of an event in a message of the protocol.
pub(super) fn id(most: i64, least: i64) -> Uuid {
    Uuid::from_u64_pair(most.cast_unsigned(), least.cast_unsigned())
}

/// Numbers in a row become numbers all over the place, each one once: the finaliser of
/// `MurmurHash3`.
pub(super) fn scatter(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
    bits = (bits ^ (bits >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
    bits ^ (bits >> 33)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_number_has_a_stream_of_its_own() {
        let names: HashSet<String> = (0..10_000).map(stream).collect();
        assert_eq!(names.len(), 10_000);
        assert_eq!(stream(7), stream(7));
        assert!(names.iter().all(|name| name.len() == "message-".len() + 36));
        assert!(stream(160) > stream(1), "names grow with time");
    }
}
