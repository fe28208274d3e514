//! One stream as one subscriber gets it: numbers and times that go on without a jump, whichever
//! layer they come from and whatever is left out. Pure: packets in, what to write into their headers
//! out.

use std::collections::VecDeque;
use std::time::Instant;

use crate::room::codec::Part;
use crate::room::codec::descriptor::Descriptor;
use crate::room::ring::Stored;
use crate::rtp::sequence;

/// How many runs back packets can be sent again: as far as packets are kept, where every other one
/// is left out.
const RUNS: usize = 256;

/// A run of packets that come from one layer, none left out, and are shifted alike.
#[derive(Clone, Copy, Debug)]
struct Run {
    layer: usize,
    /// The first sequence number, as the layer has it and as the subscriber sees it.
    first_in: u64,
    first_out: u64,
    /// What is added to timestamps.
    timestamp: u32,
    /// What is added to picture ids and base layer indices of VP8 and VP9.
    picture: u16,
    base: u8,
    /// What is added to frame numbers of dependency descriptors.
    frame: u16,
    /// The highest spatial layer: with its end a picture ends.
    spatial: u8,
}

/// What goes into the header, and the payload, of a packet for one subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rewritten {
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    /// Picture id and base layer index of VP8 and VP9.
    pub(crate) numbers: Option<(u16, u8)>,
    /// The frame number of the dependency descriptor.
    pub(crate) frame: Option<u16>,
    /// Whether only the place in the numbers is filled: what came late is left out.
    pub(crate) empty: bool,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    sequence: u64,
    timestamp: u32,
    arrived: Instant,
    picture: u16,
    base: u8,
    frame: u16,
}

/// What one subscriber gets of one track.
#[derive(Debug)]
pub(crate) struct Forwarder {
    clock: u32,
    runs: VecDeque<Run>,
    last: Option<Last>,
    current: Option<usize>,
    /// The layers within the stream that are sent now.
    now: Part,
    target: Option<(usize, Part)>,
    /// Packets go on only with a key frame.
    needs_key: bool,
    /// The newest packet of the stream that is sent, and the picture that it is of.
    newest: u64,
    time: u32,
    /// Whether the spatial layers may only go down with a key frame.
    key_to_fall: bool,
    /// The picture id that was left out last.
    left_out: Option<u16>,
}

impl Forwarder {
    /// A stream with so many ticks a second, of which nothing was sent.
    pub(crate) fn new(clock: u32, needs_key: bool) -> Self {
        Self {
            clock,
            runs: VecDeque::new(),
            last: None,
            current: None,
            now: Part::WHOLE,
            target: None,
            needs_key,
            newest: 0,
            time: 0,
            key_to_fall: false,
            left_out: None,
        }
    }

    /// The layer that is wanted whole; nothing is sent with none.
    pub(crate) fn want(&mut self, layer: Option<usize>) {
        self.want_part(layer.map(|layer| (layer, Part::WHOLE)));
    }

    /// The layer that is wanted, and what of it; nothing is sent with none.
    pub(crate) fn want_part(&mut self, target: Option<(usize, Part)>) {
        self.target = target;
        if target.is_none() {
            self.current = None;
        }
    }

