//! How much one client may say: messages and bytes a second, with a second's worth at once.

use std::time::Instant;

/// Messages a second.
const MESSAGES: f64 = 1000.0;

/// Bytes a second.
const BYTES: f64 = 2_000_000.0;

/// What one client may say now.
#[derive(Debug)]
pub(super) struct Allowance {
    messages: f64,
    bytes: f64,
    at: Instant,
}

impl Allowance {
    pub(super) fn new(now: Instant) -> Self {
        Self { messages: MESSAGES, bytes: BYTES, at: now }
    }

    /// Whether a message may be taken now. How long it is shows afterwards: see [`Self::took`].
    pub(super) fn permits(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = self.at.max(now);
        self.messages = (self.messages + passed * MESSAGES).min(MESSAGES);
        self.bytes = (self.bytes + passed * BYTES).min(BYTES);
        self.messages >= 1.0 && self.bytes > 0.0
    }

    /// A message of so many bytes was taken.
    #[expect(clippy::cast_precision_loss, reason = "a message is shorter than 2^52 bytes")]
    pub(super) fn took(&mut self, bytes: usize) {
        self.messages -= 1.0;
        self.bytes -= bytes as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_second_is_permitted_at_once_and_then_as_much_as_time_passes() {
        let now = Instant::now();
        let mut allowance = Allowance::new(now);
        let mut take = |now, bytes| {
            let mut count = 0;
            while allowance.permits(now) && count < 5000 {
                allowance.took(bytes);
                count += 1;
            }
            count
        };
        assert_eq!(take(now, 1), 1000);
        assert_eq!(take(now, 1), 0);
        assert_eq!(take(now + Duration::from_millis(100), 1), 100);
        // Long ones are bounded by their bytes.
        assert_eq!(take(now + Duration::from_secs(10), 65_536), 31);
    }
}
