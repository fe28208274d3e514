//! One stream as one subscriber gets it: numbers and times that go on without a jump, whichever
//! layer they come from. Pure: packets in, what to write into their headers out.

use std::collections::VecDeque;
use std::time::Instant;

use crate::room::ring::Stored;
use crate::rtp::sequence;

/// How many changes back packets can be sent again.
const EPOCHS: usize = 4;

/// A time in which packets come from one layer and are shifted alike.
#[derive(Clone, Copy, Debug)]
struct Epoch {
    layer: usize,
    /// The first sequence number, as the layer has it and as the subscriber sees it.
    first_in: u64,
    first_out: u64,
    /// What is added to timestamps.
    timestamp: u32,
    /// What is added to VP8 picture ids and base layer indices.
    picture: u16,
    base: u8,
}

/// What goes into the header, and the payload, of a packet for one subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rewritten {
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    /// The numbers for the VP8 descriptor.
    pub(crate) vp8: Option<(u16, u8)>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    sequence: u64,
    timestamp: u32,
    arrived: Instant,
    picture: u16,
    base: u8,
}

/// What one subscriber gets of one track.
#[derive(Debug)]
pub(crate) struct Forwarder {
    clock: u32,
    epochs: VecDeque<Epoch>,
    last: Option<Last>,
    current: Option<usize>,
    target: Option<usize>,
    /// Packets go on only with a key frame.
    needs_key: bool,
}

impl Forwarder {
    /// A stream with so many ticks a second, of which nothing was sent.
    pub(crate) fn new(clock: u32, needs_key: bool) -> Self {
        let epochs = VecDeque::with_capacity(EPOCHS);
        Self { clock, epochs, last: None, current: None, target: None, needs_key }
    }

    /// The layer that is wanted; nothing is sent with none.
    pub(crate) fn want(&mut self, layer: Option<usize>) {
        self.target = layer;
        if layer.is_none() {
            self.current = None;
        }
    }

    /// Another track is sent under the same numbers: what was sent before is not sent again.
    pub(crate) fn begin_another(&mut self) {
        self.epochs.clear();
        self.current = None;
    }

    /// The last number that was sent.
    pub(crate) fn last(&self) -> Option<u64> {
        self.last.map(|last| last.sequence)
    }

    /// The layer that packets come from.
    pub(crate) fn current(&self) -> Option<usize> {
        self.current
    }

    /// The layer that is wanted.
    pub(crate) fn target(&self) -> Option<usize> {
        self.target
    }

    /// The layer whose key frame is waited for.
    pub(crate) fn waits_for(&self) -> Option<usize> {
        self.target.filter(|target| self.current != Some(*target))
    }

    /// Begins with whatever comes next: key frames of encrypted media cannot be seen.
    pub(crate) fn begin_anyhow(&mut self) {
        self.needs_key = false;
    }

    /// A packet came. `since` are the ticks by which the layer's clock is ahead of the clock of the
    /// layer before, if both are known by their sender reports.
    pub(crate) fn take(
        &mut self,
        layer: usize,
        packet: &Stored,
        ahead: impl FnOnce(usize, usize) -> Option<u32>,
    ) -> Option<Rewritten> {
        if self.waits_for() == Some(layer) && (packet.key_frame || !self.needs_key) {
            self.begin(layer, packet, ahead);
        }
        if self.current != Some(layer) {
            return None;
        }
        let epoch = *self.epochs.back()?;
        if packet.sequence < epoch.first_in {
            return None;
        }
        let rewritten = rewrite(&epoch, packet);
        if self.last.is_none_or(|last| rewritten.sequence > last.sequence) {
            let (picture, base) = rewritten.vp8.unwrap_or_default();
            self.last = Some(Last {
                sequence: rewritten.sequence,
                timestamp: rewritten.timestamp,
                arrived: packet.arrived,
                picture,
                base,
            });
        }
        Some(rewritten)
    }

    /// Where the packet is that was sent with this number: its layer and its number there.
    pub(crate) fn origin(&self, sequence: u16) -> Option<(u64, usize, u64)> {
        let last = self.last?;
        let sequence = sequence::near(last.sequence, sequence);
        if sequence > last.sequence {
            return None;
        }
        let epoch = self.epochs.iter().rev().find(|epoch| epoch.first_out <= sequence)?;
        Some((sequence, epoch.layer, epoch.first_in + (sequence - epoch.first_out)))
    }

