//! The qualities in which a track can be sent: its simulcast layers, and within a stream its
//! temporal and spatial layers.

use std::time::{Duration, Instant};

use super::codec::Part;
use super::reception::Rate;
use super::track::Track;

/// A part without packets for this long does not come.
const SILENT: Duration = Duration::from_millis(1500);

/// A layer of which nothing came for so long while others of the track went on has stopped, as where
/// its publisher's link bears it no more: nobody waits until it is silent.
const STALLED: Duration = Duration::from_millis(400);

/// What comes of the layers within one stream. The lowest is what the others leave of the whole.
#[derive(Debug, Default)]
pub(crate) struct Parts(Vec<(Part, Rate, Instant)>);

impl Parts {
    /// So many bytes of a part came.
    pub(crate) fn add(&mut self, part: Part, bytes: usize, now: Instant) {
        if part == Part::default() {
            return;
        }
        match self.0.iter_mut().find(|(known, ..)| *known == part) {
            Some((_, rate, last)) => {
                rate.add(bytes, now);
                *last = now;
            }
            // A part is one of sixteen.
            None => {
                let mut rate = Rate::default();
                rate.add(bytes, now);
                self.0.push((part, rate, now));
            }
        }
    }

    /// The highest layers that come, and of each part above the lowest its bits a second.
    fn alive(&mut self, now: Instant) -> Vec<(Part, u64)> {
        self.0.retain(|(.., last)| now.saturating_duration_since(*last) < SILENT);
        self.0.iter_mut().map(|(part, rate, _)| (*part, rate.bits(now))).collect()
    }
}

/// One quality in which a track can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quality {
    /// The stream.
    pub(crate) layer: usize,
    /// The layers within it.
    pub(crate) part: Part,
    /// What clients call it: the number of the picture's size, from the lowest.
    pub(crate) rank: usize,
    /// Bits a second; `None` where nothing comes.
    pub(crate) bits: Option<u64>,
}

impl Track {
    /// The qualities, from the lowest. Fewer pictures a second are only for whom even the lowest
    /// size is too much: who can have a larger picture is better off with a smaller one that moves.
    pub(crate) fn qualities(&mut self, now: Instant) -> Vec<Quality> {
        let mut found: Vec<Quality> = Vec::new();
        let mut rank = 0;
        let mut lowest = true;
        let most = self.most;
        let newest = self.layers.iter().filter_map(|layer| layer.reception.last).max();
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let behind = newest.zip(layer.reception.last).map(|(newest, last)| newest - last);
            let goes_on = layer.comes(now) && behind.is_some_and(|behind| behind < STALLED);
            let comes = goes_on && !layer.is_above(most);
            let total = layer.reception.bitrate(now);
            let parts = if comes { layer.parts.alive(now) } else { Vec::new() };
            let within = |part: Part| {
                let above = parts.iter().filter(|(other, _)| !other.is_within(part));
                total.saturating_sub(above.map(|(_, bits)| bits).sum())
            };
            let spatial = parts.iter().map(|(part, _)| part.spatial).max().unwrap_or(0);
            let temporal = parts.iter().map(|(part, _)| part.temporal).max().unwrap_or(0);
            let slower = if lowest && comes { temporal } else { 0 };
            // Where all pictures have one size, to get it needs no key frame.
            let smallest = if spatial == 0 { Part::WHOLE.spatial } else { 0 };
            for temporal in 0..slower {
                let part = Part { spatial: smallest, temporal };
                found.push(Quality { layer: index, part, rank, bits: Some(within(part)) });
            }
            for size in 0..=spatial {
                let whole = size == spatial;
                let part = if whole { Part::WHOLE } else { Part { spatial: size, ..Part::WHOLE } };
                let bits = comes.then(|| within(part));
                found.push(Quality { layer: index, part, rank, bits });
                rank += 1;
            }
            lowest &= !comes;
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::codec::Codec;
    use crate::sdp::{AcceptedMedia, Format};

    fn track() -> Track {
        let format = Format {
            payload_type: 96,
            codec: Codec::Vp8,
            parameters: String::new(),
            again: None,
            feedback: Vec::new(),
        };
        let media = AcceptedMedia {
            mid: "0".to_owned(),
            audio: false,
            formats: vec![format],
            layers: vec!["low".to_owned(), "high".to_owned()],
            streams: Vec::new(),
            level: None,
            turned: None,
            descriptor: None,
        };
        Track::new(1, 1, &media, "camera".to_owned())
    }

    #[test]
    fn only_the_lowest_size_has_fewer_pictures_and_all_sizes_are_there() {
        let (mut track, now) = (track(), Instant::now());
        let silent: Vec<_> = track.qualities(now).iter().map(|q| (q.layer, q.bits)).collect();
        assert_eq!(silent, [(0, None), (1, None)]);
        let mut number = 0;
        for step in 0..100u64 {
            let at = now + Duration::from_millis(step * 10);
            for (layer, temporal) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
                number += 1;
                let track = &mut track.layers[layer];
                let sequence = track.reception.unwrap(number);
                track.reception.arrived(sequence, 0, 500, at, false);
                track.parts.add(Part::new(0, temporal), 500, at);
            }
        }
        let found = track.qualities(now + Duration::from_millis(1000));
        let shape: Vec<_> = found.iter().map(|q| (q.layer, q.part.temporal, q.rank)).collect();
        assert_eq!(shape, [(0, 0, 0), (0, 3, 0), (1, 3, 1)]);
        let (slow, whole) = (found[0].bits.unwrap(), found[1].bits.unwrap());
        assert!(slow * 18 < whole * 10 && whole * 10 < slow * 22, "{slow} of {whole}");
    }
}
