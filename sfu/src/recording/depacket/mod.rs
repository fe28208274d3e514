//! Pictures out of RTP payloads: the packets of one time are one picture, as a decoder wants it.

mod av1;
mod h264;
mod vp8;
mod vp9;

use std::time::Instant;

use super::Packet;
use super::webm::Pictures;
use crate::room::codec::Codec;

/// The most bytes of a picture.
const LARGEST: usize = 8 * 1024 * 1024;

/// A picture.
#[derive(Debug)]
pub(super) struct Picture {
    pub(super) data: Vec<u8>,
    /// Of a key frame: what the pictures from here on are.
    pub(super) key: Option<Pictures>,
    pub(super) timestamp: u32,
    pub(super) captured: Option<u64>,
    pub(super) arrived: Instant,
}

/// What is collected of a picture.
trait Parts: Send {
    /// Takes the next payload of the picture; `None` if it makes no sense here.
    fn add(&mut self, payload: &[u8]) -> Option<()>;
    /// How many bytes there are.
    fn len(&self) -> usize;
    /// The picture, if it is whole, and what it is if it is a key frame. Nothing is left.
    fn finish(&mut self) -> Option<(Vec<u8>, Option<Pictures>)>;
    /// Forgets what there is.
    fn clear(&mut self);
}

/// Collects the pictures of one track, whose packets come in order.
pub(super) struct Assembler {
    codec: Codec,
    parts: Box<dyn Parts>,
    /// What is known of the picture that is collected.
    open: Option<Open>,
    /// Nothing can be shown before the next key frame.
    needs_key: bool,
}

#[derive(Clone, Copy)]
struct Open {
    timestamp: u32,
    captured: Option<u64>,
    arrived: Instant,
    broken: bool,
}

impl Assembler {
    /// For a codec of pictures.
    pub(super) fn new(codec: Codec) -> Self {
        let parts: Box<dyn Parts> = match codec {
            Codec::Vp9 => Box::new(vp9::Vp9::default()),
            Codec::H264 => Box::new(h264::H264::default()),
            Codec::Av1 => Box::new(av1::Av1::default()),
            Codec::Vp8 | Codec::Opus | Codec::Red => Box::new(vp8::Vp8::default()),
        };
        Self { codec, parts, open: None, needs_key: true }
    }

    /// Its codec.
    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    /// Whether a key frame has to come before anything else is of use.
    pub(super) fn needs_key(&self) -> bool {
        self.needs_key
    }

    /// Takes a packet; `gap` says whether packets before it are missing. Returns the pictures that
    /// are whole by it: two, if one had no mark at its end.
    pub(super) fn take(&mut self, packet: &Packet, gap: bool) -> [Option<Picture>; 2] {
        if gap {
            self.needs_key = true;
            self.parts.clear();
            self.open = None;
        }
        if packet.payload.is_empty() {
            return [None, None];
        }
        let other = self.open.is_some_and(|open| open.timestamp != packet.timestamp);
        let before = if other { self.finish() } else { None };
        let open = self.open.get_or_insert(Open {
            timestamp: packet.timestamp,
            captured: packet.captured,
            arrived: packet.arrived,
            broken: false,
        });
        if self.parts.add(&packet.payload).is_none() || self.parts.len() > LARGEST {
            open.broken = true;
            self.parts.clear();
        }
        let last = if packet.marker { self.finish() } else { None };
        [before, last]
    }

    fn finish(&mut self) -> Option<Picture> {
        let open = self.open.take()?;
        let finished = self.parts.finish().filter(|_| !open.broken);
        let Some((data, key)) = finished else {
            self.needs_key = true;
            return None;
        };
        if key.is_some() {
            self.needs_key = false;
        }
        let Open { timestamp, captured, arrived, .. } = open;
        (!self.needs_key).then_some(Picture { data, key, timestamp, captured, arrived })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::testing::packet;
    use proptest::prelude::*;

    const ALL: [Codec; 4] = [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1];

    fn of(sequence: u64, timestamp: u32, marker: bool, payload: &[u8]) -> Packet {
        let payload = payload.to_vec();
        Packet { timestamp, marker, payload, ..packet(sequence, Instant::now()) }
    }

    /// The first bytes of a VP8 key frame of 320 by 180.
    const KEY: [u8; 11] = [0x10, 0x10, 0, 0, 0x9d, 1, 0x2a, 0x40, 1, 0xb4, 0];

    #[test]
    fn after_a_loss_nothing_comes_before_the_next_key_frame() {
        let mut assembler = Assembler::new(Codec::Vp8);
        let mut take = |packet: Packet, gap| {
            let taken = assembler.take(&packet, gap);
            taken
                .into_iter()
                .flatten()
                .map(|it| (it.timestamp, it.key.is_some()))
                .collect::<Vec<_>>()
        };
        assert_eq!(take(of(1, 1, true, &[0x10, 0x11]), false), [], "no key frame yet");
        assert_eq!(take(of(2, 2, false, &KEY), false), []);
        assert_eq!(take(of(3, 2, true, &[0, 1, 2]), false), [(2, true)]);
        assert_eq!(take(of(4, 3, true, &[0x10, 0x11]), false), [(3, false)]);
        assert_eq!(take(of(6, 4, true, &[0x10, 0x11]), true), [], "one is missing");
        assert_eq!(take(of(7, 5, false, &KEY), false), []);
        // The mark at the end is missing, and the next picture begins.
        assert_eq!(take(of(8, 6, true, &[0x10, 0x11]), false), [(5, true), (6, false)]);
        // It does not begin at its begin.
        assert_eq!(take(of(9, 7, true, &[0, 0x11]), false), []);
        assert_eq!(take(of(10, 8, true, &[0x10, 0x11]), false), []);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(
            codec in 0usize..4,
            payloads in proptest::collection::vec(
                (proptest::collection::vec(any::<u8>(), 0..60), any::<bool>(), 0u32..4), 0..20),
        ) {
            let mut assembler = Assembler::new(ALL[codec]);
            for (number, (payload, marker, timestamp)) in payloads.iter().enumerate() {
                assembler.take(&of(number as u64, *timestamp, *marker, payload), false);
            }
        }
    }
}
