//! Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01): what arrived of
//! a connection and when, in both directions.

use std::time::{Duration, Instant};

use super::be16;
use super::sequence::Unwrapper;

/// The unit of arrival times.
const TICK: Duration = Duration::from_micros(250);

/// The unit of the reference time, in ticks.
const REFERENCE: u64 = 256;

/// The most packets that one feedback speaks about.
const MOST: u64 = 400;

/// What a feedback says of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrival {
    pub(crate) sequence: u16,
    /// On the receiver's clock, which begins anywhere; `None` if it did not arrive.
    pub(crate) at: Option<Duration>,
}

/// Reads the body of a feedback, from the sources on; `None` if it is none.
pub(crate) fn read(body: &[u8]) -> Option<Vec<Arrival>> {
    let base = be16(body, 8)?;
    let count = usize::from(be16(body, 10)?);
    let reference = u32::from_be_bytes([0, *body.get(12)?, *body.get(13)?, *body.get(14)?]);
    let mut at = 16;
    let mut symbols: Vec<u8> = Vec::with_capacity(count.min(2048));
    while symbols.len() < count {
        let chunk = be16(body, at)?;
        at += 2;
        if chunk >> 15 == 0 {
            let symbol = u8::try_from(chunk >> 13 & 3).ok()?;
            let run = usize::from(chunk & 0x1fff).min(count - symbols.len());
            symbols.resize(symbols.len() + run, symbol);
            if run == 0 {
                return None;
            }
        } else if chunk >> 14 & 1 == 0 {
            symbols.extend((0..14).rev().map(|bit| u8::from(chunk >> bit & 1 == 1)));
        } else {
            symbols
                .extend((0..7).rev().map(|two| u8::try_from(chunk >> (2 * two) & 3).unwrap_or(0)));
        }
    }
    symbols.truncate(count);
    let mut ticks = i64::from(reference) * REFERENCE.cast_signed();
    let mut arrivals = Vec::with_capacity(count);
    for (index, symbol) in symbols.into_iter().enumerate() {
        let delta = match symbol {
            0 => None,
            1 => {
                at += 1;
                Some(i64::from(*body.get(at - 1)?))
            }
            2 => {
                at += 2;
                Some(i64::from(be16(body, at - 2)?.cast_signed()))
            }
            _ => return None,
        };
        let arrived = delta.map(|delta| {
            ticks += delta;
            Duration::from_micros(250 * u64::try_from(ticks).unwrap_or(0))
        });
        let sequence = base.wrapping_add(u16::try_from(index).ok()?);
        arrivals.push(Arrival { sequence, at: arrived });
    }
    Some(arrivals)
}

/// What arrived of one connection since the last feedback.
#[derive(Debug)]
pub(crate) struct Recorder {
    begin: Instant,
    unwrapper: Unwrapper,
    arrived: Vec<(u64, u64)>,
    next: u64,
    count: u8,
}

impl Recorder {
    /// Nothing arrived yet; times are from here.
    pub(crate) fn new(begin: Instant) -> Self {
        Self { begin, unwrapper: Unwrapper::default(), arrived: Vec::new(), next: 0, count: 0 }
    }

    /// A packet with this transport-wide number arrived.
    pub(crate) fn arrived(&mut self, sequence: u16, now: Instant) {
        let sequence = self.unwrapper.unwrap(sequence);
        let ticks = (now - self.begin).as_micros() / TICK.as_micros();
        // A flood between two feedbacks is not kept.
        if self.arrived.len() < 4096 {
            self.arrived.push((sequence, u64::try_from(ticks).unwrap_or(u64::MAX)));
        }
    }

    /// The next feedback without its header and sources, if anything arrived; to be asked again
    /// until there is none.
    pub(crate) fn feedback(&mut self) -> Option<Vec<u8>> {
        self.arrived.sort_unstable();
        self.arrived.dedup_by_key(|(sequence, _)| *sequence);
        let &(first, _) = self.arrived.first()?;
        // What was told already, or lies far back, is told as it is: from its own number on.
        let base = if self.next != 0 && self.next <= first && first - self.next < MOST / 2 {
            self.next
        } else {
            first
        };
        let within = self.arrived.iter().take_while(|(sequence, _)| sequence - base < MOST).count();
        let told: Vec<(u64, u64)> = self.arrived.drain(..within).collect();
        let last = told.last().map_or(base, |(sequence, _)| *sequence);
        self.next = self.next.max(last + 1);
        let earliest = told.iter().map(|(_, ticks)| *ticks).min().unwrap_or(0);
        Some(self.encode(base, last, earliest / REFERENCE, &told))
    }