    /// What a packet gets that is sent again.
    pub(crate) fn again(&self, sequence: u64, packet: &Stored) -> Option<Rewritten> {
        let epoch = self.epochs.iter().rev().find(|epoch| epoch.first_out <= sequence)?;
        Some(rewrite(epoch, packet))
    }

    /// What to add to a layer's timestamps now.
    pub(crate) fn timestamp_shift(&self) -> Option<u32> {
        self.current?;
        self.epochs.back().map(|epoch| epoch.timestamp)
    }

    fn begin(
        &mut self,
        layer: usize,
        packet: &Stored,
        ahead: impl FnOnce(usize, usize) -> Option<u32>,
    ) {
        let before = self.epochs.back().copied();
        let numbers = packet.vp8.map(|vp8| {
            (vp8.picture.map_or(0, |(id, ..)| id), vp8.base.map_or(0, |(index, _)| index))
        });
        let (id, index) = numbers.unwrap_or_default();
        let epoch = match self.last {
            None => Epoch {
                layer,
                first_in: packet.sequence,
                first_out: packet.sequence,
                timestamp: 0,
                picture: 0,
                base: 0,
            },
            Some(last) => Epoch {
                layer,
                first_in: packet.sequence,
                first_out: last.sequence + 1,
                timestamp: self.shift(before, last, layer, packet, ahead),
                picture: last.picture.wrapping_add(1).wrapping_sub(id) & 0x7fff,
                base: last.base.wrapping_add(1).wrapping_sub(index),
            },
        };
        if self.epochs.len() == EPOCHS {
            self.epochs.pop_front();
        }
        self.epochs.push_back(epoch);
        self.current = Some(layer);
    }

    /// What to add to the timestamps of another layer, so that time goes on as it passed.
    fn shift(
        &self,
        before: Option<Epoch>,
        last: Last,
        layer: usize,
        packet: &Stored,
        ahead: impl FnOnce(usize, usize) -> Option<u32>,
    ) -> u32 {
        let elapsed = packet.arrived.saturating_duration_since(last.arrived).as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a pause of hours would wrap as timestamps do"
        )]
        let ticks = (elapsed * f64::from(self.clock)) as u64 as u32;
        let expected = last.timestamp.wrapping_add(ticks.max(1));
        let known = before.and_then(|before| {
            let out = packet
                .timestamp
                .wrapping_sub(ahead(before.layer, layer)?)
                .wrapping_add(before.timestamp);
            let wrong = out.wrapping_sub(expected).cast_signed().unsigned_abs();
            let grows = out.wrapping_sub(last.timestamp).cast_signed() > 0;
            (grows && wrong < self.clock / 2).then_some(out)
        });
        known.unwrap_or(expected).wrapping_sub(packet.timestamp)
    }
}

