//! What becomes of messages that were handed out.

use std::time::Duration;

use uuid::Uuid;

use super::{Group, Nack, Place, ToPark, Token};
use crate::persistent::{
    book::{Message, State},
    figures::Latencies,
    subscriber::SubscriberId,
};

impl<E> Group<E> {
    pub(super) fn at(&self, id: SubscriberId) -> Option<usize> {
        self.subscribers.iter().position(|subscriber| subscriber.id == id)
    }

    /// The message a subscriber speaks of: in its hands, or taken from them because it was late.
    pub(super) fn spoken_of(&self, by: SubscriberId, id: Uuid) -> Option<Token> {
        let subscriber = &self.subscribers[self.at(by)?];
        subscriber.holding(id).or_else(|| self.book.waiting_with(id))
    }

    pub(crate) fn acknowledge(&mut self, by: SubscriberId, id: Uuid, now: Duration) {
        let Some(token) = self.spoken_of(by, id) else { return };
        if let Some(Message { state: State::InFlight { since, .. }, .. }) = self.book.get(token)
            && let Some(at) = self.at(by)
        {
            let latencies: Option<&mut Latencies> = self.subscribers[at].latencies.as_mut();
            latencies.into_iter().for_each(|latencies| latencies.add(now.saturating_sub(since)));
        }
        self.finish(token);
    }

    /// Does with the message what the subscriber wants.
    pub(crate) fn refuse(&mut self, by: SubscriberId, id: Uuid, what: Nack, reason: &str) {
        let Some(token) = self.spoken_of(by, id) else { return };
        match what {
            Nack::Park => self.park(token, reason),
            Nack::Skip => self.finish(token),
            Nack::Retry | Nack::Stop => self.retry(token, reason),
        }
    }

    /// Takes messages back from subscribers that have taken too long.
    pub(crate) fn expire(&mut self, now: Duration) {
        while let Some(token) = self.book.overdue(now) {
            self.retry(token, "The consumer took too long.");
        }
    }

    /// The event of a message is gone from the log, so there is nothing left to be done.
    pub(crate) fn lost(&mut self, token: Token) {
        self.finish(token);
    }

    pub(super) fn retry(&mut self, token: Token, why: &str) {
        let Some(message) = self.book.get(token) else { return };
        if message.state == State::Waiting {
            return;
        }
        if message.retries >= self.settings.max_retry_count {
            let reason = format!("Sent again {} times. {why}", message.retries);
            return self.park(token, &reason);
        }
        let retries = message.retries + 1;
        self.change(token, Message { retries, state: State::Waiting, ..message });
    }

    fn park(&mut self, token: Token, reason: &str) {
        let Some(message) = self.book.get(token) else { return };
        let Message { id, place, .. } = message;
        self.change(token, Message { state: State::Parking, ..message });
        self.to_park.push(ToPark { token, place, id, reason: reason.to_owned() });
    }

    fn change(&mut self, token: Token, message: Message) {
        let before = self.book.put(token, message);
        self.take_back(token, before);
    }

    fn take_back(&mut self, token: Token, message: Option<Message>) {
        if let Some(Message { id, state: State::InFlight { subscriber, .. }, .. }) = message
            && let Some(at) = self.at(subscriber)
        {
            self.subscribers[at].take_back(id, token);
        }
    }

    fn finish(&mut self, token: Token) {
        let message = self.book.remove(token);
        self.take_back(token, message);
        match message.map(|message| message.place) {
            Some(Place::Source(place)) => self.progress.finish(place),
            Some(Place::Parked(place)) => self.replaying.finish(place),
            None => {}
        }
    }

    /// What is to be parked now; each has to be told [`parked`](Self::parked) or
    /// [`not_parked`](Self::not_parked).
    pub(crate) fn take_to_park(&mut self) -> Vec<ToPark> {
        std::mem::take(&mut self.to_park)
    }

    pub(crate) fn has_to_park(&self) -> bool {
        !self.to_park.is_empty()
    }

    /// The message is durable among the parked ones.
    pub(crate) fn parked(&mut self, token: Token) {
        self.finish(token);
    }

    /// Parking did not work, and is to be tried again.
    pub(crate) fn not_parked(&mut self, mut again: Vec<ToPark>) {
        again.append(&mut self.to_park);
        self.to_park = again;
    }
}
