//! How one stream of a publisher is received: reports about it, what is missing, how much it is.

use std::time::{Duration, Instant};

use crate::rtp::nack::Nacks;
use crate::rtp::rtcp::Block;
use crate::rtp::sequence::Unwrapper;

/// Bitrates are measured over this time.
const WINDOW: Duration = Duration::from_millis(500);

/// A sender report: what the sender's clock said at which timestamp.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Report {
    /// Seconds since 1900, as 32.32 fixed point.
    pub(crate) ntp: u64,
    pub(crate) timestamp: u32,
    pub(crate) arrived: Instant,
}

impl Report {
    /// The ticks by which another clock is ahead of this one.
    pub(crate) fn ahead(&self, other: &Self, clock: u32) -> u32 {
        let passed = other.ntp.wrapping_sub(self.ntp).cast_signed();
        let ticks = (i128::from(passed) * i128::from(clock)) >> 32;
        #[expect(clippy::cast_possible_truncation, reason = "timestamps wrap")]
        let ticks = ticks as u32;
        other.timestamp.wrapping_sub(self.timestamp.wrapping_add(ticks))
    }
}

/// The reception of one stream.
#[derive(Debug)]
pub(crate) struct Reception {
    clock: u32,
    unwrapper: Unwrapper,
    first: Option<u64>,
    received: u64,
    expected_before: u64,
    received_before: u64,
    jitter: f64,
    /// Of the packets between the last two reports, in 256ths.
    fraction: u8,
    transit: Option<(Instant, u32)>,
    pub(crate) report: Option<Report>,
    pub(crate) nacks: Nacks,
    rate: Rate,
    /// When the last packet came.
    pub(crate) last: Option<Instant>,
}

impl Reception {
    /// Nothing came yet, of a stream with so many ticks a second.
    pub(crate) fn new(clock: u32) -> Self {
        Self {
            clock,
            unwrapper: Unwrapper::default(),
            first: None,
            received: 0,
            expected_before: 0,
            received_before: 0,
            jitter: 0.0,
            fraction: 0,
            transit: None,
            report: None,
            nacks: Nacks::default(),
            rate: Rate::default(),
            last: None,
        }
    }

    /// The extended number of a packet.
    pub(crate) fn unwrap(&mut self, sequence: u16) -> u64 {
        self.unwrapper.unwrap(sequence)
    }

    /// A packet that was not known came. Returns false when so much is missing that only a key
    /// frame helps.
    pub(crate) fn arrived(
        &mut self,
        sequence: u64,
        timestamp: u32,
        bytes: usize,
        now: Instant,
        again: bool,
    ) -> bool {
        self.first = Some(self.first.map_or(sequence, |first| first.min(sequence)));
        self.received += 1;
        self.rate.add(bytes, now);
        self.last = Some(now);
        if !again {
            self.measure_jitter(timestamp, now);
        }
        self.nacks.arrived(sequence, now)
    }

    fn measure_jitter(&mut self, timestamp: u32, now: Instant) {
        if let Some((before, last)) = self.transit {
            let passed =
                now.saturating_duration_since(before).as_secs_f64() * f64::from(self.clock);
            let ticks = f64::from(timestamp.wrapping_sub(last).cast_signed());
            let off = (passed - ticks).abs().min(f64::from(self.clock) * 10.0);
            self.jitter += (off - self.jitter) / 16.0;
        }
        self.transit = Some((now, timestamp));
    }

    /// The block of a report, from the last one until now (RFC 3550, appendix A.3).
    pub(crate) fn block(&mut self, ssrc: u32, now: Instant) -> Option<Block> {
        let (first, highest) = (self.first?, self.unwrapper.highest()?);
        let expected = highest - first + 1;
        let lost = expected.cast_signed() - self.received.cast_signed();
        let interval = expected - self.expected_before.min(expected);
        let got = self.received - self.received_before;
        (self.expected_before, self.received_before) = (expected, self.received);
        let missing = interval.saturating_sub(got);
        let fraction = (missing * 256).checked_div(interval).unwrap_or(0).min(255);
        self.fraction = u8::try_from(fraction).unwrap_or(255);
        let (last_report, delay) = match self.report {
            None => (0, 0),
            Some(report) => (middle(report.ntp), fixed(now - report.arrived)),
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "jitter is bounded, and the extended number has 32 bits in a report"
        )]
        let (highest, jitter) = ((highest - (1 << 16)) as u32, self.jitter as u32);
        Some(Block {
            ssrc,
            fraction: self.fraction,
            lost: i32::try_from(lost.clamp(-0x80_0000, 0x7f_ffff)).unwrap_or(0),
            highest,
            jitter,
            last_report,
            delay,
        })
    }

    /// Bits a second, lately.
    pub(crate) fn bitrate(&mut self, now: Instant) -> u64 {
        self.rate.bits(now)
    }

    /// What part of the packets between the last two reports is missing, from 0 to 1.
    pub(crate) fn loss(&self) -> f64 {
        f64::from(self.fraction) / 256.0
    }

    /// By how much packets come unevenly.
    pub(crate) fn jitter(&self) -> Duration {
        Duration::from_secs_f64(self.jitter / f64::from(self.clock))
    }

    /// Packets that came, and how many did not.
    pub(crate) fn counts(&self) -> (u64, u64) {
        let expected = match (self.first, self.unwrapper.highest()) {
            (Some(first), Some(highest)) => highest - first + 1,
            _ => 0,
        };
        (self.received, expected.saturating_sub(self.received))
    }
}

