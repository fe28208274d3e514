//! What of a stream is missing, and when to ask for it again.

use std::time::{Duration, Instant};

/// The most packets that are missed at once: with more, a key frame is cheaper.
const MOST: usize = 200;

/// How often one packet is asked for.
const TRIES: u8 = 6;

/// How long a packet may be late by itself: networks reorder.
const PATIENCE: Duration = Duration::from_millis(8);

/// After this nobody waits for it any more.
const OLDEST: Duration = Duration::from_millis(1200);

#[derive(Debug)]
struct Missing {
    sequence: u64,
    since: Instant,
    asked: Option<Instant>,
    tries: u8,
}

/// The packets of one stream that have not come.
#[derive(Debug, Default)]
pub(crate) struct Nacks {
    missing: Vec<Missing>,
    next: Option<u64>,
}

impl Nacks {
    /// A packet came. Returns false when so much is missing that nothing but a key frame helps.
    pub(crate) fn arrived(&mut self, sequence: u64, now: Instant) -> bool {
        let Some(next) = self.next else {
            self.next = Some(sequence + 1);
            return true;
        };
        if sequence < next {
            self.missing.retain(|missing| missing.sequence != sequence);
            return true;
        }
        self.next = Some(sequence + 1);
        let gap = usize::try_from(sequence - next).unwrap_or(usize::MAX);
        if gap.saturating_add(self.missing.len()) > MOST {
            self.missing.clear();
            return false;
        }
        self.missing.extend((next..sequence).map(|sequence| Missing {
            sequence,
            since: now,
            asked: None,
            tries: 0,
        }));
        true
    }

    /// What to ask for now, given the round trip. Returns false in the second place when something
    /// was given up.
    pub(crate) fn due(&mut self, now: Instant, round_trip: Duration) -> (Vec<u16>, bool) {
        let again = round_trip.clamp(Duration::from_millis(20), Duration::from_millis(300))
            + Duration::from_millis(10);
        let before = self.missing.len();
        self.missing.retain(|missing| missing.tries < TRIES && now - missing.since < OLDEST);
        let whole = before == self.missing.len();
        let mut due = Vec::new();
        for missing in &mut self.missing {
            let ready = match missing.asked {
                None => now - missing.since >= PATIENCE,
                Some(asked) => now - asked >= again,
            };
            if ready {
                missing.asked = Some(now);
                missing.tries += 1;
                #[expect(clippy::cast_possible_truncation, reason = "the low bits are meant")]
                due.push(missing.sequence as u16);
            }
        }
        (due, whole)
    }

    /// Whether anything is missing.
    pub(crate) fn is_empty(&self) -> bool {
        self.missing.is_empty()
    }
}

/// How much of a stream may be sent again: never more than a share of what was sent.
#[derive(Debug)]
pub(crate) struct Allowance {
    bytes: f64,
    share: f64,
    most: f64,
}

impl Allowance {
    /// A share of what is sent, and at most this many bytes at once.
    pub(crate) const fn new(share: f64, most: f64) -> Self {
        Self { bytes: most, share, most }
    }

    /// So many bytes were sent for the first time.
    pub(crate) fn sent(&mut self, bytes: usize) {
        #[expect(clippy::cast_precision_loss, reason = "a packet is small")]
        let earned = bytes as f64 * self.share;
        self.bytes = (self.bytes + earned).min(self.most);
    }

    /// Whether so many bytes may be sent again.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "a packet is small")]
        let bytes = bytes as f64;
        let allowed = self.bytes >= bytes;
        if allowed {
            self.bytes -= bytes;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIP: Duration = Duration::from_millis(40);

    #[test]
    fn what_is_missing_is_asked_for_until_it_comes() {
        let (mut nacks, begin) = (Nacks::default(), Instant::now());
        let at = |millis| begin + Duration::from_millis(millis);
        assert!(nacks.arrived(10, at(0)) && nacks.arrived(13, at(0)));
        assert_eq!(nacks.due(at(1), TRIP).0, [0u16; 0], "it may only be late");
        assert_eq!(nacks.due(at(10), TRIP).0, [11, 12]);
        assert_eq!(nacks.due(at(30), TRIP).0, [0u16; 0], "the answer is on its way");
        nacks.arrived(11, at(40));
        assert_eq!(nacks.due(at(70), TRIP).0, [12]);
        nacks.arrived(12, at(80));
        assert!(nacks.is_empty());
        assert_eq!(nacks.due(at(200), TRIP).0, [0u16; 0]);
    }

    #[test]
    fn one_packet_is_asked_for_a_few_times_at_most() {
        let (mut nacks, begin) = (Nacks::default(), Instant::now());
        nacks.arrived(1, begin);
        nacks.arrived(3, begin);
        let mut asked = 0;
        let mut gave_up = false;
        for millis in 0..5000 {
            let (due, whole) = nacks.due(begin + Duration::from_millis(millis), TRIP);
            asked += due.len();
            gave_up |= !whole;
        }
        assert_eq!(asked, usize::from(TRIES));
        assert!(gave_up && nacks.is_empty());
    }

    #[test]
    fn a_hole_too_large_is_not_asked_for() {
        let (mut nacks, now) = (Nacks::default(), Instant::now());
        assert!(nacks.arrived(1, now));
        assert!(!nacks.arrived(5000, now));
        assert!(nacks.is_empty());
        assert!(nacks.arrived(5002, now));
        assert_eq!(nacks.due(now + TRIP, TRIP).0, [5001]);
    }

    #[test]
    fn retransmissions_are_a_share_of_what_is_sent() {
        let mut allowance = Allowance::new(0.5, 1000.0);
        assert!(allowance.take(1000) && !allowance.take(1));
        allowance.sent(100);
        assert!(allowance.take(50) && !allowance.take(1));
    }
}
