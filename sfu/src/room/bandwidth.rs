//! What the link to a subscriber bears: congestion control from transport-wide feedback, with
//! probes where the layers in use cannot show that more would pass.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rtc_interceptor::{BandwidthEstimator, Gcc, PacketReport};
use rtc_rtcp::transport_feedbacks::cc_feedback_report::Ecn;

use crate::rtp::sequence;
use crate::rtp::twcc;

const INITIAL: f64 = 1_000_000.0;
const LEAST: f64 = 100_000.0;
const MOST: f64 = 50_000_000.0;

/// How many packets are remembered until feedback comes, and for how long: what is said of them
/// later is of no use.
const REMEMBERED: usize = 2048;
const MEMORY: Duration = Duration::from_secs(2);

/// How long a probe lasts.
const PROBE: Duration = Duration::from_millis(150);

/// How long after a probe the next may begin.
const PAUSE: Duration = Duration::from_millis(1500);

/// How long after congestion no probe begins.
const CAUTION: Duration = Duration::from_secs(3);

/// A packet that was sent, in eight bytes: of those who receive many streams this is the most memory.
#[derive(Clone, Copy, Debug)]
struct Sent {
    /// The low bits of the microseconds since the beginning. All that are remembered were sent within
    /// seconds, so that these tell them apart.
    at: u32,
    bytes: u16,
}

#[derive(Debug)]
struct Probe {
    begun: Instant,
    target: f64,
    first: u64,
    /// One after the last, once it has ended.
    end: Option<u64>,
    bytes: f64,
    arrived: usize,
    arrived_bytes: u64,
    lost: usize,
    earliest: Option<Duration>,
    latest: Option<Duration>,
}

/// The link to one subscriber.
pub(crate) struct Bandwidth {
    gcc: Gcc,
    begun: Instant,
    /// When the last packet was sent.
    last: Instant,
    sent: VecDeque<Sent>,
    /// The number of the first in `sent`; numbers are extended.
    first: u64,
    probe: Option<Probe>,
    not_before: Instant,
    congested: Option<Instant>,
    heard: bool,
}

