//! RTCP packets (RFC 3550, RFC 4585, RFC 5104): read one after the other, written into a buffer.

use super::{be16, be32};

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const DESCRIPTION: u8 = 202;
const BYE: u8 = 203;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;

/// The most packets in one datagram that are looked at.
const MOST: usize = 64;

/// One block of a report: how a stream is received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) ssrc: u32,
    /// Lost of the last interval, in 256ths.
    pub(crate) fraction: u8,
    /// Lost since the beginning, 24 bits.
    pub(crate) lost: i32,
    pub(crate) highest: u32,
    pub(crate) jitter: u32,
    /// The middle of the NTP time of the last sender report.
    pub(crate) last_report: u32,
    /// How long ago it came, in 65536ths of a second.
    pub(crate) delay: u32,
}

/// What one packet says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Packet<'a> {
    /// When the sender was where.
    Sender { ssrc: u32, ntp: u64, timestamp: u32, blocks: Blocks<'a> },
    /// How streams are received.
    Receiver { blocks: Blocks<'a> },
    /// The senders have ended.
    Bye,
    /// What is missing of a stream.
    Nack { ssrc: u32, lost: Lost<'a> },
    /// A key frame is needed (PLI or FIR).
    KeyFrame { ssrc: u32 },
    /// Transport-wide feedback, without its header.
    Transport(&'a [u8]),
}

/// The blocks of a report.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Blocks<'a>(&'a [u8]);

impl Iterator for Blocks<'_> {
    type Item = Block;

    fn next(&mut self) -> Option<Block> {
        let (block, rest) = self.0.split_at_checked(24)?;
        self.0 = rest;
        // Sign-extends the 24 bits.
        let lost = (be32(block, 4)? << 8).cast_signed() >> 8;
        Some(Block {
            ssrc: be32(block, 0)?,
            fraction: block[4],
            lost,
            highest: be32(block, 8)?,
            jitter: be32(block, 12)?,
            last_report: be32(block, 16)?,
            delay: be32(block, 20)?,
        })
    }
}

/// The sequence numbers of a NACK.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Lost<'a>(&'a [u8]);

impl Lost<'_> {
    /// Calls with every number.
    pub(crate) fn for_each(self, mut call: impl FnMut(u16)) {
        for pair in self.0.chunks_exact(4) {
            let first = u16::from_be_bytes([pair[0], pair[1]]);
            let mask = u16::from_be_bytes([pair[2], pair[3]]);
            call(first);
            for bit in 0..16 {
                if mask >> bit & 1 == 1 {
                    call(first.wrapping_add(bit + 1));
                }
            }
        }
    }
}

/// Reads the packets of a datagram; what is no RTCP ends it.
pub(crate) fn read(datagram: &[u8]) -> impl Iterator<Item = Packet<'_>> {
    Parts(datagram).take(MOST).flat_map(|(kind, count, body)| one(kind, count, body))
}

struct Parts<'a>(&'a [u8]);

impl<'a> Iterator for Parts<'a> {
    type Item = (u8, u8, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (first, kind) = (*self.0.first()?, *self.0.get(1)?);
        let len = 4 + 4 * usize::from(be16(self.0, 2)?);
        let (part, rest) = self.0.split_at_checked(len)?;
        if first >> 6 != 2 {
            return None;
        }
        self.0 = rest;
        let padding = if first & 0x20 == 0 { 0 } else { usize::from(*part.last()?) };
        let body = part.get(4..len.checked_sub(padding)?)?;
        Some((kind, first & 0x1f, body))
    }
}

/// What one part says: a FIR names several streams.
fn one(kind: u8, count: u8, body: &[u8]) -> Vec<Packet<'_>> {
    let blocks = |from: usize| {
        let bytes = body.get(from..).unwrap_or_default();
        Blocks(&bytes[..bytes.len().min(24 * usize::from(count))])
    };
    let read = || {
        Some(match (kind, count) {
            (SENDER_REPORT, _) => Packet::Sender {
                ssrc: be32(body, 0)?,
                ntp: u64::from(be32(body, 4)?) << 32 | u64::from(be32(body, 8)?),
                timestamp: be32(body, 12)?,
                blocks: blocks(24),
            },
            (RECEIVER_REPORT, _) => Packet::Receiver { blocks: blocks(4) },
            (BYE, _) => Packet::Bye,
            (TRANSPORT_FEEDBACK, 1) => {
                Packet::Nack { ssrc: be32(body, 4)?, lost: Lost(body.get(8..)?) }
            }
            (TRANSPORT_FEEDBACK, 15) => Packet::Transport(body),
            (PAYLOAD_FEEDBACK, 1) => Packet::KeyFrame { ssrc: be32(body, 4)? },
            _ => return None,
        })
    };
    if (kind, count) == (PAYLOAD_FEEDBACK, 4) {
        let entries = body.get(8..).unwrap_or_default().chunks_exact(8);
        return entries.filter_map(|e| Some(Packet::KeyFrame { ssrc: be32(e, 0)? })).collect();
    }
    read().into_iter().collect()
}

/// Appends a sender report without blocks.
pub(crate) fn write_sender_report(
    out: &mut Vec<u8>,
    ssrc: u32,
    ntp: u64,
    timestamp: u32,
    packets: u32,
    octets: u32,
) {
    header(out, 0, SENDER_REPORT, 6);
    words(out, &[ssrc]);
    out.extend_from_slice(&ntp.to_be_bytes());
    words(out, &[timestamp, packets, octets]);
}