fn rewrite(epoch: &Epoch, packet: &Stored) -> Rewritten {
    let vp8 = packet.vp8.map(|vp8| {
        let picture = vp8.picture.map_or(0, |(id, ..)| id);
        let base = vp8.base.map_or(0, |(index, _)| index);
        (picture.wrapping_add(epoch.picture) & 0x7fff, base.wrapping_add(epoch.base))
    });
    Rewritten {
        sequence: epoch.first_out + (packet.sequence - epoch.first_in),
        timestamp: packet.timestamp.wrapping_add(epoch.timestamp),
        vp8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::codec::Vp8;
    use proptest::prelude::*;
    use std::time::Duration;

    fn packet(sequence: u64, timestamp: u32, key_frame: bool, at: Instant) -> Stored {
        let vp8 = Vp8::read(&[0x90, 0xc0, 0x80 | 1, 2, 7, u8::from(!key_frame)]);
        Stored {
            sequence,
            timestamp,
            marker: false,
            payload_type: 96,
            arrived: at,
            key_frame,
            vp8,
            level: None,
            turned: None,
            payload: Vec::new(),
        }
    }

    #[test]
    fn nothing_is_forwarded_before_a_key_frame() {
        let (mut forwarder, now) = (Forwarder::new(90_000, true), Instant::now());
        forwarder.want(Some(0));
        assert_eq!(forwarder.take(0, &packet(1, 0, false, now), |_, _| None), None);
        assert_eq!(forwarder.waits_for(), Some(0));
        assert!(forwarder.take(0, &packet(2, 0, true, now), |_, _| None).is_some());
        assert_eq!(forwarder.waits_for(), None);
    }

    #[test]
    fn a_switch_waits_for_the_key_frame_and_goes_on_without_a_jump() {
        let (mut forwarder, now) = (Forwarder::new(90_000, true), Instant::now());
        let at = |millis| now + Duration::from_millis(millis);
        forwarder.want(Some(0));
        let first = forwarder.take(0, &packet(100, 5000, true, at(0)), |_, _| None).unwrap();
        forwarder.want(Some(2));
        let second = forwarder.take(0, &packet(101, 8000, false, at(33)), |_, _| None).unwrap();
        assert_eq!(second.sequence, first.sequence + 1);
        assert_eq!(forwarder.take(2, &packet(900, 77, false, at(50)), |_, _| None), None);
        let third = forwarder.take(2, &packet(901, 77, true, at(66)), |_, _| None).unwrap();
        assert_eq!(third.sequence, second.sequence + 1);
        let step = third.timestamp.wrapping_sub(second.timestamp);
        assert!((2900..3100).contains(&step), "{step}");
        let (picture, base) = second.vp8.unwrap();
        assert_eq!(third.vp8, Some((picture + 1, base + 1)));
        assert_eq!(forwarder.take(0, &packet(102, 11_000, false, at(67)), |_, _| None), None);
        // What was sent before the switch is found in the layer before.
        assert_eq!(forwarder.origin(101), Some((101, 0, 101)));
        assert_eq!(forwarder.origin(102), Some((102, 2, 901)));
        assert_eq!(forwarder.origin(103), None);
    }

    #[test]
    fn sender_reports_make_the_time_exact() {
        let (mut forwarder, now) = (Forwarder::new(90_000, true), Instant::now());
        forwarder.want(Some(0));
        forwarder.take(0, &packet(1, 1_000_000, true, now), |_, _| None);
        forwarder.want(Some(1));
        // It arrived 40 ms later, but was captured 33 1/3 ms later.
        let later = packet(1, 503_000, true, now + Duration::from_millis(40));
        let out = forwarder.take(1, &later, |_, _| Some(500_000u32.wrapping_sub(1_000_000)));
        assert_eq!(out.unwrap().timestamp, 1_003_000);
    }

    #[test]
    fn a_late_packet_of_the_layer_gets_the_place_that_was_left_for_it() {
        let (mut forwarder, now) = (Forwarder::new(90_000, true), Instant::now());
        forwarder.want(Some(0));
        forwarder.take(0, &packet(10, 0, true, now), |_, _| None);
        let after = forwarder.take(0, &packet(12, 0, false, now), |_, _| None).unwrap();
        let late = forwarder.take(0, &packet(11, 0, false, now), |_, _| None).unwrap();
        assert_eq!(late.sequence + 1, after.sequence);
    }

    proptest! {
        #[test]
        fn numbers_never_repeat_and_times_never_go_back(
            steps in proptest::collection::vec((0usize..3, any::<bool>(), 0usize..4), 1..200),
        ) {
            let (mut forwarder, begin) = (Forwarder::new(90_000, true), Instant::now());
            let (mut sequences, mut last) = ([1000u64, 5000, 9000], None::<Rewritten>);
            for (index, (layer, key, want)) in steps.into_iter().enumerate() {
                forwarder.want((want < 3).then_some(want));
                let at = begin + Duration::from_millis(index as u64 * 20);
                sequences[layer] += 1;
                let timestamp = (index as u32 * 1800).wrapping_add(layer as u32 * 1_000_000_000);
                let stored = packet(sequences[layer], timestamp, key, at);
                let Some(out) = forwarder.take(layer, &stored, |_, _| None) else { continue };
                if let Some(last) = last {
                    prop_assert!(out.sequence > last.sequence);
                    prop_assert!(out.timestamp.wrapping_sub(last.timestamp).cast_signed() > 0);
                }
                #[expect(clippy::cast_possible_truncation, reason = "the low bits are meant")]
                let origin = forwarder.origin(out.sequence as u16);
                prop_assert_eq!(origin, Some((out.sequence, layer, stored.sequence)));
                last = Some(out);
            }
        }
    }
}
