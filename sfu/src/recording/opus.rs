//! Opus packets (RFC 6716), as far as a file has to know them: how long one is, and silence.

/// Silence of some lengths, in ticks of 48 kHz from the longest: fullband CELT, one channel, nothing in it.
pub(super) const SILENCE: [(u32, [u8; 3]); 4] = [
    (960, [0xf8, 0xff, 0xfe]),
    (480, [0xf0, 0xff, 0xfe]),
    (240, [0xe8, 0xff, 0xfe]),
    (120, [0xe0, 0xff, 0xfe]),
];

/// The longest packet that there may be.
const LONGEST: u32 = 5760;

/// How long a packet is, in ticks of 48 kHz (RFC 6716, section 3.1); 0 if it is none.
pub(super) fn ticks(packet: &[u8]) -> u32 {
    let Some(first) = packet.first() else { return 0 };
    let config = first >> 3;
    let frame = match config {
        0..12 => [480, 960, 1920, 2880][usize::from(config & 3)],
        12..16 => [480, 960][usize::from(config & 1)],
        _ => [120, 240, 480, 960][usize::from(config & 3)],
    };
    let frames = match first & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1).copied().unwrap_or(0) & 0x3f),
    };
    let ticks = frame * frames;
    if ticks > LONGEST { 0 } else { ticks }
}

/// The packets in a payload of redundant audio (RFC 2198), the oldest first, each with the ticks by
/// which it is older than the payload.
pub(super) fn redundant(payload: &[u8]) -> Vec<(u32, &[u8])> {
    let (mut heads, mut at) = (Vec::new(), 0);
    loop {
        match payload.get(at..) {
            Some([first, a, b, c, ..]) if first & 0x80 != 0 => {
                let offset = u32::from(*a) << 6 | u32::from(b >> 2);
                heads.push((offset, usize::from(b & 3) << 8 | usize::from(*c)));
                at += 4;
            }
            Some([_, ..]) => break,
            _ => return Vec::new(),
        }
    }
    let mut rest = &payload[at + 1..];
    let mut packets = Vec::with_capacity(heads.len() + 1);
    for (offset, len) in heads {
        let Some((packet, others)) = rest.split_at_checked(len) else { return Vec::new() };
        packets.push((offset, packet));
        rest = others;
    }
    packets.push((0, rest));
    packets
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_are_those_of_the_table() {
        for (packet, expected) in [
            (&[0x78u8, 1][..], 960),
            (&[0x08], 960),
            (&[0x18], 2880),
            (&[0xfc | 3, 2], 1920),
            (&[0xf9], 1920),
            (&[], 0),
        ] {
            assert_eq!(ticks(packet), expected, "{packet:?}");
        }
        assert!(SILENCE.iter().all(|(len, packet)| ticks(packet) == *len));
    }

    #[test]
    fn the_packets_of_redundant_audio_come_in_their_order() {
        // 960 is 0b1111_000000: its high eight bits are 15.
        let payload = [0x80 | 111, 15, 0, 2, 111, 1, 2, 9];
        assert_eq!(redundant(&payload), [(960, &[1, 2][..]), (0, &[9][..])]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            prop_assert!(redundant(&bytes).len() <= bytes.len());
            prop_assert!(ticks(&bytes) <= LONGEST);
        }
    }
}