    fn encode(&mut self, base: u64, last: u64, reference: u64, told: &[(u64, u64)]) -> Vec<u8> {
        let mut symbols = Vec::with_capacity(usize::try_from(last - base + 1).unwrap_or(0));
        let mut deltas = Vec::new();
        let mut ticks = (reference * REFERENCE).cast_signed();
        let mut next = told.iter().peekable();
        for sequence in base..=last {
            let Some((_, at)) = next.next_if(|(told, _)| *told == sequence) else {
                symbols.push(0u8);
                continue;
            };
            let delta = at.cast_signed() - ticks;
            if let Ok(small) = u8::try_from(delta) {
                symbols.push(1);
                deltas.push(small);
            } else {
                let bounded = delta.clamp(i16::MIN.into(), i16::MAX.into());
                symbols.push(2);
                let bounded = i16::try_from(bounded).unwrap_or(i16::MAX);
                deltas.extend_from_slice(&bounded.to_be_bytes());
            }
            ticks = at.cast_signed();
        }
        let low = |value: u64| u16::try_from(value & 0xffff).unwrap_or(0).to_be_bytes();
        let mut body = Vec::with_capacity(16 + symbols.len() / 3 + deltas.len());
        body.extend_from_slice(&low(base));
        body.extend_from_slice(&low(last - base + 1));
        body.extend_from_slice(
            &u32::try_from(reference & 0xff_ffff).unwrap_or(0).to_be_bytes()[1..],
        );
        body.push(self.count);
        self.count = self.count.wrapping_add(1);
        chunks(&mut body, &symbols);
        body.extend_from_slice(&deltas);
        body.resize(body.len().next_multiple_of(4), 0);
        body
    }
}

/// Appends the symbols: a run where one is long, else seven of two bits.
fn chunks(body: &mut Vec<u8>, mut symbols: &[u8]) {
    while let Some(&first) = symbols.first() {
        let run = symbols.iter().take_while(|symbol| **symbol == first).count().min(0x1fff);
        let (chunk, taken) = if run >= 7 || run == symbols.len() {
            (u16::from(first) << 13 | u16::try_from(run).unwrap_or(0), run)
        } else {
            let seven = symbols.iter().take(7).chain(std::iter::repeat(&0)).take(7);
            let vector = seven.fold(0u16, |chunk, symbol| chunk << 2 | u16::from(*symbol));
            (0xc000 | vector, symbols.len().min(7))
        };
        body.extend_from_slice(&chunk.to_be_bytes());
        symbols = &symbols[taken..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(recorder: &mut Recorder) -> Vec<Arrival> {
        let mut all = Vec::new();
        while let Some(body) = recorder.feedback() {
            let mut whole = vec![0; 8];
            whole.extend_from_slice(&body);
            assert_eq!(whole.len() % 4, 0);
            all.extend(read(&whole).unwrap());
        }
        all
    }

    proptest! {
        #[test]
        fn a_feedback_tells_what_arrived_and_when(
            first in any::<u16>(), steps in proptest::collection::vec((1u16..40, 0u64..90_000), 1..300),
        ) {
            let begin = Instant::now();
            let mut recorder = Recorder::new(begin);
            let (mut sequence, mut micros) = (first, 0);
            let mut expected = Vec::new();
            for (step, pause) in steps {
                sequence = sequence.wrapping_add(step);
                micros += pause;
                recorder.arrived(sequence, begin + Duration::from_micros(micros));
                expected.push((sequence, micros / 250));
            }
            let arrived: Vec<_> = told(&mut recorder)
                .into_iter()
                .filter_map(|a| Some((a.sequence, u64::try_from(a.at?.as_micros()).unwrap() / 250)))
                .collect();
            prop_assert_eq!(arrived, expected);
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(arrivals) = read(&bytes) {
                prop_assert!(arrivals.len() <= 65_535);
            }
        }
    }

    #[test]
    fn what_lies_between_two_feedbacks_is_told_as_missing() {
        let begin = Instant::now();
        let mut recorder = Recorder::new(begin);
        recorder.arrived(5, begin);
        told(&mut recorder);
        recorder.arrived(8, begin);
        let missing: Vec<_> =
            told(&mut recorder).iter().filter(|a| a.at.is_none()).map(|a| a.sequence).collect();
        assert_eq!(missing, [6, 7]);
    }
}