/// Appends a receiver report: at most 31 blocks.
pub(crate) fn write_receiver_report(out: &mut Vec<u8>, ssrc: u32, blocks: &[Block]) {
    let blocks = &blocks[..blocks.len().min(31)];
    let count = u8::try_from(blocks.len()).expect("31 fit");
    header(out, count, RECEIVER_REPORT, 1 + 6 * u16::from(count));
    words(out, &[ssrc]);
    for block in blocks {
        let lost = block.lost.clamp(-0x80_0000, 0x7f_ffff).cast_unsigned() & 0xff_ffff;
        words(out, &[block.ssrc, u32::from(block.fraction) << 24 | lost, block.highest]);
        words(out, &[block.jitter, block.last_report, block.delay]);
    }
}

/// Appends the name of a source (SDES with CNAME), which every compound packet holds.
pub(crate) fn write_name(out: &mut Vec<u8>, ssrc: u32, name: &str) {
    let name = &name.as_bytes()[..name.len().min(64)];
    // Kind and length, the name, at least one zero, to whole words.
    let len = (2 + name.len() + 1).next_multiple_of(4);
    header(out, 1, DESCRIPTION, u16::try_from(1 + len / 4).expect("a name is short"));
    words(out, &[ssrc]);
    let end = out.len() + len;
    out.extend_from_slice(&[1, u8::try_from(name.len()).expect("at most 64")]);
    out.extend_from_slice(name);
    out.resize(end, 0);
}

/// Appends a request for a key frame (PLI).
pub(crate) fn write_key_frame_request(out: &mut Vec<u8>, sender: u32, ssrc: u32) {
    header(out, 1, PAYLOAD_FEEDBACK, 2);
    words(out, &[sender, ssrc]);
}

/// Appends a NACK of these sequence numbers, which ascend.
pub(crate) fn write_nack(out: &mut Vec<u8>, sender: u32, ssrc: u32, lost: &[u16]) {
    let mut pairs: Vec<(u16, u16)> = Vec::new();
    for &sequence in lost {
        if let Some((first, mask)) = pairs.last_mut() {
            let ahead = sequence.wrapping_sub(*first);
            if (1..=16).contains(&ahead) {
                *mask |= 1 << (ahead - 1);
                continue;
            }
        }
        pairs.push((sequence, 0));
    }
    header(out, 1, TRANSPORT_FEEDBACK, u16::try_from(2 + pairs.len()).expect("a few pairs"));
    words(out, &[sender, ssrc]);
    for (first, mask) in pairs {
        words(out, &[u32::from(first) << 16 | u32::from(mask)]);
    }
}

/// Appends transport-wide feedback whose body after the two sources is given, in whole words.
pub(crate) fn write_transport(out: &mut Vec<u8>, sender: u32, ssrc: u32, body: &[u8]) {
    let len = u16::try_from(2 + body.len() / 4).expect("feedback fits a datagram");
    header(out, 15, TRANSPORT_FEEDBACK, len);
    words(out, &[sender, ssrc]);
    out.extend_from_slice(body);
}

fn header(out: &mut Vec<u8>, count: u8, kind: u8, len: u16) {
    out.extend_from_slice(&[0x80 | count, kind]);
    out.extend_from_slice(&len.to_be_bytes());
}

fn words(out: &mut Vec<u8>, words: &[u32]) {
    words.iter().for_each(|word| out.extend_from_slice(&word.to_be_bytes()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_compound_packet_is_read_as_it_was_written() {
        let block = Block {
            ssrc: 5,
            fraction: 128,
            lost: -3,
            highest: 70_000,
            jitter: 9,
            last_report: 1,
            delay: 2,
        };
        let mut out = Vec::new();
        write_sender_report(&mut out, 1, 2 << 32 | 3, 4, 5, 6);
        write_receiver_report(&mut out, 1, &[block, block]);
        write_name(&mut out, 1, "somebody");
        write_key_frame_request(&mut out, 1, 7);
        write_nack(&mut out, 1, 8, &[65_534, 65_535, 3, 30]);
        assert_eq!(out.len() % 4, 0);
        let packets: Vec<_> = read(&out).collect();
        assert_eq!(packets.len(), 4);
        let Packet::Sender { ssrc: 1, ntp, timestamp: 4, .. } = packets[0] else { panic!() };
        assert_eq!(ntp, 2 << 32 | 3);
        assert_eq!(packets[2], Packet::KeyFrame { ssrc: 7 });
        let mut packets = packets.into_iter().skip(1);
        let Some(Packet::Receiver { blocks }) = packets.next() else { panic!() };
        assert_eq!(blocks.collect::<Vec<_>>(), [block, block]);
        let Some(Packet::Nack { ssrc: 8, lost }) = packets.nth(1) else { panic!() };
        let mut found = Vec::new();
        lost.for_each(|sequence| found.push(sequence));
        assert_eq!(found, [65_534, 65_535, 3, 30]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            for packet in read(&bytes) {
                match packet {
                    Packet::Sender { blocks, .. } | Packet::Receiver { blocks } => {
                        prop_assert!(blocks.count() <= 31);
                    }
                    Packet::Nack { lost, .. } => lost.for_each(|_| {}),
                    Packet::Transport(body) => {
                        let _ = super::super::twcc::read(body);
                    }
                    Packet::KeyFrame { .. } | Packet::Bye => {}
                }
            }
        }

        /// Bytes that look right at the beginning get further.
        #[test]
        fn nor_do_bytes_with_a_good_header(
            kind in 200u8..=207, count in 0u8..32, body in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut out = Vec::new();
            header(&mut out, count, kind, u16::try_from(body.len() / 4).unwrap());
            out.extend_from_slice(&body);
            for packet in read(&out) {
                if let Packet::Transport(body) = packet {
                    let _ = super::super::twcc::read(body);
                }
            }
        }
    }
}