impl Bandwidth {
    /// Nothing is known of it.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            gcc: Gcc::new(INITIAL, LEAST, MOST),
            begun: now,
            last: now,
            sent: VecDeque::new(),
            first: 1 << 16,
            probe: None,
            not_before: now + Duration::from_millis(300),
            congested: None,
            heard: false,
        }
    }

    /// The number of the next packet, which is sent now.
    pub(crate) fn next(&mut self, bytes: usize, now: Instant) -> u16 {
        let now = now.max(self.last);
        let at = self.stamp(now);
        let number = self.first + self.sent.len() as u64;
        if now.saturating_duration_since(self.last) > MEMORY {
            self.sent.clear();
        }
        let is_old = |oldest: &Sent| u128::from(at.wrapping_sub(oldest.at)) > MEMORY.as_micros();
        while self.sent.len() == REMEMBERED || self.sent.front().is_some_and(is_old) {
            self.sent.pop_front();
        }
        self.first = number - self.sent.len() as u64;
        self.last = now;
        self.sent.push_back(Sent { at, bytes: u16::try_from(bytes).unwrap_or(u16::MAX) });
        if let Some(probe) = self.probe.as_mut().filter(|probe| probe.end.is_none()) {
            #[expect(clippy::cast_precision_loss, reason = "a packet is small")]
            let bytes = bytes as f64;
            probe.bytes += bytes;
        }
        #[expect(clippy::cast_possible_truncation, reason = "the low bits go into the packet")]
        let number = number as u16;
        number
    }

    fn stamp(&self, at: Instant) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are meant")]
        let stamp = at.saturating_duration_since(self.begun).as_micros() as u32;
        stamp
    }

    /// When a packet was sent.
    fn departure(&self, sent: Sent) -> Instant {
        let before = self.stamp(self.last).wrapping_sub(sent.at);
        self.last.checked_sub(Duration::from_micros(before.into())).unwrap_or(self.last)
    }

    /// What it bears, in bits a second; `None` while no feedback came.
    pub(crate) fn estimate(&self) -> Option<u64> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the estimate is bounded"
        )]
        let estimate = self.gcc.target_bitrate() as u64;
        self.heard.then_some(estimate)
    }

    /// The subscriber says what arrived.
    pub(crate) fn feedback(&mut self, body: &[u8], now: Instant) {
        let Some(arrivals) = twcc::read(body) else { return };
        let mut reports = Vec::with_capacity(arrivals.len());
        let newest = self.first + self.sent.len() as u64;
        for arrival in arrivals {
            let id = sequence::near(newest, arrival.sequence);
            let sent = id.checked_sub(self.first).and_then(|at| usize::try_from(at).ok());
            let Some(sent) = sent.and_then(|at| self.sent.get(at)).copied() else { continue };
            self.of_probe(id, sent.bytes.into(), arrival.at);
            reports.push(PacketReport {
                ssrc: 0,
                id,
                rtp_sequence_number: 0,
                is_twcc: true,
                twcc_sequence_number: arrival.sequence,
                size: sent.bytes.into(),
                arrived: arrival.at.is_some(),
                departure: self.departure(sent),
                arrival: arrival.at,
                ecn: Ecn::NotEct,
            });
        }
        if reports.is_empty() {
            return;
        }
        self.heard = true;
        let before = self.gcc.target_bitrate();
        self.gcc.on_reports(now, &reports);
        if self.gcc.target_bitrate() < before * 0.98 {
            self.congested = Some(now);
        }
        self.finish_probe(now);
    }

    /// How many bytes of padding to send now, where `needed` bits a second would be of use.
    pub(crate) fn padding(&mut self, needed: Option<u64>, now: Instant) -> usize {
        if self.probe.is_none() {
            let calm = self.congested.is_none_or(|congested| now - congested > CAUTION);
            let (Some(needed), true, true) = (needed, calm, self.heard) else { return 0 };
            if now < self.not_before {
                return 0;
            }
            #[expect(clippy::cast_precision_loss, reason = "bits a second are far below 2^52")]
            let target = (needed as f64 * 1.1).min(self.gcc.target_bitrate() * 3.0).min(MOST);
            let first = self.first + self.sent.len() as u64;
            self.probe = Some(Probe::new(now, target, first));
        }
        let next = self.first + self.sent.len() as u64;
        let Some(probe) = self.probe.as_mut().filter(|probe| probe.end.is_none()) else {
            self.finish_probe(now);
            return 0;
        };
        let passed = now - probe.begun;
        if passed >= PROBE {
            probe.end = Some(next);
            return 0;
        }
        // What should have been sent by the end of the next few milliseconds.
        let due = probe.target / 8.0 * (passed.as_secs_f64() + 0.01) - probe.bytes;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a probe is short, and what is negative is nothing"
        )]
        let due = due.max(0.0) as usize;
        due
    }

    /// Whether a probe is under way, which wants to be asked for padding every few milliseconds.
    pub(crate) fn is_probing(&self) -> bool {
        self.probe.as_ref().is_some_and(|probe| probe.end.is_none())
    }

    fn of_probe(&mut self, id: u64, bytes: u32, at: Option<Duration>) {
        let Some(probe) = &mut self.probe else { return };
        if id < probe.first || probe.end.is_some_and(|end| id >= end) {
            return;
        }
        let Some(at) = at else {
            probe.lost += 1;
            return;
        };
        // The first packet begins the time, and so its bytes do not count.
        if probe.earliest.is_some() {
            probe.arrived_bytes += u64::from(bytes);
        }
        probe.arrived += 1;
        probe.earliest = Some(probe.earliest.map_or(at, |earliest| earliest.min(at)));
        probe.latest = Some(probe.latest.map_or(at, |latest| latest.max(at)));
    }

    fn finish_probe(&mut self, now: Instant) {
        let Some(probe) = &self.probe else { return };
        let Some(end) = probe.end else { return };
        let reported = (probe.arrived + probe.lost) as u64 >= end - probe.first;
        if !reported && now - probe.begun < PROBE + Duration::from_millis(500) {
            return;
        }
        if let Some(rate) = probe.rate()
            && rate > self.gcc.target_bitrate()
            && probe.lost * 10 < probe.arrived
        {
            self.gcc = Gcc::new((rate * 0.95).min(probe.target), LEAST, MOST);
            self.not_before = now + Duration::from_millis(200);
        } else {
            self.not_before = now + PAUSE;
        }
        self.probe = None;
    }
}

