//! The last packets of a stream, decrypted: what is forwarded from, and sent again from.

use std::time::{Duration, Instant};

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

/// How long a packet is kept, if the ring may be large enough: nobody asks for it later than this.
const KEPT: Duration = Duration::from_secs(1);

/// The room that a ring begins with.
const FIRST: usize = 32;

/// A ring of them. The memory of a packet is used again by the one that takes its place, and there
/// are as many places as packets come while one is kept.
#[derive(Debug)]
pub(crate) struct Ring {
    slots: Vec<Option<Stored>>,
    most: usize,
}

impl Ring {
    /// Room for so many at the most, a power of two.
    pub(crate) fn new(most: usize) -> Self {
        debug_assert!(most.is_power_of_two());
        let mut slots = Vec::new();
        slots.resize_with(FIRST.min(most), || None);
        Self { slots, most }
    }

    /// Takes a packet with its payload. Returns false if it is known, or older than what is kept.
    pub(crate) fn put(&mut self, packet: Stored, payload: &[u8]) -> bool {
        while self.slots.len() < self.most && self.is_needed(&packet) {
            self.grow();
        }
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

    /// Whether in the place of a packet is one that may still be asked for.
    fn is_needed(&self, packet: &Stored) -> bool {
        self.slots[self.index(packet.sequence)].as_ref().is_some_and(|known| {
            known.sequence != packet.sequence
                && packet.arrived.saturating_duration_since(known.arrived) < KEPT
        })
    }

    /// Twice as many places. Packets with places of their own keep that.
    fn grow(&mut self) {
        let mut slots = Vec::new();
        slots.resize_with(self.slots.len() * 2, || None);
        for packet in std::mem::replace(&mut self.slots, slots).into_iter().flatten() {
            let at = self.index(packet.sequence);
            self.slots[at] = Some(packet);
        }
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

    #[test]
    fn a_ring_is_as_large_as_its_stream_is_fast() {
        let begin = Instant::now();
        let fill = |ring: &mut Ring, every: Duration| {
            for number in 0..2000u32 {
                let arrived = begin + every * number;
                let sequence = 70_000 + u64::from(number);
                assert!(ring.put(Stored { arrived, ..packet(sequence) }, &number.to_be_bytes()));
                // What came within the time is there, if the ring may be so large.
                let back = (KEPT.as_micros() / every.as_micros()).min(511) as u32;
                if let Some(first) = number.checked_sub(back.saturating_sub(1)) {
                    let known = ring.get(70_000 + u64::from(first)).unwrap();
                    assert_eq!(known.payload, first.to_be_bytes());
                }
            }
        };
        for (every, places) in [(50_000, FIRST), (20_000, 64), (8_000, 128), (1_000, 512)] {
            let mut ring = Ring::new(512);
            fill(&mut ring, Duration::from_micros(every));
            assert_eq!(ring.slots.len(), places);
        }
    }
}
