//! Packets of one track in their order: what is late is waited for, as long as it may still come.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::Packet;

/// How long a packet is waited for: the room gives it up after 1.2 s.
const PATIENCE: Duration = Duration::from_millis(1300);

/// Packets that wait behind a missing one.
const MOST: usize = 2048;

/// Puts packets in order.
#[derive(Debug, Default)]
pub(super) struct Order {
    waiting: BTreeMap<u64, Packet>,
    next: Option<u64>,
}

impl Order {
    /// Takes a packet; one that comes too late, or again, is dropped.
    pub(super) fn put(&mut self, packet: Packet) {
        let next = *self.next.get_or_insert(packet.sequence);
        if packet.sequence >= next {
            self.waiting.entry(packet.sequence).or_insert(packet);
        }
    }

    /// The next packet, and whether packets before it are missing for good. Nothing is waited for
    /// with `None` as the time.
    pub(super) fn next(&mut self, now: Option<Instant>) -> Option<(Packet, bool)> {
        let next = self.next?;
        let entry = self.waiting.first_entry()?;
        let missing = *entry.key() != next;
        if missing && let Some(now) = now {
            let waited = now.saturating_duration_since(entry.get().arrived);
            if waited < PATIENCE && self.waiting.len() < MOST {
                return None;
            }
        }
        let (sequence, packet) = self.waiting.pop_first()?;
        self.next = Some(sequence + 1);
        Some((packet, missing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::testing::packet;

    fn sequences(order: &mut Order, now: Option<Instant>) -> Vec<(u64, bool)> {
        std::iter::from_fn(|| order.next(now)).map(|(it, gap)| (it.sequence, gap)).collect()
    }

    #[test]
    fn packets_come_in_order_once_and_a_missing_one_is_given_up_in_the_end() {
        let (mut order, now) = (Order::default(), Instant::now());
        for sequence in [10, 12, 11, 11, 15, 14] {
            order.put(packet(sequence, now));
        }
        let now = Some(now);
        assert_eq!(sequences(&mut order, now), [(10, false), (11, false), (12, false)]);
        order.put(packet(9, Instant::now()));
        assert_eq!(sequences(&mut order, now), []);
        let later = now.map(|now| now + PATIENCE);
        assert_eq!(sequences(&mut order, later), [(14, true), (15, false)]);
        order.put(packet(13, Instant::now()));
        assert_eq!(sequences(&mut order, later), []);
    }

    #[test]
    fn in_the_end_nothing_is_waited_for() {
        let mut order = Order::default();
        for sequence in [1, 3, 5] {
            order.put(packet(sequence, Instant::now()));
        }
        assert_eq!(sequences(&mut order, None), [(1, false), (3, true), (5, true)]);
    }
}
