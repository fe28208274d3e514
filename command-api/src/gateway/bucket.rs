//! A token bucket of one socket, for frames that cost others something.

use tokio::time::Instant;

/// So many at once, and then as many as come in again.
#[derive(Debug)]
pub(super) struct Bucket {
    most: f64,
    per_second: f64,
    tokens: f64,
    counted: Instant,
}

impl Bucket {
    /// A full one.
    pub(super) const fn new(most: f64, per_second: f64, now: Instant) -> Self {
        Self { most, per_second, tokens: most, counted: now }
    }

    /// Takes a token, if there is one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let passed = now.duration_since(self.counted).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.most);
        self.counted = now;
        let has = self.tokens >= 1.0;
        if has {
            self.tokens -= 1.0;
        }
        has
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn after_those_at_once_come_as_many_as_come_in() {
        let begin = Instant::now();
        let mut bucket = Bucket::new(3.0, 0.5, begin);
        let taken = |bucket: &mut Bucket, seconds| {
            let now = begin + Duration::from_secs(seconds);
            (0..10).filter(|_| bucket.take(now)).count()
        };
        assert_eq!(taken(&mut bucket, 0), 3);
        assert_eq!(taken(&mut bucket, 4), 2);
        assert_eq!(taken(&mut bucket, 1000), 3);
    }
}
