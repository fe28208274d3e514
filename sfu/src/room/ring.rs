//! The last packets of a stream, decrypted: what is forwarded from, and sent again from.

use std::time::Instant;

use crate::room::codec::{Numbers, Place};

/// A packet of a stream.
#[derive(Debug)]
pub(crate) struct Stored {
    /// Its sequence number, extended.
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    /// As the publisher numbers it.
    pub(crate) payload_type: u8,
    pub(crate) arrived: Instant,
    /// Whether a key frame begins here.
    pub(crate) key_frame: bool,
    /// Numbers in its payload that count pictures.
    pub(crate) numbers: Option<Numbers>,
    /// Which layer of the stream it is of.
    pub(crate) place: Place,
    /// Its dependency descriptor, as its extension says.
    pub(crate) descriptor: Option<Box<[u8]>>,
    /// How loud it is (RFC 6464), as its extension says.
    pub(crate) level: Option<u8>,
    /// How the picture is turned, as its extension says.
    pub(crate) turned: Option<u8>,
    pub(crate) payload: Vec<u8>,
}

/// A ring of them. The memory of a packet is used again by the one that takes its place.
#[derive(Debug)]
pub(crate) struct Ring {
    slots: Vec<Option<Stored>>,
}

impl Ring {
    /// Room for so many, a power of two.
    pub(crate) fn new(size: usize) -> Self {
        debug_assert!(size.is_power_of_two());
        let mut slots = Vec::new();
        slots.resize_with(size, || None);
        Self { slots }
    }

    /// Takes a packet with its payload. Returns false if it is known, or older than what is kept.
    pub(crate) fn put(&mut self, packet: Stored, payload: &[u8]) -> bool {
        let at = self.index(packet.sequence);
        let mut memory = match &mut self.slots[at] {
            Some(known) if known.sequence >= packet.sequence => return false,
            Some(older) => std::mem::take(&mut older.payload),
            None => Vec::with_capacity(payload.len()),
        };
        memory.clear();
        memory.extend_from_slice(payload);
        self.slots[at] = Some(Stored { payload: memory, ..packet });
        true
    }

    /// A packet that is still kept.
    pub(crate) fn get(&self, sequence: u64) -> Option<&Stored> {
        self.slots[self.index(sequence)].as_ref().filter(|packet| packet.sequence == sequence)
    }

    fn index(&self, sequence: u64) -> usize {
        usize::try_from(sequence).unwrap_or(0) & (self.slots.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(sequence: u64) -> Stored {
        Stored {
            sequence,
            timestamp: 0,
            marker: false,
            payload_type: 96,
            arrived: Instant::now(),
            key_frame: false,
            numbers: None,
            place: Place::default(),
            descriptor: None,
            level: None,
            turned: None,
            payload: Vec::new(),
        }
    }

    #[test]
    fn the_last_packets_are_kept_and_no_packet_is_taken_twice() {
        let mut ring = Ring::new(4);
        for sequence in 10..16 {
            assert!(ring.put(packet(sequence), &[1, 2]));
        }
        assert!(!ring.put(packet(15), &[9]), "it is known");
        assert!(!ring.put(packet(11), &[9]), "it is too old");
        assert!(ring.get(11).is_none());
        assert_eq!(ring.get(12).unwrap().payload, [1, 2]);
    }
}