    /// Another track is sent under the same numbers: what was sent before is not sent again.
    pub(crate) fn begin_another(&mut self) {
        self.runs.clear();
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

    /// The layers within the stream that are sent.
    pub(crate) fn part(&self) -> Part {
        self.now
    }

    /// The layer that is wanted.
    pub(crate) fn target(&self) -> Option<usize> {
        self.target.map(|(layer, _)| layer)
    }

    /// The layer whose key frame is waited for.
    pub(crate) fn waits_for(&self) -> Option<usize> {
        let (layer, part) = self.target?;
        let rises = part.spatial > self.now.spatial;
        let falls = part.spatial < self.now.spatial && self.key_to_fall;
        (self.current != Some(layer) || rises || falls).then_some(layer)
    }

    /// Begins with whatever comes next: key frames of encrypted media cannot be seen.
    pub(crate) fn begin_anyhow(&mut self) {
        self.needs_key = false;
    }

    /// A packet came. `ahead` are the ticks by which the layer's clock is ahead of the clock of the
    /// layer before, if both are known by their sender reports.
    pub(crate) fn take(
        &mut self,
        layer: usize,
        packet: &Stored,
        ahead: impl FnOnce(usize, usize) -> Option<u32>,
    ) -> Option<Rewritten> {
        let begins = packet.key_frame || !self.needs_key;
        if self.current != Some(layer) && self.waits_for() == Some(layer) && begins {
            self.begin(layer, packet, ahead);
        }
        if self.current != Some(layer) {
            return None;
        }
        let is_new = packet.sequence > self.newest;
        if is_new {
            self.newest = packet.sequence;
            if packet.timestamp != self.time || packet.key_frame {
                self.time = packet.timestamp;
                self.adjust(packet);
            }
        }
        let passes = packet.place.is_needed(self.now);
        if !passes && is_new {
            self.leave_out(packet);
            return None;
        }
        let mut of_layer = self.runs.iter().rev().take_while(|run| run.layer == layer);
        let run = *of_layer.find(|run| run.first_in <= packet.sequence)?;
        let rewritten = Rewritten { empty: !passes, ..rewrite(&run, packet) };
        if self.last.is_none_or(|last| rewritten.sequence > last.sequence) {
            let (picture, base) = rewritten.numbers.unwrap_or_default();
            self.last = Some(Last {
                sequence: rewritten.sequence,
                timestamp: rewritten.timestamp,
                arrived: packet.arrived,
                picture,
                base,
                frame: rewritten.frame.unwrap_or(0),
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
        let run = self.runs.iter().rev().find(|run| run.first_out <= sequence)?;
        Some((sequence, run.layer, run.first_in + (sequence - run.first_out)))
    }

    /// What a packet gets that is sent again.
    pub(crate) fn again(&self, sequence: u64, packet: &Stored) -> Option<Rewritten> {
        let run = self.runs.iter().rev().find(|run| run.first_out <= sequence)?;
        Some(rewrite(run, packet))
    }

    /// What to add to a layer's timestamps now.
    pub(crate) fn timestamp_shift(&self) -> Option<u32> {
        self.current?;
        self.runs.back().map(|run| run.timestamp)
    }

    /// A new picture: it may be the one with which the layers within the stream change.
    fn adjust(&mut self, packet: &Stored) {
        let (place, before) = (packet.place, self.now.spatial);
        self.key_to_fall = !place.nested;
        let Some((layer, part)) = self.target else { return };
        if self.current != Some(layer) {
            return;
        }
        if packet.key_frame {
            self.now = part;
        } else {
            self.now.temporal = self.now.temporal.min(part.temporal);
            if place.nested {
                self.now.spatial = self.now.spatial.min(part.spatial);
            }
            let higher = (self.now.temporal + 1..=part.temporal).rev();
            let mut higher = higher.map(|temporal| Part { temporal, ..self.now });
            if let Some(risen) = higher.find(|risen| place.may_rise(self.now, *risen)) {
                self.now = risen;
            }
        }
        if self.now.spatial != before {
            let spatial = self.now.spatial;
            self.cut(packet.sequence, |run| run.spatial = spatial);
        }
    }

    /// A packet is left out, and the numbers of those after it close up.
    fn leave_out(&mut self, packet: &Stored) {
        let dense = packet.numbers.filter(|numbers| numbers.dense);
        let picture = dense.and_then(|numbers| numbers.picture).map(|(id, ..)| id);
        let another = picture.is_some() && picture != self.left_out;
        self.left_out = picture.or(self.left_out);
        self.cut(packet.sequence, |run| {
            run.first_in += 1;
            if another {
                run.picture = run.picture.wrapping_sub(1);
            }
        });
    }

    /// A new run begins at this number of the current one, changed in some way.
    fn cut(&mut self, at: u64, change: impl FnOnce(&mut Run)) {
        let Some(back) = self.runs.back_mut() else { return };
        if back.first_in >= at {
            return change(back);
        }
        let mut run =
            Run { first_in: at, first_out: back.first_out + (at - back.first_in), ..*back };
        change(&mut run);
        self.push(run);
    }

    fn push(&mut self, run: Run) {
        if self.runs.len() == RUNS {
            self.runs.pop_front();
        }
        self.runs.push_back(run);
    }

    fn begin(
        &mut self,
        layer: usize,
        packet: &Stored,
        ahead: impl FnOnce(usize, usize) -> Option<u32>,
    ) {
        let before = self.runs.back().copied();
        let numbers = packet.numbers.map(|numbers| numbers.values());
        let (id, index) = numbers.unwrap_or_default();
        let spatial = self.target.map_or(Part::WHOLE, |(_, part)| part).spatial;
        let fresh = Run {
            layer,
            first_in: packet.sequence,
            first_out: packet.sequence,
            timestamp: 0,
            picture: 0,
            base: 0,
            frame: 0,
            spatial,
        };
        let run = match self.last {
            None => fresh,
            Some(last) => Run {
                first_out: last.sequence + 1,
                timestamp: self.shift(before, last, layer, packet, ahead),
                picture: last.picture.wrapping_add(1).wrapping_sub(id) & 0x7fff,
                base: last.base.wrapping_add(1).wrapping_sub(index),
                frame: last.frame.wrapping_add(1).wrapping_sub(frame_of(packet).unwrap_or(0)),
                ..fresh
            },
        };
        self.push(run);
        self.current = Some(layer);
        (self.newest, self.time) = (packet.sequence.saturating_sub(1), packet.timestamp);
        self.now = self.target.map_or(Part::WHOLE, |(_, part)| part);
        (self.left_out, self.key_to_fall) = (None, !packet.place.nested);
    }

    /// What to add to the timestamps of another layer, so that time goes on as it passed.
    fn shift(
        &self,
        before: Option<Run>,
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

fn frame_of(packet: &Stored) -> Option<u16> {
    packet.descriptor.as_deref().and_then(Descriptor::number)
}

fn rewrite(run: &Run, packet: &Stored) -> Rewritten {
    let numbers = packet.numbers.map(|numbers| {
        let (picture, base) = numbers.values();
        (picture.wrapping_add(run.picture) & 0x7fff, base.wrapping_add(run.base))
    });
    let place = &packet.place;
    Rewritten {
        sequence: run.first_out + (packet.sequence - run.first_in),
        timestamp: packet.timestamp.wrapping_add(run.timestamp),
        marker: packet.marker || place.ends && place.part.spatial == run.spatial,
        numbers,
        frame: frame_of(packet).map(|frame| frame.wrapping_add(run.frame)),
        empty: false,
    }
}

#[cfg(test)]
#[path = "forward_tests.rs"]
mod tests;
