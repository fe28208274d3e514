//! How fast a scavenge goes: so many bytes in a second, so that requests do not suffer from it.

use std::time::{Duration, Instant};

use super::{Scavenger, Stopped};

/// Bytes after which the time is looked at, at most.
const GRAIN: u64 = 256 << 10;

/// Counts bytes and makes the thread wait for them.
pub(crate) struct Pace<'a> {
    scavenger: &'a Scavenger,
    /// 0 is no limit.
    per_second: u64,
    grain: u64,
    pending: u64,
    since: Instant,
    spent: u64,
}

impl<'a> Pace<'a> {
    pub(crate) fn new(scavenger: &'a Scavenger, per_second: u64) -> Self {
        let grain = if per_second == 0 { GRAIN } else { (per_second / 16).clamp(1, GRAIN) };
        Self { scavenger, per_second, grain, pending: 0, since: Instant::now(), spent: 0 }
    }

    /// Goes on unless the scavenge is to end.
    pub(crate) fn check(&self) -> Result<(), Stopped> {
        self.scavenger.pause(Duration::ZERO)
    }

    /// Goes on when there is time for these bytes, which were read or written.
    pub(crate) fn spend(&mut self, bytes: u64) -> Result<(), Stopped> {
        self.pending += bytes;
        if self.pending < self.grain {
            return Ok(());
        }
        self.spent += std::mem::take(&mut self.pending);
        let due = match self.per_second {
            0 => Duration::ZERO,
            rate => Duration::from_secs_f64(self.spent as f64 / rate as f64),
        };
        let pause = due.saturating_sub(self.since.elapsed());
        if pause.is_zero() {
            // Time that was lost is not made good by haste.
            (self.since, self.spent) = (Instant::now(), 0);
            std::thread::yield_now();
        }
        self.scavenger.pause(pause)
    }
}