/// Bytes over a window.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rate {
    begun: Option<Instant>,
    bytes: usize,
    bits: u64,
}

impl Rate {
    /// So many bytes more.
    pub(crate) fn add(&mut self, bytes: usize, now: Instant) {
        self.turn(now);
        self.bytes += bytes;
    }

    /// Bits a second over the last whole window.
    pub(crate) fn bits(&mut self, now: Instant) -> u64 {
        self.turn(now);
        self.bits
    }

    fn turn(&mut self, now: Instant) {
        let begun = *self.begun.get_or_insert(now);
        let passed = now.saturating_duration_since(begun);
        if passed >= WINDOW {
            let micros = u64::try_from(passed.as_micros()).unwrap_or(u64::MAX).max(1);
            self.bits = self.bytes as u64 * 8_000_000 / micros;
            self.bytes = 0;
            self.begun = Some(now);
        }
    }
}

/// The middle 32 bits of an NTP time.
pub(crate) fn middle(ntp: u64) -> u32 {
    u32::try_from(ntp >> 16 & 0xffff_ffff).unwrap_or(0)
}

/// A duration in 65536ths of a second.
pub(crate) fn fixed(duration: Duration) -> u32 {
    u32::try_from(duration.as_micros() * 65_536 / 1_000_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_tells_what_was_lost_since_the_last_one_and_since_the_beginning() {
        let (mut reception, now) = (Reception::new(90_000), Instant::now());
        for sequence in [10u16, 11, 13, 14] {
            let sequence = reception.unwrap(sequence);
            reception.arrived(sequence, 0, 100, now, false);
        }
        let block = reception.block(5, now).unwrap();
        assert_eq!((block.ssrc, block.fraction, block.lost, block.highest), (5, 51, 1, 14));
        let late = reception.unwrap(12);
        reception.arrived(late, 0, 100, now, true);
        let block = reception.block(5, now).unwrap();
        assert_eq!((block.fraction, block.lost), (0, 0));
    }

    #[test]
    fn a_report_says_when_the_last_sender_report_came() {
        let (mut reception, now) = (Reception::new(90_000), Instant::now());
        let sequence = reception.unwrap(1);
        reception.arrived(sequence, 0, 1, now, false);
        let (ntp, timestamp) = (0x1111_2222_3333_4444, 0);
        reception.report = Some(Report { ntp, timestamp, arrived: now });
        let block = reception.block(1, now + Duration::from_millis(500)).unwrap();
        assert_eq!((block.last_report, block.delay), (0x2222_3333, 32_768));
    }

    #[test]
    fn reports_of_two_layers_tell_how_far_their_clocks_are_apart() {
        let now = Instant::now();
        let low = Report { ntp: 10 << 32, timestamp: 1000, arrived: now };
        let high = Report { ntp: 11 << 32, timestamp: 500_000, arrived: now };
        assert_eq!(low.ahead(&high, 90_000), 500_000 - 91_000);
        assert_eq!(high.ahead(&low, 90_000), (500_000u32 - 91_000).wrapping_neg());
    }

    #[test]
    fn a_bitrate_is_that_of_the_last_window() {
        let (mut rate, now) = (Rate::default(), Instant::now());
        for step in 0..100 {
            rate.add(1250, now + Duration::from_millis(step * 10));
        }
        let bits = rate.bits(now + Duration::from_secs(1));
        assert!((900_000..1_100_000).contains(&bits), "{bits}");
        assert_eq!(rate.bits(now + Duration::from_secs(60)), 0);
    }
}
