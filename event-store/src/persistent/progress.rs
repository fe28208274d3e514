//! How far a group is: the place below which everything is finished.

use std::collections::BTreeMap;

/// Places that were passed over count as one event each time there are so many. They count so
/// little because the checkpoints of other groups are among them.
const PASSED_PER_COUNT: u64 = 16 << 10;

/// A place, and how many events lie up to it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Mark {
    /// `None` before the first event.
    pub(crate) place: Option<u64>,
    pub(crate) count: u64,
}

/// Remembers what is unfinished, which is bounded, and not what is finished, which is not.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The last place that was considered.
    considered: Mark,
    passed: u64,
    /// Each unfinished place, and what was considered before it.
    unfinished: BTreeMap<u64, Mark>,
}

impl Progress {
    pub(crate) fn new(finished: Option<u64>) -> Self {
        Self { considered: Mark { place: finished, count: 0 }, ..Self::default() }
    }

    /// Takes the next event in, which is behind all that were considered.
    pub(crate) fn add(&mut self, place: u64) {
        self.unfinished.insert(place, self.considered);
        self.considered = Mark { place: Some(place), count: self.considered.count + 1 };
    }

    /// Everything up to the place was considered, and so many events were passed over.
    pub(crate) fn pass(&mut self, to: u64, passed: u64) {
        self.considered.place = self.considered.place.max(Some(to));
        self.passed += passed;
        self.considered.count += self.passed / PASSED_PER_COUNT;
        self.passed %= PASSED_PER_COUNT;
    }

    pub(crate) fn finish(&mut self, place: u64) {
        self.unfinished.remove(&place);
    }

    /// Everything up to here is finished.
    pub(crate) fn finished(&self) -> Mark {
        self.unfinished.first_key_value().map_or(self.considered, |(_, before)| *before)
    }

    /// The last place that was taken in or passed over.
    pub(crate) fn considered(&self) -> Option<u64> {
        self.considered.place
    }

    pub(crate) fn is_all_finished(&self) -> bool {
        self.unfinished.is_empty()
    }
}
