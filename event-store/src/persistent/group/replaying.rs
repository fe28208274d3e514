//! Replaying parked messages.

use std::ops::Range;

use super::{Found, Fresh, Group};
use crate::persistent::progress::Progress;

/// Replayed messages that are finished before their stream is cut again.
const CUT_EVERY: u64 = 64;

impl<E> Group<E> {
    /// Replays parked messages: the revisions in the range that are not being replayed already.
    pub(crate) fn replay(&mut self, revisions: Range<u64>) {
        let from = self.replay.start.max(revisions.start);
        self.replay = from..self.replay.end.max(revisions.end).max(from);
        if self.replaying.is_all_finished() && self.replayed.is_empty() {
            self.replaying = Progress::new(from.checked_sub(1));
            self.cut = from;
        }
    }

    /// The parked messages that should be read.
    pub(crate) fn wanted_parked(&self) -> Option<Range<u64>> {
        let batch = u64::from(self.settings.read_batch_size);
        let wanted = !self.replay.is_empty()
            && !self.subscribers.is_empty()
            && (self.replayed.len() as u64) < batch;
        let start = self.replay.start;
        wanted.then(|| start..self.replay.end.min(start.saturating_add(batch)))
    }

    /// Takes in parked messages that were read; the next revision is the given one.
    pub(crate) fn read_parked(&mut self, events: Vec<Found<E>>, next: u64) {
        for found in events {
            self.replaying.add(found.place);
            let token = self.token();
            self.replayed.push_back(Fresh { token, found });
        }
        if let Some(last) = next.checked_sub(1) {
            self.replaying.pass(last, 0);
        }
        self.replay.start = self.replay.start.max(next);
        self.replay.end = self.replay.end.max(self.replay.start);
    }

    /// Parked messages before this revision were replayed and are finished: they can be cut off.
    pub(crate) fn to_cut(&self, flush: bool) -> Option<u64> {
        let to = self.replaying.finished().place? + 1;
        let all = self.replay.is_empty() && self.replaying.is_all_finished();
        (to > self.cut && (all || flush || to - self.cut >= CUT_EVERY)).then_some(to)
    }

    /// Parked messages before this revision are cut off.
    pub(crate) fn was_cut(&mut self, to: u64) {
        self.cut = self.cut.max(to);
    }

    /// Whether parked messages are being replayed, and the first revision that is not.
    pub(crate) fn replayed_to(&self) -> (bool, u64) {
        let busy = !self.replay.is_empty() || !self.replaying.is_all_finished();
        (busy, self.replay.end)
    }
}