impl Probe {
    const fn new(begun: Instant, target: f64, first: u64) -> Self {
        Self {
            begun,
            target,
            first,
            end: None,
            bytes: 0.0,
            arrived: 0,
            arrived_bytes: 0,
            lost: 0,
            earliest: None,
            latest: None,
        }
    }

    /// Bits a second that came through, if enough came to tell.
    fn rate(&self) -> Option<f64> {
        let passed = self.latest?.checked_sub(self.earliest?)?.as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "a probe is short")]
        let bits = self.arrived_bytes as f64 * 8.0;
        (self.arrived >= 5 && passed > 0.02).then_some(bits / passed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::twcc::Recorder;

    /// A link that bears so many bits a second, with a queue of 300 ms.
    struct Link {
        bits: f64,
        free: Instant,
        recorder: Recorder,
    }

    impl Link {
        fn carry(&mut self, number: u16, bytes: usize, now: Instant) {
            let begin = self.free.max(now);
            if begin - now > Duration::from_millis(300) {
                return;
            }
            self.free = begin + Duration::from_secs_f64(bytes as f64 * 8.0 / self.bits);
            self.recorder.arrived(number, self.free + Duration::from_millis(10));
        }
    }

    #[test]
    fn it_knows_when_the_packets_of_the_last_seconds_were_sent_and_forgets_others() {
        let begun = Instant::now();
        let mut bandwidth = Bandwidth::new(begun);
        // The stamps begin anew in between.
        let turn = Duration::from_micros(1 << 32);
        let early = [Duration::ZERO, Duration::from_micros(700)];
        let late = [turn - Duration::from_millis(900), turn, turn + Duration::from_millis(1000)];
        let sent = early.iter().chain(&late).map(|at| begun + *at);
        let numbers: Vec<u16> = sent.map(|at| bandwidth.next(100, at)).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4]);
        let known = bandwidth.sent.iter().map(|sent| bandwidth.departure(*sent) - begun);
        assert_eq!(known.collect::<Vec<_>>(), late);
    }

    /// Sends at a rate, with whatever probes want, for a time. Returns the estimate after it.
    fn run(
        bandwidth: &mut Bandwidth,
        link: &mut Link,
        now: &mut Instant,
        rate: u64,
        needed: Option<u64>,
        millis: u64,
    ) -> u64 {
        let mut owed = 0.0;
        for step in 0..millis / 5 {
            owed += rate as f64 / 8.0 * 0.005;
            let mut padding = bandwidth.padding(needed, *now);
            while owed >= 1000.0 || padding >= 1000 {
                if owed >= 1000.0 {
                    owed -= 1000.0;
                } else {
                    padding -= 1000;
                }
                let number = bandwidth.next(1000, *now);
                link.carry(number, 1000, *now);
            }
            *now += Duration::from_millis(5);
            if step % 10 == 9 {
                while let Some(body) = link.recorder.feedback() {
                    bandwidth.feedback(&[&[0; 8][..], &body].concat(), *now);
                }
            }
        }
        bandwidth.estimate().unwrap()
    }

    #[test]
    fn a_probe_finds_out_that_a_link_bears_more() {
        let mut now = Instant::now();
        let mut link = Link { bits: 8e6, free: now, recorder: Recorder::new(now) };
        let mut bandwidth = Bandwidth::new(now);
        let found = run(&mut bandwidth, &mut link, &mut now, 200_000, Some(2_000_000), 5000);
        assert!(found > 1_800_000, "{found}");
    }

    #[test]
    fn a_link_that_is_halved_is_noticed_and_its_recovery_too() {
        let mut now = Instant::now();
        let mut link = Link { bits: 3e6, free: now, recorder: Recorder::new(now) };
        let mut bandwidth = Bandwidth::new(now);
        run(&mut bandwidth, &mut link, &mut now, 1_500_000, Some(2_000_000), 5000);
        link.bits = 750_000.0;
        let found = run(&mut bandwidth, &mut link, &mut now, 1_500_000, None, 2000);
        assert!(found < 1_200_000, "{found}");
        run(&mut bandwidth, &mut link, &mut now, 500_000, Some(1_700_000), 3000);
        link.bits = 3e6;
        let found = run(&mut bandwidth, &mut link, &mut now, 500_000, Some(1_700_000), 8000);
        assert!(found > 1_500_000, "{found}");
    }
}
