//! Handing messages out to subscribers that have room.

use std::{collections::VecDeque, time::Duration};

use super::{Delivery, Fresh, Group, Place, Token};
use crate::persistent::{
    book::{Message, State},
    group::Found,
    subscriber::Subscriber,
};

/// Messages on their way to the parked ones, beyond which nothing is handed out.
const MOST_PARKING: usize = 1024;

impl<E> Group<E> {
    /// Hands out all that subscribers have room for: first what was sent before.
    pub(crate) fn deliver(&mut self, now: Duration) -> Vec<Delivery<E>> {
        let mut deliveries = Vec::new();
        if self.book.parking() >= MOST_PARKING {
            return deliveries;
        }
        let mut after = None;
        while let Some(token) = self.book.waiting_after(after)
            && self.any_room()
        {
            after = Some(token);
            let message = self.book.get(token).expect("what waits is in the book");
            if let Some(at) = self.pick(message.affinity) {
                deliveries.push(self.give(at, token, message, now));
            }
        }
        let mut replayed = std::mem::take(&mut self.replayed);
        self.hand_out(&mut replayed, Place::Parked, now, &mut deliveries);
        self.replayed = replayed;
        let mut fresh = std::mem::take(&mut self.fresh);
        self.fresh_bytes -= self.hand_out(&mut fresh, Place::Source, now, &mut deliveries);
        self.fresh = fresh;
        deliveries
    }

    /// Hands out messages for the first time, and tells how many bytes they have.
    fn hand_out(
        &mut self,
        queue: &mut VecDeque<Fresh<E>>,
        place: fn(u64) -> Place,
        now: Duration,
        deliveries: &mut Vec<Delivery<E>>,
    ) -> u64 {
        let (mut next, mut bytes) = (0, 0);
        while next < queue.len() && self.any_room() {
            let Some(at) = self.pick(queue[next].found.affinity) else {
                next += 1;
                continue;
            };
            let Fresh { token, found } = queue.remove(next).expect("the queue is so long");
            let Found { id, affinity, .. } = found;
            let state = State::Waiting;
            let place = place(found.place);
            let message = Message { id, place, affinity, retries: 0, state };
            bytes += found.bytes;
            let delivery = self.give(at, token, message, now);
            deliveries.push(Delivery { bytes: found.bytes, event: Some(found.event), ..delivery });
        }
        bytes
    }

    fn any_room(&self) -> bool {
        self.subscribers.iter().any(Subscriber::has_room)
    }

    fn pick(&mut self, affinity: u64) -> Option<usize> {
        self.settings.strategy.pick(&self.subscribers, &mut self.cursor, affinity)
    }

    fn give(&mut self, at: usize, token: Token, message: Message, now: Duration) -> Delivery<E> {
        let Message { id, place, retries, .. } = message;
        let subscriber = self.subscribers[at].id;
        let timeout = self.settings.message_timeout;
        let due = (timeout > 0).then(|| now + Duration::from_millis(timeout.into()));
        let state = State::InFlight { subscriber, since: now, due };
        self.book.put(token, Message { state, ..message });
        self.subscribers[at].give(id, token);
        self.rate.count(1);
        Delivery { subscriber, token, place, id, retries, bytes: 0, event: None }
    }
}
