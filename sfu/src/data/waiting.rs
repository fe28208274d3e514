//! What waits to be sent on one channel, as far as it is known: what the other side acknowledged is
//! told in bytes, and each message costs memory beside its bytes.

use std::collections::VecDeque;

/// What a message costs beside its bytes.
const BESIDE: usize = 256;

/// What waits on one channel.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    sizes: VecDeque<u32>,
    /// Bytes of the first that are acknowledged already.
    begun: usize,
    cost: usize,
}

/// What a message of so many bytes costs.
pub(super) const fn cost(bytes: usize) -> usize {
    bytes + BESIDE
}

impl Waiting {
    /// What all that waits costs.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    /// A message of so many bytes was handed over.
    pub(super) fn add(&mut self, bytes: usize) {
        self.sizes.push_back(u32::try_from(bytes).unwrap_or(u32::MAX));
        self.cost += cost(bytes);
    }

    /// So many bytes were acknowledged or given up. They count for the first ones: which they were
    /// does not matter for the sum. Returns what was freed.
    pub(super) fn release(&mut self, bytes: usize) -> usize {
        self.begun += bytes;
        let mut freed = 0;
        while let Some(first) = self.sizes.front().map(|first| *first as usize) {
            if first > self.begun {
                break;
            }
            self.sizes.pop_front();
            self.begun -= first;
            freed += cost(first);
        }
        if self.sizes.is_empty() {
            self.begun = 0;
        }
        self.cost -= freed;
        freed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_released_in_any_pieces_frees_what_was_added() {
        let mut waiting = Waiting::default();
        [5, 1, 1000].into_iter().for_each(|bytes| waiting.add(bytes));
        assert_eq!(waiting.cost(), 1006 + 3 * BESIDE);
        assert_eq!(waiting.release(4), 0);
        assert_eq!(waiting.release(2), 6 + 2 * BESIDE);
        assert_eq!(waiting.release(999), 0);
        assert_eq!(waiting.release(1), 1000 + BESIDE);
        assert_eq!(waiting.cost(), 0);
        assert_eq!(waiting.release(70), 0);
        waiting.add(3);
        assert_eq!(waiting.release(2), 0);
    }
}
