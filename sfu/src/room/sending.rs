//! One packet to one subscriber: header, numbers, encryption, and into the outbox.

use std::time::Instant;

use super::Pending;
use super::bandwidth::Bandwidth;
use super::codec::descriptor::{Descriptor, LONGEST};
use super::codec::{self, Codec};
use super::forward::Rewritten;
use super::ring::Stored;
use super::subscribe::Down;
use super::track::Track;
use crate::media::outbox::Outbox;
use crate::media::srtp::Srtp;
use crate::rtp::{self, Outgoing, write_header};
use crate::sdp::Extensions;

/// What it takes to send to one subscriber.
pub(super) struct Sending<'a> {
    pub(super) srtp: &'a mut Srtp,
    pub(super) bandwidth: &'a mut Bandwidth,
    pub(super) out: &'a mut Outbox,
    pub(super) scratch: &'a mut Vec<u8>,
    pub(super) ids: Extensions,
    pub(super) now: Instant,
}

impl Sending<'_> {
    pub(super) fn forward(&mut self, down: &mut Down, track: &Track, one: Pending) {
        let Some(stored) = track.layers.get(one.layer).and_then(|l| l.ring.get(one.sequence))
        else {
            return;
        };
        let ahead = |from: usize, to: usize| {
            let report = |layer: usize| track.layers.get(layer)?.reception.report;
            let clock = if track.audio { 48_000 } else { 90_000 };
            Some(report(from)?.ahead(&report(to)?, clock))
        };
        let Some(rewritten) = down.forwarder.take(one.layer, stored, ahead) else { return };
        if let Some(bytes) = self.write(down, stored, rewritten, None) {
            down.waits = None;
            down.packets = down.packets.wrapping_add(1);
            let octets = u32::try_from(stored.payload.len()).unwrap_or(0);
            down.octets = down.octets.wrapping_add(octets);
            down.allowance.sent(bytes);
            down.rate.add(bytes, self.now);
        }
    }

    /// Sends a packet again, as a retransmission if the client knows those.
    pub(super) fn again(&mut self, down: &mut Down, track: &Track, number: u16) -> bool {
        let Some((sequence, layer, at)) = down.forwarder.origin(number) else { return false };
        let Some(stored) = track.layers.get(layer).and_then(|layer| layer.ring.get(at)) else {
            return false;
        };
        let Some(rewritten) = down.forwarder.again(sequence, stored) else { return false };
        if !down.may_repeat(sequence, stored.payload.len() + 40, self.now) {
            return false;
        }
        let again = down.again;
        self.write(down, stored, rewritten, again).is_some()
    }

    /// Repeats the packet that was sent so many before the last. Returns how much that was.
    pub(super) fn padding(&mut self, down: &mut Down, track: &Track, back: u64) -> usize {
        let Some(last) = down.forwarder.last() else { return 0 };
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are meant")]
        let number = last.saturating_sub(back) as u16;
        let Some((sequence, layer, at)) = down.forwarder.origin(number) else { return 0 };
        let Some(stored) = track.layers.get(layer).and_then(|layer| layer.ring.get(at)) else {
            return 0;
        };
        let Some(rewritten) = down.forwarder.again(sequence, stored) else { return 0 };
        let again = down.again;
        self.write(down, stored, rewritten, again).unwrap_or(0)
    }

    /// The transport-wide number of the next packet, where the client knows those.
    fn wide(&mut self, size: usize) -> [u8; 2] {
        match self.ids.transport {
            Some(_) => self.bandwidth.next(size, self.now).to_be_bytes(),
            None => [0; 2],
        }
    }

    /// Writes, encrypts and queues one packet; on the stream of retransmissions where one is given.
    fn write(
        &mut self,
        down: &mut Down,
        stored: &Stored,
        rewritten: Rewritten,
        again: Option<u32>,
    ) -> Option<usize> {
        let mapped = *down.types.iter().find(|mapped| mapped.from == stored.payload_type)?;
        #[expect(clippy::cast_possible_truncation, reason = "the low bits go into the packet")]
        let original = rewritten.sequence as u16;
        let (ssrc, sequence, payload_type) = match again {
            Some(ssrc) => {
                down.again_next = down.again_next.wrapping_add(1);
                (ssrc, down.again_next, mapped.again?)
            }
            None => (down.ssrc, original, mapped.to),
        };
        let size = stored.payload.len() + rtp::FIXED + 24;
        let (wide, level, turned) =
            (self.wide(size), [stored.level.unwrap_or(0)], [stored.turned.unwrap_or(0)]);
        let mut described = [0; LONGEST];
        let mut extensions: [(u8, &[u8]); 4] = [(0, &[]); 4];
        let mut count = 0;
        if let Some(id) = self.ids.transport {
            extensions[count] = (id, &wide);
            count += 1;
        }
        if let Some(id) = self.ids.level.filter(|_| stored.level.is_some()) {
            extensions[count] = (id, &level);
            count += 1;
        }
        if let Some(id) = self.ids.turned.filter(|_| stored.turned.is_some()) {
            extensions[count] = (id, &turned);
            count += 1;
        }
        if let (Some(id), Some(descriptor)) = (self.ids.descriptor, &stored.descriptor)
            && let Some(copy) = described.get_mut(..descriptor.len())
        {
            copy.copy_from_slice(descriptor);
            Descriptor::renumber(copy, rewritten.frame.unwrap_or(0));
            extensions[count] = (id, copy);
            count += 1;
        }
        let (marker, timestamp) = (rewritten.marker, rewritten.timestamp);
        let outgoing = Outgoing { marker, payload_type, sequence, timestamp, ssrc };
        self.scratch.clear();
        let len = write_header(self.scratch, outgoing, &extensions[..count]);
        if again.is_some() {
            self.scratch.extend_from_slice(&original.to_be_bytes());
        }
        let payload = self.scratch.len();
        if !rewritten.empty {
            self.scratch.extend_from_slice(&stored.payload);
            if let (Some(numbers), Some((picture, base))) = (&stored.numbers, rewritten.numbers) {
                numbers.renumber(&mut self.scratch[payload..], picture, base);
            }
        }
        if mapped.codec == Codec::Red {
            let opus = down.types.iter().find(|mapped| mapped.codec == Codec::Opus);
            if let Some(opus) = opus {
                codec::renumber_red(&mut self.scratch[payload..], opus.to);
            }
        }
        let sealed = self.srtp.seal(self.scratch, len, ssrc, sequence)?;
        self.out.push(&sealed);
        Some(sealed.len())
    }
}
