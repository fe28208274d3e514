//! Figures about groups and their subscribers: counts, rates, and how long consumers take.

use std::{collections::VecDeque, time::Duration};

/// Latencies that are remembered of one subscriber.
const REMEMBERED: usize = 1000;

/// Counts items.
#[derive(Debug)]
pub(crate) struct Rate {
    since: Duration,
    total: u64,
    measured: u64,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counted {
    pub(crate) per_second: u64,
    pub(crate) total: u64,
    /// Since this was asked the last time.
    pub(crate) since_last: u64,
}

impl Rate {
    pub(crate) fn new(now: Duration) -> Self {
        Self { since: now, total: 0, measured: 0 }
    }

    pub(crate) fn count(&mut self, items: u64) {
        self.total += items;
    }

    pub(crate) fn measure(&mut self, now: Duration) -> Counted {
        let seconds = now.saturating_sub(self.since).as_secs_f64();
        let per_second = if seconds > 0.0 { self.total as f64 / seconds } else { 0.0 };
        let since_last = self.total - self.measured;
        self.measured = self.total;
        Counted { per_second: per_second as u64, total: self.total, since_last }
    }
}

/// How long a consumer took for its last events.
#[derive(Debug, Default)]
pub(crate) struct Latencies(VecDeque<Duration>);

/// What is told of latencies: a name, and the part of them that is not above it.
const SHARES: [(&str, f64); 12] = [
    ("Fastest", 0.0),
    ("Quintile 1", 0.2),
    ("Quintile 2", 0.4),
    ("Median", 0.5),
    ("Quintile 3", 0.6),
    ("Quintile 4", 0.8),
    ("Quintile 5", 1.0),
    ("90%", 0.9),
    ("95%", 0.95),
    ("99%", 0.99),
    ("99.9%", 0.999),
    ("Slowest", 1.0),
];

impl Latencies {
    pub(crate) fn add(&mut self, took: Duration) {
        if self.0.len() == REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(took);
    }

    /// Milliseconds by name; nothing before the first event was finished.
    pub(crate) fn measure(&self) -> Vec<(&'static str, u64)> {
        let mut sorted: Vec<u64> = self.0.iter().map(|took| took.as_millis() as u64).collect();
        sorted.sort_unstable();
        let Some(last) = sorted.len().checked_sub(1) else { return Vec::new() };
        let mean = sorted.iter().sum::<u64>() / sorted.len() as u64;
        let share = |part: f64| sorted[(last as f64 * part).round() as usize];
        let mut measured = vec![("Mean", mean)];
        measured.extend(SHARES.iter().map(|(name, part)| (*name, share(*part))));
        measured
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_told_by_their_shares() {
        let mut latencies = Latencies::default();
        assert!(latencies.measure().is_empty());
        for took in 0..2000 {
            latencies.add(Duration::from_millis(took));
        }
        let measured = latencies.measure();
        let of = |name| measured.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
        assert_eq!(of("Fastest"), Some(1000));
        assert_eq!(of("Quintile 3"), Some(1599));
        assert_eq!(of("Slowest"), Some(1999));
    }

    #[test]
    fn a_rate_tells_what_is_new_since_it_was_asked() {
        let mut rate = Rate::new(Duration::from_secs(1));
        rate.count(20);
        assert_eq!(rate.measure(Duration::from_secs(5)).per_second, 5);
        rate.count(3);
        let counted = rate.measure(Duration::from_secs(5));
        assert_eq!((counted.total, counted.since_last), (23, 3));
    }
}
