//! What one process holds of one bucket.
//!
//! A process takes one token at a time from the shared bucket while somebody does little, and
//! twice as many each time while they do much, up to the bound of the class: at 2,500 messages a
//! second that is 40 round trips and not 2,500. What it took is gone from the bucket, so all
//! processes together never let more pass than the bucket gave. What is not spent within
//! [`KEPT`] is forfeited, so that nobody saves tokens in a process beyond what a bucket holds.

use std::time::{Duration, Instant};

use super::bucket::{self, Bucket, Given};
use super::policy::{Quota, Row};
use crate::Redis;

/// How long tokens may be held that were taken from the bucket.
const KEPT: Duration = Duration::from_secs(1);

/// What one process holds of one bucket.
#[derive(Debug)]
pub(super) struct Slice {
    /// Tokens to spend without asking, until `kept`.
    held: u32,
    kept: Instant,
    /// How many were asked for the last time.
    asked: u32,
    /// What was left in the bucket then, and when there is one more.
    left: u32,
    next: Instant,
    /// Until then the bucket is known to be empty.
    empty_until: Instant,
    /// Stands in for the shared bucket while Redis is away.
    alone: Bucket,
    began: Instant,
}

/// What somebody gets who wants one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Taken {
    pub(super) granted: bool,
    /// How many are left, as far as this process knows.
    pub(super) left: u32,
    /// How long until there is one more.
    pub(super) next: Duration,
}

impl Slice {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            held: 0,
            kept: now,
            asked: 0,
            left: 0,
            next: now,
            empty_until: now,
            alone: Bucket::default(),
            began: now,
        }
    }

    /// Takes one token: one that is held, or of the shared bucket. With Redis away, of a bucket of
    /// the same size in this process, so that nobody is locked out and nobody is let in by more
    /// than the number of processes. It holds no more than was left in the shared one, as far as that
    /// is known, so that a moment without Redis is no second chance.
    pub(super) async fn take(
        &mut self,
        redis: &Redis,
        name: &str,
        row: &Row,
        quota: Quota,
    ) -> Taken {
        let now = Instant::now();
        if self.held > 0 && now < self.kept {
            self.held -= 1;
            return self.granted(now);
        }
        if now < self.empty_until {
            return Taken { granted: false, left: 0, next: self.empty_until - now };
        }
        let want = self.want(now, row);
        match bucket::take(redis, name, quota, want).await {
            Ok(given) => self.given(Instant::now(), want, &given),
            Err(_) => {
                metrics::counter!("roundtable_limits_alone_total").increment(1);
                if self.asked > 0 {
                    self.alone.follow(quota, self.left, self.micros(self.next));
                }
                let given = self.alone.take(quota, self.micros(now), 1);
                Taken { granted: given.granted > 0, left: given.left, next: given.next }
            }
        }
    }

    /// Whether it may be forgotten: it holds and knows nothing.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        now >= self.kept && now >= self.empty_until && self.alone.is_full(self.micros(now))
    }

    /// As the bucket of this process counts time.
    fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.began).as_micros()).unwrap_or(u64::MAX)
    }

    /// Whoever spent all that was held, and soon, gets more at once.
    fn want(&self, now: Instant, row: &Row) -> u32 {
        let eager = self.held == 0 && now < self.kept;
        if eager { (self.asked * 2).clamp(1, row.slice) } else { 1 }
    }

    fn given(&mut self, now: Instant, asked: u32, given: &Given) -> Taken {
        self.asked = asked;
        self.left = given.left;
        self.next = now + given.next;
        self.held = given.granted.saturating_sub(1);
        if given.granted == 0 {
            self.empty_until = self.next;
            return Taken { granted: false, left: 0, next: given.next };
        }
        self.kept = now + KEPT;
        self.granted(now)
    }

    fn granted(&self, now: Instant) -> Taken {
        let left = self.left + self.held;
        Taken { granted: true, left, next: self.next.saturating_duration_since(now) }
    }
}
