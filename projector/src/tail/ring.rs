//! The newest items without a gap, as many as are worth keeping.

use std::collections::VecDeque;
use std::sync::Arc;

use events::Position;

use super::Item;

/// How many items are kept. A projection that is further behind reads the log itself.
const ITEMS: usize = 2048;

/// Everything that is in the log after `start`, up to the newest item.
pub(super) struct Ring {
    start: Position,
    items: VecDeque<Arc<Item>>,
}

impl Ring {
    pub(super) fn new(start: Position) -> Self {
        Self { start, items: VecDeque::new() }
    }

    /// The position of the newest item.
    pub(super) fn newest(&self) -> Position {
        self.items.back().map_or(self.start, |item| item.position)
    }

    /// Adds the item that follows the newest one in the log.
    pub(super) fn push(&mut self, item: Arc<Item>) {
        if item.position <= self.newest() {
            return;
        }
        self.items.push_back(item);
        if self.items.len() > ITEMS
            && let Some(oldest) = self.items.pop_front()
        {
            self.start = oldest.position;
        }
    }

    /// The first items after a position; none at all if they are not here any more.
    pub(super) fn after(&self, position: Position, max: usize) -> Option<Vec<Arc<Item>>> {
        if position < self.start {
            return None;
        }
        let from = self.items.partition_point(|item| item.position <= position);
        Some(self.items.iter().skip(from).take(max).cloned().collect())
    }
}

#[cfg(test)]
mod tests {
    use events::{EventId, StreamName};
    use uuid::Uuid;

    use super::*;
    use crate::tail::Content;

    fn item(position: u64) -> Arc<Item> {
        Arc::new(Item {
            position: Position::at(position),
            stream: StreamName::recorded("orders-1"),
            revision: 0,
            id: EventId::new(Uuid::nil()),
            content: Content::Foreign,
        })
    }

    fn positions(ring: &Ring, after: u64, max: usize) -> Option<Vec<u64>> {
        let items = ring.after(Position::at(after), max)?;
        Some(items.iter().map(|item| item.position.commit).collect())
    }

    #[test]
    fn it_gives_what_follows_and_knows_what_it_has_forgotten() {
        let mut ring = Ring::new(Position::at(10));
        assert_eq!(positions(&ring, 10, 9), Some(vec![]));
        assert_eq!(positions(&ring, 9, 9), None);
        for position in [20, 30, 30, 20, 40] {
            ring.push(item(position));
        }
        assert_eq!(positions(&ring, 10, 2), Some(vec![20, 30]));
        assert_eq!(positions(&ring, 20, 9), Some(vec![30, 40]));
        assert_eq!(positions(&ring, 40, 9), Some(vec![]));
        for position in 41..41 + ITEMS as u64 {
            ring.push(item(position));
        }
        assert_eq!(ring.newest(), Position::at(40 + ITEMS as u64));
        assert_eq!(positions(&ring, 40, 1), Some(vec![41]));
        assert_eq!(positions(&ring, 39, 1), None);
    }
}
